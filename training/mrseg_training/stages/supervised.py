"""No stage of the paper but what it is measured against: encoder and decoder by the truth alone."""

from __future__ import annotations

from mrseg_training import perturb
from mrseg_training.settings import Config, SupervisedPart
from mrseg_training.stages.base import Batch, Stage, Terms


class Supervised(Stage):
    """A U-Net; with ``dropout`` it sees incomplete inputs too, and learns them from the truth."""

    name = "supervised"

    def __init__(self, config: Config, part: SupervisedPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        self.weights = {"truth": 1.0}

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        kept = batch.has
        if self.part.dropout:
            kept = perturb.drop(batch.has, self.part.dropout, batch.draws, by=self.part.dropout_by)
        logits = self.network(perturb.fill(batch.images, kept, self.task.fill))
        return {"truth": self._truth(logits, batch, kept, self.part.truth)}
