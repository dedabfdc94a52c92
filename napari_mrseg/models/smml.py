"""SMML: two branches that learn from each other under different masks; what they find together is their mean.

Written from the description in AAAI 2025 (Liang, "Semantic-guided Masked Mutual Learning"), which has no code. The
branches are mmFormer's (its section "Ablation Study": the baseline). The refinement networks serve training alone.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import Check, DoubleConv, cube, halve
from napari_mrseg.models.mmformer import MmFormer, MmFormerSettings
from napari_mrseg.models.modal import ModalNetwork


class SmmlSettings(MmFormerSettings):
    """Those of a branch. ``refine``: channels of the refinement networks, 0 for none."""

    refine: Annotated[int, Field(ge=0, le=64)] = 16


class Refine(nn.Module):
    """The refinement network, a small U-Net (section "Semantic-guided Refinement Network", equation 10).

    It maps cues of each modality (B, M·R, ..) and a branch's prediction (B, R, ..), probabilities all, to logits.
    """

    def __init__(self, modalities: int, regions: int, width: int, *, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        seen = (modalities + 1) * regions
        self.down = DoubleConv(seen, width, norm="instance", flat=flat)
        self.deep = DoubleConv(width, 2 * width, norm="instance", flat=flat)
        self.up = DoubleConv(3 * width, width, norm="instance", flat=flat)
        self.head = nn.Conv3d(width, regions, 1)

    def forward(self, cues: Tensor, prediction: Tensor) -> Tensor:
        fine = self.down(torch.cat((cues, prediction), 1))
        deep = self.deep(halve(fine, flat=self.flat))
        factors = tuple(float(n) for n in cube(2, self.flat))
        deep = F.interpolate(deep, scale_factor=factors, mode="trilinear", align_corners=False)
        logits: Tensor = self.head(self.up(torch.cat((fine, deep), 1)))
        return logits


class Smml(ModalNetwork):
    """``forward`` as in :class:`~.network.Network`: the mean of both branches' logits."""

    architecture = "smml"
    settings_type = SmmlSettings
    settings: SmmlSettings

    def __init__(self, settings: SmmlSettings) -> None:
        super().__init__(settings)
        self.branches = nn.ModuleList(MmFormer(settings) for _ in range(2))
        count = len(settings.modalities) if settings.refine else 0
        self.refiners: nn.ModuleList | None = None
        if count:
            self.refiners = nn.ModuleList(
                Refine(count, settings.regions, settings.refine, flat=settings.flat) for _ in range(2)
            )

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        a, b = (branch(x, available, check=check) for branch in self.branches)
        result: Tensor = (a + b) / 2
        return result

    @property
    def last_layers(self) -> tuple[nn.Conv3d, ...]:
        layers = [layer for branch in self.branches for layer in branch.last_layers]  # type: ignore[union-attr]
        return (*layers, *(refine.head for refine in self.refiners or ()))

    def simplify(self) -> None:
        self.refiners = None
        for branch in self.branches:
            assert isinstance(branch, MmFormer)
            branch.simplify()
