"""What the published networks share: the order of their modalities and axes, and from their classes to our regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.axes import PATTERN, Place, check_axes, from_axes, to_axes
from napari_mrseg.models.blocks import Check
from napari_mrseg.models.network import Network, asking

ORDER = ("flair", "t1ce", "t1", "t2")
"""Of the modalities in RFNet and its descendants."""


class PublishedSettings(BaseModel):
    """``inputs``: for each modality of the network, in its order, the number of the task's channel.

    ``axes``: where the axes of its arrays point; BraTS files, read as they are, have LPS. ``classes``: how many it
    tells apart, the background among them: 4, or 5 as in BraTS 2015.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Annotated[tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=4, max_length=4)] = (
        0,
        2,
        1,
        3,
    )
    axes: Annotated[str, Field(pattern=PATTERN)] = "LPS"
    classes: Annotated[int, Field(ge=4, le=5)] = 4

    @model_validator(mode="after")
    def _fit(self) -> Self:
        check_axes(self.axes)
        if sorted(self.inputs) != [0, 1, 2, 3]:
            raise ValueError("inputs must name each of the four channels once")
        return self


class Published(Network):
    """Base: a network for glioma on FLAIR, T1, T1ce and T2, at 1 mm.

    Attributes
    ----------
    paper
        What to cite.
    window
        Extents (I, P, L) of the windows that its code computes; always these here.
    normalisation
        How its code scales intensities, one of :data:`~.card.NORMALISATIONS`.
    prefixes
        What may stand before every name in a checkpoint.
    """

    settings_type = PublishedSettings
    settings: Any
    paper: ClassVar[str]
    normalisation: ClassVar[str] = "z-score whole"
    prefixes: ClassVar[tuple[str, ...]] = ("module.",)

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__()
        self.settings = settings

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        """(B, classes or regions, ...) logits of ``x`` (B, 4, ...) in the network's own order and axes.

        ``present``: (B, 4) bool.
        """
        raise NotImplementedError

    def placed_scores(self, x: Tensor, present: Tensor, place: Place | None) -> Tensor:
        """:meth:`scores` of the window at ``place``, in its own axes; None: where the foreground begins."""
        return self.scores(x, present)

    def regions(self, scores: Tensor) -> Tensor:
        """Logits of WT, TC and ET from what :meth:`scores` gives."""
        return region_logits(scores, nested_classes(self.settings.classes))

    def forward(
        self,
        x: Tensor,
        available: Tensor | None = None,
        *,
        check: Check | None = None,
        place: Place | None = None,
    ) -> Tensor:
        inputs = list(self.settings.inputs)
        if x.ndim != 5 or x.shape[1] != 4:
            raise ValueError(f"Input must be (B, 4, I, P, L), not {tuple(x.shape)}.")
        if available is None:
            available = torch.ones((len(x), 4), dtype=torch.bool, device=x.device)
        own = to_axes(x, self.settings.axes)[:, inputs]
        with asking(self, check):
            there = None if place is None else place.in_axes(self.settings.axes)
            scores = self.placed_scores(own, available[:, inputs], there)
        return from_axes(self.regions(scores), self.settings.axes)

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        settings = cls.settings_type.model_validate(dict(arguments))
        why = cls.refuse(settings, channels, outputs)
        if why is not None:
            raise InputError(f"{cls.architecture}: {why}.")
        return cls(settings)

    @classmethod
    def refuse(cls, settings: PublishedSettings, channels: int, regions: int) -> str | None:
        if (channels, regions) == (4, 3):
            return None
        return f"it is made for 4 channels and 3 nested regions, the task has {channels} and {regions}"

    @classmethod
    def settings_of(cls, weights: Mapping[str, Tensor], axes: str | None = None) -> PublishedSettings:
        """The settings that a checkpoint's shapes speak for; ``axes``, if they are not the published ones."""
        return cls.settings_type.model_validate({} if axes is None else {"axes": axes})


def nested_classes(classes: int) -> tuple[tuple[int, ...], ...]:
    """The classes of WT, TC and ET.

    Of four: background, necrosis and non-enhancing, oedema, enhancing. Of five, as in BraTS 2015: background, necrosis,
    oedema, non-enhancing, enhancing.
    """
    return ((1, 2, 3), (1, 3), (3,)) if classes == 4 else ((1, 2, 3, 4), (1, 3, 4), (4,))


def region_logits(scores: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """(B, R, ...) logits of nested regions from (B, K, ...) of exclusive classes.

    The best class in the region less the best outside: the label map from thresholds of 0.5 is then that of the
    likeliest class, as the published code takes it, and the probability that of the one against the other.
    """
    classes = scores.shape[1]
    found = []
    for inside in regions:
        outside = [k for k in range(classes) if k not in inside]
        found.append(scores[:, list(inside)].amax(1) - scores[:, outside].amax(1))
    return torch.stack(found, 1)


class ConvNorm(nn.Module):
    """Convolution, instance norm without weights, leaky ReLU; ``before``: the convolution last."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: Literal["reflect", "zeros"] = "reflect",
        before: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, padding_mode=padding
        )
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            result: Tensor = self.conv(_active(x))
            return result
        return _active(self.conv(x))


def _active(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(nn.functional.instance_norm(x), 0.2)


def upsampled(x: Tensor, factor: int = 2) -> Tensor:
    """Trilinear, corners kept in place, as RFNet and its descendants do it."""
    return nn.functional.interpolate(x, scale_factor=float(factor), mode="trilinear", align_corners=True)


class ModalityEncoder(nn.Module):
    """Of one modality: ``levels`` maps, each of three layers e<level>_c1 to _c3, the last two around a shortcut.

    ``before``: norms before convolutions, but none before the first of all.
    """

    def __init__(self, width: int, levels: int, *, before: bool) -> None:
        super().__init__()
        self.levels = levels
        inputs = 1
        for level in range(1, levels + 1):
            outputs = width * 2 ** (level - 1)
            first: nn.Module = ConvNorm(inputs, outputs, stride=1 if level == 1 else 2, before=before)
            if before and level == 1:
                first = nn.Conv3d(1, outputs, 3, padding=1, padding_mode="reflect")
            for number, layer in enumerate(
                (first, *(ConvNorm(outputs, outputs, before=before) for _ in range(2)))
            ):
                self.add_module(f"e{level}_c{number + 1}", layer)
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1, ...) -> the maps, finest first."""
        maps = []
        for level in range(1, self.levels + 1):
            one, two, three = (self.get_submodule(f"e{level}_c{n}") for n in (1, 2, 3))
            x = one(x)
            x = x + three(two(x))
            maps.append(x)
        return maps


def each_modality(network: Network, x: Tensor, present: Tensor) -> list[list[Tensor]]:
    """Maps of each modality by its encoder, 0 for a sample that lacks it; one that all samples lack is not computed.

    ``x`` (B, 4, ...), ``present`` (B, 4) bool, both in :data:`ORDER`.
    """
    found: dict[str, list[Tensor]] = {}
    for k, name in enumerate(ORDER):
        if not network.branching or present[:, k].any():
            kept = present[:, k, None, None, None, None].to(x)
            found[name] = [m * kept for m in network.get_submodule(f"{name}_encoder")(x[:, k : k + 1])]
    nothing = [torch.zeros_like(m) for m in next(iter(found.values()))]
    return [found.get(name, nothing) for name in ORDER]


class Up(nn.Module):
    """The layers of a decoder from level ``levels`` down to 1: d<k>_c1, d<k>_c2, d<k>_out for k = levels − 1 … 1.

    A base: it holds the layers under their published names, and says how a level is reached from the one below.
    """

    def __init__(self, width: int, levels: int, classes: int, *, before: bool) -> None:
        super().__init__()
        self.levels = levels
        for k in range(levels - 1, 0, -1):
            c = width * 2 ** (k - 1)
            self.add_module(f"d{k}_c1", ConvNorm(2 * c, c, before=before))
            self.add_module(f"d{k}_c2", ConvNorm(2 * c, c, before=before))
            self.add_module(f"d{k}_out", ConvNorm(c, c, 1, before=before))
        self.seg_layer = nn.Conv3d(width, classes, 1)

    def rise(self, x: Tensor, k: int) -> Tensor:
        """The map of level k + 1, on the voxels of level k."""
        found: Tensor = self.get_submodule(f"d{k}_c1")(upsampled(x))
        return found

    def join(self, pair: Sequence[Tensor], k: int) -> Tensor:
        """The two maps of level k as one."""
        found: Tensor = self.get_submodule(f"d{k}_out")(
            self.get_submodule(f"d{k}_c2")(torch.cat(list(pair), 1))
        )
        return found


class SeparateDecoder(Up):
    """Of one modality alone, which only training looks at; its weights are in every checkpoint."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of one modality, finest first -> (B, classes, ...) logits."""
        x = maps[-1]
        for k in range(self.levels - 1, 0, -1):
            x = self.join((self.rise(x, k), maps[k - 1]), k)
        found: Tensor = self.seg_layer(x)
        return found
