"""What a model found for one combination of modalities. Immutable, and it says how it was made."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.study import Grid, Image, Note, Source, Study, restore
from napari_mrseg.tasks import Combination, Task, key, sized


@dataclass(frozen=True, eq=False)
class Prediction:
    """Regions' probabilities and label map for one combination, as :func:`~napari_mrseg.predict` gives it.

    Immutable, and equal to itself alone. It can be pickled and copied, and shows itself with a picture in a notebook.

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
    source
        The file of the first modality in use, on whose grid :meth:`save` writes; None where it is not known, as after
        the cache on disk or an engine on another computer.
    scan
        That modality's image as long as somebody keeps it; for pictures.
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
    source: Source | None = None
    scan: weakref.ref[Image] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.probabilities.setflags(write=False)

    def __repr__(self) -> str:
        found = ", ".join(f"{r} {sized(v, self.task.unit)} {self.task.unit}" for r, v in self.sizes.items())
        model = f"{self.model['name']} {self.model['version']}"
        return f"<Prediction {self.case}: {self.key} by {model}{' (preview)' * self.preview}: {found}>"

    def _repr_html_(self) -> str:
        from napari_mrseg.notebook import prediction_html

        return prediction_html(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "scan": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

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
        """Probability of one region, e.g. "ET", on the whole grid: (I, P, L) of 0 … 1.

        Raises InputError that lists the regions there are.
        """
        index = self.task.regions.index(self.task.region(region))
        whole = np.zeros(self.grid.shape, dtype=np.float16)
        whole[self.box] = self.probabilities[index]
        return whole

    def save(
        self, path: str | os.PathLike[str], study: Study | None = None, *, overwrite: bool = False
    ) -> None:
        """Write the label map on the grid of the first modality in use: same shape, position and orientation.

        The ending of ``path`` names the format: .nii.gz or .nii, of pictures .png or .tif; .dcm for a DICOM SEG, of
        scans that were read from DICOM. ``study``: the scans, needed only where :attr:`source` is None. Raises
        InputError if the file is there already and ``overwrite`` is not set, or cannot be written.
        """
        from napari_mrseg.io.export import write_prediction

        write_prediction(self, path, study, overwrite=overwrite)

    @property
    def nbytes(self) -> int:
        return self.labels.nbytes + self.probabilities.nbytes
