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


def resampled_means(values: npt.NDArray[np.float64], draws: int = DRAWS) -> npt.NDArray[np.float64]:
    """(draws, ...) means of (subjects, ...) values over subjects drawn again with replacement, nan left out.

    Every column gets the same draws, so that differences of columns stay paired.
    """
    count = len(values)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), draws).astype(float)
    flat = values.reshape(count, -1)
    there = (~np.isnan(flat)).astype(float)
    known = weights @ there
    sums = weights @ np.where(np.isnan(flat), 0.0, flat)
    means = np.where(known > 0, sums / np.maximum(known, 1), np.nan)
    return np.asarray(means.reshape(draws, *values.shape[1:]))


def interval(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(2, ...) the 95 % interval of (draws, ...) :func:`resampled_means`; nan where no draw has a value."""
    known = ~np.isnan(means).all(0)
    found = np.full((2, *means.shape[1:]), np.nan)
    found[:, known] = np.nanquantile(means[:, known], (0.025, 0.975), axis=0)
    return found
