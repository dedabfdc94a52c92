"""The file formats there are, and which one a file or a task takes.

Those here, and those that other packages register as entry points of the group ``napari_mrseg.formats``.
"""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points
from pathlib import Path

from napari_mrseg.io.dicom import Dicom
from napari_mrseg.io.dicom.archive import ARCHIVE
from napari_mrseg.io.format import Format, Volume
from napari_mrseg.io.frames import Frames
from napari_mrseg.io.nifti_format import Nifti
from napari_mrseg.io.picture import FRAMES_ENDING, Picture
from napari_mrseg.io.sunrgbd import SunLabels
from napari_mrseg.io.volumes import OtherVolume
from napari_mrseg.tasks import Task

GROUP = "napari_mrseg.formats"
OWN: tuple[Format, ...] = (Nifti(), OtherVolume(), Dicom(), Picture(), SunLabels(), Frames())


def installed() -> tuple[Format, ...]:
    """The formats of other packages. One that cannot be loaded is left out with a warning that names its package."""
    found = []
    for entry in entry_points(group=GROUP):
        try:
            kind = entry.load()()
            if not isinstance(kind, Format):
                raise TypeError("it is no Format")
        except Exception as error:  # another package's import may raise anything
            warnings.warn(
                f"The file format “{entry.name}” of {entry.value} cannot be loaded ({error}); update or remove it.",
                stacklevel=2,
            )
        else:
            found.append(kind)
    return tuple(found)


FORMATS = OWN + installed()
"""All of them; of those that recognise a file, the first one reads it."""


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
    kind = formats_of(task)[0]
    return FRAMES_ENDING if task.ndim == 2 and frames > 1 else kind.label_endings[0]


def endings_text(ndim: int) -> str:
    """The endings of label files of so many dimensions in words, e.g. ".nii.gz or .nii"."""
    endings = [ending for f in FORMATS if f.ndim == ndim for ending in f.label_endings]
    return " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))


def scan_endings(task: Task) -> tuple[str, ...]:
    """The endings of files that hold scans or images of a task, of archives too: for dialogs and the manifest."""
    archives = (ARCHIVE,) if task.ndim == 3 else ()
    return (*(ending for f in formats_of(task) for ending in f.endings), *archives)


def stem(path: Path) -> str:
    """The file's name without the ending of a known format."""
    found = format_of(path)
    return path.name if found is None else found.stem(path)


def read(
    path: Path, task: Task, role: str | None, *, assume_ras: bool = False, raw: bytes | None = None
) -> Volume:
    """The file as an image of ``role``: a modality of the task; any other role, and None, are read as labels.

    A file whose name says nothing is taken for the task's usual format. ``raw``: the content, in that usual format, of
    what is in memory and no file. Raises InputError.
    """
    labels = role is None or role not in task.names
    channels = 1 if role is None or labels else task.modality(role).channels
    if raw is not None:
        usual = Picture() if task.ndim == 2 else Nifti()
        return usual.parse(raw, path, channels=channels, labels=labels, assume_ras=assume_ras)
    kinds = formats_of(task)
    kind = next((f for f in kinds if f.recognise(path)), kinds[0])
    return kind.read(path, channels=channels, labels=labels, assume_ras=assume_ras)
