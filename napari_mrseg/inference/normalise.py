"""Intensities as the networks see them. One home for training and for the viewer."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 0.01  # of the 99th percentile of |intensity|: below it a voxel is background
TAIL = 3.0  # robust standard deviations above which the scale turns logarithmic


def foreground(volume: Tensor) -> Tensor:
    """The subject's voxels in one skull-stripped volume: (I, P, L) float → (I, P, L) bool.

    Background need not be exactly zero (resampling leaves small values of either sign); the threshold scales
    with the image, so units do not matter.
    """
    magnitude = volume.abs()
    sample = magnitude[::2, ::2, ::2].reshape(-1)
    rank = max(1, int(0.99 * sample.numel()))
    return magnitude > FLOOR * torch.kthvalue(sample, rank).values


def normalise(volume: Tensor, mask: Tensor | None = None) -> Tensor:
    """Zero median and unit robust spread over the subject's own voxels, background 0.

    ``volume``: (I, P, L) float32; ``mask``: (I, P, L) bool, by default :func:`foreground`. The spread is
    1.4826 × the median absolute deviation (the standard deviation if that is zero); values are cut at −5 and
    compressed logarithmically above 3, so that vessels and outliers do not drown the rest.
    """
    mask = foreground(volume) if mask is None else mask
    inside = volume[mask]
    if inside.numel() == 0:
        return torch.zeros_like(volume)
    centre = inside.median()
    spread = 1.4826 * (inside - centre).abs().median()
    if spread <= 0:
        spread = inside.std(unbiased=False).clamp_min(1e-6)
    scaled = ((volume - centre) / spread).clamp_min(-5.0)
    tail = TAIL + torch.log1p((scaled - TAIL).clamp_min(0.0))
    return torch.where(scaled > TAIL, tail, scaled) * mask
