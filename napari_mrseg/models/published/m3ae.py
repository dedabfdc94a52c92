"""M3AE: Liu, Wei, Lu, Sun, Wang, Zheng: M3AE, AAAI 2023 (arXiv 2303.05302). The fine-tuned network that segments.

After the published code (github.com/ccarliu/m3ae, ``model/Unet.py``: ``Unet_missing`` around ``UNet3D_g``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.axes import PATTERN, Place
from napari_mrseg.models.published.published_network import Published, PublishedSettings

WIDTH, GROUPS = 16, 8
VOLUME = (155, 240, 240)  # voxels of a BraTS scan, in the network's axes
OUTPUTS = (2, 1, 0)  # its outputs are ET, TC, WT
MARGIN = 1  # voxels that its code leaves before the brain


class M3aeSettings(PublishedSettings):
    """``deep``: with the two convolutions for coarser outputs, which only training looks at.

    Its modalities are T1, T1ce, T2, FLAIR, its outputs regions, its arrays as SimpleITK reads BraTS files.
    """

    inputs: Annotated[tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=4, max_length=4)] = (
        1,
        2,
        3,
        0,
    )
    axes: Annotated[str, Field(pattern=PATTERN)] = "SPL"
    deep: bool = False


class M3ae(Published):
    """One U-Net; a learnt image of the whole volume stands in for each missing modality."""

    architecture = "m3ae"
    settings_type = M3aeSettings
    paper = "Liu, Wei, Lu, Sun, Wang, Zheng: M3AE, AAAI 2023"
    normalisation = "min-max"
    stride = (8, 8, 8)
    window = (128, 128, 128)
    located = True
    not_exported = "what stands in for a missing modality depends on where in the scan a window lies"

    def __init__(self, settings: M3aeSettings) -> None:
        super().__init__(settings)
        self.limage = nn.Parameter(torch.randn(1, 4, *VOLUME))
        self.unet = _UNet(deep=settings.deep)

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        return self.placed_scores(x, present, None)

    def placed_scores(self, x: Tensor, present: Tensor, place: Place | None) -> Tensor:
        stands_in = self.limage[(slice(None), slice(None), *self._part(x.shape[2:], place))]
        kept = present[:, :, None, None, None].to(x)
        found: Tensor = self.unet(x * kept + stands_in.to(x) * (1 - kept))
        return found

    def _part(self, extents: torch.Size, place: Place | None) -> list[slice]:
        """The window's part of the learnt image, which begins one voxel before the brain; never beyond its ends."""
        before = (-MARGIN,) * 3 if place is None else place.before
        starts = [
            max(0, min(first + MARGIN, whole - n))
            for first, whole, n in zip(before, VOLUME, extents, strict=True)
        ]
        return [slice(start, start + n) for start, n in zip(starts, extents, strict=True)]

    def regions(self, scores: Tensor) -> Tensor:
        return scores[:, list(OUTPUTS)]

    @property
    def widest(self) -> int:
        return WIDTH

    @classmethod
    def settings_of(cls, weights: Mapping[str, Tensor], axes: str | None = None) -> PublishedSettings:
        deep = any(name.startswith("unet.ds_out.") for name in weights)
        return super().settings_of(weights, axes).model_copy(update={"deep": deep})


class _UNet(nn.Module):
    """(B, 4, ...) to (B, 3, ...) logits: four levels, each added to the way up."""

    def __init__(self, *, deep: bool) -> None:
        super().__init__()
        self.conv1a = nn.Conv3d(4, WIDTH, 3, padding=1)
        for level, blocks in enumerate(("b", "ab", "ab", "abcd"), start=1):
            c = WIDTH * 2 ** (level - 1)
            for letter in blocks:
                self.add_module(f"conv{level}{letter}", _Residual(c))
            if level < 4:
                self.add_module(f"ds{level}", nn.Conv3d(c, 2 * c, 3, stride=2, padding=1))
                self.add_module(f"up{level + 1}conva", nn.Conv3d(2 * c, c, 1))
                self.add_module(f"up{level + 1}convb", _Residual(c))
        self.up1conv = nn.Conv3d(WIDTH, 3, 1)
        if deep:
            self.ds_out = nn.ModuleList([nn.Conv3d(4 * WIDTH, 3, 1), nn.Conv3d(2 * WIDTH, 3, 1)])

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = [self.get_submodule("conv1b")(self.conv1a(x))]
        for level, blocks in enumerate(("ab", "ab", "abcd"), start=2):
            x = self.get_submodule(f"ds{level - 1}")(skips[-1])
            for letter in blocks:
                x = self.get_submodule(f"conv{level}{letter}")(x)
            skips.append(x)
        x = skips.pop()
        for level in (4, 3, 2):
            x = F.interpolate(self.get_submodule(f"up{level}conva")(x), scale_factor=2.0)
            x = self.get_submodule(f"up{level}convb")(x + skips.pop())
        logits: Tensor = self.up1conv(x)
        return logits


class _Residual(nn.Module):
    """Twice group norm, ReLU, convolution, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gn1, self.gn2 = (nn.GroupNorm(GROUPS, channels) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.gn1(x)))
        found: Tensor = x + self.conv2(F.relu(self.gn2(y)))
        return found
