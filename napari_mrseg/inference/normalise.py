"""Intensities as the networks see them. One home for training and for the viewer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 0.01  # of the 99th percentile of |intensity|: below it a voxel is background
NO_FLOOR = -1.0  # below every |intensity|
TAIL = 3.0  # robust standard deviations above which the scale turns logarithmic


class Intensities(NamedTuple):
    """What normalisation needs to know of one volume, all in the volume's own units."""

    floor: float
    centre: float
    spread: float


def foreground_floor(volume: Tensor) -> float:
    """The |intensity| up to which a voxel of ``volume`` (I, P, L) is background."""
    sample = volume[::2, ::2, ::2].abs().reshape(-1)
    rank = max(1, int(0.99 * sample.numel()))
    return FLOOR * float(torch.kthvalue(sample, rank).values)


def foreground(volume: Tensor) -> Tensor:
    """The subject's voxels in one skull-stripped volume: (I, P, L) float → (I, P, L) bool.

    Background need not be exactly zero (resampling leaves small values of either sign); the threshold scales
    with the image, so units do not matter.
    """
    return volume.abs() > foreground_floor(volume)


def measure(volume: Tensor, mask: Tensor | None = None, *, holes: bool = True) -> Intensities:
    """Median and robust spread over the subject's voxels (``mask``, by default :func:`foreground`).

    Without ``holes`` every voxel counts, the dark ones too: a colour image has no background. Several channels are
    measured as one, so that colours keep their proportions.

    The spread is 1.4826 × the median absolute deviation, or the standard deviation if that is zero.
    """
    floor = foreground_floor(volume) if holes else NO_FLOOR
    inside = volume[volume.abs() > floor if mask is None else mask]
    if inside.numel() == 0:
        return Intensities(floor, 0.0, 1.0)
    centre = inside.median()
    spread = 1.4826 * (inside - centre).abs().median()
    if spread <= 0:
        spread = inside.std(unbiased=False)
    return Intensities(floor, float(centre), max(float(spread), 1e-20))


def scale(volume: Tensor, known: Intensities, mask: Tensor | None = None) -> Tensor:
    """``volume``, or a part of it, with zero median and unit spread; background 0.

    Values are cut at −5 and compressed logarithmically above 3, so that vessels and outliers do not drown the
    rest.
    """
    mask = volume.abs() > known.floor if mask is None else mask
    scaled = ((volume - known.centre) / known.spread).clamp_min_(-5.0)
    tail = (scaled - TAIL).clamp_min_(0.0)
    return (scaled - tail).add_(tail.log1p_()).mul_(mask)


def normalise(volume: Tensor, mask: Tensor | None = None) -> Tensor:
    """:func:`measure` and :func:`scale` of a whole volume: (I, P, L) float32 → the same shape."""
    return scale(volume, measure(volume, mask), mask)
