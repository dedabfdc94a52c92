"""The network that finds the brain in a head: a small residual U-Net that sees one scan of any contrast as a whole.

The scan's voxels are folded two by two by two into channels, so that all work is done at twice the spacing, and the
logits are unfolded again. A second output says for the whole volume whether it shows a brain.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import Check, stop_if_asked
from napari_mrseg.models.network import Network

FOLD = 2
JUDGES = 32  # hidden units of the second output
BRIGHTEST = 4.0  # times the level of the head; what is brighter says no more


class BrainSettings(BaseModel):
    """``widths``: channels at twice, four, eight times the spacing and so on; ``blocks``: residual blocks at each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_channels: int = Field(default=1, ge=1)
    regions: int = Field(default=1, ge=1)
    widths: tuple[int, ...] = (32, 48, 72)
    blocks: tuple[int, ...] = (0, 1, 2)


class Block(nn.Module):
    """Two convolutions, each after a norm of groups and a ReLU, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.relu(norm(y)))
        return x + y


class BrainNet(Network):
    """Logits of the brain for every voxel; one channel of any contrast, intensities as shares of the head's level."""

    architecture = "brain"
    settings_type = BrainSettings

    def __init__(self, settings: BrainSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, blocks = settings.widths, settings.blocks
        side = FOLD * 2 ** (len(widths) - 1)
        self.stride = (side, side, side)
        self.stem = nn.Conv3d(settings.in_channels * FOLD**3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.left = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(n))) for width, n in zip(widths, blocks, strict=True)
        )
        self.around = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(widths))
        self.right = nn.ModuleList(Block(width) for width in widths[:-1])
        self.head = nn.Conv3d(widths[0], settings.regions * FOLD**3, 1)
        seen = 2 * (sum(widths) + widths[0]) + 2 * settings.regions
        self.presence = nn.Sequential(
            nn.LayerNorm(seen), nn.Linear(seen, JUDGES), nn.ReLU(), nn.Linear(JUDGES, 1)
        )

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> BrainNet:
        return cls(BrainSettings.model_validate({"in_channels": channels, "regions": outputs, **arguments}))

    @classmethod
    def refuse(cls, settings: BrainSettings, channels: int, regions: int) -> str | None:
        if (settings.in_channels, settings.regions) != (channels, regions):
            return f"in_channels and regions must be {channels} and {regions}"
        return None

    @property
    def last_layers(self) -> tuple[nn.Conv3d, ...]:
        return (self.head,)

    @property
    def widest(self) -> int:
        channels: int = max(self.settings.in_channels, self.settings.regions)
        return channels

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        return self.found(x, check=check)[0]

    def found(self, x: Tensor, *, check: Check | None = None) -> tuple[Tensor, Tensor]:
        """Logits of x (B, C, I, P, L) for every voxel, (B, R, I, P, L), and that it shows a brain at all, (B,)."""
        x = x.clamp(-1.0, BRIGHTEST)
        y = self.stem(_folded(x))
        kept = []
        for number, blocks in enumerate(self.left):
            if number:
                y = self.down[number - 1](y)
            y = blocks(y)
            kept.append(y)
            stop_if_asked(check)
        # What the whole volume shows, to each of its parts.
        y = y + self.around(y.mean((2, 3, 4)))[:, :, None, None, None]
        for number in reversed(range(len(self.up))):
            y = kept[number] + F.interpolate(
                self.up[number](y), scale_factor=2.0, mode="trilinear", align_corners=False
            )
            y = self.right[number](y)
            stop_if_asked(check)
        logits = self.head(F.relu(y))
        return _unfolded(logits, self.settings.regions), self._presence([*kept, y], logits)

    def _presence(self, maps: list[Tensor], logits: Tensor) -> Tensor:
        """(B,): a judgement of what the network sees; to learn it changes nothing of the mask."""
        with torch.no_grad():
            p = logits.unflatten(1, (self.settings.regions, -1)).float().sigmoid()
            doubt = p * (1 - p)
            each = [f(m.float()) for m in maps for f in (_mean, _most)]
            seen = torch.cat([*each, p.mean((2, 3, 4, 5)), doubt.mean((2, 3, 4, 5))], 1)
            seen = seen.sign() * seen.abs().log1p()  # the maps have no common scale
        there: Tensor = self.presence(seen)[:, 0]
        return there


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3, 4))


def _most(x: Tensor) -> Tensor:
    return x.amax((2, 3, 4))


def _folded(x: Tensor) -> Tensor:
    """(B, C, I, P, L) -> (B, 8 C, I/2, P/2, L/2)."""
    b, c, i, p, l = x.shape  # noqa: E741 - the axes' names
    parts = x.reshape(b, c, i // FOLD, FOLD, p // FOLD, FOLD, l // FOLD, FOLD)
    folded = parts.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * FOLD**3, i // FOLD, p // FOLD, l // FOLD)
    return folded.contiguous(memory_format=torch.channels_last_3d)


def _unfolded(x: Tensor, channels: int) -> Tensor:
    """The inverse of :func:`_folded`."""
    b, _, i, p, l = x.shape  # noqa: E741 - the axes' names
    parts = x.reshape(b, channels, FOLD, FOLD, FOLD, i, p, l)
    unfolded = parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, channels, i * FOLD, p * FOLD, l * FOLD)
    return unfolded.contiguous(memory_format=torch.channels_last_3d)
