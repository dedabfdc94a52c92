"""Stage 1 (paper: modality-level compensation): bring back all modalities from some, masked and out of order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, PerturbPart, ReconstructPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.inference.fill import by_channel, fill
from napari_mrseg.models.network import Network
from napari_mrseg.tasks import Task


class Reconstruct(Stage):
    """Encoder and decoder with one ReLU output per channel; L1 and SSIM to the min-max-normalised originals."""

    name = "reconstruct"
    segments = False

    def __init__(self, config: Config, part: ReconstructPart) -> None:
        super().__init__(config, adapters=False, outputs=len(config.model_task.channels))
        self.part = part
        self.model = config.model
        self.weights = {"l1": part.l1, "ssim": part.ssim}

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        seen, _ = perturbed(batch, self.part.perturb, self.task)
        output = torch.relu(self.network(seen))
        target, available = losses.min_max(batch.images), by_channel(batch.available, self.task)
        terms = {}
        if self.part.l1:
            terms["l1"] = losses.l1(output, target, available)
        if self.part.ssim:
            terms["ssim"] = losses.ssim(output, target, available, self.part.ssim_window)
        return terms

    def reconstruction(self, images: Tensor) -> Tensor:
        """(B, M, I, P, L) images -> the modalities the network believes in, in [0, ∞)."""
        return torch.relu(self.network(images))

    def exported(self) -> Network:
        """A segmentation network with these weights and an empty head: it opens, and finds nothing."""
        network: Any = self.model.make(self.task, adapters=False)
        own = self.network.state_dict()
        state = {
            k: v for k, v in own.items() if not k.startswith(("head.", "deep."))
        }  # those are of channels
        network.load_state_dict(network.state_dict() | state)
        with torch.no_grad():
            network.head.weight.zero_()
            network.head.bias.fill_(-10.0)
        made: Network = network
        return made


def perturbed(batch: Batch, how: PerturbPart, task: Task) -> tuple[Tensor, Tensor]:
    """(what stage 1 sees, the modalities kept (B, M))."""
    available = perturb.drop(batch.available, how.dropout, batch.draws, by=how.dropout_by)
    return disordered(fill(batch.images, available, task), available, how, batch.draws), available


def disordered(seen: Tensor, kept: Tensor, how: PerturbPart, draws: Sequence[Generator]) -> Tensor:
    """``seen`` (B, C, I, P, L), of which the modalities ``kept`` (B, M) are there, out of order and masked."""
    if how.shuffle:
        seen = perturb.shuffle(seen, kept, draws)
    if how.mask == "regions":
        seen = perturb.mask_regions(seen, how.mask_ratio, how.mask_size, draws)
    elif how.mask == "voxels":
        seen = perturb.mask_voxels(seen, how.mask_ratio, draws)
    return seen
