"""CMC: two modalities, an encoder and a decoder for each, and between them what does not depend on the modality.

Written from the description in arXiv 2408.07341 (MICCAI 2024, "Robust Semi-supervised Multimodal Medical Image
Segmentation via Cross Modality Collaboration").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from napari_mrseg.models.blocks import Check
from napari_mrseg.models.modal import Decoder, Encoder, Head, ModalNetwork, ModalSettings, PreConv, encoded
from napari_mrseg.models.vit import Vit3d, take
from napari_mrseg.tasks import Task


class CmcSettings(ModalSettings):
    """``pair``: the two of the task's modalities that it looks at, by number.

    ``encoder`` "sam-med3d": the deepest features are those of that foundation model's encoder (:mod:`.vit`), one for
    each modality, of volumes with one channel; ``vit``: what to change of its shape.
    """

    encoder: Literal["own", "sam-med3d"] = "own"
    vit: dict[str, int] = Field(default={})
    pair: tuple[Annotated[int, Field(ge=0, le=15)], Annotated[int, Field(ge=0, le=15)]] = (0, 1)

    @model_validator(mode="after")
    def _two(self) -> CmcSettings:
        if len(set(self.pair)) != 2 or max(self.pair) >= len(self.modalities):
            raise ValueError("pair must name two different modalities of the task")
        if self.encoder != "own" and (
            self.ndim,
            self.levels,
            self.stem,
            {self.modalities[k] for k in self.pair},
        ) != (3, 5, 1, {1}):
            raise ValueError(
                "encoder sam-med3d is of volumes: ndim 3, levels 5, stem 1, modalities of one channel"
            )
        return self


@dataclass(frozen=True)
class Both:
    """What one look gives. ``features``: the deepest ones of each modality; ``logits``: of each one's decoder."""

    features: tuple[Tensor, Tensor]
    logits: tuple[Tensor, Tensor]


class Awareness(nn.Module):
    """The modality-independent awareness module: attention to each modality's channels, then a fusion layer.

    Deepest features of both (B, C, ..), zeros where one is missing, -> what they share (B, C, ..).
    """

    def __init__(self, channels: int, *, flat: bool) -> None:
        super().__init__()
        squeezed = max(4, channels // 4)
        self.attend = nn.Sequential(
            nn.Linear(2 * channels, squeezed), nn.ReLU(), nn.Linear(squeezed, 2 * channels), nn.Sigmoid()
        )
        self.mix = PreConv(2 * channels, channels, flat=flat)
        self.fuse = PreConv(channels, channels, kernel=1)

    def forward(self, features: tuple[Tensor, Tensor], check: Check | None = None) -> Tensor:
        x = torch.cat(features, 1)
        weights = self.attend(x.mean((2, 3, 4)))  # (B, 2C)
        x = x * weights[..., None, None, None]
        fused: Tensor = self.fuse(self.mix(x, check), check)
        return fused


class Founded(nn.Module):
    """In place of :class:`~.modal.Encoder`: its skips by convolutions, the deepest features by :class:`~.vit.Vit3d`."""

    def __init__(self, channels: tuple[int, ...], shape: Mapping[str, int]) -> None:
        super().__init__()
        self.skips = Encoder(1, channels[:-1])
        self.vit = Vit3d(**shape)
        self.project = nn.Conv3d(self.vit.outputs, channels[-1], 1)
        self.channels = channels

    def shapes(self, x: Tensor) -> list[tuple[int, ...]]:
        """Channels and extents of the features of ``x``."""
        deepest = (self.channels[-1], *(n // 16 for n in x.shape[2:]))
        return [*self.skips.shapes(x), deepest]

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        return [*self.skips(x, check), self.project(self.vit(x, check))]


class Published:
    """The encoders that a folder of published weights is for."""

    def __init__(self, encoders: list[Vit3d]) -> None:
        self.encoders = encoders

    def take(self, folder: Path) -> None:
        """See :func:`.vit.take`."""
        take(self.encoders, folder)


class Cmc(ModalNetwork):
    """``forward`` as in :class:`~.network.Network`: the mean of the decoders of the modalities that are there."""

    architecture = "cmc"
    settings_type = CmcSettings
    settings: CmcSettings

    def __init__(self, settings: CmcSettings) -> None:
        super().__init__(settings)
        flat, channels = settings.flat, settings.channels
        counts = [settings.modalities[k] for k in settings.pair]
        deep = settings.encoder != "own"
        self.encoders = nn.ModuleList(
            Founded(channels, settings.vit) if deep else Encoder(n, channels, stem=settings.stem, flat=flat)
            for n in counts
        )
        self.awareness = Awareness(channels[-1], flat=flat)
        self.join = nn.ModuleList(PreConv(2 * channels[-1], channels[-1], kernel=1) for _ in counts)
        self.decoders = nn.ModuleList(Decoder(channels, flat=flat) for _ in counts)
        self.heads = nn.ModuleList(Head(settings, n, settings.regions) for n in counts)

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        """Raises ValueError for a sample that has neither of the two modalities."""
        frames = x.shape[2]
        there = self._there(x, available)
        if self.branching and not bool(there.any(1).all()):
            raise ValueError("This network looks at two modalities, and a sample has neither of them.")
        a, b = self.look(x, available, check=check).logits
        weights = there.to(a) / there.sum(1, keepdim=True).to(a)
        if self.settings.flat:
            weights = weights.repeat_interleave(frames, 0)
        first, second = weights[..., None, None, None, None].unbind(1)
        return self._end(first * a + second * b, frames)

    def look(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Both:
        """All that the network makes of ``x``; in 2-D each frame as a sample."""
        x, available = self._begin(x, available)
        images = [x[:, self.settings.spans[k]] for k in self.settings.pair]
        there = [available[:, k] for k in self.settings.pair]
        alone = [
            encoded(encoder, image, seen, check, branching=self.branching)
            for encoder, image, seen in zip(self.encoders, images, there, strict=True)
        ]
        features = (alone[0][-1], alone[1][-1])
        shared = self.awareness(features, check)
        logits = []
        for k in range(2):
            own = self.join[k](torch.cat((features[k], shared), 1), check)
            finest = self.decoders[k](own, alone[k][:-1], check)[0]
            logits.append(self.heads[k](finest, images[k], check))
        return Both(features, (logits[0], logits[1]))

    @classmethod
    def for_task(
        cls, task: Task, arguments: Mapping[str, Any], *, outputs: int | None = None, adapters: bool = False
    ) -> Self:
        """``pair`` among the ``arguments`` may give the modalities by name."""
        own = dict(arguments)
        if "pair" in own:
            own["pair"] = [
                task.names.index(task.modality(k).name) if isinstance(k, str) else k for k in own["pair"]
            ]
        return super().for_task(task, own, outputs=outputs, adapters=adapters)

    @property
    def backbone(self) -> Published | None:
        """What takes published weights, if its encoders have such."""
        found = [e.vit for e in self.encoders if isinstance(e, Founded)]
        return Published(found) if found else None

    @property
    def sees(self) -> tuple[int, ...]:
        return tuple(sorted(self.settings.pair))

    def _there(self, x: Tensor, available: Tensor | None) -> Tensor:
        if available is None:
            return torch.ones((len(x), 2), dtype=torch.bool, device=x.device)
        return available[:, list(self.settings.pair)]
