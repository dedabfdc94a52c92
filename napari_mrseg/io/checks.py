"""What every volume must pass before it is used, whatever format it came in. Each refusal is one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.background import connected_to_faces
from napari_mrseg.io.format import MAX_VOXELS
from napari_mrseg.study import Note

LEAST_VOXEL_MM = 0.15  # below it a unit is wrong: metres or centimetres taken for millimetres
LEAST_EXTENT_MM = 50.0  # of the largest side; with voxels that small, less is no head
LEAST_SIDE_MM = 0.5  # of the smallest side
LEAST_SLICES = 5  # along each axis of a scan
MASK_VALUES = 12  # a scan has more different values
MOST_EXTENT_MM = 600.0  # more than any scanner's field of view of a head
SHEAR = 0.2  # cosine of two axes above which a grid is strongly sheared; a tilted gantry stays below


def volume_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """The axes that hold the volume: all, but for those of length 1 beyond three.

    Last ones are left out first, then those in front, as a channel makes them, then others.
    """
    kept = list(range(len(shape)))
    while len(kept) > 3 and shape[kept[-1]] == 1:
        kept.pop()
    while len(kept) > 3 and shape[kept[0]] == 1:
        kept.pop(0)
    for axis in list(kept):
        if len(kept) > 3 and shape[axis] == 1:
            kept.remove(axis)
    return tuple(kept)


def axes_note(path: Path, shape: Sequence[int]) -> Note | None:
    """A note if axes of length 1 stand before or between those of the volume; the affine is that of the others."""
    kept = volume_axes(shape)
    if kept == (0, 1, 2):
        return None
    whole, volume = ("×".join(map(str, sizes)) for sizes in (shape, [shape[axis] for axis in kept]))
    return Note(
        "axis_of_length_1",
        f"{path.name} has {whole} voxels: read as {volume}, placed by its header as that volume; check it on screen.",
    )


def check_dimensions(path: Path, shape: Sequence[int]) -> None:
    """Refuse what is no 3-D volume, or more than may be unpacked."""
    if len(shape) > 3 and min(shape[:3]) == 1:
        raise InputError(
            f"{path.name} is a single slice at {int(np.prod(shape[3:], dtype=object))} times or with as many values; "
            "a whole 3-D volume is needed."
        )
    if len(shape) > 3:
        count = int(np.prod(shape[3:], dtype=object))
        raise InputError(
            f"{path.name} is {len(shape)}-D with {count} volumes; save the one that is meant as a 3-D file."
        )
    size = "×".join(map(str, shape))
    if len(shape) < 3 or min(shape) < 2:
        raise InputError(f"{path.name} is a single slice ({size} voxels); a whole 3-D volume is needed.")
    if int(np.prod(shape, dtype=object)) > MAX_VOXELS:
        raise InputError(
            f"{path.name} asks for {size} voxels, more than the {MAX_VOXELS:,} allowed; "
            "its header is damaged, or the scan must be resampled."
        )


def check_shape(path: Path, shape: Sequence[int], *, labels: bool) -> None:
    """Refuse a few slices in a scan's place."""
    if not labels and min(shape) < LEAST_SLICES:
        size = "×".join(map(str, shape))
        raise InputError(f"{path.name} has {size} voxels, too few for a head; give the whole scan.")


def check_voxels(path: Path, data: npt.NDArray[np.float32], *, labels: bool) -> None:
    """Refuse what is not finite within the head, empty or constant, and a mask in a scan's place."""
    low, high = float(data.min()), float(data.max())  # NaN carries through both
    if not np.isfinite([low, high]).all():
        bad = np.isnan(data) & ~connected_to_faces(np.isnan(data)) | np.isinf(data)
        if labels or bad.any() or np.isnan(data).all():
            count = int((~np.isfinite(data)).sum())
            raise InputError(
                f"{path.name} has {count:,} voxels that are NaN or infinite; replace them, e.g. by 0."
            )
        data[np.isnan(data)] = 0.0  # outside the head: background
        low, high = float(data.min()), float(data.max())
    if low == high and not labels:
        what = "all zeros" if low == 0 else f"constant (every voxel is {low:g})"
        raise InputError(f"{path.name} is {what}; give the scan itself.")
    if not labels:
        _check_scan(path, data)


def _check_scan(path: Path, data: npt.NDArray[np.float32]) -> None:
    """Refuse a mask or label map in a scan's place."""
    some = data[tuple(slice(None, None, max(1, n // 32)) for n in data.shape)]
    if len(np.unique(some)) > MASK_VALUES:  # nearly always; the whole volume takes a second
        return
    values = np.unique(data)
    if len(values) <= MASK_VALUES:
        raise InputError(
            f"{path.name} holds {len(values)} different values only, as a mask or label map does; give the scan itself "
            "(or the file as --reference)."
        )


def check_size(path: Path, shape: Sequence[int], affine: npt.NDArray[np.float64]) -> None:
    """Refuse voxels that no scan of a body has, before anything of their size is made."""
    size = np.sqrt((affine[:3, :3] ** 2).sum(0))
    extents = size * shape
    size_mm = "×".join(f"{mm:.3g}" for mm in size)
    small = size.min() < LEAST_VOXEL_MM and extents.max() < LEAST_EXTENT_MM
    if size.max() < LEAST_VOXEL_MM or small:
        factor, unit = (1000, "metres") if size.max() * 1000 <= 20 else (10, "centimetres")
        raise InputError(
            f"{path.name} has voxels of {size_mm} mm, which no scanner makes; it may be in {unit}: multiply its affine "
            f"and pixdim by {factor}."
        )
    if extents.min() < LEAST_SIDE_MM:
        whole = "×".join(f"{mm:.2g}" for mm in extents)
        raise InputError(
            f"{path.name} has voxels of {size_mm} mm, so that it measures {whole} mm, less than any head; correct the "
            "voxel size in its header."
        )
    if extents.max() > MOST_EXTENT_MM:
        whole = "×".join(f"{mm:.0f}" for mm in extents)
        raise InputError(
            f"{path.name} has voxels of {size_mm} mm, so that it measures {whole} mm, more than any head; correct the "
            "voxel size in its header."
        )


def sheared(path: Path, affine: npt.NDArray[np.float64]) -> Note | None:
    """A note if the axes do not stand at right angles."""
    axes = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(0))
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine <= SHEAR:
        return None
    angle = np.degrees(np.arccos(min(1.0, cosine)))
    return Note(
        "sheared",
        f"{path.name} has axes that stand {angle:.0f}° to each other instead of 90°: shapes and volumes are not to be "
        "trusted; resample it to a straight grid.",
    )


def sound(matrix: npt.NDArray[np.float64]) -> bool:
    """Finite, and its axes span space (the ratio is 1 for perpendicular axes)."""
    if not np.isfinite(matrix).all():
        return False
    lengths = np.sqrt((matrix[:3, :3] ** 2).sum(0))
    return bool(lengths.min() > 0 and abs(np.linalg.det(matrix[:3, :3] / lengths)) > 1e-3)
