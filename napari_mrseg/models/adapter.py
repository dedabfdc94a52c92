"""The reverse attention adapter, which makes up for missing modalities at one level of the encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import (
    Check,
    ConvNorm,
    Norm,
    convolve,
    cube,
    pieces,
    stop_if_asked,
    stop_inside,
)

SCORES = 3e7
"""Attention scores after which a Swin block on a CPU stops to ask: 50 ms on one core."""


class Swin(nn.Module):
    """One unshifted 3-D Swin block over ``window``³ voxels: (B, C, I, P, L) -> same shape; ``flat``: over ``window``².

    Extents that are not a multiple of the window are padded inside the block; those below it here, since the
    block would shrink the window and then take the wrong rows of its relative position bias.
    """

    def __init__(self, channels: int, heads: int, window: int, *, flat: bool = False) -> None:
        super().__init__()
        # Here, not above: MONAI takes seconds to import and a model without adapters does not need it.
        from monai.networks.nets.swin_unetr import SwinTransformerBlock

        self.window = cube(window, flat)
        self.block = SwinTransformerBlock(
            channels, heads, self.window, (0, 0, 0), mlp_ratio=4.0, use_flash_attention=True
        )
        # A constant that follows from the window: 1 MB a level that need not be in the weights file.
        attention = self.block.attn
        attention.register_buffer(
            "relative_position_index", attention.relative_position_index, persistent=False
        )

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        extents = x.shape[2:]
        short = [max(0, k - n) for k, n in zip(self.window, extents, strict=True)]
        if any(short):
            x = F.pad(x, (0, short[2], 0, short[1], 0, short[0]))
        # (B, C, I, P, L) -> (B, I, P, L, C): no copy where x is channels_last_3d
        x = self._in_parts(x.permute(0, 2, 3, 4, 1), check)
        x = x[:, : extents[0], : extents[1], : extents[2]].contiguous()
        return x.permute(0, 4, 1, 2, 3)  # -> (B, C, I, P, L), channels_last_3d

    def _in_parts(self, x: Tensor, check: Check | None) -> Tensor:
        """The block, in layers of whole windows where it is long: nothing reaches beyond a window, so this is exact."""
        k, extent = self.window[0], x.shape[1]
        windows = math.prod(-(-n // w) for w, n in zip(self.window, x.shape[1:4], strict=True))
        scores = self.block.num_heads * x.shape[0] * windows * math.prod(self.window) ** 2
        layers = extent // k  # what is left over goes with the last: alone it would get a smaller window
        parts = pieces(layers, scores / SCORES, x, check)
        if len(parts) == 1:
            result: Tensor = self.block(x, None)
            return result
        found = []
        for first, last in parts:
            found.append(self.block(x[:, first * k : extent if last == layers else last * k], None))
            stop_inside(check)
        return torch.cat(found, 1)


class ReverseAdapter(nn.Module):
    """A_i of the paper (UniMRSeg, section on reverse attention adapters).

    With F̂_cp the level's own features and F̂_{i-1} those of the level before, already compensated::

        a = conv(F̂_{i-1})            h = conv(F̂_cp + a)           s = Swin(h)
        m = sigmoid(mean of s over channels and slices)            F̂_i = F̂_cp + (1 − m) · h

    Where the description says "conv" this is a plain 3³ convolution with bias. h starts at zero, so that an
    untrained adapter leaves the features as they are.

    Parameters
    ----------
    before, channels
        Channels of F̂_{i-1} (None at the first level: no a) and of F̂_cp.
    pooling
        Average-pool h by this factor, which must divide the extents, before the Swin block. m is an average
        anyway; it is brought back to full size in the plane.
    reverse
        False (ablation): m instead of 1 − m.
    mutual
        False (ablation): no average; each channel and slice keeps its own map.
    mixer
        ``swin``, or ``conv`` (ablation): a convolution in its place.
    flat
        Of one slice: convolutions and windows within it.
    """

    def __init__(
        self,
        before: int | None,
        channels: int,
        *,
        heads: int,
        window: int,
        pooling: int,
        reverse: bool,
        mutual: bool,
        mixer: str,
        norm: Norm = "batch",
        flat: bool = False,
    ) -> None:
        super().__init__()
        three = {"kernel_size": cube(3, flat), "padding": (0 if flat else 1, 1, 1)}
        self.inward = None if before is None else nn.Conv3d(before, channels, **three)  # type: ignore[arg-type]
        self.hidden = nn.Conv3d(channels, channels, **three)  # type: ignore[arg-type]
        nn.init.zeros_(self.hidden.weight)
        nn.init.zeros_(self.hidden.bias)  # type: ignore[arg-type]
        self.mixer: nn.Module = (
            Swin(channels, heads, window, flat=flat)
            if mixer == "swin"
            else ConvNorm(channels, channels, norm=norm, flat=flat)
        )
        self.flat = flat
        self.pooling, self.reverse, self.mutual = pooling, reverse, mutual

    def forward(self, own: Tensor, before: Tensor | None, check: Check | None = None) -> Tensor:
        """F̂_i (B, C, I, P, L) from F̂_cp ``own`` (B, C, I, P, L) and F̂_{i-1} ``before`` (B, C', I, P, L)."""
        x = own
        if self.inward is not None:
            assert before is not None
            x = own + convolve(self.inward, before, check)
            stop_if_asked(check)
        h = convolve(self.hidden, x, check)
        stop_if_asked(check)
        s = self.mixer(_pool(h, self.pooling, self.flat), check)
        stop_if_asked(check)
        m = self._map(s)
        # One row of channels at a time, or a CPU takes ten times as long to multiply.
        weight = (1 - m if self.reverse else m).expand(-1, h.shape[1], -1, -1, -1)
        return torch.addcmul(own, weight.contiguous(memory_format=torch.channels_last_3d), h)

    def _map(self, s: Tensor) -> Tensor:
        """m, (B, 1, 1, P, L), or (B, C, I, P, L) without the average."""
        k = float(self.pooling)
        if self.mutual:
            s = s.mean((1, 2), keepdim=True)  # (B, C, i, p, l) -> (B, 1, 1, p, l)
        if k > 1:
            factors = (1.0 if self.mutual or self.flat else k, k, k)
            s = F.interpolate(s, scale_factor=factors, mode="trilinear", align_corners=False)
        return torch.sigmoid(s)


def _pool(x: Tensor, k: int, flat: bool) -> Tensor:
    """Average over k³ voxels, (B, C, I, P, L) -> (B, C, I/k, P/k, L/k); ``flat``: over k²."""
    if k == 1:
        return x
    extents = cube(k, flat)
    if x.device.type != "cpu":
        return F.avg_pool3d(x, extents)
    # On the CPU avg_pool3d has no bfloat16 and drops channels_last_3d; this does neither and is quick.
    weight = x.new_full((x.shape[1], 1, *extents), 1 / math.prod(extents))
    return F.conv3d(x, weight, stride=extents, groups=x.shape[1])
