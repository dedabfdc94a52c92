"""Stage 1 (paper: modality-level compensation) to be shown: missing modalities from the given ones, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, ImaginePart
from mrseg_training.stages.base import Batch, Stage, Terms
from mrseg_training.stages.reconstruct import disordered
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.imagining_network import COARSER, ImaginingNet, mix_one, of_modality
from napari_mrseg.models.network import Network

QUANTILES = (0.1, 0.5, 0.9)
LOWEST, RANGE = -4.0, 8.0  # normalised intensities that structural similarity takes as 0, and from there to 1


class Imagine(Stage):
    """Quantiles of a modality that the network was not shown, one for each sample, against the scan that is there."""

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
            seen = disordered(seen, given, self.part.perturb, batch.draws)
        targets = one_of(batch.available & ~given, batch.available, batch.draws)
        outputs = self.network(seen)
        with torch.autocast(seen.device.type, enabled=False):
            own = torch.stack([of_modality(outputs, k)[row] for row, k in enumerate(targets)]).float()
            own = F.interpolate(own, scale_factor=COARSER, mode="trilinear", align_corners=False)
            imagined = mix_one(own, seen.float())
            target = torch.stack([batch.images[row, k] for row, k in enumerate(targets)]).float()
            inside = target != 0
            each = pinball(imagined, target)
            terms = {"quantiles": each[inside].mean() if bool(inside.any()) else each.mean()}
            if self.part.ssim:
                x, y = (
                    torch.where(inside, (v - LOWEST) / RANGE, 0.0)[:, None] for v in (imagined[:, 1], target)
                )
                all_there = torch.ones(len(x), 1, dtype=torch.bool)
                terms["ssim"] = losses.ssim(x, y, all_there, self.part.ssim_window)
        return terms


def one_of(missing: Tensor, available: Tensor, draws: Sequence[Generator]) -> list[int]:
    """The number of one modality of each sample: drawn from the ``missing`` (B, M), or if there is none from all."""
    chosen = []
    for row, draw in enumerate(draws):
        among = torch.nonzero(missing[row] if bool(missing[row].any()) else available[row]).flatten()
        chosen.append(int(among[torch.randint(len(among), (), generator=draw)]))
    return chosen


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """(B, 3, ...) of :data:`QUANTILES` and (B, ...) -> (B, ...): the loss that each quantile makes least, summed.

    Koenker and Bassett 1978; twice, so that the middle one counts as an absolute difference.
    """
    loss = torch.zeros_like(target)
    for number, quantile in enumerate(QUANTILES):
        below = target - quantiles[:, number]
        loss = loss + 2 * torch.maximum(quantile * below, (quantile - 1) * below)
    return loss
