"""Stage 3 (paper: prediction-level compensation): the adapters learn to make up for what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.settings import AdaptPart, Config
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.tasks import Task


@dataclass(frozen=True)
class Complete:
    """What the complete input gave, as constants, and the combinations (K, B, M) that are compared with it."""

    features: list[Tensor]
    prediction: Tensor
    combinations: Tensor


class Adapt(Stage):
    """Encoder frozen, in eval statistics for complete and incomplete inputs; adapters and decoder learn.

    Part 0 of a step is the complete input: Dice against the truth. Each further part is one incomplete
    combination: L1 of its five features to the complete ones, mean over the five (paper: Eq. 4), and Dice of its
    prediction to the complete one (Eq. 5), both taken as constants; optionally Dice against the truth.
    """

    name = "adapt"

    def __init__(self, config: Config, part: AdaptPart) -> None:
        super().__init__(config, adapters=True)
        self.part = part
        self.sampling_weights = perturb.sampling_weights_of(self.task, part.sampling_weights)
        self.parts = 1 + part.combinations_per_step
        each = weight_of_each(self.task, part)
        self.weights = {
            "complete": part.complete,
            "feature": part.feature * each,
            "prediction": part.prediction * each,
            "incomplete": part.incomplete * each,
        }
        if part.freeze_encoder:
            self.network.freeze_encoder()

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        return self._complete(batch) if part == 0 else self._incomplete(batch, part - 1)

    def _complete(self, batch: Batch) -> Terms:
        combinations = perturb.draw_combinations(
            batch.available.shape[1], self.part.combinations_per_step, batch.draws, self.sampling_weights
        )
        device = batch.images.device
        images = fill(batch.images, batch.available, self.task)
        # A complete input leaves the adapters out, so nothing here would get a gradient from a frozen encoder.
        learns = not (self.network.encoder_frozen and bool(batch.available.all()))
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            features = self.network.encode(images, batch.available.to(device))
        outputs = self.network.outputs(features, images)
        found = probabilities(outputs[0].detach().float(), self.task.output)
        batch.carried = Complete([f.detach() for f in features], found, combinations)
        return {"complete": self._truth(outputs, batch, batch.available, self.part.truth)}

    def _incomplete(self, batch: Batch, number: int) -> Terms:
        assert isinstance(batch.carried, Complete), "part 0 comes first"
        targets, prediction = batch.carried.features, batch.carried.prediction
        device = batch.images.device
        available = batch.carried.combinations[number] & batch.available
        available = torch.where(available.any(1, keepdim=True), available, batch.available)
        valid = batch.available.all(1).to(device)
        images = fill(batch.images, available, self.task)
        features = self.network.encode(images, available.to(device))
        terms = {}
        if self.part.feature:
            terms["feature"] = losses.feature_consistency(features, targets, valid)
        if self.part.prediction or self.part.incomplete:
            outputs = self.network.outputs(features, images)
            if self.part.prediction:
                terms["prediction"] = losses.prediction_consistency(
                    outputs[0], prediction, valid, self.task.output
                )
            if self.part.incomplete:
                terms["incomplete"] = self._truth(outputs, batch, available, self.part.truth)
        return terms


def weight_of_each(task: Task, part: AdaptPart) -> float:
    """Weight of the terms of one drawn combination, so that a step's terms are the sum, or mean, over combinations.

    Each combination is drawn equally often, so ``combinations_per_step`` of n drawn and multiplied by
    n / ``combinations_per_step`` have the sum over all n as their expectation; with ``sampling_weights``, the sum in
    which combinations that are drawn more often count more.
    """
    number = len(perturb.incomplete_combinations(len(task.names))) if part.over_combinations == "sum" else 1
    return number / part.combinations_per_step
