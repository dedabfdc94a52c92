"""A quick score during training, and pictures to look at. The real table is made by :mod:`.evaluate`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.augment import regions_of
from mrseg_training.data.prepared import Volumes
from mrseg_training.stages import Batch, Stage
from mrseg_training.stages.reconstruct import Reconstruct
from napari_mrseg.inference.fill import by_channel, fill
from napari_mrseg.inference.outputs import inside, probabilities


@torch.no_grad()
def score(stage: Stage, volumes: Volumes, subjects: int, fabric: Any) -> float:
    """Higher is better. Mean Dice over regions, for all modalities and each alone; stage 1: minus its L1.

    Whole volumes of the first ``subjects`` validation subjects. An absent region found absent counts as 1.
    """
    stage.eval()
    total, count = 0.0, 0
    for subject in volumes.subjects[:subjects]:
        images = volumes.images(subject)[None].float().to(fabric.device)
        labels = volumes.labels(subject)[None].to(fabric.device)
        available = volumes.available(subject)[None]
        with fabric.autocast():
            for fewer in _picture_subjects(available):
                seen = fill(images, fewer, stage.task)
                if isinstance(stage, Reconstruct):
                    value = -losses.l1(
                        stage.reconstruction(seen), losses.min_max(images), by_channel(available, stage.task)
                    )
                else:
                    found = inside(stage.logits(seen, fewer.to(images.device)).float(), stage.task.output)
                    truth = regions_of(labels, [r.codes for r in stage.task.regions]) > 0
                    value = _dice(found, truth)
                total, count = total + float(value), count + 1
    return total / count


def _picture_subjects(available: Tensor) -> list[Tensor]:
    rows = [available]
    for m in torch.nonzero(available[0]).flatten().tolist():
        alone = torch.zeros_like(available)
        alone[0, m] = True
        rows.append(alone)
    return rows


def _dice(found: Tensor, truth: Tensor) -> Tensor:
    """Mean over regions of (1, R, I, P, L) bool masks."""
    both = (found & truth).flatten(2).sum(2).float()
    size = found.flatten(2).sum(2) + truth.flatten(2).sum(2)
    return torch.where(size > 0, 2 * both / size.clamp_min(1), torch.ones_like(both)).mean()


@torch.no_grad()
def pictures(stage: Stage, batch: Batch) -> Tensor:
    """(3, H, W) in [0, 1]: a row per combination of the first sample: input, truth and what the stage made of it."""
    training = stage.training
    stage.eval()
    images = batch.images[:1]
    slab = int(batch.regions[0, 0].sum((1, 2)).argmax())
    truth = (
        batch.regions[0, :, slab].amax(0, keepdim=True) if batch.regions.any() else batch.regions[0, :1, slab]
    )
    table = torch.cat(
        [perturb.incomplete_combinations(len(stage.task.names)), torch.ones(1, len(stage.task.names)).bool()]
    )
    rows = []
    for combination in table:
        fewer = combination[None] & batch.available[:1]
        if not fewer.any():
            continue
        seen = fill(images, fewer, stage.task)
        shown = [image[slab] for image in losses.min_max(seen)[0]]
        if isinstance(stage, Reconstruct):
            made = [image[slab].clamp(0, 1) for image in stage.reconstruction(seen)[0].float()]
        else:
            logits = stage.logits(seen, fewer.to(images.device))[0].float()
            made = [truth[0], *(p[slab] for p in probabilities(logits[None], stage.task.output)[0])]
        rows.append(torch.cat([*shown, *made], dim=1))
    stage.train(training)
    return torch.cat(rows)[None].expand(3, -1, -1).float().cpu()
