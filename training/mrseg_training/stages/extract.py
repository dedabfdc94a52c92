"""The brain's mask, and whether there is a brain: the network :mod:`napari_mrseg.models.brain_network` by the truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mrseg_training.settings import Config, ExtractPart, JudgePart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.brain_network import BrainNet
from napari_mrseg.models.network import Network

FEW, MANY = 0.002, 0.02
"""Shares of a sample's voxels: less brain is none; between them nobody could say, and nothing is asked."""


class _OfTheBrain(Stage):
    any_network = True

    @classmethod
    def check(cls, name: str, network: Network) -> None:
        if not isinstance(network, BrainNet):
            raise InputError(
                f"The stage {cls.name} trains the network brain, not {name}; use model.network=brain."
            )


class Extract(_OfTheBrain):
    """Logits against the mask, and one answer for the whole sample against whether its mask holds a brain."""

    name = "extract"

    def __init__(self, config: Config, part: ExtractPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.weights = {"truth": 1.0, "presence": part.presence}

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        logits, there = self.network.found(fill(batch.images, batch.available, self.task))
        truth = self._truth([logits], batch, batch.available, self.part.truth)
        return {"truth": truth, "presence": presence_loss(there, batch.regions)}


class Judge(_OfTheBrain):
    """The second output alone, on what the rest of the network sees, which stays as it is."""

    name = "judge"

    def __init__(self, config: Config, part: JudgePart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.weights = {"presence": 1.0}
        self.network.requires_grad_(False)
        self.network.presence.requires_grad_(True)

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        _, there = self.network.found(fill(batch.images, batch.available, self.task))
        return {"presence": presence_loss(there, batch.regions, self.part.none)}


def presence_loss(there: Tensor, regions: Tensor, none: float = 1.0) -> Tensor:
    """Cross-entropy of ``there`` (B,) logits against whether ``regions`` (B, R, I, P, L) hold a brain; a sample that
    holds none counts ``none`` times."""
    share = regions.flatten(1).mean(1)
    weight = torch.where(share > FEW, 1.0, none) * ((share <= FEW) | (share >= MANY))
    each = F.binary_cross_entropy_with_logits(there.float(), (share > FEW).float(), reduction="none")
    return (weight * each).mean()
