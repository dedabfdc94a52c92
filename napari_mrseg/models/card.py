"""The card of a model folder: what the model is, what it was trained on, where it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_mrseg.errors import InputError
from napari_mrseg.tasks import TASKS, Combination, key, task_of_document

CARD = "model.json"  # in a model folder
NORMALISATIONS = (
    "robust",
    "z-score",
    "z-score whole",
    "min-max",
    "level",
)  # those the engine applies, see napari_mrseg.prepare


class Validated(BaseModel):
    """A spacing the model was measured at, and the largest extents (voxels) it takes there in one window.

    ``whole``: of pictures, which have no scale of their own: each is brought to the spacing at which all of it fits
    those extents, whatever its size; ``spacing_mm`` is then that of the pictures it was measured on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spacing_mm: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    extents_max: tuple[int, ...]
    whole: bool = False

    def spacing(self, shape: Sequence[int]) -> float:
        """The spacing at which an image of so many voxels is looked at, of which a picture's are 1 apart."""
        if not self.whole:
            return self.spacing_mm
        return max(
            n / most for n, most in zip(shape[-len(self.extents_max) :], self.extents_max, strict=True)
        )


class Architecture(BaseModel):
    """Which network (:func:`~.network.find_network`), and the settings that decide its shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "unimrseg"
    settings: dict[str, Any] = {}


class ModelCard(BaseModel):
    """What a model folder says about itself.

    Attributes
    ----------
    modalities, regions
        In the order of the network's channels; must be the task's.
    architecture, sha256
        Filled by :func:`napari_mrseg.models.store.save_model` from the network and its weights.
    task_definition
        The task itself, if it is none of this package's: the folder works where nothing else knows it. Filled by
        :func:`napari_mrseg.models.store.save_model`.
    also
        Other tasks that it answers, of modalities with as many channels in the same order and of the same regions:
        a network that learnt depth and thermal infrared in one channel serves both.
    needs
        Modalities without which it has no answer; default: none, it takes every combination.
    sees
        The modalities it looks at, where that is not all of the task's; it needs one of them at least.
    normalisation
        ``{"name": "robust"}``, the way intensities were scaled in training; ``z-score``: mean 0 and standard deviation
        1 over the voxels that are not background, as MONAI's bundles do; ``z-score whole``: the same, but the
        background is shifted and scaled, too, as in RFNet's family; ``min-max``: the 1st percentile of what is not
        background becomes 0 and the 99th 1, and values beyond are cut, as in M3AE; ``level``: shares of the
        tissue's brightness, for heads with their skull.
    validated
        Fine to coarse. The engine's final result is made at the first, its preview at the second.
    trained_on
        One line per source of data: what, how many, licence, attribution.
    expects
        What scans the model was made for; others are warned of (:mod:`napari_mrseg.inference.plausibility`).
        "adult brain": whole, cut out of the skull, about 1 mm; "anything": no such warnings. Default: the task's.
    mirrored
        The result is the mean with that of the image mirrored left to right: twice the work, and no side preferred.
    thresholds
        From which probability on a voxel belongs to a region, by region and combination, such as
        ``{"ET": {"flair+t1ce": 0.3}}``; 0.5 where none is given. Chosen so that the expected Dice is largest (the best
        threshold is half of the Dice reached: Lipton et al. 2014, arXiv 1402.1892). For nested regions only.
    stored
        As what the weights file keeps numbers: "float16" takes half the room; they are computed with as float32.
    measured
        One row per case and combination, e.g. ``{"case": "01", "combination": ["flair"], "dice": {"WT": 0.8}}``; None
        for a region that the case has not.
    measured_on
        A sentence that says on what, and by which weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")]
    licence: Annotated[str, Field(min_length=1)]
    task: str
    task_definition: dict[str, Any] | None = None
    also: tuple[str, ...] = ()
    modalities: tuple[str, ...]
    regions: tuple[str, ...]
    architecture: Architecture = Architecture()
    needs: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()
    normalisation: dict[str, Any]
    validated: Annotated[tuple[Validated, ...], Field(min_length=1)]
    trained_on: tuple[str, ...]
    expects: Literal["adult brain", "anything"] = "anything"
    mirrored: bool = False
    thresholds: dict[str, dict[str, Annotated[float, Field(gt=0, lt=1)]]] = {}
    stored: Literal["float32", "float16"] = "float32"
    measured: tuple[dict[str, Any], ...] = ()
    measured_on: str = ""
    intended_use: str
    limitations: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    def for_task(self, name: str) -> ModelCard:
        """The card for one of the tasks in ``also``. What was measured was measured on the own one, and goes."""
        task = TASKS[name]
        other = (self.task, *(t for t in self.also if t != name))
        change = {"task": name, "also": other, "modalities": task.names, "measured": (), "thresholds": {}}
        return self.model_copy(update=change)

    @property
    def passes(self) -> int:
        """How often the network looks at each window."""
        return 2 if self.mirrored else 1

    def thresholds_for(self, combination: Combination) -> tuple[float, ...]:
        """The threshold of each region for these modalities, in the task's order."""
        return tuple(self.thresholds.get(region, {}).get(key(combination), 0.5) for region in self.regions)

    def can_do(self, combination: Combination) -> bool:
        """Whether it has an answer for these modalities."""
        seen = not self.sees or bool(set(self.sees) & set(combination))
        return seen and set(self.needs) <= set(combination)

    def combinations(self, present: Combination) -> tuple[Combination, ...]:
        """What it can do with the modalities that are there and that it looks at, in the task's order."""
        there = tuple(name for name in present if name in self.sees) if self.sees else present
        return tuple(c for c in TASKS[self.task].combinations(there) if self.can_do(c)) if there else ()

    def refusal(self, combination: Combination) -> str:
        """The sentence for a combination that it cannot do."""
        task = TASKS[self.task]
        missing = [task.modality(name).title for name in self.needs if name not in combination]
        if not missing:
            seen = [task.modality(name).title for name in self.sees]
            return (
                f"{self.name} looks at {_and(seen)} only, and {'neither' if len(seen) == 2 else 'none'} of them is "
                "in use; switch on one, or choose another model."
            )
        wanted = [task.modality(name).title for name in self.needs]
        return (
            f"{self.name} needs {_and(wanted)}, and {_and(missing)} {'is' if len(missing) == 1 else 'are'} "
            "missing or off; switch on what it needs, or choose another model."
        )

    @model_validator(mode="before")
    @classmethod
    def _expects_what_the_task_does(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("task_definition") is not None:
            _learn(data["task_definition"], data.get("task"))
        task = TASKS.get(str(data.get("task")))
        return {"expects": task.expects, **data} if task else data

    @model_validator(mode="after")
    def _fits(self) -> ModelCard:
        if self.task not in TASKS:
            raise ValueError(f"unknown task “{self.task}”; known: {', '.join(TASKS)}")
        task = TASKS[self.task]
        for field, own, wanted in (
            ("modalities", self.modalities, task.names),
            ("regions", self.regions, tuple(r.name for r in task.regions)),
        ):
            if own != wanted:
                raise ValueError(f"{field} must be {', '.join(wanted)}, as in the task {self.task}")
        for field, names in (("needs", self.needs), ("sees", self.sees)):
            if set(names) - set(task.names):
                raise ValueError(f"{field} must be some of {', '.join(task.names)}")
        if self.normalisation.get("name") not in NORMALISATIONS:
            raise ValueError(f"normalisation: name must be one of {', '.join(NORMALISATIONS)}")
        if self.thresholds and not task.nested:
            raise ValueError(f"thresholds are for nested regions, which those of {self.task} are not")
        known = {key(c) for c in task.combinations()}
        for region, by_combination in self.thresholds.items():
            if region not in self.regions or not set(by_combination) <= known:
                raise ValueError("thresholds must name the task's regions and combinations")
        spacings = [v.spacing_mm for v in self.validated]
        if any(a >= b for a, b in pairwise(spacings)):
            raise ValueError("validated must go from fine to coarse, each spacing once")
        for v in self.validated:
            if len(v.extents_max) != task.ndim or any(n < 1 for n in v.extents_max):
                raise ValueError(f"extents_max must be {task.ndim} numbers of voxels")
        return self

    @model_validator(mode="after")
    def _answers_other_tasks(self) -> ModelCard:
        task = TASKS[self.task]
        for name in self.also:
            if name not in TASKS or name == self.task:
                raise ValueError(f"also must name other tasks than {self.task}; known: {', '.join(TASKS)}")
            other = TASKS[name]
            alike = [m.channels for m in other.modalities] == [m.channels for m in task.modalities]
            if not alike or tuple(r.name for r in other.regions) != self.regions:
                raise ValueError(f"also: the task {name} has other channels or regions than {self.task}")
        if self.also and (self.needs or self.sees):
            raise ValueError("also is for models that take every combination, without needs and sees")
        return self

    def measured_dice(self, combination: tuple[str, ...]) -> dict[str, list[float]]:
        """Dice of every measured case with ``combination``, by region; regions without a number are left out."""
        found: dict[str, list[float]] = {}
        for row in self.measured:
            dice = row.get("dice")
            if _combination(row) != combination or not isinstance(dice, dict):
                continue
            for region in self.regions:
                if isinstance(dice.get(region), (int, float)):
                    found.setdefault(region, []).append(float(dice[region]))
        return found

    def measured_table(self) -> list[tuple[tuple[str, ...], dict[str, float]]]:
        """(combination, mean Dice by region), in the order of the rows."""
        order = dict.fromkeys(_combination(row) for row in self.measured)
        return [
            (combination, {r: fmean(values) for r, values in self.measured_dice(combination).items()})
            for combination in order
        ]


def _learn(definition: Any, name: Any) -> None:
    """Make the task of a card known. Raises ValueError if it cannot be used here."""
    try:
        task = task_of_document(definition, "task_definition")
        if task.name != name:
            raise ValueError(f"task_definition: its name is {task.name}, that of the card's task {name}")
        TASKS.learn(task, "task_definition")
    except InputError as error:
        raise ValueError(str(error)) from None


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _combination(row: dict[str, Any]) -> tuple[str, ...]:
    names = row.get("combination")
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()
