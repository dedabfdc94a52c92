"""SMML's training: two branches under different masks, which learn from the truth and from each other.

Of a network with one branch, mmFormer, it is that one's own training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mrseg_training import losses_smml, perturb
from mrseg_training.settings import Config, MutualPart
from mrseg_training.stages.base import Batch, Stage, Terms
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.models.mmformer import MmFormer, Seen


class Mutual(Stage):
    """Each branch sees its own random modalities of the same images; all terms of one step are computed together.

    What either learns from the other is a constant in its own loss, so that a term pulls on one branch (paper: L_1 and
    L_2 each guide their branch). Without a ``prior`` the refinement's cues are what the branch finds in each modality
    alone.
    """

    name = "mutual"
    any_network = True

    def __init__(self, config: Config, part: MutualPart) -> None:
        super().__init__(config, adapters=False)
        self.part = part
        network: Any = self.network
        self.branches: list[MmFormer] = list(getattr(network, "branches", [network]))
        if not all(isinstance(branch, MmFormer) for branch in self.branches):
            raise InputError(
                f"The stage mutual trains smml and mmformer, not {config.model.network}; use the stage supervised."
            )
        two = len(self.branches) == 2
        self.refines = two and getattr(network, "refiners", None) is not None and part.refine > 0
        self.weights = {
            "truth": 1.0,
            "auxiliary": part.auxiliary,
            "pixel": part.pixel if two else 0.0,
            "feature": part.feature if two else 0.0,
            "refined_truth": part.refine if self.refines else 0.0,
            "refine": part.refine if self.refines else 0.0,
        }
        # Held aside, so that it is neither trained nor saved with the network.
        self._prior = [_frozen(config, part)] if self.refines and part.prior else []

    def forward(self, batch: Batch, part: int = 0) -> Terms:
        images = fill(batch.images, batch.available, self.task)
        masks = [
            perturb.drop(batch.available, self.part.dropout, batch.draws, by=self.part.dropout_by)
            for _ in self.branches
        ]
        separate = bool(self.part.auxiliary) or (self.refines and not self._prior)
        seen = [
            branch.look(images, mask.to(images.device), separate=separate)
            for branch, mask in zip(self.branches, masks, strict=True)
        ]
        terms: Terms = {
            "truth": _sum(
                self._truth([s.logits], batch, mask, self.part.truth)
                for s, mask in zip(seen, masks, strict=True)
            )
        }
        if self.part.auxiliary:
            terms["auxiliary"] = _sum(
                self._auxiliary(s, batch, mask) for s, mask in zip(seen, masks, strict=True)
            )
        if len(seen) == 2:
            terms |= self._between(seen[0], seen[1], batch)
        if self.refines:
            terms |= self._refined(seen, masks, images, batch)
        return terms

    def _between(self, a: Seen, b: Seen, batch: Batch) -> Terms:
        terms = {}
        if self.part.pixel:
            terms["pixel"] = _sum(
                losses_smml.pixel_constraint(
                    a.logits, b.logits, batch.regions, self.part.temperature, self.task.output
                )
            )
        if self.part.feature:
            terms["feature"] = losses_smml.feature_constraint(
                (a.fused, b.fused), (a.logits, b.logits), batch.regions, self.task.output
            )
        return terms

    def _auxiliary(self, seen: Seen, batch: Batch, mask: Tensor) -> Tensor:
        """Mean truth loss of the coarser maps, and of each modality alone where the branch saw it."""
        each = [self._truth([logits], batch, mask, self.part.truth) for logits in seen.coarser]
        for k, logits in enumerate(seen.separate):
            rows = torch.nonzero(mask[:, k]).flatten()
            if len(rows):
                alone = torch.zeros_like(mask[rows])
                alone[:, k] = True
                some = Batch(batch.images[rows], batch.regions[rows], alone, [])
                each.append(self._truth([logits[rows]], some, alone, self.part.truth))
        return _sum(each) / max(1, len(each))

    def _refined(self, seen: list[Seen], masks: list[Tensor], images: Tensor, batch: Batch) -> Terms:
        found: list[Tensor] = []
        refined: list[Tensor] = []
        for refine, s, mask in zip(self.network.refiners, seen, masks, strict=True):
            own = probabilities(s.logits.float(), self.task.output)
            result = refine(self._cues(s, mask, images), own)
            refined.append(self._truth([result], batch, mask, self.part.truth))
            found.append(losses_smml.refinement(s.logits, result, self.task.output))
        return {"refined_truth": _sum(refined), "refine": _sum(found)}

    @torch.no_grad()
    def _cues(self, seen: Seen, mask: Tensor, images: Tensor) -> Tensor:
        """What is found in each modality alone, (B, M·R, ..) probabilities, 0 where one is masked."""
        cues = []
        for k in range(mask.shape[1]):
            alone = torch.zeros_like(mask)
            alone[:, k] = True
            if self._prior:
                own = fill(images, alone, self.task)
                logits = self._prior[0].to(images.device)(own, alone.to(images.device))
            else:
                logits = seen.separate[k]
            there = mask[:, k, None, None, None, None].to(images.device)
            cues.append(probabilities(logits.float(), self.task.output) * there)
        return torch.cat(cues, 1)


def _frozen(config: Config, part: MutualPart) -> Any:
    """The network of the model folder that gives the cues. Raises InputError if it is of another task or input."""
    from napari_mrseg.models.store import load_model

    assert part.prior is not None
    model = load_model(part.prior.expanduser(), task=config.model_task)
    if model.card.normalisation.get("name") != "robust":
        raise InputError(
            f"stages.mutual.prior: {model.card.name} normalises its images otherwise; choose another."
        )
    return model.network.for_inference()


def _sum(values: Any) -> Tensor:
    listed = list(values)
    total: Tensor = sum(listed[1:], listed[0])
    return total
