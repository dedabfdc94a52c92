"""Heads for tests: the bundled sample's simulated brain inside drawn layers of fluid, bone, fat and skin."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from napari_mrseg.io import open_study
from napari_mrseg.resources import sample_study

SPACING = (2.0, 2.0, 2.0)
LEVELS = {"flair": (0.2, 0.06, 1.1, 0.5), "t1": (0.25, 0.08, 1.9, 0.6), "t2": (2.4, 0.08, 1.3, 0.4)}
"""Of fluid, bone, fat and skin, in medians of the brain."""


@cache
def head(contrast: str = "t1") -> tuple[np.ndarray, np.ndarray]:
    """(I, P, L) float32 at 2 mm, and its brain, bool."""
    data = open_study(sample_study(), brain="none").images[contrast].data
    data = np.pad(ndimage.uniform_filter(data, 2)[::2, ::2, ::2], 12)
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(data > 0.02 * data.max(), iterations=2))
    level = float(np.median(data[brain]))
    depth = ndimage.distance_transform_edt(~brain) * SPACING[0]
    layers = np.zeros_like(data)
    for value, (low, high) in zip(LEVELS[contrast], ((0, 3), (3, 8), (8, 13), (13, 16)), strict=True):
        layers[(depth > low) & (depth <= high)] = value * level
    grain = 1 + 0.06 * np.random.default_rng(0).normal(size=data.shape)
    return np.where(brain, data, layers * grain).astype(np.float32), brain
