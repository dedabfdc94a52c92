"""Does a probability of 0.7 mean 7 of 10 voxels? By number of modalities and region.

A temperature T takes a probability to sigmoid(logit / T): above 1 it is less sure, and 0.5 stays (Guo et al. 2017,
arXiv 1706.04599).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10
LEAST = 0.05  # the probability from which voxels count: the easy background makes any model look calibrated
LOGITS = np.linspace(-8, 8, 161)  # the middles of the bins that a temperature is fitted to
TEMPERATURES = np.geomspace(0.2, 10, 200)
Floats = npt.NDArray[np.float64]


class Calibration:
    """Sums over voxels of the heads' boxes, in ten bins of probability."""

    def __init__(self, modalities: int, regions: int) -> None:
        shape = (modalities, regions, BINS)
        self.count = np.zeros(shape)
        self.probability = np.zeros(shape)
        self.truth = np.zeros(shape)
        fine = (modalities, regions, len(LOGITS))
        self.fine_count, self.fine_truth = np.zeros(fine), np.zeros(fine)

    def add(
        self, modalities: int, probabilities: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]
    ) -> None:
        """(R, i, p, l) probabilities, float16 or float32, and truth of a prediction made from ``modalities``."""
        for region, (p, t) in enumerate(zip(probabilities, truth, strict=True)):
            value, count, hits = _counted(p, t)
            bins = np.minimum((value * BINS).astype(np.intp), BINS - 1)
            place = (modalities - 1, region)
            self.count[place] += np.bincount(bins, weights=count, minlength=BINS)
            self.probability[place] += np.bincount(bins, weights=count * value, minlength=BINS)
            self.truth[place] += np.bincount(bins, weights=hits, minlength=BINS)
            fine = _fine(value)
            self.fine_count[place] += np.bincount(fine, weights=count, minlength=len(LOGITS))
            self.fine_truth[place] += np.bincount(fine, weights=hits, minlength=len(LOGITS))

    def join(self, other: Calibration) -> None:
        """Add what ``other`` holds."""
        self.count += other.count
        self.probability += other.probability
        self.truth += other.truth
        self.fine_count += other.fine_count
        self.fine_truth += other.fine_truth

    def document(self, regions: Sequence[str]) -> dict[str, Any]:
        """Curves and expected calibration errors, by number of modalities, then by region.

        ECE is over all voxels of the box, and over those with a probability of at least ``LEAST``. ``temperature``: the
        one that suits these voxels best; ``fine``: what it follows from.
        """
        return {
            str(n + 1): {
                region: {
                    "ece": self.ece(n, r, 0.0),
                    "ece_from_0.05": self.ece(n, r, LEAST),
                    "temperature": temperature(self.fine_count[n, r], self.fine_truth[n, r]),
                    "fine": [
                        self.fine_count[n, r].astype(int).tolist(),
                        self.fine_truth[n, r].astype(int).tolist(),
                    ],
                    "probability": _share(self.probability[n, r], self.count[n, r]),
                    "frequency": _share(self.truth[n, r], self.count[n, r]),
                    "voxels": self.count[n, r].astype(int).tolist(),
                }
                for r, region in enumerate(regions)
            }
            for n in range(len(self.count))
            if self.count[n].any()
        }

    def ece(self, n: int, region: int, least: float) -> float:
        """Mean |frequency − probability|, weighted by voxels, of the bins whose mean probability is ≥ ``least``."""
        count = self.count[n, region]
        some = count > 0
        some[some] = self.probability[n, region][some] / count[some] >= least
        if not some.any():
            return float("nan")
        gap = np.abs(self.truth[n, region][some] - self.probability[n, region][some])
        return float(gap.sum() / count[some].sum())


def _counted(
    p: npt.NDArray[np.floating], t: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    """Probabilities, how many voxels have each, and how many of those are true.

    float16 has few values: each is counted once, which is much quicker than going through the voxels.
    """
    if p.dtype == np.float16:
        codes = np.ascontiguousarray(p).view(np.uint16)
        count = np.bincount(codes.ravel())
        hits = np.bincount(codes[t], minlength=len(count))
        there = np.flatnonzero(count)
        value = there.astype(np.uint16).view(np.float16).astype(np.float32)
        return value, count[there].astype(float), hits[there].astype(float)
    value = p.ravel().astype(np.float32)
    return value, np.ones(len(value)), t.ravel().astype(float)


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> list[float | None]:
    return [float(p / w) if w else None for p, w in zip(part, whole, strict=True)]


def _fine(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """The bin of ``LOGITS`` of each probability."""
    edge = np.float32(1e-7)
    p = np.clip(probability, edge, 1 - edge)
    logit = np.log(p) - np.log1p(-p)
    step = LOGITS[1] - LOGITS[0]
    result: npt.NDArray[np.intp] = np.rint((np.clip(logit, LOGITS[0], LOGITS[-1]) - LOGITS[0]) / step).astype(
        np.intp
    )
    return result


def _scaled(by: float | Floats) -> Floats:
    scaled: Floats = 1 / (1 + np.exp(-LOGITS / by))
    return scaled


def temperature(count: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """The temperature with the least negative log-likelihood; 1 if no voxel counts.

    ``count``, ``truth``: voxels in each bin of ``LOGITS``, and those of them in the region.
    """
    counted = _scaled(1.0) >= LEAST
    all_, hits = (np.asarray(values, dtype=float)[counted] for values in (count, truth))
    if not all_.any():
        return 1.0
    p = np.clip(_scaled(TEMPERATURES[:, None])[:, counted], 1e-6, 1 - 1e-6)
    loss = -(hits * np.log(p) + (all_ - hits) * np.log(1 - p)).sum(1)
    return float(TEMPERATURES[loss.argmin()])


def scaled_error(count: npt.ArrayLike, truth: npt.ArrayLike, by: float) -> float:
    """ECE in ten bins after a temperature, of the voxels that had a probability of at least ``LEAST`` before it."""
    counted = _scaled(1.0) >= LEAST
    all_, hits = (np.asarray(values, dtype=float)[counted] for values in (count, truth))
    if not all_.any():
        return float("nan")
    p = _scaled(by)[counted]
    bins = np.minimum((p * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(bins, weights=hits - p * all_, minlength=BINS)
    return float(np.abs(gap).sum() / all_.sum())
