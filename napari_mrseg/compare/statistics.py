"""Means with intervals: subjects, and seeds, drawn again with replacement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DRAWS = 4000


def mean_of_known(
    values: npt.NDArray[np.float64], axis: int | tuple[int, ...] | None = None
) -> npt.NDArray[np.float64]:
    """The mean of what is not nan, nan where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis)
    sums = np.where(there, values, 0.0).sum(axis)
    return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan), dtype=float)


def bootstrap(values: npt.NDArray[np.float64], draws: int = DRAWS) -> dict[str, float]:
    """Mean and 95 % interval of (seeds, subjects, regions) values or paired differences, nan where a region is absent.

    Subjects and seeds are drawn again with replacement, each on its own; a region's mean is over the subjects that
    have it, the result is the mean over regions.
    """
    random = np.random.default_rng(0)
    seeds, subjects, _ = values.shape
    means = np.empty(draws)
    for draw in range(draws):
        s = random.integers(0, seeds, seeds)
        k = random.integers(0, subjects, subjects)
        means[draw] = _mean(values[s][:, k])
    low, high = np.nanquantile(means, (0.025, 0.975))
    return {"mean": _mean(values), "low": float(low), "high": float(high)}


def _mean(values: npt.NDArray[np.float64]) -> float:
    there = ~np.isnan(values)
    count = there.sum((0, 1))
    sums = np.where(there, values, 0.0).sum((0, 1))
    return float(np.mean(sums[count > 0] / count[count > 0])) if (count > 0).any() else float("nan")
