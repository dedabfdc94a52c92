"""No stage of the paper but what it is measured against: any network by the truth alone."""

from __future__ import annotations

import torch

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, SupervisedPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.outputs import probabilities


class Supervised(Stage):
    """A U-Net; with ``dropout`` it sees incomplete inputs too, and learns them from the truth."""

    name = "supervised"
    any_network = True

    def __init__(self, config: Config, part: SupervisedPart) -> None:
        super().__init__(config, adapters=part.adapters)
        self.part = part
        self.sampling_weights = perturb.sampling_weights_of(self.task, part.sampling_weights)
        self.weights = {"truth": 1.0, "unlabelled": part.unlabelled}
        self.uses_unlabelled = part.unlabelled > 0
        self.parts = 2 if self.uses_unlabelled else 1

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        if part == 1:
            return self._consistent(batch.unlabelled) if batch.unlabelled is not None else {}
        available = batch.available
        if self.part.dropout and self.sampling_weights is not None:
            fewer = torch.stack([torch.rand((), generator=d) < self.part.dropout for d in batch.draws])
            available = torch.where(
                fewer[:, None],
                perturb.incomplete(batch.available, batch.draws, self.sampling_weights),
                available,
            )
        elif self.part.dropout:
            available = perturb.drop(batch.available, self.part.dropout, batch.draws, by=self.part.dropout_by)
        images = fill(batch.images, available, self.task)
        outputs = self.network.training_outputs(images, available.to(images.device))
        return {"truth": self._truth(outputs, batch, available, self.part.truth)}

    def _consistent(self, batch: Batch) -> Terms:
        """What the network finds with all modalities is what it should find with some; nobody knows the truth."""
        device = batch.images.device
        with torch.no_grad():
            whole = self.network(fill(batch.images, batch.available, self.task), batch.available.to(device))
            target = probabilities(whole.float(), self.task.output)
        available = perturb.incomplete(batch.available, batch.draws, self.sampling_weights)
        found = self.network(fill(batch.images, available, self.task), available.to(device))
        valid = batch.available.all(1).to(device)
        return {"unlabelled": losses.prediction_consistency(found, target, valid, self.task.output)}
