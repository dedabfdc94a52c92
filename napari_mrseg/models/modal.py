"""What networks with an encoder for each modality are made of, and the base of their settings.

A modality that is missing is not filled but left out: its features are zero, and nothing is computed for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import (
    Check,
    Finest,
    InstanceNorm,
    as_frames,
    as_volume,
    at_once,
    convolve,
    cube,
    stop_if_asked,
)
from napari_mrseg.models.network import Network
from napari_mrseg.tasks import Task

SLOPE = 0.2  # of the leaky ReLU, as in RFNet and mmFormer


class ModalSettings(BaseModel):
    """What all of them are told. ``modalities``: the channels of each of the task's modalities, in order.

    ``levels`` halve the map one after the other, from ``width`` channels on, twice as many at each. ``stem``,
    ``head_width`` and ``ndim`` are those of :class:`~.unimrseg.Settings`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: Annotated[tuple[Literal[1, 3], ...], Field(min_length=1, max_length=16)] = (1, 1, 1, 1)
    regions: Annotated[int, Field(ge=1, le=64)] = 3
    width: Annotated[int, Field(ge=1, le=128)] = 8
    levels: Annotated[int, Field(ge=2, le=6)] = 5
    stem: Literal[1, 2, 4] = 1
    head_width: Annotated[int, Field(ge=1, le=64)] = 8
    ndim: Literal[2, 3] = 3

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the features of one modality, finest first."""
        return tuple(self.width * 2**level for level in range(self.levels))

    @property
    def spans(self) -> tuple[slice, ...]:
        """Where each modality's channels stand among those of the input."""
        ends = [sum(self.modalities[: i + 1]) for i in range(len(self.modalities))]
        return tuple(slice(end - n, end) for end, n in zip(ends, self.modalities, strict=True))

    @property
    def flat(self) -> bool:
        return self.ndim == 2


class ModalNetwork(Network):
    """Base: shapes, what is where among the channels, and what is refused."""

    settings_type = ModalSettings
    settings: Any

    def __init__(self, settings: ModalSettings) -> None:
        super().__init__()
        self.settings = settings
        self.stride = cube(2 ** (settings.levels - 1) * settings.stem, settings.flat)

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        shape = {"regions": outputs, "modalities": (1,) * channels}
        return cls(cls.settings_type.model_validate(shape | dict(arguments)))

    @classmethod
    def for_task(
        cls, task: Task, arguments: Mapping[str, Any], *, outputs: int | None = None, adapters: bool = False
    ) -> Self:
        channels = tuple(modality.channels for modality in task.modalities)
        own = {"modalities": channels, "ndim": task.ndim} | dict(arguments)
        return cls.configured(own, channels=sum(channels), outputs=outputs or len(task.regions))

    @classmethod
    def refuse(cls, settings: ModalSettings, channels: int, regions: int) -> str | None:
        if (sum(settings.modalities), settings.regions) == (channels, regions):
            return None
        return (
            f"the network has {sum(settings.modalities)} inputs and {settings.regions} outputs, the task "
            f"{channels} channels and {regions} regions"
        )

    @property
    def last_layers(self) -> tuple[nn.Conv3d, ...]:
        heads = [m.logits for m in self.modules() if isinstance(m, Head)]
        return (*heads, *getattr(self, "deep", ()))

    @property
    def widest(self) -> int:
        settings = self.settings
        result: int = max(
            settings.width * len(settings.modalities), settings.head_width + sum(settings.modalities)
        )
        return result

    def _begin(self, x: Tensor, available: Tensor | None) -> tuple[Tensor, Tensor]:
        """``x`` and ``available``, checked; in 2-D every frame is a sample of its own."""
        settings = self.settings
        if x.ndim != 5 or x.shape[1] != sum(settings.modalities):
            raise ValueError(f"Input must be (B, {sum(settings.modalities)}, I, P, L), not {tuple(x.shape)}.")
        if any(n % stride or n == 0 for n, stride in zip(x.shape[2:], self.stride, strict=True)):
            raise ValueError(f"Extents {tuple(x.shape[2:])} must be multiples of {self.stride}; pad first.")
        if available is None:
            available = torch.ones((len(x), len(settings.modalities)), dtype=torch.bool, device=x.device)
        if available.dtype != torch.bool or available.shape != (len(x), len(settings.modalities)):
            raise ValueError(f"available must be bool of shape ({len(x)}, {len(settings.modalities)}).")
        if settings.flat:
            available = available.repeat_interleave(x.shape[2], 0)
            x = as_frames(x)
        return x, available

    def _end(self, logits: Tensor, frames: int) -> Tensor:
        return as_volume(logits, frames) if self.settings.flat else logits


class PreConv(nn.Module):
    """Instance norm, leaky ReLU, convolution: (B, A, I, P, L) -> (B, C, I/k, P/k, L/k) with stride k."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, flat: bool = False
    ) -> None:
        super().__init__()
        half = kernel // 2
        self.norm = InstanceNorm(inputs, inputs)
        self.conv = nn.Conv3d(
            inputs,
            outputs,
            cube(kernel, flat),
            stride=cube(stride, flat),
            padding=(0 if flat else half, half, half),
        )
        self.whole = stride > 1

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        x = F.leaky_relu(self.norm(x), SLOPE)
        x = at_once(self.conv, x) if self.whole else convolve(self.conv, x, None if self.training else check)
        stop_if_asked(check)
        return x


class Encoder(nn.Module):
    """Of one modality: at each level a convolution, from the second on of stride 2, and two with a shortcut.

    (B, inputs, I, P, L) -> features of ``channels``, finest first, each of half the extents before.
    """

    def __init__(self, inputs: int, channels: Sequence[int], *, stem: int = 1, flat: bool = False) -> None:
        super().__init__()
        kernel, half = (3, 1) if stem == 1 else (2 * stem, stem // 2)
        self.first = nn.Conv3d(
            inputs,
            channels[0],
            cube(kernel, flat),
            stride=cube(stem, flat),
            padding=(0 if flat else half, half, half),
        )
        self.down = nn.ModuleList(PreConv(a, b, stride=2, flat=flat) for a, b in pairwise(channels))
        self.convs = nn.ModuleList(
            nn.ModuleList(PreConv(c, c, flat=flat) for _ in range(2)) for c in channels
        )
        self.channels, self.stem, self.flat = tuple(channels), stem, flat

    def shapes(self, x: Tensor) -> list[tuple[int, ...]]:
        """Channels and extents of the features of ``x``."""
        scales = (cube(self.stem * 2**level, self.flat) for level in range(len(self.channels)))
        return [
            (c, *(n // k for n, k in zip(x.shape[2:], scale, strict=True)))
            for c, scale in zip(self.channels, scales, strict=True)
        ]

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        x = at_once(self.first, x)
        stop_if_asked(check)
        features = []
        for level, convs in enumerate(self.convs):
            if level:
                x = self.down[level - 1](x, check)
            y = x
            for conv in convs:  # type: ignore[attr-defined]
                y = conv(y, check)
            x = x + y
            features.append(x)
        return features


class Decoder(nn.Module):
    """From the deepest map to the finest, joining a skip a level; returns all maps, finest first."""

    def __init__(self, channels: Sequence[int], *, flat: bool = False) -> None:
        super().__init__()
        pairs = list(pairwise(channels))[::-1]
        self.inward = nn.ModuleList(PreConv(deep, c, flat=flat) for c, deep in pairs)
        self.join = nn.ModuleList(PreConv(2 * c, c, flat=flat) for c, _ in pairs)
        self.out = nn.ModuleList(PreConv(c, c, kernel=1) for c, _ in pairs)
        self.factors = tuple(float(n) for n in cube(2, flat))

    def forward(self, deepest: Tensor, skips: Sequence[Tensor], check: Check | None = None) -> list[Tensor]:
        maps = [deepest]
        layers = zip(self.inward, self.join, self.out, reversed(skips), strict=True)
        for inward, join, out, skip in layers:
            x = F.interpolate(maps[0], scale_factor=self.factors, mode="trilinear", align_corners=False)
            x = inward(x, check)
            maps.insert(0, out(join(torch.cat((x, skip), 1), check), check))
        return maps


class Head(nn.Module):
    """Logits of the finest map; after a stem by way of a light map at the input's voxels, the input beside it."""

    def __init__(self, settings: ModalSettings, seen: int, outputs: int) -> None:
        super().__init__()
        self.finest = None
        width = settings.width
        if settings.stem > 1:
            width = settings.head_width
            self.finest = Finest(
                settings.width, seen, width, settings.stem, norm="instance", flat=settings.flat
            )
        self.logits = nn.Conv3d(width, outputs, 1)

    def forward(self, finest: Tensor, x: Tensor, check: Check | None = None) -> Tensor:
        if self.finest is not None:
            finest = self.finest(finest, x, check)
        logits: Tensor = self.logits(finest)
        stop_if_asked(check)
        return logits


def encoded(
    encoder: nn.Module, x: Tensor, there: Tensor, check: Check | None = None, *, branching: bool = True
) -> list[Tensor]:
    """Features of the samples of ``x`` that are ``there`` (B,) bool, and zeros for the others.

    Without ``branching`` all are computed, and those of the others multiplied by 0.
    """
    if not branching:
        return [f * there[:, None, None, None, None].to(f) for f in encoder(x, check)]
    rows = torch.nonzero(there).flatten()
    if len(rows) == len(x):
        found: list[Tensor] = encoder(x, check)
        return found
    if len(rows) == 0:
        return [x.new_zeros(len(x), *shape) for shape in encoder.shapes(x)]  # type: ignore[operator]
    return [
        torch.zeros((len(x), *f.shape[1:]), dtype=f.dtype, device=f.device).index_copy(0, rows, f)
        for f in encoder(x[rows], check)
    ]
