"""IM-Fuse: Pipoli, Saporita, Marchesini, Grana, Ficarra, Bolelli: IM-Fuse, MICCAI 2025.

After the published code (github.com/AImageLab-zip/IM-Fuse, ``IMFuse/IMFuse.py``): mmFormer's encoders, transformers and
decoder, with Mamba layers that fuse the modalities into learnt tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.axes import Place
from napari_mrseg.models.blocks import Check
from napari_mrseg.models.published.mamba import Mamba
from napari_mrseg.models.published.published_mmformer import TOKENS, FusingDecoder, Transformer
from napari_mrseg.models.published.published_network import (
    ORDER,
    ModalityEncoder,
    Published,
    PublishedSettings,
    SeparateDecoder,
    each_modality,
)

WIDTH, LEVELS = 8, 5
SIDE = 128  # voxels of a window
DEEPEST = WIDTH * 2 ** (LEVELS - 1)
MOST_STATES = 256


class ImFuseSettings(PublishedSettings):
    """``skips``: Mamba layers also between encoder and decoder (the code's ``mamba_skip``).

    ``interleaved``: the modalities' tokens of a voxel stand side by side there, not those of a modality
    (``interleaved_tokenization``); the weights do not tell.
    """

    skips: bool = True
    interleaved: bool = True


class ImFuse(Published):
    """An encoder and a transformer a modality, learnt tokens that gather from all of them, and mmFormer's decoder."""

    architecture = "imfuse"
    settings_type = ImFuseSettings
    paper = "Pipoli and others: IM-Fuse, MICCAI 2025"
    stride = (16, 16, 16)
    window = (SIDE, SIDE, SIDE)
    not_exported = "its Mamba layers go through millions of tokens one after the other"

    def __init__(self, settings: ImFuseSettings) -> None:
        super().__init__(settings)
        self._check: Check | None = None
        side = SIDE // 2 ** (LEVELS - 1)
        for name in ORDER:
            self.add_module(f"{name}_encoder", ModalityEncoder(WIDTH, LEVELS, before=True))
            self.add_module(f"{name}_encode_conv", nn.Conv3d(DEEPEST, TOKENS, 1))
            self.add_module(f"{name}_decode_conv", nn.Conv3d(TOKENS, DEEPEST, 1))  # never used
            self.register_parameter(f"{name}_pos", nn.Parameter(torch.zeros(1, side**3, TOKENS)))
            self.add_module(f"{name}_transformer", Transformer())
        self.fused_pos = nn.Parameter(torch.zeros(1, side**3, TOKENS))
        self.mamba_fusion_layer = _Fusion(TOKENS, side, interleaved=False)  # in every checkpoint, never used
        self.multimodal_transformer = Transformer()
        self.multimodal_decode_conv = nn.Conv3d(TOKENS, DEEPEST * len(ORDER), 1)
        self.mamba_fusion_layers = nn.ModuleList(
            _Fusion(c, SIDE // 2**k, interleaved=settings.interleaved)
            for k, c in enumerate((*(WIDTH * 2**k for k in range(LEVELS - 1)), TOKENS))
        )
        shallow = 1 if settings.skips else len(ORDER)
        self.decoder_fuse = FusingDecoder(settings.classes, joined=(*(shallow,) * (LEVELS - 1), len(ORDER)))
        self.decoder_sep = SeparateDecoder(WIDTH, LEVELS, settings.classes, before=True)

    def forward(
        self,
        x: Tensor,
        available: Tensor | None = None,
        *,
        check: Check | None = None,
        place: Place | None = None,
    ) -> Tensor:
        self._check = check  # the Mamba layers take long enough to ask within
        try:
            return super().forward(x, available, check=check, place=place)
        finally:
            self._check = None

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        each = each_modality(self, x, present)
        maps = [torch.stack(level, 1) for level in zip(*each, strict=True)]  # (B, 4, C, ...)
        kept = present[:, :, None, None, None, None]
        deepest = [
            self._within(name, one, there)
            for name, one, there in zip(ORDER, maps.pop().unbind(1), kept.unbind(1), strict=True)
        ]
        levels = [
            self._fused(k, level) if self.settings.skips else level.flatten(1, 2)
            for k, level in enumerate(maps)
        ]
        mixed = self._fused(LEVELS - 1, torch.stack(deepest, 1))
        extents = mixed.shape[2:]
        tokens = self.multimodal_transformer(mixed.flatten(2).mT, _resized(self.fused_pos, extents).to(mixed))
        levels.append(self.multimodal_decode_conv(tokens.mT.unflatten(2, extents)))
        found: Tensor = self.decoder_fuse(levels)
        return found

    def _within(self, name: str, deepest: Tensor, there: Tensor) -> Tensor:
        """(B, TOKENS, ...) of one modality after attention within it, 0 where it is missing."""
        maps: Tensor = self.get_submodule(f"{name}_encode_conv")(deepest)
        extents = maps.shape[2:]
        if not self.branching or there.any():
            position = _resized(self.get_parameter(f"{name}_pos"), extents)
            maps = self.get_submodule(f"{name}_transformer")(maps.flatten(2).mT, position).mT.unflatten(
                2, extents
            )
        return maps * there.to(maps)

    def _fused(self, k: int, maps: Tensor) -> Tensor:
        """Level k of all modalities (B, 4, C, ...) -> (B, C, ...)."""
        found: Tensor = self.mamba_fusion_layers[k](maps, self._check)
        return found

    @property
    def widest(self) -> int:
        return 2 * WIDTH * (len(ORDER) + 1)

    @classmethod
    def refuse(cls, settings: PublishedSettings, channels: int, regions: int) -> str | None:
        if settings.classes != 4:
            return "it tells 4 classes apart"
        return super().refuse(settings, channels, regions)

    @classmethod
    def settings_of(cls, weights: Mapping[str, Tensor], axes: str | None = None) -> PublishedSettings:
        first = weights.get("decoder_fuse.RFM1.fusion_layer.0.conv.weight")
        skips = first is None or first.ndim < 2 or first.shape[1] == WIDTH
        return super().settings_of(weights, axes).model_copy(update={"skips": skips})


class _Fusion(nn.Module):
    """Maps of four modalities (B, 4, C, ...) gathered into learnt tokens: (B, C, ...)."""

    def __init__(self, channels: int, side: int, *, interleaved: bool) -> None:
        super().__init__()
        self.interleaved = interleaved
        self.fused_tokens = nn.Parameter(torch.randn(1, side**3, channels))
        self.mamba_layer = nn.ModuleDict({"mamba": _Layer(channels)})

    def forward(self, maps: Tensor, check: Check | None = None) -> Tensor:
        extents = maps.shape[3:]
        learnt = _resized(self.fused_tokens, extents).to(maps).expand(len(maps), -1, -1)
        tokens = torch.cat((maps.flatten(3).mT, learnt[:, None]), 1)  # (B, 5, N, C)
        every = tokens.shape[1] if self.interleaved else 1
        if self.interleaved:
            tokens = tokens.transpose(1, 2)
        found: Tensor = self.mamba_layer["mamba"](tokens.flatten(1, 2), learnt, every, check).mT
        return torch.unflatten(found, 2, extents)


class _Layer(nn.Module):
    """A Mamba layer and a linear one, each around a shortcut and after a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mamba = Mamba(channels, min(channels, MOST_STATES))
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.head = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, learnt: Tensor, every: int, check: Check | None) -> Tensor:
        """What becomes of the tokens ``learnt`` (B, N, C): the last of each ``every`` of ``tokens`` (B, L, C)."""
        mixed = self.mamba(self.norm1(tokens), every=every, check=check)
        x = mixed[:, -learnt.shape[1] :].to(learnt) + learnt
        found: Tensor = x + self.head(self.norm2(x))
        return found


def _resized(tokens: Tensor, extents: torch.Size) -> Tensor:
    """(1, N, C) learnt tokens of a cube; interpolated on maps that are not of the published window."""
    count = tokens.shape[1]
    side = round(count ** (1 / 3))
    if tuple(extents) == (side,) * 3:
        return tokens
    volume = tokens.mT.unflatten(2, (side,) * 3)
    return F.interpolate(volume, tuple(extents), mode="trilinear", align_corners=False).flatten(2).mT
