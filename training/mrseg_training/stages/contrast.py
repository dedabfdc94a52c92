"""Stage 2 (paper: feature-level compensation): features that do not depend on which modalities are there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, ContrastPart, JointPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.inference.fill import fill


class Contrast(Stage):
    """NT-Xent between the complete and a random incomplete version over five levels, and Dice on both.

    Both versions go through the network as one batch: batch norm's running statistics, by which it segments later,
    then fit what it was trained on.
    """

    name = "contrast"

    def __init__(self, config: Config, part: ContrastPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.sampling_weights = perturb.sampling_weights_of(self.task, part.sampling_weights)
        self.weights = {"contrast": part.contrast, "complete": part.segment, "incomplete": part.segment}

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        available = perturb.incomplete(batch.available, batch.draws, self.sampling_weights)
        versions = [fill(batch.images, available, self.task) for available in (batch.available, available)]
        images = torch.cat(versions)
        features = self.network.encode(images)
        terms = {}
        if self.part.contrast:
            whole, some = zip(*(f.chunk(2) for f in features), strict=True)
            terms["contrast"] = contrast(whole, some, batch, self.part)
        if self.part.segment:
            outputs = [logits.chunk(2) for logits in self.network.outputs(features, images)]
            complete, incomplete = zip(*outputs, strict=True)
            terms["complete"] = self._truth(complete, batch, batch.available, self.part.truth)
            terms["incomplete"] = self._truth(incomplete, batch, available, self.part.truth)
        return terms


def contrast(
    whole: Sequence[Tensor], some: Sequence[Tensor], batch: Batch, part: ContrastPart | JointPart
) -> Tensor:
    """Mean NT-Xent of the five levels' pooled features; subjects that lack a modality form no pair."""
    valid = batch.available.all(1).to(batch.images.device)
    levels = [
        losses.nt_xent(
            a,
            b,
            valid,
            temperature=part.temperature,
            positive_in_denominator=part.positive_in_denominator,
        )
        for a, b in zip(losses.pooled(whole), losses.pooled(some), strict=True)
    ]
    return sum(levels[1:], levels[0]) / len(levels)
