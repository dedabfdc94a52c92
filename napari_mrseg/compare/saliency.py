"""How salient objects are scored in the papers: on the map of probabilities, not on the labels.

Structure measure: Fan et al. 2017 (arXiv 1708.00786). Enhanced alignment: Fan et al. 2018 (arXiv 1805.10421).
F-measure: Achanta et al. 2009, β² = 0.3. Written from the papers; equal to pysodmetrics to 1e-6
(tests/core/test_saliency.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.integer]

BETA2 = 0.3
_TINY = float(np.spacing(1))


class Saliency(NamedTuple):
    """Of one image. ``f`` and ``e``: the mean over all 256 thresholds; ``mae``: lower is better."""

    s: float
    mae: float
    f: float
    e: float


def saliency(found: Map, truth: Mask) -> Saliency:
    """``found``: (P, L) in [0, 1], probability of the object; ``truth``: (P, L). Raises ValueError for other shapes.

    As the field does it, ``found`` is rounded to 256 grey values and stretched to their full range first.
    """
    if found.shape != truth.shape or found.ndim != 2:
        raise ValueError(f"maps must be (P, L) and alike, not {found.shape} and {truth.shape}")
    grey = np.round(np.clip(found, 0, 1).astype(np.float64) * 255)
    low, high = grey.min(), grey.max()
    seen = (grey - low) / (high - low) if high > low else grey / 255
    f, e = _by_threshold(seen, truth)
    return Saliency(
        structure(seen, truth), float(np.abs(seen - truth).mean()), float(f.mean()), float(e.mean())
    )


def structure(found: Map, truth: Mask, alpha: float = 0.5) -> float:
    """S-measure: ``alpha`` of the object-aware part, the rest of the region-aware one."""
    share = float(truth.mean())
    if share == 0:
        return float(1 - found.mean())
    if share == 1:
        return float(found.mean())
    objects = share * _object(found[truth]) + (1 - share) * _object(1 - found[~truth])
    return max(0.0, alpha * objects + (1 - alpha) * _regions(found, truth))


def _object(values: Map) -> float:
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + spread + _TINY)


def _regions(found: Map, truth: Mask) -> float:
    """Four parts that meet at the object's centre, each by its structural similarity, weighted by its area."""
    rows, columns = np.nonzero(truth)
    y, x = int(np.round(rows.mean())) + 1, int(np.round(columns.mean())) + 1
    total = 0.0
    for row in (slice(0, y), slice(y, None)):
        for column in (slice(0, x), slice(x, None)):
            part = found[row, column]
            if part.size:
                total += part.size / truth.size * _similarity(part, truth[row, column].astype(float))
    return total


def _similarity(a: Map, b: Map) -> float:
    x, y = float(a.mean()), float(b.mean())
    n = max(1, a.size - 1)
    xx, yy = float(((a - x) ** 2).sum()) / n, float(((b - y) ** 2).sum()) / n
    xy = float(((a - x) * (b - y)).sum()) / n
    above, below = 4 * x * y * xy, (x**2 + y**2) * (xx + yy)
    if above != 0:
        return above / (below + _TINY)
    return 1.0 if below == 0 else 0.0


def _by_threshold(found: Map, truth: Mask) -> tuple[Map, Map]:
    """(F, E), (256,) each: of the map cut at 255/255 down to 0."""
    grey = (found * 255).astype(np.uint8)
    inside = np.cumsum(np.bincount(grey[truth], minlength=256)[::-1])  # found and true, by falling threshold
    outside = np.cumsum(np.bincount(grey[~truth], minlength=256)[::-1])
    positive, size = max(1, int(truth.sum())), truth.size
    precision = inside / np.maximum(inside + outside, 1)
    recall = inside / positive
    below = BETA2 * precision + recall
    f = np.where(below == 0, 0, (1 + BETA2) * precision * recall / np.where(below == 0, 1, below))
    return f, _alignment(inside, outside, int(truth.sum()), size)


def _alignment(inside: Counts, outside: Counts, positive: int, size: int) -> Map:
    """E-measure by threshold, from the counts of the four kinds of pixels alone."""
    found = (inside + outside).astype(float)
    total = np.zeros(len(found))
    if positive == 0:
        total = size - found
    elif positive == size:
        total = found
    else:
        mean_found, mean_true = found / size, positive / size
        kinds = (
            (inside, 1, 1),
            (outside, 1, 0),
            (positive - inside, 0, 1),
            (size - positive - outside, 0, 0),
        )
        for count, value, true in kinds:
            a, b = value - mean_found, true - mean_true
            aligned = 2 * a * b / (a**2 + b**2 + _TINY)
            total = total + (aligned + 1) ** 2 / 4 * count
    return total / (size - 1 + _TINY)
