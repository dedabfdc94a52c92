"""Label maps that were made elsewhere: the references of a folder, and results laid onto them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mrseg_training.data.subjects import Files
from mrseg_training.evaluate import find_labelled
from mrseg_training.naming import ASIDE, label_files
from napari_mrseg.errors import InputError
from napari_mrseg.io import formats
from napari_mrseg.io.align import sample
from napari_mrseg.io.folders import folders_below
from napari_mrseg.io.labels import codes_in, task_codes
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.study import Reference
from napari_mrseg.tasks import Task

INSIDE = 0.99  # of a result's voxels that must lie within the reference's grid


def find_references(root: Path, task: Task, labels: str | None = None) -> Files:
    """The reference of each subject under ``root``: folders with scans as ``evaluate`` reads them, or label files.

    Without scans every file is a reference: its subject is its name less words such as ``seg``, or its folder's where
    it lies in one alone. Raises InputError if there is none, or one subject has two.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a folder of references.")
    by_folder = {folder: label_files(folder, task) for folder in folders_below(root)}
    every = [path for paths in by_folder.values() for path in paths]
    if any(task.knows(word) for path in every for word in _words(formats.stem(path))):
        return find_labelled(root, task, None, labels)
    found: dict[str, dict[str, Path]] = {}
    for folder, paths in by_folder.items():
        for path in paths:
            words = re.split(r"([_.\s-])", formats.stem(path))
            own = "".join(words[: _end(words)])
            subject = folder.name if len(paths) == 1 and folder != root else own or formats.stem(path)
            if subject in found:
                other = found[subject][REFERENCE].relative_to(root)
                raise InputError(
                    f"{other} and {path.relative_to(root)} are both the reference of {subject}; keep one there."
                )
            found[subject] = {REFERENCE: path}
    if not found:
        raise InputError(
            f"{root} holds no {formats.endings_text(task.ndim)} file; give a folder of references."
        )
    return Files(found, task, 1.0, labels=labels)


def read_labels(path: Path, task: Task, scheme: str | None = None, *, unplaced: bool = False) -> Reference:
    """The label map in a file, in the task's codes; ``unplaced``: wherever its header says that it lies.

    Raises InputError, one sentence, for what is no label map.
    """
    data, source, _ = formats.read(path, task, REFERENCE, assume_ras=unplaced)
    codes = task_codes(path, data, task, scheme)
    labels = np.ascontiguousarray(source.to_ipl(codes), dtype=np.uint8)
    return Reference(labels, source, codes_in(data))


def read_result(
    path: Path, reference: Reference, task: Task, scheme: str | None = None, *, as_reference: bool = False
) -> tuple[Reference, bool]:
    """The label map of a result on the reference's grid, and whether it had to be resampled (nearest voxel).

    ``as_reference``: it lies voxel for voxel as the reference's file does, whatever its header says. Raises InputError
    for a result that cannot be laid onto the reference.
    """
    if as_reference:
        data, _, _ = formats.read(path, task, REFERENCE, assume_ras=True)
        wanted = reference.source.grid.shape
        if data.shape != wanted:
            raise InputError(
                f"{path.name} has {_shape(data.shape)} voxels, its reference {_shape(wanted)}; give results of "
                "the whole scan."
            )
        codes = reference.source.to_ipl(task_codes(path, data, task, scheme))
        return Reference(np.ascontiguousarray(codes), reference.source, codes_in(data)), False
    try:
        result = read_labels(path, task, scheme)
    except InputError as error:
        if "--assume-ras" not in str(error):
            raise
        raise InputError(
            f"{path.name} does not say how it lies in the body; if its voxels are those of the reference, say "
            "--as-reference."
        ) from None
    own, onto = result.source.ipl_grid, reference.source.ipl_grid
    if own.same_as(onto):
        return result, False
    there = np.argwhere(result.labels > 0)
    place = (np.linalg.inv(onto.matrix) @ own.matrix @ np.vstack([there.T, np.ones(len(there))]))[:3].T
    inside = ((place > -1) & (place < np.array(onto.shape))).all(1)
    if len(there) and inside.mean() < INSIDE:
        raise InputError(
            f"{path.name} lies elsewhere than its reference {reference.source.path.name} by their headers; if its "
            "voxels are those of the reference, say --as-reference."
        )
    labels = sample(result.labels, own, onto, order=0)
    return Reference(labels, reference.source, result.codes), True


def _end(words: Sequence[str]) -> int:
    """How many of a name's words and separators are left once words such as ``seg`` at its end are taken off."""
    end = len(words)
    while end > 1 and words[end - 1].lower() in ASIDE:
        end -= 2
    return end


def _words(stem: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", stem.lower())


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))
