"""What a training run can be told, typed. Every class refuses unknown keys; :mod:`.config` reads the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import Norm
from napari_mrseg.models.network import Network, find_network
from napari_mrseg.tasks import DEFAULT, Task, get_task, key

Extents = tuple[int, int, int]
Share = float


class Part(BaseModel):
    """Base of all settings: immutable, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


OF_ANY_NETWORK = frozenset({"name", "version", "mirrored", "longest"})
"""Settings of a model that stay when another network takes its place."""
LENGTHS = ("epochs", "steps", "minutes")
"""How long a stage is: one of them."""
_ANY_NETWORK = OF_ANY_NETWORK | {"network", "arguments", "pretrained"}  # the rest is unimrseg's


_SKETCHES: dict[tuple[type[Network], str, Task], Network] = {}


class ModelPart(Part):
    """The network by its name (:func:`~napari_mrseg.models.network.find_network`) and what it is made of.

    ``name`` is that of the model folder; ``mirrored``: its results are the mean with those of the mirrored image;
    ``longest``: pictures of any size are brought whole to so many pixels of their longer side. Of
    unimrseg: a named size, and what to change of it; of another network: its ``arguments``. ``pretrained``: a folder
    with published weights of its backbone (:meth:`~napari_mrseg.models.backbone.Backbone.take`).
    """

    name: str = "my-model"
    version: str = "0.1.0"
    mirrored: bool = False
    longest: int | None = Field(default=None, ge=32, multiple_of=32)
    network: str = "unimrseg"
    arguments: dict[str, Any] = {}
    pretrained: Path | None = None
    size: Literal["paper", "compact", "compact-2d", "lite", "resnet50", "convnext-base"] = "compact"
    width: int | None = Field(default=None, ge=1, le=256)
    aspp_rates: tuple[int, ...] | None = None
    growth: tuple[int, int, int, int] | None = None
    stem: Literal[1, 2, 4] | None = None
    head_width: int | None = Field(default=None, ge=1, le=64)
    head_input: bool | None = None
    residual: bool | None = None
    deep: int | None = Field(default=None, ge=0, le=3)
    norm: Norm | None = None
    heads: tuple[int, int, int, int, int] | None = None
    attention_window: int | None = Field(default=None, ge=1, le=16)
    attention_pooling: tuple[int, int, int, int, int] | None = None
    reverse: bool = True
    mutual: bool = True
    mixer: Literal["swin", "conv"] = "swin"

    def make(
        self, task: Task, *, adapters: bool, outputs: int | None = None, weights: bool = True
    ) -> Network:
        """A new network for ``task`` with ``outputs`` channels (default: one per region).

        Raises ValueError for arguments that are not the network's.
        """
        try:
            network = find_network(self.network).for_task(
                task, self._arguments, outputs=outputs, adapters=adapters
            )
        except InputError as error:
            raise ValueError(str(error)) from None
        if self.pretrained is not None and weights:
            backbone = getattr(network, "backbone", None)
            if backbone is None:
                raise InputError(
                    f"model.pretrained: {self.network} {self.size} has no backbone; leave it out."
                )
            backbone.take(self.pretrained.expanduser())
        return network

    def sketch(self, task: Task) -> Network:
        """:meth:`make` without memory, to ask for its shape. Raises ValueError for arguments that do not fit.

        The same settings give the same network again: every change of a configuration is checked, and making one takes
        longer than all else in that.
        """
        try:
            which = find_network(self.network), self.model_dump_json(), task
            if which not in _SKETCHES:
                with torch.device("meta"):
                    _SKETCHES[which] = self.make(task, adapters=True, weights=False)
            return _SKETCHES[which]
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        except InputError as error:
            raise ValueError(str(error)) from None

    @property
    def _arguments(self) -> dict[str, Any]:
        own = {k: v for k, v in self.model_dump(exclude=set(_ANY_NETWORK)).items() if v is not None}
        return (own if self.network == "unimrseg" else {}) | self.arguments

    @model_validator(mode="after")
    def _fits(self) -> ModelPart:
        fields = ModelPart.model_fields
        own = self.model_fields_set - _ANY_NETWORK
        unknown = sorted(name for name in own if getattr(self, name) != fields[name].default)
        if self.network != "unimrseg" and unknown:
            raise ValueError(f"{unknown[0]} is of the network unimrseg; {self.network} takes model.arguments")
        if (
            self.network == "unimrseg"
        ):  # arguments of others may name modalities of the task, which is not known here
            self.sketch(DEFAULT)
        return self


class SimulatePart(Part):
    """Simulated subjects: how many of each, from which seed. Subject k of a seed is always the same.

    Without ``brains`` all are drawn in a template's tissue maps. ``brains``: folders under ``data.path`` whose
    scans, their own lesion covered, tumours are painted into; ``template_share`` of the subjects still come from
    the template. ``labelled``: those of ``brains`` that also appear with their own tumour, in ``real_share`` of the
    subjects. ``healthy_share`` of the others have no tumour. ``tumour_free``: further folders, whose scans have no
    tumour whatever else they show; half of the subjects without a tumour are drawn from them as they are. ``grow``: so
    many further training subjects are drawn beside the training for each further epoch. ``pale_share``
    of the tumours that are painted or moved into a brain hardly differ from its tissue.
    """

    train: int = Field(default=100, ge=1)
    grow: int = Field(default=0, ge=0)
    validation: int = Field(default=4, ge=0)
    test: int = Field(default=50, ge=0)
    seed: int = Field(default=1, ge=0)
    brains: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    tumour_free: tuple[str, ...] = ()
    template_share: Share = Field(default=1.0, ge=0, le=1)
    real_share: Share = Field(default=0.0, ge=0, le=1)
    healthy_share: Share = Field(default=0.22, ge=0, le=1)
    pale_share: Share = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _has_brains(self) -> SimulatePart:
        unknown = sorted(set(self.labelled) - set(self.brains))
        if unknown:
            raise ValueError(f"labelled names {unknown[0]}, which is not among brains")
        if bool(self.real_share) != bool(self.labelled):
            raise ValueError("give labelled and a real_share, or neither")
        if not self.scans and self.template_share != 1:
            raise ValueError("without brains template_share must be 1")
        twice = sorted(set(self.tumour_free) & set(self.brains))
        if twice:
            raise ValueError(f"{twice[0]} is named both in brains and in tumour_free")
        return self

    @property
    def scans(self) -> tuple[str, ...]:
        """Every folder that is drawn from."""
        return self.brains + self.tumour_free


class HeadsPart(Part):
    """Heads drawn from folders of scans with their brain mask, ``brain.nii.gz``, below ``data.path``.

    ``each``: samples of every head but those in ``leave_out``; ``brains``: folders of folders with scans cut to one:
    put into a share of the heads in place of their own brain, and seen as they are in ``alone`` samples. ``things``:
    samples that hold no head. ``mild``: share of the samples of heads that keep their contrast, and show fewer faults.
    """

    each: int = Field(default=16, ge=1)
    alone: int = Field(default=40, ge=0)
    things: int = Field(default=80, ge=0)
    mild: Share = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=1, ge=0)
    brains: tuple[Path, ...] = ()
    leave_out: tuple[str, ...] = ()


class UnlabelledPart(Part):
    """Further subjects whose segmentations, if there are any, are not read: folders under ``path``."""

    path: Path
    pattern: str = "*"


class DataPart(Part):
    """Where subjects come from and how they are prepared.

    ``brats``: a BraTS folder as distributed; ``folders``: every folder that ``pattern`` matches under ``path``;
    ``simulated``: drawn by the generator; ``heads``: drawn from heads with their brain mask. ``split``: a folder
    with train.txt, validation.txt, test.txt; without it the data set's own (:mod:`.data.distributed`), else a
    seeded one is drawn with ``proportions`` (subjects, or shares of them). ``folds``: so many runs, each with
    another ``fold`` (from 0) of the subjects as its test list, so that each is tested once; the first two
    ``proportions`` divide the others. ``workers``: processes that prepare subjects. ``labels``: the scheme of the
    segmentations' codes, as ``--labels``; by default the task's own, and a data set that looks like another is
    refused. ``references`` "optional": for stages that learn from no truth; a subject without a segmentation is used,
    too. ``unlabelled``: what stages get beside the labelled samples, as many a step. ``labelled_share``: how
    many of the training subjects keep their segmentation; the others are unlabelled subjects, too, or with a stage
    that looks at none, not seen at all.
    """

    source: Literal["brats", "folders", "simulated", "heads"] = "simulated"
    path: Path | None = None
    pattern: str = "*"
    spacing: float = Field(default=1.0, gt=0.2, le=10)
    split: Path | None = None
    proportions: tuple[float, float, float] = (219, 50, 100)
    folds: int | None = Field(default=None, ge=2)
    fold: int = Field(default=0, ge=0)
    simulate: SimulatePart = SimulatePart()
    heads: HeadsPart = HeadsPart()
    labels: str | None = None
    references: Literal["needed", "optional"] = "needed"
    unlabelled: UnlabelledPart | None = None
    labelled_share: Share = Field(default=1.0, gt=0, le=1)
    cache: Path | None = None
    in_memory: Literal["auto", "yes", "no"] = "auto"
    prefetch: int = Field(default=2, ge=0, le=64)
    workers: int = Field(default=1, ge=1, le=256)
    skip_bad: bool = False

    @property
    def has_unlabelled(self) -> bool:
        """Whether there are subjects without a truth beside the others."""
        return self.unlabelled is not None or self.labelled_share < 1

    @model_validator(mode="after")
    def _has_path(self) -> DataPart:
        if self.source == "simulated" and self.simulate.scans and self.path is None:
            raise ValueError("path is needed for simulate.brains and tumour_free: the folder that holds them")
        if self.source != "simulated" and self.path is None:
            raise ValueError(f"path is needed for source {self.source}, e.g. data.path=/data/BraTS2020")
        if self.simulate.grow and (
            self.source != "simulated" or self.labelled_share < 1 or self.split is not None
        ):
            raise ValueError(
                "simulate.grow is for simulated subjects that all keep their labels, without a split"
            )
        if self.folds is not None and (self.source == "simulated" or self.split is not None):
            raise ValueError("folds are for subjects in files, without a split")
        if self.fold >= (self.folds or 1):
            raise ValueError(
                f"fold must be from 0 to {self.folds - 1}"
                if self.folds
                else "fold needs folds, e.g. data.folds=5"
            )
        if min(self.proportions) < 0 or self.proportions[0] == 0:
            raise ValueError("proportions must not be negative, and the first not 0")
        return self


class AugmentPart(Part):
    """On the device, per sample: mirror each axis (or left-right only), turn by up to ``rotate`` degrees, crop.

    ``centred``: share of crops around a random tumour voxel; the others lie anywhere in the head. ``faults``:
    share of modalities that get one of the generator's scanner faults (gamma, bias field, noise, blur, thick slices),
    for files: generated samples have theirs. ``gain`` and ``shift``: standard deviations of the logarithm of a factor
    and of a sum, drawn for each modality, that its normalised intensities get. ``scale``: what is turned also becomes
    larger or smaller, by a factor between 1 / (1 + ``scale``) and 1 + ``scale``.
    """

    flip: bool | Literal["left-right"] = True
    rotate: float = Field(default=10.0, ge=0, le=180)
    scale: float = Field(default=0.0, ge=0, le=1)
    centred: Share = Field(default=0.5, ge=0, le=1)
    faults: Share = Field(default=0.0, ge=0, le=1)
    gain: float = Field(default=0.0, ge=0, le=1)
    shift: float = Field(default=0.0, ge=0, le=1)


class PerturbPart(Part):
    """What stage 1 does to its input. ``mask``: boxes of ``mask_size`` voxels, or single voxels as published."""

    dropout: Share = Field(default=0.5, ge=0, lt=1)
    dropout_by: Literal["modality", "sample"] = "modality"
    shuffle: bool = True
    mask: Literal["regions", "voxels", "none"] = "regions"
    mask_ratio: Share = Field(default=0.15, ge=0, lt=1)
    mask_size: int = Field(default=16, ge=1)


class StagePart(Part):
    """What every stage has. Exactly one of ``epochs``, ``steps`` and ``minutes``; ``warmup`` is a share of them.

    ``minutes`` of training, whatever the machine, for runs that are compared at equal time or that have only so much:
    how far it gets and the weights then depend on the machine, and so does what a resumed run gives.

    ``extents``: one is drawn for each step, so that crops and whole volumes can both be trained on. In a share
    ``coarse`` of the steps they are voxels of twice the data's spacing, so that one model learns both the final and
    the preview. ``batch`` counts samples per process. ``optimizer``: AdamW (UniMRSeg) or Adam, whose weight decay is
    part of the gradient (SMML). After the warm-up the rate falls to ``floor`` times itself, by ``schedule``: half a
    cosine, or "poly": the remaining share of the steps to the power of 0.9.
    ``average``: what is kept at the end is the running mean of the weights, of which each step keeps that share (0: the
    last weights). ``start_share``: how much of the weights it started from is in the model that it leaves, so that what
    was learnt before is not lost (Wortsman 2022, arXiv 2109.01903).
    """

    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "poly"] = "cosine"
    warmup: Share = Field(default=1 / 6, ge=0, le=1)
    floor: Share = Field(default=0.0, ge=0, le=1)
    average: Share = Field(default=0.0, ge=0, lt=1)
    start_share: Share = Field(default=0.0, ge=0, lt=1)
    backbone_rate: float = Field(default=1.0, gt=0, le=1)
    clip: float | None = Field(default=None, gt=0)
    extents: tuple[Extents, ...] = ((128, 128, 128),)
    coarse: Share = Field(default=0.0, ge=0, le=1)
    augment: AugmentPart = AugmentPart()

    @model_validator(mode="after")
    def _sound(self) -> StagePart:
        given = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of epochs, steps and minutes, not {' and '.join(given) or 'none'}; a key=value on "
                "the command line, such as stages.adapt.steps=100, takes the place of the others"
            )
        return self


class ReconstructPart(StagePart):
    """Stage 1: all modalities from some, masked and out of order."""

    perturb: PerturbPart = PerturbPart()
    l1: float = Field(default=1.0, ge=0)
    ssim: float = Field(default=1.0, ge=0)
    ssim_window: int = Field(default=7, ge=3, le=11)


class ImaginePart(StagePart):
    """Stage 1 as the network ``unimrseg-imagining`` learns it: every number of given modalities alike often.

    ``finer``: share of the steps in which what it is shown is also out of order and masked as ``perturb`` says, whose
    dropout is not used.
    """

    finer: Share = Field(default=0.1, ge=0, le=1)
    perturb: PerturbPart = PerturbPart()
    ssim: float = Field(default=0.3, ge=0)
    ssim_window: int = Field(default=7, ge=3, le=11)


class TruthPart(Part):
    """Loss against the drawn regions: Dice, and binary cross-entropy if weighted.

    ``cross_entropy_over`` "region": summed over the voxels, those of the region three times, and divided by the
    region's size (at least 5 % of the volume), so that small regions count as large ones do. ``estimated``: weight of a
    region where a modality that the task says it needs is missing. ``deep``: weights of the network's coarser outputs.
    """

    dice: float = Field(default=1.0, ge=0)
    cross_entropy: float = Field(default=0.0, ge=0)
    smooth: float = Field(default=1e-5, gt=0)
    cross_entropy_over: Literal["volume", "region"] = "volume"
    estimated: float = Field(default=1.0, ge=0, le=1)
    deep: tuple[float, ...] = ()


class ContrastPart(StagePart):
    """Stage 2: complete and incomplete versions of a subject attract, other subjects repel; with Dice on both.

    ``sampling_weights``: how often a combination is drawn as the incomplete one, e.g. ``{t1: 3}``; those not named
    have 1. Without it the number of modalities kept is uniform.
    """

    sampling_weights: dict[str, float] = {}
    contrast: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.5, gt=0)
    positive_in_denominator: bool = True
    segment: float = Field(default=1.0, ge=0)
    truth: TruthPart = TruthPart()


class AdaptPart(StagePart):
    """Stage 3: adapters and decoder learn to make up for what is missing; the encoder is frozen.

    ``combinations_per_step``: of all incomplete combinations, how many each sample sees in a step;
    ``sampling_weights``: how often each is among them, e.g. ``{t1: 3}``, those not named 1.

    ``over_combinations``: how the terms of incomplete combinations (``feature``, ``prediction``, ``incomplete``) are
    joined. "sum": the sum over all of them (paper: Eq. 4 and 5); where fewer are drawn, the drawn ones are scaled so
    that the expectation is that sum. "mean": their mean; with ``feature`` 0.2 the weighting up to version 0.6.
    """

    sampling_weights: dict[str, float] = {}
    combinations_per_step: int = Field(default=4, ge=1)
    over_combinations: Literal["sum", "mean"] = "sum"
    feature: float = Field(default=1.0, ge=0)
    prediction: float = Field(default=1.0, ge=0)
    complete: float = Field(default=1.0, ge=0)
    incomplete: float = Field(default=0.0, ge=0)
    freeze_encoder: bool = True
    truth: TruthPart = TruthPart()


class SupervisedPart(StagePart):
    """No stage of the paper: encoder and decoder by the truth alone, with modality dropout or without.

    With ``sampling_weights``, which say how often each incomplete combination is drawn, ``dropout`` is the share of
    samples that are incomplete at all. ``unlabelled``: weight of what data.unlabelled teach, that an incomplete
    combination should find what the complete one finds. ``adapters``: with those of the network, which learn from the
    truth alone.
    """

    dropout: float = Field(default=0.0, ge=0, le=1)
    dropout_by: Literal["modality", "sample"] = "sample"
    sampling_weights: dict[str, float] = {}
    unlabelled: float = Field(default=0.0, ge=0)
    adapters: bool = False
    truth: TruthPart = TruthPart()


class ExtractPart(SupervisedPart):
    """No stage of the paper: the network ``brain`` learns the brain's mask, and whether a volume shows a brain at all.

    ``presence``: weight of the latter.
    """

    presence: float = Field(default=0.2, ge=0)


class JudgePart(StagePart):
    """After ``extract``: the network's second output alone, whether a volume shows a brain; the mask stays as it is.

    ``none``: weight of samples that show no brain, since most do.
    """

    none: float = Field(default=4.0, gt=0)


class JointPart(AdaptPart):
    """All losses of the three stages at once, from scratch; the paper says this does not converge."""

    freeze_encoder: bool = False
    combinations_per_step: int = Field(default=1, ge=1)
    reconstruct: float = Field(default=1.0, ge=0)
    contrast: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.5, gt=0)
    positive_in_denominator: bool = True
    perturb: PerturbPart = PerturbPart()


class MutualPart(StagePart):
    """SMML's stage, and mmFormer's: each of its constraints a weight, 0 leaves it out.

    ``dropout`` and ``dropout_by``: how each branch's modalities are drawn. ``auxiliary``: of coarser maps and of each
    modality alone (mmFormer). ``pixel`` with ``temperature``, ``feature`` and ``refine``: of the constraints between
    the branches and of the refinement. ``prior``: a model folder whose answer to each modality alone the refinement
    looks at; without one, the branch's own.
    """

    dropout: Share = Field(default=0.5, ge=0, lt=1)
    dropout_by: Literal["modality", "sample"] = "modality"
    auxiliary: float = Field(default=1.0, ge=0)
    pixel: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=6.0, gt=0)
    feature: float = Field(default=1.0, ge=0)
    refine: float = Field(default=1.0, ge=0)
    prior: Path | None = None
    truth: TruthPart = TruthPart()


class CollaboratePart(StagePart):
    """CMC's stage: each of its consistencies a weight, 0 leaves it out.

    ``channel``: of the features' channels; ``anatomy``: of what both modalities find where there is no truth, in which
    ``contrast`` at ``temperature`` weighs that other subjects are unlike. ``dropout``: share of labelled samples that
    have one modality only.
    """

    dropout: Share = Field(default=0.0, ge=0, lt=1)
    channel: float = Field(default=1.0, ge=0)
    anatomy: float = Field(default=1.0, ge=0)
    contrast: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.5, gt=0)
    truth: TruthPart = TruthPart()


class StagesPart(Part):
    """Settings of each stage by its name; only those of the recipe need be there."""

    reconstruct: ReconstructPart | None = None
    contrast: ContrastPart | None = None
    adapt: AdaptPart | None = None
    supervised: SupervisedPart | None = None
    extract: ExtractPart | None = None
    judge: JudgePart | None = None
    imagine: ImaginePart | None = None
    joint: JointPart | None = None
    mutual: MutualPart | None = None
    collaborate: CollaboratePart | None = None


StageName = Literal[
    "reconstruct",
    "contrast",
    "adapt",
    "supervised",
    "extract",
    "judge",
    "imagine",
    "joint",
    "mutual",
    "collaborate",
]


class RunPart(Part):
    """Where and how it runs. ``precision`` auto: bf16 where the processor computes in it.

    ``norm_statistics``: ``batch`` (over all processes on GPUs), or ``running``, which lets several processes
    without a GPU give exactly the result of one. ``validate_every`` and ``checkpoint_every`` count steps. ``trackers``:
    where curves and pictures go, too (:mod:`.trackers`); ``tensorboard`` is short for that one.
    """

    device: str = "auto"
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    norm_statistics: Literal["batch", "running"] = "batch"
    checkpoint_every: int = Field(default=500, ge=1)
    checkpoint_seconds: float = Field(default=600, gt=0)
    validate_every: int = Field(default=0, ge=0)
    validate_subjects: int = Field(default=8, ge=1)
    log_every: int = Field(default=10, ge=1)
    keep: Literal["last", "best"] = "last"
    tensorboard: bool = False
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    pictures_every: int = Field(default=500, ge=1)

    @property
    def all_trackers(self) -> tuple[str, ...]:
        """Names of the trackers, each once."""
        return tuple(dict.fromkeys((*(("tensorboard",) if self.tensorboard else ()), *self.trackers)))


class Config(Part):
    """A whole run: the stages of ``recipe`` one after the other, each on the weights of the one before.

    ``task``: a task's name, or its YAML file. ``start``: a model folder whose weights the first stage takes, instead of
    random ones.
    """

    task: str = DEFAULT.name
    seed: int = Field(default=0, ge=0)
    start: Path | None = None
    model: ModelPart = Field(default_factory=ModelPart)  # made when asked for: checking it imports MONAI
    data: DataPart = DataPart()
    recipe: tuple[StageName, ...] = ("reconstruct", "contrast", "adapt")
    stages: StagesPart
    run: RunPart = RunPart()

    @field_validator("task")
    @classmethod
    def _by_name(cls, task: str) -> str:
        try:
            return get_task(task).name
        except InputError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _complete(self) -> Config:
        """The parts fit each other. Each check raises ValueError for what does not."""
        self._check_recipe()
        task = get_task(self.task)
        try:
            network = self.model.sketch(task)
        except ValueError as error:
            raise ValueError(f"model is wrong ({str(error).rstrip('.')}); fix it or leave it out") from None
        self._check_extents(network.training_stride)
        self._check_unlabelled()
        self._check_weights(task)
        self._check_deep(len(getattr(network, "deep", ())))
        self._check_combinations(task)
        return self

    def _check_recipe(self) -> None:
        for name in self.recipe:
            if getattr(self.stages, name) is None:
                raise ValueError(f"the recipe has the stage {name}, but stages.{name} is not there")
        if not self.recipe:
            raise ValueError("recipe must name at least one stage")

    def _check_extents(self, least: Sequence[int]) -> None:
        for name in self.recipe:
            extents = self.stage(name).extents
            if not extents or any(n < m or n % m for e in extents for n, m in zip(e, least, strict=True)):
                raise ValueError(
                    f"stages.{name}.extents must be multiples of {', '.join(map(str, dict.fromkeys(least)))}, e.g. "
                    f"{[[4 * n for n in least]]}"
                )

    def _check_unlabelled(self) -> None:
        supervised = self.stages.supervised
        if supervised is not None and supervised.unlabelled and not self.data.has_unlabelled:
            raise ValueError(
                "stages.supervised.unlabelled needs data.unlabelled.path, the folder of those subjects, or a "
                "data.labelled_share below 1"
            )

    def _check_weights(self, task: Task) -> None:
        known = {key(c) for c in task.combinations() if c != task.names}
        for part in (self.stages.contrast, self.stages.adapt, self.stages.joint, self.stages.supervised):
            unknown = sorted(set(part.sampling_weights) - known) if part is not None else []
            if unknown:
                raise ValueError(
                    f"sampling_weights: {unknown[0]} is no incomplete combination, such as {min(known)}"
                )
            if part is not None and any(not 0 < value < 1e3 for value in part.sampling_weights.values()):
                raise ValueError("sampling_weights must be above 0 and below 1000")

    def _check_deep(self, outputs: int) -> None:
        for name in self.recipe:
            truth = getattr(self.stage(name), "truth", None)
            if truth is not None and len(truth.deep) > outputs:
                raise ValueError(
                    f"stages.{name}.truth.deep has {len(truth.deep)} weights; set model.deep to as many"
                )

    def _check_combinations(self, task: Task) -> None:
        most = 2 ** len(task.names) - 2
        for part in (self.stages.adapt, self.stages.joint):
            if part is not None and part.combinations_per_step > most:
                raise ValueError(
                    f"combinations_per_step must be at most {most}, all incomplete combinations of {task.name}"
                )

    @property
    def model_task(self) -> Task:
        """The task of that name."""
        return get_task(self.task)

    def stage(self, name: str) -> StagePart:
        """Settings of the stage of that name, which the recipe has."""
        part = getattr(self.stages, name)
        assert isinstance(part, StagePart)
        return part
