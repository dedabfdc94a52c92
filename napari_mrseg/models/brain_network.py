"""The network that finds the brain in a head: a small residual U-Net that sees one scan of any contrast as a whole.

The scan's voxels are folded two by two by two into channels, so that all work is done at twice the spacing; the last
convolution sees the scan again, and its logits are unfolded. A second, smaller network looks at the scan and at its
mask, and says for the whole volume whether it shows a brain.
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
BRIGHTEST = 4.0  # times the level of the head; what is brighter says no more


class BrainSettings(BaseModel):
    """``widths``: channels at twice, four, eight times the spacing and so on; ``blocks``: residual blocks at each.

    ``judge``: channels of the second network at twice, four, eight times the spacing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_channels: int = Field(default=1, ge=1)
    regions: int = Field(default=1, ge=1)
    widths: tuple[int, ...] = (32, 48, 72)
    blocks: tuple[int, ...] = (0, 1, 2)
    judge: tuple[int, ...] = (16, 32, 48)


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


class Judge(nn.Module):
    """One logit for a volume, from its scans and masks: convolutions at ever coarser spacing, then mean and maximum."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = pairwise((channels * FOLD**3, *widths))
        self.convs = nn.ModuleList(
            nn.Conv3d(a, b, 3, padding=1, stride=2 if number else 1) for number, (a, b) in enumerate(pairs)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths)
        self.answer = nn.Sequential(nn.Linear(2 * widths[-1], 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = _folded(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = F.relu(norm(conv(y)))
        answer: Tensor = self.answer(torch.cat([y.mean((2, 3, 4)), y.amax((2, 3, 4))], 1))[:, 0]
        return answer


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
        self.head = nn.Conv3d(
            widths[0] + settings.in_channels * FOLD**3, settings.regions * FOLD**3, 3, padding=1
        )
        self.presence = Judge(settings.in_channels + settings.regions, settings.judge)

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
        folded = _folded(x)
        y = self.stem(folded)
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
        logits = _unfolded(self.head(torch.cat([F.relu(y), folded.to(y.dtype)], 1)), self.settings.regions)
        # What is learnt of presence changes nothing of the mask.
        there: Tensor = self.presence(torch.cat([x, logits.detach().float().sigmoid().to(x.dtype)], 1))
        return logits, there


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
