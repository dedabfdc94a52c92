"""mmFormer as published: Zhang et al., MICCAI 2022 (arXiv 2206.02425). :mod:`napari_mrseg.models.mmformer` is ours.

What ours does otherwise: zeros instead of reflections at the edges of its encoders, corners kept in place when maps are
enlarged, and the order in which the tokens of all modalities become channels again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.published.published_network import (
    ORDER,
    ConvNorm,
    ModalityEncoder,
    Published,
    PublishedSettings,
    SeparateDecoder,
    Up,
    each_modality,
)

WIDTH, LEVELS = 8, 5
TOKENS, HEADS, INNER, PATCH = 512, 8, 4096, 8


class PublishedMmFormer(Published):
    """An encoder and a transformer a modality, one across all of them, and a decoder that fuses what is there."""

    architecture = "mmformer-published"
    paper = "Zhang, He, Yang, Li, Wei, Huang, Zhang, He, Zheng: mmFormer, MICCAI 2022"
    stride = (16, 16, 16)
    window = (128, 128, 128)

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__(settings)
        deepest = WIDTH * 2 ** (LEVELS - 1)
        for name in ORDER:
            self.add_module(f"{name}_encoder", ModalityEncoder(WIDTH, LEVELS, before=True))
            self.add_module(f"{name}_encode_conv", nn.Conv3d(deepest, TOKENS, 1))
            self.add_module(
                f"{name}_decode_conv", nn.Conv3d(TOKENS, deepest, 1)
            )  # in every checkpoint, never used
            self.register_parameter(f"{name}_pos", nn.Parameter(torch.zeros(1, PATCH**3, TOKENS)))
            self.add_module(f"{name}_transformer", Transformer())
        self.multimodal_transformer = Transformer()
        self.multimodal_decode_conv = nn.Conv3d(TOKENS * len(ORDER), deepest * len(ORDER), 1)
        self.decoder_fuse = FusingDecoder(settings.classes)
        self.decoder_sep = SeparateDecoder(WIDTH, LEVELS, settings.classes, before=True)

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        each = each_modality(self, x, present)
        maps = [torch.cat(level, 1) for level in zip(*each, strict=True)]
        deepest = [one[-1] for one in each]
        positions = [self._position(name, deepest[0].shape[2:]) for name in ORDER]
        tokens = [
            self._within(name, one, position, there)
            for name, one, position, there in zip(ORDER, deepest, positions, present.unbind(1), strict=True)
        ]
        mixed = self.multimodal_transformer(torch.cat(tokens, 1), torch.cat(positions, 1))
        # The tokens stand modality by modality; as published, each run of four becomes the channels of one voxel.
        shape = (len(x), *deepest[0].shape[2:], TOKENS * len(ORDER))
        maps[-1] = self.multimodal_decode_conv(mixed.reshape(shape).movedim(-1, 1))
        found: Tensor = self.decoder_fuse(maps)
        return found

    def _within(self, name: str, deepest: Tensor, position: Tensor, there: Tensor) -> Tensor:
        """Tokens (B, N, C) of one modality after attention within it, 0 where it is missing."""
        tokens = self.get_submodule(f"{name}_encode_conv")(deepest).flatten(2).mT
        if not self.branching or there.any():
            tokens = self.get_submodule(f"{name}_transformer")(tokens, position)
        found: Tensor = tokens * there[:, None, None].to(tokens)
        return found

    def _position(self, name: str, extents: torch.Size) -> Tensor:
        """(1, N, C) learnt positions; interpolated on maps that are not of the published window."""
        position: Tensor = self.get_parameter(f"{name}_pos")
        if tuple(extents) == (PATCH,) * 3:
            return position
        volume = position.mT.unflatten(2, (PATCH,) * 3)
        return F.interpolate(volume, tuple(extents), mode="trilinear", align_corners=False).flatten(2).mT

    @property
    def widest(self) -> int:
        return 4 * WIDTH

    @classmethod
    def refuse(cls, settings: PublishedSettings, channels: int, regions: int) -> str | None:
        if settings.classes != 4:
            return "it tells 4 classes apart"
        return super().refuse(settings, channels, regions)


class FusingDecoder(Up):
    """From maps, finest first, to logits. ``joined``: of how many modalities each is, (B, joined · C, ...)."""

    def __init__(self, classes: int, joined: Sequence[int] = (4,) * LEVELS) -> None:
        super().__init__(WIDTH, LEVELS, classes, before=True)
        for k, maps in enumerate(joined, start=1):
            c = WIDTH * 2 ** (k - 1)
            layers = (
                ConvNorm(a, c, n, padding="zeros", before=True) for a, n in ((maps * c, 1), (c, 3), (c, 1))
            )
            self.add_module(f"RFM{k}", nn.ModuleDict({"fusion_layer": nn.Sequential(*layers)}))
            if k > 1:
                self.add_module(f"seg_d{k - 1}", nn.Conv3d(c, classes, 1))  # looked at in training only

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self._fused(maps, LEVELS)
        for k in range(LEVELS - 1, 0, -1):
            x = self.rise(x, k)
            x = self.join((self._fused(maps, k), x), k)
        logits: Tensor = self.seg_layer(x)
        return logits

    def _fused(self, maps: list[Tensor], k: int) -> Tensor:
        found: Tensor = self.get_submodule(f"RFM{k}.fusion_layer")(maps[k - 1])
        return found


class Transformer(nn.Module):
    """One layer: attention, then two linear layers, each around a shortcut and after a norm. (B, N, C) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.cross_attention_list = nn.ModuleList([_after_norm(Attention())])
        linear = nn.Sequential(nn.Linear(TOKENS, INNER), nn.GELU(), nn.Dropout(0.1), nn.Linear(INNER, TOKENS))
        self.cross_ffn_list = nn.ModuleList([_after_norm(_Within("net", linear))])

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        x = x + position
        for block in (*self.cross_attention_list, *self.cross_ffn_list):
            x = x + block(x)
        return x


class Attention(nn.Module):
    """Self-attention of 8 heads. (B, N, C) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(TOKENS, 3 * TOKENS, bias=False)
        self.proj = nn.Linear(TOKENS, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        found: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return found


class _AfterNorm(nn.Module):
    """``fn`` after a norm, under the names of the published code."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(TOKENS)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fn(self.norm(x))
        return found


class _Within(nn.Module):
    """A module under one more name."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.get_submodule(self.name)(x)
        return found


def _after_norm(fn: nn.Module) -> nn.Module:
    return _Within("fn", _AfterNorm(fn))
