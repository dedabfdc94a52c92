"""Does a probability of 0.7 mean 7 of 10 voxels? By number of modalities and region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10


class Calibration:
    """Sums over voxels of the heads' boxes, in ten bins of probability."""

    def __init__(self, modalities: int, regions: int) -> None:
        shape = (modalities, regions, BINS)
        self.count = np.zeros(shape)
        self.probability = np.zeros(shape)
        self.truth = np.zeros(shape)

    def add(
        self, modalities: int, probabilities: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]
    ) -> None:
        """(R, i, p, l) probabilities and truth of one prediction made from ``modalities`` modalities."""
        for region, (p, t) in enumerate(zip(probabilities, truth, strict=True)):
            bins = np.minimum((p.ravel() * BINS).astype(np.intp), BINS - 1)
            place = (modalities - 1, region)
            self.count[place] += np.bincount(bins, minlength=BINS)
            self.probability[place] += np.bincount(bins, weights=p.ravel(), minlength=BINS)
            self.truth[place] += np.bincount(bins, weights=t.ravel(), minlength=BINS)

    def join(self, other: Calibration) -> None:
        """Add what ``other`` holds."""
        self.count += other.count
        self.probability += other.probability
        self.truth += other.truth

    def document(self, regions: Sequence[str]) -> dict[str, Any]:
        """Curves and expected calibration errors, by number of modalities, then by region.

        ECE is over all voxels of the box, and over those with a probability of at least 0.05, since the easy
        background makes any model look calibrated.
        """
        return {
            str(n + 1): {
                region: {
                    "ece": self.ece(n, r, 0.0),
                    "ece_from_0.05": self.ece(n, r, 0.05),
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


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> list[float | None]:
    return [float(p / w) if w else None for p, w in zip(part, whole, strict=True)]
