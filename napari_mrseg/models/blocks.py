"""The convolutional parts: double convolution, atrous pyramid, decoder step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own custom
from torch.nn.utils.fusion import fuse_conv_bn_eval

Check = Callable[[], None]
"""Called between the network's blocks; raises :class:`napari_mrseg.errors.Cancelled` to stop a run."""


def stop_if_asked(check: Check | None) -> None:
    if check is not None:
        check()


class ConvNorm(nn.Module):
    """3³ (or 1³) convolution, BatchNorm, ReLU: (B, A, I, P, L) -> (B, C, I, P, L)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, rate: int = 1) -> None:
        super().__init__()
        padding = rate * (kernel // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
        self.norm: nn.Module = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """Work the norm's running statistics into the convolution. For inference only; the norm is gone."""
        if isinstance(self.norm, nn.BatchNorm3d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class DoubleConv(nn.Module):
    """Two :class:`ConvNorm` one after the other."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs)
        self.second = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        x = self.first(x)
        stop_if_asked(check)
        x = self.second(x)
        stop_if_asked(check)
        return x


class Pyramid(nn.Module):
    """Atrous spatial pyramid (ASPP) on the deepest map: one 3³ branch per dilation rate and a global average.

    (B, C, I, P, L) -> same shape. A rate that is not smaller than the map's extent sees only padding beside
    its centre tap, so the rates should fit the map. The global branch has no norm: it is a single voxel per
    sample, on which a batch of one has no statistics.
    """

    def __init__(self, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(ConvNorm(channels, channels, rate=rate) for rate in rates)
        self.whole = nn.Conv3d(channels, channels, 1)
        self.project = ConvNorm((len(rates) + 1) * channels, channels, kernel=1)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        parts = []
        for branch in self.branches:
            parts.append(branch(x))
            stop_if_asked(check)
        mean = F.relu(self.whole(x.mean((2, 3, 4), keepdim=True)))  # (B, C, 1, 1, 1)
        parts.append(mean.expand_as(x))
        x = self.project(torch.cat(parts, 1))  # (B, 5C, ...) -> (B, C, ...)
        stop_if_asked(check)
        return x


class Up(nn.Module):
    """One decoder step: trilinear ×2 where ``scale`` is 2, join the skip, double convolution."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.convs = DoubleConv(inputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor, check: Check | None = None) -> Tensor:
        if self.scale != 1:
            # align_corners=False puts each coarse voxel on the centre of the 2³ it was pooled from.
            x = F.interpolate(x, scale_factor=float(self.scale), mode="trilinear", align_corners=False)
            stop_if_asked(check)
        return self.convs(torch.cat((x, skip), 1), check)
