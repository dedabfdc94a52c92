"""The single joint stage that the paper compares with: all losses at once, from scratch."""

from __future__ import annotations

import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.settings import Config, JointPart
from mrseg_training.stages.adapt import weight_of_each
from mrseg_training.stages.base import Batch, Stage, Terms
from mrseg_training.stages.contrast import contrast
from mrseg_training.stages.reconstruct import perturbed
from napari_mrseg.inference.fill import by_channel, fill
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.models.network import Network


class Joint(Stage):
    """Reconstruction, contrast, segmentation and both consistencies in one step.

    The head has the regions' outputs and, after them, one per channel for the reconstruction. Part 0 is the
    reconstruction, part 1 the complete input; the others are the incomplete combinations.
    """

    name = "joint"

    def __init__(self, config: Config, part: JointPart) -> None:
        task = config.model_task
        super().__init__(config, adapters=True, outputs=len(task.regions) + len(task.channels))
        self.part, self.model = part, config.model
        self.sampling_weights = perturb.sampling_weights_of(task, part.sampling_weights)
        if part.freeze_encoder:
            self.network.freeze_encoder()
        each = weight_of_each(task, part)
        self.weights = {
            "reconstruct": part.reconstruct,
            "complete": part.complete,
            # A mean over pairs (paper: Eq. 2), whatever their number.
            "contrast": part.contrast / part.combinations_per_step,
            "feature": part.feature * each,
            "prediction": part.prediction * each,
            "incomplete": part.incomplete * each,
        }
        self.parts = 2

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        return self._reconstruct(batch) if part == 0 else self._segment(batch)

    def logits(self, images: Tensor, available: Tensor) -> Tensor:
        result: Tensor = self.network(images, available)[:, : len(self.task.regions)]
        return result

    def _reconstruct(self, batch: Batch) -> Terms:
        if not self.part.reconstruct:
            return {}
        seen, available = perturbed(batch, self.part.perturb, self.task)
        output = self.network(seen, available.to(seen.device))[:, len(self.task.regions) :].relu()
        target, available = losses.min_max(batch.images), by_channel(batch.available, self.task)
        return {"reconstruct": losses.l1(output, target, available) + losses.ssim(output, target, available)}

    def _segment(self, batch: Batch) -> Terms:
        # In one part: contrast needs the gradient of both versions' features.
        regions, device = len(self.task.regions), batch.images.device
        valid = batch.available.all(1).to(device)
        images = fill(batch.images, batch.available, self.task)
        whole = self.network.encode(images, batch.available.to(device))
        outputs = [logits[:, :regions] for logits in self.network.outputs(whole, images)]
        terms = {"complete": self._truth(outputs, batch, batch.available, self.part.truth)}
        targets = [f.detach() for f in whole]
        prediction = probabilities(outputs[0].detach().float(), self.task.output)
        chosen = perturb.draw_combinations(
            len(self.task.names), self.part.combinations_per_step, batch.draws, self.sampling_weights
        )
        for combination in chosen:
            available = combination & batch.available
            available = torch.where(available.any(1, keepdim=True), available, batch.available)
            images = fill(batch.images, available, self.task)
            some = self.network.encode(images, available.to(device))
            guesses = [logits[:, :regions] for logits in self.network.outputs(some, images)]
            _add(terms, "contrast", contrast(whole, some, batch, self.part))
            _add(terms, "feature", losses.feature_consistency(some, targets, valid))
            _add(
                terms,
                "prediction",
                losses.prediction_consistency(guesses[0], prediction, valid, self.task.output),
            )
            if self.part.incomplete:
                _add(terms, "incomplete", self._truth(guesses, batch, available, self.part.truth))
        return terms

    def exported(self) -> Network:
        """The network with the regions' outputs only."""
        network = self.model.make(self.task, adapters=True)
        regions = len(self.task.regions)
        state = {
            key: value[:regions] if key.startswith(("head.", "deep.")) else value
            for key, value in self.network.state_dict().items()
        }
        network.load_state_dict(state)
        return network


def _add(terms: Terms, name: str, value: Tensor) -> None:
    terms[name] = terms[name] + value if name in terms else value
