"""Where the combinations agree on one study, voxel by voxel, and one sentence about it.

For a region, each combination votes: its label map includes the voxel or not. With p the share that includes
it, ``share`` is p, ``agreement`` is max(p, 1 − p), the share that gives the more common answer (0.5 … 1), and
``entropy`` is −p·log2 p − (1 − p)·log2(1 − p), in bits (0 … 1). For region None the answers are the label
codes themselves, background included: agreement is the share of the most common code, entropy that of all.
Every combination has one vote, estimated regions included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.metrics import Box, join, lookup
from napari_mrseg.tasks import sized

Map = npt.NDArray[np.float32]
DEFAULT = "default"
DEFAULT_PART = 0.8  # of the combinations must give the same answer: 12 of 15, 3 of 3


@dataclass(frozen=True)
class Summary:
    """``share`` of the volume in which at least ``votes`` of ``combinations`` give the same answer.

    ``size`` is that volume in the task's unit: every voxel that at least one combination puts in the region.
    ``share`` is nan where there is no such voxel.
    """

    region: str | None
    votes: int
    combinations: int
    share: float
    size: float
    unit: str

    @property
    def sentence(self) -> str:
        what = "any region" if self.region is None else self.region
        if self.size == 0:
            return f"None of the {self.combinations} combinations finds {what}."
        amount = sized(self.size, self.unit)
        everyone = self.votes == self.combinations
        who = f"All {self.votes}" if everyone else f"{self.votes} of {self.combinations}"
        return (
            f"{who} combinations agree on {_percent(self.share)} of the volume "
            f"({amount} {self.unit} that at least one of them calls {what})."
        )

    @property
    def explanation(self) -> str:
        what = (
            "the same label"
            if self.region is None
            else f"the same answer, {self.region} or not {self.region}"
        )
        return (
            f"Of the voxels that at least one combination marks, the share in which at least {self.votes} of "
            f"{self.combinations} combinations give {what}. Voxels that none marks are left out."
        )


class Agreement:
    """Votes of all predictions of a comparison. Maps are float32 on the study's grid, made on demand."""

    def __init__(self, comparison: Comparison) -> None:
        if not comparison.predictions:
            raise ValueError("There is no prediction yet to agree with.")
        self.comparison = comparison
        self.task = comparison.task
        self.n = len(comparison.predictions)
        self._votes: dict[str, npt.NDArray[np.uint16]] = {}

    @cached_property
    def _box(self) -> Box:
        boxes = [m.box for m in self.comparison._measured.values() if m.box is not None]
        return join(*boxes) if boxes else (slice(0, 0),) * len(self.comparison.study.grid.shape)

    @cached_property
    def _stack(self) -> list[npt.NDArray[np.uint8]]:
        return [p.labels[self._box] for p in self.comparison.predictions.values()]

    def votes(self, region: str) -> npt.NDArray[np.uint16]:
        """Number of combinations that include each voxel, within the box around everything found."""
        if region not in self._votes:
            table = lookup(self.task.region(region))
            total = np.zeros(tuple(s.stop - s.start for s in self._box), dtype=np.uint16)
            for labels in self._stack:
                total += table[labels]
            self._votes[region] = total
        return self._votes[region]

    @cached_property
    def _codes(self) -> dict[int, npt.NDArray[np.uint16]]:
        """Number of combinations per label code, background included, within the box."""
        codes = [0, *(label.code for label in self.task.labels)]
        return {
            code: np.sum([labels == code for labels in self._stack], axis=0, dtype=np.uint16)
            for code in codes
        }

    def share(self, region: str) -> Map:
        """Share of the combinations whose label map includes the voxel, 0 … 1."""
        return self._whole(np.arange(self.n + 1) / self.n, self.votes(region), 0.0)

    def agreement(self, region: str | None = None) -> Map:
        """Share of the combinations that give the voxel's most common answer; 1 where none marks it."""
        k = np.arange(self.n + 1)
        if region is not None:
            return self._whole(np.maximum(k, self.n - k) / self.n, self.votes(region), 1.0)
        most = np.maximum.reduce(list(self._codes.values()))
        return self._whole(k / self.n, most, 1.0)

    def entropy(self, region: str | None = None) -> Map:
        """Entropy of the answers, bits; 0 where all agree."""
        p = np.arange(self.n + 1) / self.n
        part = -p * np.log2(np.where(p > 0, p, 1.0))
        if region is not None:
            return self._whole(part + part[::-1], self.votes(region), 0.0)
        table = part.astype(np.float32)
        whole = np.zeros(self.comparison.study.grid.shape, dtype=np.float32)
        for votes in self._codes.values():
            whole[self._box] += table[votes]
        return whole

    def summary(self, region: str | None = DEFAULT, votes: int | None = None) -> Summary:
        """How much of the volume ``votes`` combinations (default: four fifths of them) agree on.

        ``region``: default is the first one of a nested task, and all labels (None) of an exclusive one.
        """
        if region == DEFAULT:
            region = self.task.regions[0].name if self.task.nested else None
        votes = math.ceil(DEFAULT_PART * self.n) if votes is None else votes
        if region is not None:
            found = self.votes(region)
            marked = found > 0
            same = (found >= votes) | (found <= self.n - votes)
        else:
            marked = self._codes[0] < self.n
            same = np.maximum.reduce(list(self._codes.values())) >= votes
        count = int(np.count_nonzero(marked))
        share = float(np.count_nonzero(same & marked)) / count if count else math.nan
        unit = self.comparison.study.grid.voxel_ml if self.task.ndim == 3 else 1.0
        return Summary(region, votes, self.n, share, count * unit, self.task.unit)

    def _whole(self, table: npt.NDArray[np.floating], index: npt.NDArray[np.integer], outside: float) -> Map:
        whole = np.full(self.comparison.study.grid.shape, outside, dtype=np.float32)
        whole[self._box] = table.astype(np.float32)[index]
        return whole


def _percent(share: float) -> str:
    """Whole percents, but never 100 or 0 unless it is."""
    percent = 100 * share
    if percent in (0, 100) or 0.5 <= percent < 99.5:
        return f"{percent:.0f} %"
    return (
        f"{percent:.1f} %"
        if 0.05 <= percent < 99.95
        else ("more than 99.9 %" if share > 0.5 else "less than 0.1 %")
    )
