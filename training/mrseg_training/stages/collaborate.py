"""CMC's training: few labelled subjects, many without labels, two modalities that teach each other."""

from __future__ import annotations

from torch import Tensor

from mrseg_training import losses_cmc, perturb
from mrseg_training.settings import CollaboratePart, Config
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.cmc import Both, Cmc


class Collaborate(Stage):
    """Part 0: labelled samples, the truth to both decoders and alike features. Part 1: unlabelled ones, which must be
    seen alike by both modalities, in features and in what is found.

    ``dropout`` above 0 (not in the paper) takes one modality away now and then, so that either does alone.
    """

    name = "collaborate"
    any_network = True

    def __init__(self, config: Config, part: CollaboratePart) -> None:
        super().__init__(config, adapters=False)
        if not isinstance(self.network, Cmc):
            raise InputError(f"The stage collaborate trains cmc, not {config.model.network}.")
        self.part = part
        self.uses_unlabelled = part.channel > 0 or part.anatomy > 0
        self.parts = 2 if self.uses_unlabelled else 1
        self.weights = {
            "truth": 1.0,
            "channel": part.channel,
            "unlabelled_channel": part.channel,
            "anatomy": part.anatomy,
        }

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        if part == 1:
            return self._unlabelled(batch.unlabelled) if batch.unlabelled is not None else {}
        available = batch.available
        if self.part.dropout:
            pair = list(self.network.settings.pair)
            kept = perturb.drop(available[:, pair], self.part.dropout, batch.draws, by="sample")
            available = available.clone()
            available[:, pair] = kept
        seen, both = self._forward(batch, available)
        one, other = (available[:, k] for k in self.network.settings.pair)
        terms = {
            "truth": self._of(seen.logits[0], batch, available, one)
            + self._of(seen.logits[1], batch, available, other)
        }
        if self.part.channel:
            terms["channel"] = losses_cmc.channel_consistency(*seen.features, both)
        return terms

    def _of(self, logits: Tensor, batch: Batch, available: Tensor, rows: Tensor) -> Tensor:
        """Truth loss of one decoder, over the samples that have its modality."""
        if not bool(rows.any()):
            return logits.sum() * 0.0
        some = Batch(batch.images[rows], batch.regions[rows], available[rows], [])
        return self._truth([logits[rows]], some, available[rows], self.part.truth)

    def _unlabelled(self, batch: Batch) -> Terms:
        seen, both = self._forward(batch, batch.available)
        terms = {}
        if self.part.channel:
            terms["unlabelled_channel"] = losses_cmc.channel_consistency(*seen.features, both)
        if self.part.anatomy:
            terms["anatomy"] = losses_cmc.anatomical_consistency(
                *seen.logits,
                both,
                contrast=self.part.contrast,
                temperature=self.part.temperature,
                output=self.task.output,
            )
        return terms

    def _forward(self, batch: Batch, available: Tensor) -> tuple[Both, Tensor]:
        """What the network makes of the batch, and which samples have both modalities."""
        device = batch.images.device
        seen: Both = self.network.look(fill(batch.images, available, self.task), available.to(device))
        return seen, available[:, list(self.network.settings.pair)].all(1).to(device)
