"""No stage of the paper but what it is measured against: encoder and decoder by the truth alone."""

from __future__ import annotations

import torch

from mrseg_training import perturb
from mrseg_training.settings import Config, SupervisedPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.inference.fill import fill


class Supervised(Stage):
    """A U-Net; with ``dropout`` it sees incomplete inputs too, and learns them from the truth."""

    name = "supervised"

    def __init__(self, config: Config, part: SupervisedPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.odds = perturb.odds_of(self.task, part.odds)
        self.weights = {"truth": 1.0}

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        kept = batch.has
        if self.part.dropout and self.odds is not None:
            fewer = torch.stack([torch.rand((), generator=d) < self.part.dropout for d in batch.draws])
            kept = torch.where(fewer[:, None], perturb.incomplete(batch.has, batch.draws, self.odds), kept)
        elif self.part.dropout:
            kept = perturb.drop(batch.has, self.part.dropout, batch.draws, by=self.part.dropout_by)
        images = fill(batch.images, kept, self.task)
        outputs = self.network.outputs(self.network.encode(images), images)
        return {"truth": self._truth(outputs, batch, kept, self.part.truth)}
