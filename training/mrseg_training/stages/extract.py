"""The brain's mask, and whether there is a brain: the network :mod:`napari_mrseg.models.brain_network` by the truth."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mrseg_training.settings import Config, ExtractPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.brain_network import BrainNet
from napari_mrseg.models.network import Network

FEW, MANY = 0.002, 0.02
"""Shares of a sample's voxels: less brain is none; between them nobody could say, and nothing is asked."""


class Extract(Stage):
    """Logits against the mask, and one answer for the whole sample against whether its mask holds a brain."""

    name = "extract"
    any_network = True

    def __init__(self, config: Config, part: ExtractPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.weights = {"truth": 1.0, "presence": part.presence}

    @classmethod
    def check(cls, name: str, network: Network) -> None:
        if not isinstance(network, BrainNet):
            raise InputError(
                f"The stage extract trains the network brain, not {name}; use model.network=brain."
            )

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        logits, there = self.network.found(fill(batch.images, batch.available, self.task))
        truth = self._truth([logits], batch, batch.available, self.part.truth)
        share = batch.regions.flatten(1).mean(1)
        asked = (share <= FEW) | (share >= MANY)
        each = F.binary_cross_entropy_with_logits(there.float(), (share > FEW).float(), reduction="none")
        return {"truth": truth, "presence": torch.where(asked, each, 0.0).mean()}
