"""Stage 1 (paper: modality-level compensation) for showing: the missing modalities from the given ones, with intervals."""

from __future__ import annotations

import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, ImaginePart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.imagining_network import ImaginingNet, mixed
from napari_mrseg.models.network import Network

QUANTILES = (0.1, 0.5, 0.9)
LOWEST, RANGE = -4.0, 8.0  # normalised intensities that structural similarity takes as 0, and from there to 1


class Imagine(Stage):
    """Quantiles of every modality against the scan that is there, above all of those the network was not shown."""

    name = "imagine"
    segments = False
    any_network = True

    def __init__(self, config: Config, part: ImaginePart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.weights = {"quantiles": 1.0, "ssim": part.ssim}

    @classmethod
    def check(cls, name: str, network: Network) -> None:
        if not isinstance(network, ImaginingNet):
            raise InputError(
                f"The stage {cls.name} trains the network unimrseg-imagining, not {name}; use "
                "model.network=unimrseg-imagining."
            )

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        given = perturb.incomplete(batch.available, batch.draws)
        seen = fill(batch.images, given, self.task)
        if self.part.finer and float(torch.rand((), generator=batch.draws[0])) < self.part.finer:
            how = self.part.perturb
            seen = perturb.shuffle(seen, given, batch.draws) if how.shuffle else seen
            if how.mask == "regions":
                seen = perturb.mask_regions(seen, how.mask_ratio, how.mask_size, batch.draws)
            elif how.mask == "voxels":
                seen = perturb.mask_voxels(seen, how.mask_ratio, batch.draws)
        with torch.autocast(seen.device.type, enabled=False):
            imagined = mixed(self.network(seen).float(), seen.float())
        target, inside = batch.images.float(), batch.images != 0
        missing = batch.available & ~given
        weight = torch.where(missing, 1.0, torch.where(batch.available, self.part.given, 0.0))
        each = pinball(imagined, target)
        shares = weight.to(each.device)[:, :, None, None, None] * inside
        terms = {"quantiles": (each * shares).sum() / shares.sum().clamp_min(1)}
        if self.part.ssim:
            which = missing if bool(missing.any()) else batch.available
            both = [torch.where(inside, (x - LOWEST) / RANGE, 0.0) for x in (imagined[:, :, 1], target)]
            terms["ssim"] = losses.ssim(*both, which, self.part.ssim_window)
        return terms


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """(B, M, 3, ...) of :data:`QUANTILES` and (B, M, ...) -> (B, M, ...): the loss that each quantile makes least
    (Koenker and Bassett 1978), summed over them; twice, so that the middle one counts as an absolute difference."""
    loss = torch.zeros_like(target)
    for number, quantile in enumerate(QUANTILES):
        below = target - quantiles[:, :, number]
        loss = loss + 2 * torch.maximum(quantile * below, (quantile - 1) * below)
    return loss
