"""What the stages share: the batch, the truth losses, and taking over the weights of the stage before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mrseg_training import losses
from mrseg_training.settings import Config, TruthPart
from napari_mrseg.errors import InputError, ModelError
from napari_mrseg.models.network import FeatureNetwork, Network
from napari_mrseg.tasks import get_task

Terms = dict[str, Tensor]

FEW = -2.0
"""The logit a new head gives everywhere: a probability of 0.12."""


class Batch:
    """Augmented samples on the device. Not a dataclass: Fabric would copy one, generators and all.

    ``images`` (B, M, I, P, L) normalised, modalities that the subject lacks 0; ``regions`` (B, R, I, P, L) of 0
    and 1; ``available`` (B, M) bool on the CPU, the modalities the subject has; ``draws`` a generator per sample;
    ``carried``: what one part of a step leaves for the next; ``unlabelled``: as many samples whose truth is unknown,
    if the run has such data.
    """

    __slots__ = ("available", "carried", "draws", "images", "regions", "unlabelled")

    def __init__(self, images: Tensor, regions: Tensor, available: Tensor, draws: list[Generator]) -> None:
        self.images, self.regions, self.available, self.draws = images, regions, available, draws
        self.carried: Any = None
        self.unlabelled: Batch | None = None


class Stage(nn.Module):
    """One stage of training. ``forward(batch, part)`` gives the loss terms of one part of a step.

    A step has ``parts`` parts, each followed by its own backward, so that only one part's activations are held
    at a time; a stage keeps nothing between them but what is in ``batch.carried``. The step's loss is the sum of all
    terms, each times its entry in ``weights``; a term without an entry is only logged. Terms of weight 0 are not
    computed.
    """

    name: ClassVar[str]
    segments: ClassVar[bool] = True
    """Whether the head's outputs are the task's regions."""
    any_network: ClassVar[bool] = False
    """Whether it trains any network; otherwise it looks at features, and needs one that has them."""

    uses_unlabelled: bool = False
    """Whether it learns from samples without a truth, too."""

    network: Any
    """A :class:`~napari_mrseg.models.network.FeatureNetwork`, or with ``any_network`` any Network."""

    def __init__(self, config: Config, *, adapters: bool, outputs: int | None = None) -> None:
        super().__init__()
        self.task = get_task(config.task)
        self.network = config.model.make(self.task, adapters=adapters, outputs=outputs)
        self.check(config.model.network, self.network)
        if outputs is None:
            # Most voxels are in no region: a head that says so at first need not learn it.
            for layer in self.network.last_layers:
                nn.init.constant_(layer.bias, FEW)
        self.parts = 1
        self.weights: dict[str, float] = {}
        self.running_statistics = config.run.norm_statistics == "running"

    @classmethod
    def check(cls, name: str, network: Network) -> None:
        """Raises InputError if ``network``, called ``name``, is none that this stage can train."""
        if not (cls.any_network or isinstance(network, FeatureNetwork)):
            raise InputError(
                f"The stage {cls.name} looks at features, which {name} does not have; use the stage supervised, e.g. "
                "recipe=[supervised]."
            )

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        raise NotImplementedError

    def logits(self, images: Tensor, available: Tensor) -> Tensor:
        """The regions' logits of images already filled; ``available`` (B, M). For validation and pictures."""
        logits: Tensor = self.network(images, available)
        return logits

    def start_from(self, state: Mapping[str, Tensor], *, head: bool) -> None:
        """Take the weights of the stage before, with or without its last layer. Adapters may be new."""
        own = self.network.state_dict()
        taken = {
            key: value
            for key, value in state.items()
            if key in own and own[key].shape == value.shape and (head or not key.startswith("head."))
        }
        missing = [k for k in own if k not in taken and not k.startswith(("adapters.", "head.", "deep."))]
        if missing:
            raise ModelError(
                f"The weights of the stage before do not fit this network ({missing[0]} and {len(missing) - 1} "
                "more differ); train both with the same model settings."
            )
        self.network.load_state_dict(own | taken)

    def exported(self) -> Network:
        """The network as it goes into a model folder: a head that gives the task's regions."""
        network: Network = self.network
        return network

    def train(self, mode: bool = True) -> Stage:
        super().train(mode)
        if self.running_statistics:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _truth(self, outputs: Sequence[Tensor], batch: Batch, available: Tensor, part: TruthPart) -> Tensor:
        """Loss of the network's logits, and coarser ones after them, where ``available`` (B, M) was seen."""
        index = {name: i for i, name in enumerate(self.task.names)}
        weights = torch.ones(len(available), len(self.task.regions))
        for r, region in enumerate(self.task.regions):
            seen = available[:, [index[name] for name in region.needs]].all(1)
            weights[:, r] = torch.where(seen, 1.0, part.estimated)
        weights = weights.to(outputs[0].device)
        loss = outputs[0].new_zeros((), dtype=torch.float32)
        for logits, share in zip(outputs, (1.0, *part.deep), strict=False):
            regions = batch.regions
            if logits.shape != regions.shape:
                i, p, l = logits.shape[2:]  # noqa: E741 - the axes' names
                regions = F.adaptive_avg_pool3d(regions, (i, p, l))
            coarser = math.prod(regions.shape[2:]) / math.prod(batch.regions.shape[2:])
            if part.dice:
                dice = losses.truth_dice(logits, regions, weights, part.smooth * coarser, self.task.output)
                loss = loss + share * part.dice * dice
            if part.cross_entropy:
                each = losses.cross_entropy(
                    logits, regions, weights, part.cross_entropy_over, self.task.output
                )
                loss = loss + share * part.cross_entropy * each
        return loss
