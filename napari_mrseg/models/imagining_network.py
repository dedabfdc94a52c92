"""The network that imagines modalities: UniMRSeg's trunk, whose outputs say how to mix the given scans into each one.

Stage 1 of UniMRSeg (arXiv 2509.16170, modality-level compensation) gives every modality's intensities as the outputs of
a convolution. Here the outputs are, for each voxel and each modality, the share of every given scan, a value added to
their sum, and how far the truth may lie below and above it. They vary slowly, so they may be computed at a coarse
spacing and applied to the scans at their own, whose detail is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg

BESIDE = 3  # outputs of a modality beside a share of each channel: what is added, and the widths below and above
LEAST_WIDTH, MOST_WIDTH = -5.0, 3.0  # logarithms of the widths are kept between these
FIRST_WIDTH = -0.5


def outputs_for(channels: int) -> int:
    """How many outputs the network has for so many modalities."""
    return channels * (channels + BESIDE)


class ImaginingNet(UniMRSeg):
    """``forward`` gives (B, M (M + 3), I, P, L); :func:`mixed` makes intensities of them. It segments nothing."""

    architecture: ClassVar[str] = "unimrseg-imagining"
    segments: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.head: nn.Conv3d
        with torch.no_grad():
            # At first every modality is the same everywhere, and the interval two thirds of a spread to each side.
            nn.init.normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)
            widths(self.head.bias[None, :, None])[:] = FIRST_WIDTH

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        own = dict(arguments)
        size = SIZES[own.pop("size", "compact")].model_dump()
        shape = {"in_channels": channels, "regions": outputs_for(channels), "adapters": "none", "deep": 0}
        return cls(Settings.model_validate(size | own | shape))

    @classmethod
    def refuse(cls, settings: Settings, channels: int, regions: int) -> str | None:
        if (settings.in_channels, settings.regions) == (channels, outputs_for(channels)):
            return None
        return (
            f"the network has {settings.in_channels} inputs and {settings.regions} outputs, and for {channels} "
            f"channels it needs {outputs_for(channels)} outputs"
        )


def widths(outputs: Tensor) -> Tensor:
    """(B, M (M + 3), ...) -> the view (B, M, 2, ...) of the logarithms of the widths below and above."""
    return _by_modality(outputs)[:, :, -2:]


def mixed(outputs: Tensor, scans: Tensor) -> Tensor:
    """(B, M (M + 3), ...) outputs and (B, M, ...) scans, normalised, missing ones 0 -> (B, M, 3, ...) in the same units:

    the value from which on a tenth of what is possible lies below, the middle one, and that above which a tenth lies.
    """
    return torch.stack([mix_one(one, scans) for one in _by_modality(outputs).unbind(1)], 1)


def mix_one(outputs: Tensor, scans: Tensor) -> Tensor:
    """(B, M + 3, ...) of one modality and (B, M, ...) scans -> (B, 3, ...), as :func:`mixed`."""
    shares, added = outputs[:, :-BESIDE], outputs[:, -BESIDE]
    middle = (shares * scans).sum(1) + added
    below, above = outputs[:, -2:].clamp(LEAST_WIDTH, MOST_WIDTH).exp().unbind(1)
    return torch.stack([middle - below, middle, middle + above], 1)


def of_modality(outputs: Tensor, number: int) -> Tensor:
    """(B, M (M + 3), ...) -> (B, M + 3, ...), the outputs of the modality of that number."""
    return _by_modality(outputs)[:, number]


def _by_modality(outputs: Tensor) -> Tensor:
    """(B, M (M + 3), ...) -> (B, M, M + 3, ...)."""
    count = next(m for m in range(1, outputs.shape[1] + 1) if outputs_for(m) == outputs.shape[1])
    return outputs.unflatten(1, (count, count + BESIDE))
