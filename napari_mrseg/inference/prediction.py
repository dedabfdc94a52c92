"""What a model found for one combination of modalities. Immutable, and it says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_mrseg.study import Grid, Note
from napari_mrseg.tasks import Combination, Task, key


@dataclass(frozen=True, eq=False)
class Prediction:
    """Regions' probabilities and label map for one combination. Equal to itself alone.

    Attributes
    ----------
    labels
        uint8 codes, shape (I, P, L) of ``grid``, read-only.
    probabilities
        float16, (regions, i, p, l): the part of the grid that ``box`` covers; 0 elsewhere.
    box
        One slice per axis of ``grid``.
    digest
        Identity of the images it was made from (:attr:`napari_mrseg.study.Study.digest`).
    model
        ``{"name", "version", "sha256"}`` of the model.
    spacing
        Voxel size the network ran at, mm.
    preview
        True: coarser than the model's best, shown while the final is computed.
    """

    task: Task
    case: str
    combination: Combination
    grid: Grid
    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float16]
    box: tuple[slice, ...]
    model: Mapping[str, str]
    device: str
    precision: str
    spacing: float
    seconds: float
    digest: str = ""
    preview: bool = False
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.probabilities.setflags(write=False)

    @property
    def key(self) -> str:
        """The combination's name in files, e.g. ``flair+t1ce``."""
        return key(self.combination)

    @cached_property
    def sizes(self) -> Mapping[str, float]:
        """Size of each region in the task's unit (mL, or pixels), of the label map."""
        inside = self.labels[self.box]
        codes = {code for region in self.task.regions for code in region.codes}
        counts = {code: int(np.count_nonzero(inside == code)) for code in codes}
        unit = self.grid.voxel_ml if self.task.ndim == 3 else 1.0
        return {r.name: float(sum(counts[code] for code in r.codes)) * unit for r in self.task.regions}

    def probability(self, region: str) -> npt.NDArray[np.float16]:
        """Probability of one region on the whole grid, (I, P, L)."""
        index = [r.name for r in self.task.regions].index(region)
        whole = np.zeros(self.grid.shape, dtype=np.float16)
        whole[self.box] = self.probabilities[index]
        return whole

    @property
    def nbytes(self) -> int:
        return self.labels.nbytes + self.probabilities.nbytes
