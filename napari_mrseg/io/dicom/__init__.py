"""DICOM as one of the formats: a series is a file, with a path that is none on disk ("EXPORT/series 7 (AX FLAIR)").

:mod:`.index` finds the series of an export, :mod:`.role` says what each shows, :mod:`.read` gives its voxels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom.archive import is_archive
from napari_mrseg.io.dicom.index import is_dicom, look_up
from napari_mrseg.io.dicom.read import content_hash, read_series
from napari_mrseg.io.format import Format, Volume
from napari_mrseg.study import Source

SERIES, STUDY = "series ", "study "  # what the names of paths begin with that are none on disk


class Dicom(Format):
    title = "DICOM series"
    endings = (".dcm", ".ima", ".dicom")
    ndim = 3

    def recognise(self, path: Path) -> bool:
        return names_series(path) or super().recognise(path) or (path.is_file() and is_dicom(path))

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        return read_series(look_up(path))

    def encode(self, labels: npt.NDArray[np.uint8], source: Source, path: Path) -> bytes:
        raise InputError(f"{path.name}: labels go into DICOM by --format dicom-seg; end the name in .nii.gz.")

    def sha256(self, path: Path) -> str:
        return content_hash(look_up(path))


def names_series(path: Path) -> bool:
    """True for a path that names a series within an export."""
    return path.name.startswith(SERIES) and not path.exists() and _is_export(path.parent)


def names_study(path: Path) -> bool:
    """True for a path that names a study within an export of several."""
    return path.name.startswith(STUDY) and not path.exists() and _is_export(path.parent)


def case_of(study: str) -> str:
    """What outputs call a study: nothing of the patient, always the same."""
    return f"case-{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def _is_export(path: Path) -> bool:
    return path.is_dir() or is_archive(path) or names_study(path)
