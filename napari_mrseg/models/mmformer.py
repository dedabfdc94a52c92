"""mmFormer: an encoder and a transformer for each modality, one across them, and a decoder that fuses what is there.

Written from the description in arXiv 2206.02425 (MICCAI 2022); it is also what each branch of SMML is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import Check, cube, stop_if_asked
from napari_mrseg.models.modal import Decoder, Encoder, Head, ModalNetwork, ModalSettings, PreConv, encoded


class MmFormerSettings(ModalSettings):
    """With the defaults as published: 36.4 M parameters for four modalities. The published 36.7 M count four
    projections more (0.26 M) that its code does not use.

    ``tokens``, ``heads``, ``feed_forward``: channels, heads and inner width of the transformers. ``patch``: extents of
    the learnt positions; maps of other extents get them interpolated. ``dropout``: within the transformers.
    """

    tokens: Annotated[int, Field(ge=8, le=1024)] = 512
    heads: Annotated[int, Field(ge=1, le=16)] = 8
    feed_forward: Annotated[int, Field(ge=8, le=8192)] = 4096
    patch: Annotated[int, Field(ge=1, le=16)] = 8
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _divides(self) -> MmFormerSettings:
        if self.tokens % self.heads:
            raise ValueError(f"tokens: {self.tokens} channels cannot be split into {self.heads} heads")
        return self


@dataclass(frozen=True)
class Seen:
    """What one look gives. ``fused``: the deepest map that all modalities share.

    ``coarser``: logits of coarser maps, finest first; ``separate``: those of each modality alone, which only training
    asks for.
    """

    logits: Tensor
    fused: Tensor
    coarser: list[Tensor]
    separate: list[Tensor]


class Fuse(nn.Module):
    """The features of all modalities, joined, as those of one: (B, M·C, ..) -> (B, C, ..)."""

    def __init__(self, count: int, channels: int, *, flat: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            (
                PreConv(count * channels, channels, kernel=1),
                PreConv(channels, channels, flat=flat),
                PreConv(channels, channels, kernel=1),
            )
        )

    def forward(self, features: list[Tensor], check: Check | None = None) -> Tensor:
        x = torch.cat(features, 1)
        for part in self.parts:
            x = part(x, check)
        return x


class MmFormer(ModalNetwork):
    """``forward`` as in :class:`~.network.Network`; what stands in for a missing modality is not looked at."""

    architecture = "mmformer"
    settings_type = MmFormerSettings
    settings: MmFormerSettings

    def __init__(self, settings: MmFormerSettings) -> None:
        super().__init__(settings)
        flat, channels, count = settings.flat, settings.channels, len(settings.modalities)
        deepest = channels[-1]
        self.encoders = nn.ModuleList(
            Encoder(n, channels, stem=settings.stem, flat=flat) for n in settings.modalities
        )
        self.to_tokens = nn.ModuleList(nn.Conv3d(deepest, settings.tokens, 1) for _ in range(count))
        extents = cube(settings.patch, flat)
        self.positions = nn.ParameterList(
            nn.Parameter(torch.zeros(1, settings.tokens, *extents)) for _ in range(count)
        )
        self.within = nn.ModuleList(_transformer(settings) for _ in range(count))
        self.across = _transformer(settings)
        self.joined = nn.Conv3d(settings.tokens * count, deepest * count, 1)
        self.fuse = nn.ModuleList(Fuse(count, c, flat=flat) for c in channels)
        self.decoder = Decoder(channels, flat=flat)
        self.head = Head(settings, sum(settings.modalities), settings.regions)
        self.deep = nn.ModuleList(nn.Conv3d(c, settings.regions, 1) for c in channels[1:])
        # Of each modality alone, with the same weights for all; the head's input is then that modality.
        self.separate: nn.ModuleDict | None = nn.ModuleDict(
            {"decoder": Decoder(channels, flat=flat), "head": Head(settings, 0, settings.regions)}
        )

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        frames = x.shape[2]
        return self._end(self.look(x, available, check=check, deep=False).logits, frames)

    def training_outputs(self, x: Tensor, available: Tensor | None = None) -> list[Tensor]:
        frames = x.shape[2]
        seen = self.look(x, available)
        return [self._end(logits, frames) for logits in (seen.logits, *seen.coarser)]

    def look(
        self,
        x: Tensor,
        available: Tensor | None = None,
        *,
        separate: bool = False,
        deep: bool = True,
        check: Check | None = None,
    ) -> Seen:
        """All that the network makes of ``x``; in 2-D each frame as a sample. ``separate``: also of each modality."""
        x, available = self._begin(x, available)
        x = x * self._by_channel(available)[..., None, None, None].to(x)
        spans, there = self.settings.spans, available.unbind(1)
        alone = [
            encoded(encoder, x[:, span], seen, check, branching=self.branching)
            for encoder, span, seen in zip(self.encoders, spans, there, strict=True)
        ]
        levels = [list(level) for level in zip(*alone, strict=True)]
        levels[-1] = self._related(levels[-1], there, check)
        fused = [fuse(level, check) for fuse, level in zip(self.fuse, levels, strict=True)]
        maps = self.decoder(fused[-1], fused[:-1], check)
        coarser = [head(m) for head, m in zip(self.deep, maps[1:], strict=True)] if deep else []
        each: list[Tensor] = []
        if separate and self.separate is not None:
            for features, span in zip(alone, spans, strict=True):
                finest = self.separate["decoder"](features[-1], features[:-1])[0]
                each.append(self.separate["head"](finest, x[:, span]))
        return Seen(self.head(maps[0], x, check), fused[-1], coarser, each)

    def simplify(self) -> None:
        self.deep = nn.ModuleList()
        self.separate = None

    def _related(
        self, features: list[Tensor], there: tuple[Tensor, ...], check: Check | None
    ) -> list[Tensor]:
        """The deepest features after attention within each modality that is there, and then across all."""
        extents = features[0].shape[2:]
        tokens, positions = [], []
        for k, (feature, seen) in enumerate(zip(features, there, strict=True)):
            position = self.positions[k]
            if position.shape[2:] != extents:
                position = F.interpolate(position, extents, mode="trilinear", align_corners=False)
            position = position.flatten(2).mT  # (1, N, C)
            positions.append(position)
            own = self.to_tokens[k](feature).flatten(2).mT
            if not self.branching or seen.any():
                own = self.within[k](own + position)
            stop_if_asked(check)
            tokens.append(own * seen[:, None, None].to(own))
        mixed = self.across(torch.cat(tokens, 1) + torch.cat(positions, 1))
        stop_if_asked(check)
        parts = [part.mT.unflatten(2, extents) for part in mixed.chunk(len(features), 1)]
        return list(self.joined(torch.cat(parts, 1)).chunk(len(features), 1))

    def _by_channel(self, available: Tensor) -> Tensor:
        return torch.cat(
            [available[:, k : k + 1].expand(-1, n) for k, n in enumerate(self.settings.modalities)], 1
        )


def _transformer(settings: MmFormerSettings) -> nn.Module:
    return nn.TransformerEncoderLayer(
        settings.tokens,
        settings.heads,
        settings.feed_forward,
        settings.dropout,
        "gelu",
        batch_first=True,
        norm_first=True,
    )
