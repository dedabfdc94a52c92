"""Real tumours in other brains: moved, turned, bent, scaled and recoloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mrseg_training.data.anatomy import MEDIAN, Anatomy
from mrseg_training.data.tumour import chance, look_up, offsets, rotation, smooth_noise, uniform
from napari_mrseg.prepare import bounds, most

MARGIN = 2  # voxels kept around a tumour, so that its border is its own


@dataclass
class SourceLesion:
    """A tumour cut out of a labelled brain.

    ``stack`` (8, I, P, L): the four modalities in the units of :class:`~.anatomy.Anatomy`, the share of each label
    code 1, 2, 3, and where its own brain is. ``radius``: mm of a ball of its size.
    """

    stack: Tensor
    radius: float


def source_lesion(real: Anatomy, spacing: float) -> SourceLesion:
    """The tumour of a brain with ``labels``."""
    assert real.labels is not None
    tumour = real.labels > 0
    box = tuple(slice(max(0, low - MARGIN), high + MARGIN) for low, high in bounds(tumour))
    codes = real.labels[box]
    shares = torch.stack([codes == code for code in (1, 2, 3)]).float()
    inside = (real.images[1] > 0)[box].float()
    ml = float(tumour.sum()) * spacing**3
    return SourceLesion(
        torch.cat([real.images[:, *box], shares, inside[None]]), (ml * 3 / (4 * torch.pi)) ** (1 / 3)
    )


def graft(
    images: Tensor, brain: Tensor, own: SourceLesion, centre: Sequence[float], generator: Generator
) -> tuple[Tensor, Tensor]:
    """(images, labels): ``own`` laid into ``images`` (4, I, P, L) around ``centre`` (voxels), within ``brain``."""
    where = offsets(brain.shape, centre, 1.0)
    zoom = torch.exp(0.2 * torch.randn(3, generator=generator).clamp(-2, 2))
    where = torch.einsum("ab,bipl->aipl", rotation(20, generator), where) / zoom.view(3, 1, 1, 1)
    if chance(0.5, generator):
        where[2] = -where[2]
    bend = uniform(0, 1.5, generator)
    where = where + torch.stack([bend * smooth_noise(brain.shape, 10, generator) for _ in range(3)])
    middle = [(n - 1) / 2 for n in own.stack.shape[1:]]
    found = look_up(own.stack, where + torch.tensor(middle).view(3, 1, 1, 1))
    inside = found[7].clamp_min(1e-3)
    shares = found[4:7] / inside * (found[7] > 0.5) * brain
    whole = shares.sum(0).clamp(0, 1)
    out = []
    for image, value in zip(images, found[:4], strict=True):
        gain = uniform(0.8, 1.25, generator)
        shifts = torch.tensor([uniform(-0.6, 0.6, generator) for _ in range(3)]).view(3, 1, 1, 1)
        value = MEDIAN + gain * (value / inside - MEDIAN) + (shares * shifts).sum(0)
        out.append(image + whole * (value - image))
    labels = most(shares, (1, 2, 3))
    return torch.stack(out), labels
