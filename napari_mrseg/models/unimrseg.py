"""UniMRSeg in 3-D and 2-D: one set of parameters for every combination of modalities.

Written from the description in arXiv 2509.16170 (NeurIPS 2025). One stream takes all modalities as channels;
a missing one has been filled by the caller. Where a modality is missing, an adapter per level adds what the
encoder would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.adapter import ReverseAdapter
from napari_mrseg.models.backbone import FINEST, Backbone, Name, backbone_of
from napari_mrseg.models.blocks import (
    Check,
    ConvNorm,
    DoubleConv,
    Finest,
    Norm,
    Pyramid,
    Up,
    as_frames,
    as_volume,
    at_once,
    cube,
    halve,
    stop_if_asked,
)
from napari_mrseg.models.lite import LiteBackbone
from napari_mrseg.models.network import FeatureNetwork

STRIDE = 8
"""Input extents must be multiples of this: three poolings by two."""

LEVELS = 5
"""Four levels of the encoder, and the atrous pyramid on the deepest as the fifth."""

PerLevel = tuple[int, int, int, int, int]


class Settings(BaseModel):
    """All that decides the network's shape. ``adapters``: "none" or "reverse" (one per level).

    What is not the paper's is off unless a size asks for it. ``stem`` 2: a convolution of stride 2 comes first, so that
    the finest level, which takes most of the time, has an eighth of the voxels (extents that do not divide are padded
    within); a light head of ``head_width`` channels then brings the result back to the input's voxels, and sees the
    input again unless ``head_input`` is false. ``growth``: the levels' channels in widths. ``residual``: each double
    convolution adds its input. ``deep``: coarser outputs that training may look at too. ``norm``: "instance" has each
    sample's own statistics, in training and after, so that what one combination looks like does not depend on others.
    ``ndim`` 2: of images, held as volumes of one slice; frames along I have nothing to do with each other.
    ``backbone``: one of :mod:`.backbone` in place of the encoder; its maps feed the adapters, but what they add does
    not go back into it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_channels: Annotated[int, Field(ge=1, le=16)] = 4
    regions: Annotated[int, Field(ge=1, le=64)] = 3
    width: Annotated[int, Field(ge=1, le=256)] = 64
    aspp_rates: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)] = (1, 6, 12, 18)
    adapters: Literal["none", "reverse"] = "reverse"
    heads: PerLevel = (2, 4, 8, 16, 16)
    attention_window: Annotated[int, Field(ge=1, le=16)] = 7
    attention_pooling: PerLevel = (1, 1, 1, 1, 1)
    reverse: bool = True
    mutual: bool = True
    mixer: Literal["swin", "conv"] = "swin"
    growth: tuple[int, int, int, int] = (1, 2, 4, 8)
    ndim: Literal[2, 3] = 3
    backbone: Name = "own"
    stem: Literal[1, 2, 4] = 1
    head_width: Annotated[int, Field(ge=1, le=64)] = 8
    head_input: bool = True
    residual: bool = False
    deep: Annotated[int, Field(ge=0, le=3)] = 0
    norm: Norm = "batch"

    @property
    def channels(self) -> PerLevel:
        """Channels of the five features."""
        c1, c2, c3, c4 = (n * self.width for n in self.growth)
        return (c1, c2, c3, c4, c4)

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.backbone != "own" and (self.ndim, self.stem) != (2, FINEST):
            raise ValueError(f"backbone {self.backbone} is of images: it needs ndim 2 and stem {FINEST}")
        if any(not 1 <= times <= 16 for times in self.growth):
            raise ValueError("growth must lie in 1..16")
        if any(not 1 <= rate <= 64 for rate in self.aspp_rates):
            raise ValueError("aspp_rates must lie in 1..64")
        for pooling, extent in zip(self.attention_pooling, (8, 4, 2, 1, 1), strict=True):
            if pooling < 1 or extent % pooling:
                raise ValueError(
                    "attention_pooling must divide (8, 4, 2, 1, 1), the least extents of the levels"
                )
        for channels, heads in zip(self.channels, self.heads, strict=True):
            if heads < 1 or channels % heads:
                raise ValueError(f"heads: {channels} channels cannot be split into {heads} heads")
        return self


_COMPACT: dict[str, Any] = {
    "width": 16,
    "growth": (1, 2, 4, 6),
    "aspp_rates": (1, 2, 4, 6),
    "heads": (1, 2, 4, 6, 6),
    "attention_pooling": (2, 1, 1, 1, 1),
    "head_width": 8,
    "residual": True,
    "deep": 2,
    "norm": "instance",
}
SIZES: dict[str, Settings] = {
    # As published: 91.5 M parameters, 55.9 M without adapters.
    "paper": Settings(width=64),
    # What the bundled model is: 3.8 M parameters, 2.4 M without adapters. Times: python benchmarks/network_speed.py.
    "compact": Settings(stem=2, **_COMPACT),
    # For images: 240 x 320 pixels are its finest level of a frame of 480 x 640.
    "compact-2d": Settings(ndim=2, stem=2, **_COMPACT),
    # The bundled model for pictures: the maps of EfficientNet-Lite0, 5.9 M parameters.
    "lite": Settings(
        **_COMPACT | {"width": 24, "residual": False},
        ndim=2,
        stem=4,
        backbone="efficientnet-lite0",
    ),
    # What the paper builds on for RGB-D and RGB-T objects, and for the classes of SUN RGB-D.
    "resnet50": Settings(ndim=2, stem=4, backbone="resnet50", width=64, aspp_rates=(1, 2, 4, 6)),
    "convnext-base": Settings(ndim=2, stem=4, backbone="convnext-base", width=64, aspp_rates=(1, 2, 4, 6)),
}


class UniMRSeg(FeatureNetwork):
    """Encoder, atrous pyramid, reverse attention adapters and decoder.

    ``forward`` takes (B, M, I, P, L) and gives logits (B, R, I, P, L); a sigmoid of each is a region's
    probability. Extents are multiples of 8, not necessarily equal; in 2-D I counts frames, as many as there are.
    """

    architecture = "unimrseg"
    settings_type = Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings: Settings = settings
        c1, c2, c3, c4, c5 = settings.channels
        self.flat = flat = settings.ndim == 2
        self.stride = cube(STRIDE, flat)
        norm, residual = settings.norm, settings.residual
        seen = settings.in_channels
        self.stem: nn.Conv3d | None = None
        self.backbone: Backbone | LiteBackbone | None = None
        if settings.backbone != "own":
            self.backbone = backbone_of(settings.backbone, seen, settings.channels[:4], norm=norm)
        elif settings.stem > 1:
            half = settings.stem // 2
            self.stem = nn.Conv3d(
                seen,
                c1,
                cube(2 * settings.stem, flat),
                stride=cube(settings.stem, flat),
                padding=(0 if flat else half, half, half),
            )
        inputs = (seen if self.stem is None else c1, c1, c2, c3)
        levels = zip(inputs, settings.channels[:4], strict=True) if self.backbone is None else ()
        self.encoder = nn.ModuleList(
            DoubleConv(a, b, norm=norm, residual=residual, flat=flat) for a, b in levels
        )
        self.pyramid = Pyramid(c4, settings.aspp_rates, norm=norm, flat=flat)
        self.adapters: nn.ModuleList | None = None
        if settings.adapters != "none":
            before = (None, c1, c2, c3, c4)
            self.adapters = nn.ModuleList(
                ReverseAdapter(
                    before[i],
                    settings.channels[i],
                    heads=settings.heads[i],
                    window=settings.attention_window,
                    pooling=settings.attention_pooling[i],
                    reverse=settings.reverse,
                    mutual=settings.mutual,
                    mixer=settings.mixer,
                    norm=norm,
                    flat=flat,
                )
                for i in range(LEVELS)
            )
        # Feature 5 lies on the map of level 4: nothing to enlarge in the first step.
        steps = ((c5, c4, c3, 1), (c3, c3, c2, 2), (c2, c2, c1, 2), (c1, c1, c1, 2))
        self.decoder = nn.ModuleList(
            Up(a, skip, b, scale=scale, norm=norm, residual=residual, flat=flat)
            for a, skip, b, scale in steps
        )
        beside = seen if settings.head_input else 0
        self.finest = None
        if settings.stem > 1:
            self.finest = Finest(c1, beside, settings.head_width, settings.stem, norm=norm, flat=flat)
        self.head = nn.Conv3d(settings.head_width if self.finest else c1, settings.regions, 1)
        coarser = (c1, c1, c2) if self.finest else (c1, c2, c3)
        self.deep = nn.ModuleList(nn.Conv3d(c, settings.regions, 1) for c in coarser[: settings.deep])
        self.encoder_frozen = False

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        """Logits (B, R, I, P, L) of ``x`` (B, M, I, P, L), missing modalities already filled.

        ``available``: (B, M) bool, which modalities are there. A sample that has them all (or ``available`` None)
        leaves the adapters out. ``check`` is called between blocks and may raise to stop. Raises ValueError
        for shapes that do not fit.
        """
        return self.decode(self.encode(x, available, check=check), x, check=check)

    def encode(
        self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None
    ) -> list[Tensor]:
        """The five features, compensated where modalities are missing.

        Shapes (B, C, I, P, L), (B, 2C, I/2, ..), (B, 4C, I/4, ..), (B, 8C, I/8, ..), (B, 8C, I/8, ..); with a
        ``stem`` of 2 all extents are half of it, rounded up to a multiple of 8.
        """
        self._validate(x, available)
        x, available = self._frames(x), self._of_frames(available, x.shape[2])
        maps: list[Tensor] = []
        if self.backbone is not None:
            maps = self.backbone(self._padded(x), check)
            x = maps[0]
        elif self.stem is not None:
            x = at_once(self.stem, self._padded(x))
            stop_if_asked(check)
        missing = self._incomplete(available)
        features: list[Tensor] = []
        for level in range(LEVELS):
            stop_if_asked(check)
            if level in (1, 2, 3):
                x = halve(x, flat=self.flat)  # (B, C', I, P, L) -> (B, C', I/2, P/2, L/2)
            own = self._own(level, maps, x, check)
            x = self._compensate(level, own, x, missing, check)
            features.append(x)
        return features

    def _own(self, level: int, maps: list[Tensor], x: Tensor, check: Check | None) -> Tensor:
        """F̂_cp of a level: of the backbone's ``maps`` where there are any, else of ``x``."""
        if level == 4:
            result: Tensor = self.pyramid(x, check)
            return result
        return maps[level] if maps else self.encoder[level](x, check)

    def decode(self, features: list[Tensor], x: Tensor, *, check: Check | None = None) -> Tensor:
        """Logits (B, R, I, P, L) of the five features of :meth:`encode` of ``x``."""
        return self.outputs(features, x, check=check, deep=False)[0]

    def outputs(
        self, features: list[Tensor], x: Tensor, *, check: Check | None = None, deep: bool = True
    ) -> list[Tensor]:
        """The logits, then with ``deep`` those at half, a quarter .. of their extents, padded ones included."""
        frames, x = x.shape[2], self._frames(x)
        maps = [features[4]]
        for step, skip in zip(self.decoder, reversed(features[:4]), strict=True):
            maps.append(step(maps[-1], skip, check))
        coarser = maps[-1 if self.finest else -2 :: -1]
        last = maps[-1]
        if self.finest is not None:
            last = self.finest(last, self._padded(x), check)
        logits = self.head(last)
        for axis, (n, whole) in enumerate(zip(x.shape[2:], logits.shape[2:], strict=True), start=2):
            logits = logits.narrow(axis, (whole - n) // 2, n)
        found = [logits, *(head(m) for head, m in zip(self.deep if deep else (), coarser, strict=False))]
        return [as_volume(one, frames) for one in found] if self.flat else found

    def training_outputs(self, x: Tensor, available: Tensor | None = None) -> list[Tensor]:
        return self.outputs(self.encode(x, available), x)

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        """``size`` among the ``arguments`` names one of :data:`SIZES`, which the others change."""
        own = dict(arguments)
        size = SIZES[own.pop("size", "paper")].model_dump()
        shape = {"in_channels": channels, "regions": outputs, "adapters": "reverse" if adapters else "none"}
        return cls(Settings.model_validate(size | own | shape))

    @classmethod
    def refuse(cls, settings: Settings, channels: int, regions: int) -> str | None:
        if (settings.in_channels, settings.regions) == (channels, regions):
            return None
        return (
            f"the network has {settings.in_channels} inputs and {settings.regions} outputs, the task "
            f"{channels} channels and {regions} regions"
        )

    @property
    def training_stride(self) -> tuple[int, int, int]:
        return cube(STRIDE * self.settings.stem, self.flat)

    @property
    def widest(self) -> int:
        return 2 * self.settings.width  # the last decoder step's input

    @property
    def adapts(self) -> bool:
        return self.adapters is not None

    def freeze_encoder(self) -> None:
        """Stage 3: encoder and pyramid get no gradient and no new statistics; adapters and decoder learn."""
        self.encoder_frozen = True
        for module in (self.backbone, self.stem, self.encoder, self.pyramid):
            if module is not None:
                module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> UniMRSeg:
        super().train(mode)
        if self.encoder_frozen:
            for module in (self.backbone, self.encoder, self.pyramid):
                if module is not None:
                    module.eval()
        return self

    def simplify(self) -> None:
        """Norms folded into convolutions; no coarser outputs."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        if isinstance(self.backbone, LiteBackbone):
            self.backbone.simplify()
        self.deep = nn.ModuleList()

    def _padded(self, x: Tensor) -> Tensor:
        """(B, M, I, P, L) padded evenly to whole maps of all levels."""
        whole = zip(x.shape[2:], self.training_stride, strict=True)
        room = [-n % stride for n, stride in reversed(list(whole))]
        return F.pad(x, [part for n in room for part in (n // 2, n - n // 2)]) if any(room) else x

    def _frames(self, x: Tensor) -> Tensor:
        """In 2-D every frame is a sample of its own."""
        return as_frames(x) if self.flat else x

    def _of_frames(self, available: Tensor | None, frames: int) -> Tensor | None:
        return available.repeat_interleave(frames, 0) if self.flat and available is not None else available

    def _compensate(
        self, level: int, own: Tensor, before: Tensor, missing: Tensor | None, check: Check | None
    ) -> Tensor:
        """F̂_i = F̂_cp + F̂_ada for the samples listed in ``missing``; the others are left as they are."""
        if missing is None or self.adapters is None:
            return own
        adapter = self.adapters[level]
        if not self.branching:
            return torch.where(missing[:, None, None, None, None], adapter(own, before, check), own)
        if len(missing) == len(own):
            result: Tensor = adapter(own, before, check)
            return result
        some = adapter(own[missing], before[missing], check)  # (b, C, I, P, L), b incomplete samples
        return own.index_copy(0, missing, some.to(own.dtype))

    def _incomplete(self, available: Tensor | None) -> Tensor | None:
        """Indices of samples that lack a modality; None if there are none. Without branching (B,) bool."""
        if available is None:
            return None
        if not self.branching:
            return ~available.all(1)
        missing = torch.nonzero(~available.all(1)).flatten()
        return missing if len(missing) else None

    def _validate(self, x: Tensor, available: Tensor | None) -> None:
        channels = self.settings.in_channels
        if x.ndim != 5 or x.shape[1] != channels:
            raise ValueError(f"Input must be (B, {channels}, I, P, L), not {tuple(x.shape)}.")
        if any(n % stride or n == 0 for n, stride in zip(x.shape[2:], self.stride, strict=True)):
            raise ValueError(
                f"Extents {tuple(x.shape[2:])} must be multiples of {STRIDE}; pad the image first."
            )
        if available is not None and (
            available.ndim != 2 or len(available) != len(x) or available.dtype != torch.bool
        ):
            raise ValueError(
                f"available must be a bool tensor of shape ({len(x)}, modalities), "
                f"not {available.dtype} of {tuple(available.shape)}."
            )
