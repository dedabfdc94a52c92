"""The convolutional parts: double convolution, atrous pyramid, decoder step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Check = Callable[[], None]
"""Called between the network's blocks; raises :class:`napari_mrseg.errors.Cancelled` to stop a run."""


SLAB = 4e10
"""Multiply-adds after which a convolution stops to ask; a quarter of a second on two cores in bf16."""


def stop_if_asked(check: Check | None) -> None:
    if check is not None:
        check()


def convolve(conv: nn.Conv3d, x: Tensor, check: Check | None) -> Tensor:
    """``conv(x)``; a long one in slabs along the first axis, each with its halo, so that a stop need not wait.

    Exact: every output voxel sums the same products. Whether slabs are used follows from the shapes alone.
    """
    rate, kernel = conv.dilation[0], conv.kernel_size[0]
    extent, halo = x.shape[2], conv.dilation[0] * (conv.kernel_size[0] // 2)
    multiply_adds = x.shape[0] * math.prod(x.shape[2:]) * conv.weight.numel()
    slabs = min(extent, math.ceil(multiply_adds / SLAB))
    if check is None or slabs < 2 or kernel == 1 or rate * (kernel - 1) >= extent:
        return conv(x)
    padded = F.pad(x, (0, 0, 0, 0, halo, halo))
    parts = []
    for i in range(slabs):
        first, last = extent * i // slabs, extent * (i + 1) // slabs
        part = padded[:, :, first : last + 2 * halo]
        padding = (0, *conv.padding[1:])
        parts.append(F.conv3d(part, conv.weight, conv.bias, padding=padding, dilation=conv.dilation))
        check()
    return torch.cat(parts, 2)


class ConvNorm(nn.Module):
    """3³ (or 1³) convolution, BatchNorm, ReLU: (B, A, I, P, L) -> (B, C, I, P, L)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, rate: int = 1) -> None:
        super().__init__()
        padding = rate * (kernel // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
        self.norm: nn.Module = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        x = F.relu(self.norm(convolve(self.conv, x, check)), inplace=True)
        stop_if_asked(check)
        return x

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
        return self.second(self.first(x, check), check)


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
        parts = [branch(x, check) for branch in self.branches]
        mean = F.relu(self.whole(x.mean((2, 3, 4), keepdim=True)))  # (B, C, 1, 1, 1)
        parts.append(mean.expand_as(x))
        return self.project(torch.cat(parts, 1), check)  # (B, 5C, ...) -> (B, C, ...)


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
