"""Label maps that were made elsewhere, laid onto the grid of a reference or a study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io import formats
from napari_mrseg.io.align import sample
from napari_mrseg.io.labels import codes_in, task_codes
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.study import Grid, Reference
from napari_mrseg.tasks import Task

INSIDE = 0.99  # of a result's voxels that must lie within the grid it is laid onto


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
    try:
        labels, moved = onto_grid(
            result, reference.source.ipl_grid, f"its reference {reference.source.path.name}"
        )
    except InputError as error:
        raise InputError(
            f"{str(error).rstrip('.')}; if its voxels are those of the reference, say --as-reference."
        ) from None
    return Reference(labels, reference.source, result.codes) if moved else result, moved


def onto_grid(result: Reference, onto: Grid, whose: str) -> tuple[npt.NDArray[np.uint8], bool]:
    """Labels of ``result`` on the grid ``onto``, and whether it had to be resampled (nearest voxel).

    ``whose`` grid it is, in words. Raises InputError for a result that lies elsewhere by its header.
    """
    own = result.source.ipl_grid
    if own.same_as(onto):
        return result.labels, False
    there = np.argwhere(result.labels > 0)
    place = (np.linalg.inv(onto.matrix) @ own.matrix @ np.vstack([there.T, np.ones(len(there))]))[:3].T
    inside = ((place > -1) & (place < np.array(onto.shape))).all(1)
    if len(there) and inside.mean() < INSIDE:
        raise InputError(f"{result.source.path.name} lies elsewhere than {whose} by their headers.")
    return np.asarray(sample(result.labels, own, onto, order=0), dtype=np.uint8), True


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))
