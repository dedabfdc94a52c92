"""The network that imagines modalities: UniMRSeg's trunk, whose outputs say how to mix the given scans into each one.

Stage 1 of UniMRSeg (arXiv 2509.16170, modality-level compensation) gives every modality's intensities as the outputs of
a convolution. Here the outputs are, for each voxel and each modality, a curve for every given scan, which says what its
intensities mean there, a value added to their sum, and how far the truth may lie below and above it. They vary slowly,
so they may be computed at a coarse spacing and applied to the scans at their own, whose detail is kept. A curve is
straight between :data:`BENDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from napari_mrseg.models.blocks import Check
from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg

COARSER = 2  # times the scans' spacing is that of the outputs
BENDS = (-1.0, 1.0)  # normalised intensities
SLOPES = 1 + len(BENDS)  # outputs for each given scan
BESIDE = 3  # outputs beside those: what is added, and the logarithms of the widths below and above
LEAST_WIDTH, MOST_WIDTH = -5.0, 3.0  # logarithms of the widths are kept between these
FIRST_WIDTH = -0.5


def outputs_for(channels: int) -> int:
    """How many outputs the network has for so many modalities."""
    return channels * outputs_each(channels)


def outputs_each(channels: int) -> int:
    """How many of them are for one modality."""
    return SLOPES * channels + BESIDE


class ImaginingNet(UniMRSeg):
    """``forward`` gives (B, M (3 M + 3), I / 2, P / 2, L / 2); :func:`mix_one` makes intensities of a modality of them.

    It segments nothing.
    """

    architecture: ClassVar[str] = "unimrseg-imagining"
    segments: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.stride = self.training_stride
        self.finest = None
        self.head = nn.Conv3d(settings.channels[0], settings.regions, 1)
        with torch.no_grad():
            # At first every modality is the same everywhere, and the interval two thirds of a spread to each side.
            nn.init.normal_(self.head.weight, std=0.02)
            bias = torch.zeros(1, settings.regions)
            _by_modality(bias)[:, :, -2:] = FIRST_WIDTH
            self.head.bias = nn.Parameter(bias[0])

    def outputs(
        self, features: list[Tensor], x: Tensor, *, check: Check | None = None, deep: bool = True
    ) -> list[Tensor]:
        y = features[4]
        for step, skip in zip(self.decoder, reversed(features[:4]), strict=True):
            y = step(y, skip, check)
        return [self.head(y)]

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        own = dict(arguments)
        size = SIZES[own.pop("size", "compact")].model_dump()
        shape = {
            "in_channels": channels,
            "regions": outputs_for(channels),
            "adapters": "none",
            "deep": 0,
            "stem": COARSER,
        }
        return cls(Settings.model_validate(size | own | shape))

    @classmethod
    def refuse(cls, settings: Settings, channels: int, regions: int) -> str | None:
        if (settings.in_channels, settings.regions) == (channels, outputs_for(channels)):
            return None
        return (
            f"the network has {settings.in_channels} inputs and {settings.regions} outputs, and for {channels} "
            f"channels it needs {outputs_for(channels)} outputs"
        )


def mix_one(outputs: Tensor, scans: Tensor) -> Tensor:
    """(B, 3 M + 3, ...) outputs of one modality and (B, M, ...) scans, normalised, missing ones 0 -> (B, 3, ...).

    In the same units: the value below which a tenth of what is possible lies, the middle one, and the value above which
    a tenth lies.
    """
    low, high = BENDS
    middle, count = outputs[:, -BESIDE], scans.shape[1]
    for m, scan in enumerate(scans.unbind(1)):
        for place, bent in enumerate((scan, (scan - high).clamp_min(0), (low - scan).clamp_min(0))):
            middle = torch.addcmul(middle, outputs[:, place * count + m], bent)
    below, above = outputs[:, -2:].clamp(LEAST_WIDTH, MOST_WIDTH).exp().unbind(1)
    return torch.stack([middle - below, middle, middle + above], 1)


def of_modality(outputs: Tensor, number: int, given: Sequence[int] | None = None) -> Tensor:
    """(B, M (3 M + 3), ...) -> (B, 3 M + 3, ...), the outputs of the modality of that number.

    ``given``: only what is for these scans, which is all that counts if the others are missing.
    """
    own = _by_modality(outputs)[:, number]
    if given is None:
        return own
    count = (own.shape[1] - BESIDE) // SLOPES
    channels = [place * count + m for place in range(SLOPES) for m in given]
    return own[:, [*channels, *range(SLOPES * count, own.shape[1])]]


def _by_modality(outputs: Tensor) -> Tensor:
    """(B, M (3 M + 3), ...) -> (B, M, 3 M + 3, ...)."""
    count = next(m for m in range(1, outputs.shape[1] + 1) if outputs_for(m) == outputs.shape[1])
    found: Tensor = outputs.unflatten(1, (count, outputs_each(count)))
    return found
