"""UniMRSeg as published: Zhao et al., NeurIPS 2025 (arXiv 2509.16170). :mod:`napari_mrseg.models.unimrseg` is ours.

What ours does otherwise: no enlarging of the deepest map that is then cut to its middle, windows of attention in three
axes, and dilations that fit the map.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.published.published_network import Published, PublishedSettings, upsampled

CHANNELS, HEADS = (64, 128, 256, 512, 512), (2, 4, 4, 8, 8)
RATES = (1, 6, 12, 18)
SIDE = 7  # of a window of attention, within one slice
OUTPUTS = (1, 0, 2)  # its outputs are TC, WT, ET


class PublishedUniMRSegSettings(PublishedSettings):
    """Its modalities stand in our order, and its outputs are regions."""

    inputs: Annotated[tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=4, max_length=4)] = (
        0,
        1,
        2,
        3,
    )


class PublishedUniMRSeg(Published):
    """A U-Net for complete inputs; for incomplete ones each level is adapted on the way down."""

    architecture = "unimrseg-published"
    settings_type = PublishedUniMRSegSettings
    paper = "Zhao and others: UniMRSeg, NeurIPS 2025"
    normalisation = "z-score"
    prefixes = ("module.", "backbone.")
    stride = (8, 8, 8)
    window = (128, 128, 128)

    def __init__(self, settings: PublishedUniMRSegSettings) -> None:
        super().__init__(settings)
        self.inc = _Double(4, CHANNELS[0])
        for k, (a, b) in enumerate(pairwise(CHANNELS[:4]), start=1):
            self.add_module(
                f"down{k}", nn.ModuleDict({"maxpool_conv": nn.Sequential(nn.MaxPool3d(2), _Double(a, b))})
            )
        self.aspp = _Pyramid()
        for k, (a, b) in enumerate(((1024, 256), (512, 128), (256, 64), (128, 64)), start=1):
            self.add_module(f"up{k}", nn.ModuleDict({"conv": _Double(a, b)}))
        self.outc = nn.ModuleDict({"conv": nn.Conv3d(CHANNELS[0], 3, 1)})
        for k, (a, b, heads) in enumerate(zip((4, *CHANNELS), CHANNELS, HEADS, strict=False), start=1):
            pool = [nn.MaxPool3d(2)] if k in (2, 3, 4) else []
            self.add_module(f"adaptor_conv_{k}", nn.Sequential(*pool, *_single(a, b)))
            self.add_module(f"fuse_{k}", nn.Sequential(*_single(b, b)))
            self.add_module(
                f"adaptor_transformer_{k}", nn.ModuleDict({"blocks": nn.ModuleList([_Slices(b, heads)])})
            )

    @property
    def adapts(self) -> bool:
        return True

    @property
    def widest(self) -> int:
        return 2 * CHANNELS[0]

    def regions(self, scores: Tensor) -> Tensor:
        return scores[:, list(OUTPUTS)]

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        x = x * present[:, :, None, None, None].to(x)
        complete = present.all(1)
        if not self.branching:
            return self._decoded(self._encoded(x, adapted=~complete))
        if complete.all() or not complete.any():
            return self._decoded(self._encoded(x, adapted=not bool(complete.all())))
        rows = [
            self._decoded(self._encoded(x[i : i + 1], adapted=not bool(whole)))
            for i, whole in enumerate(complete)
        ]
        return torch.cat(rows)

    def _encoded(self, x: Tensor, *, adapted: bool | Tensor) -> list[Tensor]:
        """The features of the five levels, finest first; ``adapted``: all samples or none, or (B,) bool which."""
        features = []
        for k in range(1, 6):
            y: Tensor = self._level(k)(x)
            if isinstance(adapted, Tensor):
                x = y + self._adapted(k, x, y) * adapted[:, None, None, None, None].to(y)
            else:
                x = y + self._adapted(k, x, y) if adapted else y
            features.append(x)
        return features

    def _level(self, k: int) -> nn.Module:
        if k == 1:
            return self.inc
        return self.aspp if k == 5 else self.get_submodule(f"down{k - 1}.maxpool_conv")

    def _adapted(self, k: int, x: Tensor, y: Tensor) -> Tensor:
        """What is added to the features ``y`` of level ``k`` that came from ``x``."""
        fused: Tensor = self.get_submodule(f"fuse_{k}")(y + self.get_submodule(f"adaptor_conv_{k}")(x))
        attended: Tensor = self.get_submodule(f"adaptor_transformer_{k}.blocks.0")(fused)
        return (1 - attended.mean(4, keepdim=True).mean(1, keepdim=True).sigmoid()) * fused

    def _decoded(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for k, skip in enumerate(reversed(features[:-1]), start=1):
            x = upsampled(x)
            if x.shape[2:] != skip.shape[2:]:
                # The deepest two are of one size: as published, the middle of the enlarged one is kept.
                first, second, third = (slice((n + 1) // 2, (n + 1) // 2 + n) for n in skip.shape[2:])
                x = x[:, :, first, second, third]
            x = self.get_submodule(f"up{k}.conv")(torch.cat((skip, x), 1))
        found: Tensor = self.outc["conv"](x)
        return found


def _single(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv3d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU()]


class _Double(nn.Module):
    """Twice convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(*_single(inputs, outputs), *_single(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.double_conv(x)
        return found


class _Pyramid(nn.Module):
    """ASPP of the deepest map: four dilations and its mean."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS[-1]
        self.convs = nn.ModuleList(
            nn.Conv3d(c, c, 3, padding=rate, dilation=rate, bias=False) for rate in RATES
        )
        self.pooling = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(c, c, 1, bias=False))
        self.final_conv = nn.Conv3d(c * (len(RATES) + 1), c, 1, bias=False)
        self.bn = nn.BatchNorm3d(c)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.pooling(x).expand_as(x)
        found: Tensor = self.bn(
            self.final_conv(torch.cat([*(conv(x) for conv in self.convs), mean], 1))
        ).relu()
        return found


class _Slices(nn.Module):
    """A transformer block over windows of 7 × 7 voxels in each slice of the last axis. (B, C, H, W, D) to the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = _Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(channels, 4 * channels), "fc2": nn.Linear(4 * channels, channels)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 4, 2, 3, 1)  # (B, D, H, W, C)
        x = x + self._attended(self.norm1(x))
        x = x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return x.permute(0, 4, 2, 3, 1)

    def _attended(self, x: Tensor) -> Tensor:
        b, d, h, w, c = x.shape
        sides = min(SIDE, h), min(SIDE, w)
        more = [-n % side for n, side in zip((h, w), sides, strict=True)]
        x = F.pad(x, (0, 0, 0, more[1], 0, more[0]))
        rows, columns = x.shape[2] // sides[0], x.shape[3] // sides[1]
        windows = x.reshape(b * d, rows, sides[0], columns, sides[1], c).transpose(2, 3)
        found = self.attn(windows.reshape(-1, sides[0] * sides[1], c))
        found = found.reshape(b * d, rows, columns, *sides, c).transpose(2, 3).reshape(x.shape)
        kept: Tensor = found[:, :, :h, :w]
        return kept


class _Attention(nn.Module):
    """Self-attention within windows (windows, N, C), with a learnt bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * SIDE - 1) ** 2, heads))
        place = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")).flatten(1)
        apart = place[:, :, None] - place[:, None] + SIDE - 1
        self.register_buffer("relative_position_index", apart[0] * (2 * SIDE - 1) + apart[1])
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        bias = self.relative_position_bias_table[self.relative_position_index[:n, :n]].permute(2, 0, 1)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        result: Tensor = self.proj(found.transpose(1, 2).flatten(2))
        return result
