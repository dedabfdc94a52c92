"""How salient objects are scored in the papers: on the map of probabilities, not on the labels.

Structure measure: Fan et al. 2017 (arXiv 1708.00786). Enhanced alignment: Fan et al. 2018 (arXiv 1805.10421).
F-measure: Achanta et al. 2009, β² = 0.3. Weighted F-measure: Margolin et al. 2014. Written from the papers; equal to
pysodmetrics to 1e-6 (tests/core/test_saliency.py).
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
    """Measures of one image; ``mae``: lower is better.

    ``f`` and ``e``: mean of F- and E-measure over all 256 thresholds; ``f_max``, ``e_max``: their highest value;
    ``f_adaptive``, ``e_adaptive``: at twice the map's mean; ``f_weighted``: of all probabilities, with errors weighed
    by where they are.
    """

    s: float
    mae: float
    f: float
    e: float
    f_max: float
    e_max: float
    f_adaptive: float
    e_adaptive: float
    f_weighted: float


class Curves(NamedTuple):
    """F- and E-measure of one image, (256,) each: of the map cut at 255/255 down to 0.

    Papers state the maximum of the mean curve of a data set, which is lower than the mean of each image's maximum.
    """

    f: Map
    e: Map


def saliency(found: Map, truth: Mask) -> Saliency:
    """``found``: (P, L) in [0, 1], probability of the object; ``truth``: (P, L). Raises ValueError for other shapes.

    As the field does it, ``found`` is rounded to 256 grey values and stretched to their full range first.
    """
    return saliency_and_curves(found, truth)[0]


def saliency_and_curves(found: Map, truth: Mask) -> tuple[Saliency, Curves]:
    """:func:`saliency`, and the curves that its means and maxima are of."""
    if found.shape != truth.shape or found.ndim != 2:
        raise ValueError(f"maps must be (P, L) and alike, not {found.shape} and {truth.shape}")
    grey = np.round(np.clip(found, 0, 1).astype(np.float64) * 255)
    low, high = grey.min(), grey.max()
    seen = (grey - low) / (high - low) if high > low else grey / 255
    f, e = _by_threshold(seen, truth)
    f_adaptive, e_adaptive = _adaptive(seen, truth)
    one = Saliency(
        s=structure(seen, truth),
        mae=float(np.abs(seen - truth).mean()),
        f=float(f.mean()),
        e=float(e.mean()),
        f_max=float(f.max()),
        e_max=float(e.max()),
        f_adaptive=f_adaptive,
        e_adaptive=e_adaptive,
        f_weighted=weighted_f(seen, truth),
    )
    return one, Curves(f, e)


def weighted_f(found: Map, truth: Mask) -> float:
    """Weighted F-measure (Margolin et al. 2014), β² = 1; 0 where there is no object.

    Within the object the error of a pixel is not above the mean error around it (Gaussian of σ 5 over 7 × 7 pixels, to
    which a pixel outside lends the error of the nearest one inside). Outside, an error counts up to twice: the farther
    from the object, the more.
    """
    from scipy.ndimage import convolve, distance_transform_edt

    if not truth.any():
        return 0.0
    error = np.abs(found - truth)
    distance, nearest = distance_transform_edt(~truth, return_indices=True)
    lent = error[tuple(nearest)]
    side = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5.0**2))
    kernel = np.outer(side, side) / np.outer(side, side).sum()
    around = convolve(lent, kernel, mode="constant", cval=0.0)
    least = np.where(truth, np.minimum(around, error), error)
    weighed = least * np.where(truth, 1.0, 2 - np.exp(np.log(0.5) / 5 * distance))
    recall = 1 - float(weighed[truth].mean())
    hits, false = truth.sum() - weighed[truth].sum(), weighed[~truth].sum()
    precision = float(hits / (hits + false + _TINY))
    return 2 * recall * precision / (recall + precision + _TINY)


def _adaptive(found: Map, truth: Mask) -> tuple[float, float]:
    """(F, E) of the map cut at twice its mean, at most 1."""
    cut = found >= min(2 * float(found.mean()), 1.0)
    inside, outside = np.array([(cut & truth).sum()]), np.array([(cut & ~truth).sum()])
    positive = int(truth.sum())
    f = _f_measure(inside, outside, positive)
    return float(f[0]), float(_alignment(inside, outside, positive, truth.size)[0])


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
    positive = int(truth.sum())
    return _f_measure(inside, outside, positive), _alignment(inside, outside, positive, truth.size)


def _f_measure(inside: Counts, outside: Counts, positive: int) -> Map:
    precision = inside / np.maximum(inside + outside, 1)
    recall = inside / max(1, positive)
    below = BETA2 * precision + recall
    return np.where(below == 0, 0, (1 + BETA2) * precision * recall / np.where(below == 0, 1, below))


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
