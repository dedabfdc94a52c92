"""The file formats there are, and which one a file or a task takes."""

from __future__ import annotations

from pathlib import Path

from napari_mrseg.io.dicom import Dicom
from napari_mrseg.io.format import Format, Volume
from napari_mrseg.io.frames import Frames
from napari_mrseg.io.nifti_format import Nifti
from napari_mrseg.io.picture import Picture
from napari_mrseg.io.sun import SunLabels
from napari_mrseg.io.volumes import OtherVolume
from napari_mrseg.tasks import Task

FORMATS: tuple[Format, ...] = (Nifti(), OtherVolume(), Dicom(), Picture(), SunLabels(), Frames())


def format_of(path: Path) -> Format | None:
    """The format that the file's name says, or None."""
    return next((f for f in FORMATS if f.recognise(path)), None)


def formats_of(task: Task) -> tuple[Format, ...]:
    """The formats that hold images of a task, the usual one first."""
    return tuple(f for f in FORMATS if f.ndim == task.ndim)


def is_readable(path: Path, task: Task) -> bool:
    """True if the file's name says that it holds an image of the task's kind."""
    return any(f.recognise(path) for f in formats_of(task))


def label_ending(task: Task, frames: int = 1) -> str:
    """What the names of the task's label files end in, e.g. ".nii.gz"; ``frames``: how many one must hold."""
    return ".tif" if task.ndim == 2 and frames > 1 else formats_of(task)[0].endings[0]


def stem(path: Path) -> str:
    """The file's name without the ending of a known format."""
    found = format_of(path)
    return path.name if found is None else found.stem(path)


def read(path: Path, task: Task, role: str | None, *, assume_ras: bool = False) -> Volume:
    """The file as an image of ``role``: a modality of the task; any other role, and None, are read as labels.

    A file whose name says nothing is taken for the task's usual format. Raises InputError.
    """
    kinds = formats_of(task)
    kind = next((f for f in kinds if f.recognise(path)), kinds[0])
    if role is not None and role in task.names:
        return kind.read(path, channels=task.modality(role).channels, assume_ras=assume_ras)
    return kind.read(path, labels=True, assume_ras=assume_ras)
