"""Corrections of label maps by hand: grow and shrink by millimetres, smooth, fill, interpolate, take away.

Every function takes (I, P, L) codes and gives a new array; ``spacing`` is in mm. None of them knows a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.compare.diameters import PARTS

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]

_LEVEL = 0.5  # of a smoothed mask: its border stays where it was


def grow(labels: Labels, code: int, mm: float, spacing: Sequence[float]) -> Labels:
    """Give ``code`` all voxels whose centre is within ``mm`` of one of its own, whatever they were.

    Raises ValueError unless ``mm`` is positive.
    """
    _positive(mm)
    box = _around(labels == code, mm, spacing)
    result = labels.copy()
    if box is not None:
        part = result[box]
        part[_distance(part != code, spacing) <= mm] = code
    return result


def shrink(labels: Labels, code: int, mm: float, spacing: Sequence[float]) -> Labels:
    """Take from ``code`` the voxels whose centre is within ``mm`` of another code's, background included.

    They become what is nearest to them. Beyond the edge of the scan nothing is known, so nothing is taken from there.
    Raises ValueError unless ``mm`` is positive.
    """
    _positive(mm)
    box = _around(labels == code, mm, spacing)
    result = labels.copy()
    if box is not None:
        part = result[box]
        lost = (part == code) & (_distance(part == code, spacing) <= mm)
        _give_to_neighbours(part, code, lost, spacing)
    return result


def smooth(labels: Labels, code: int, mm: float, spacing: Sequence[float]) -> Labels:
    """Round the border of ``code`` off by a Gaussian of ``mm`` (standard deviation); about the same volume remains.

    Voxels that it gains were another code's; voxels that it loses become what is nearest. Raises ValueError unless
    ``mm`` is positive.
    """
    _positive(mm)
    box = _around(labels == code, 4 * mm, spacing)
    result = labels.copy()
    if box is not None:
        part = result[box]
        mask = part == code
        sigma = [mm / s for s in spacing]
        smoothed = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest") > _LEVEL
        _give_to_neighbours(part, code, mask & ~smoothed, spacing)
        part[smoothed] = code
    return result


def fill_holes(labels: Labels, code: int, axis: int = 0) -> Labels:
    """Give ``code`` what it encloses in the slices across ``axis``, whatever that was."""
    result = labels.copy()
    moved = np.moveaxis(result, axis, 0)
    for plane in moved:
        mask = plane == code
        if mask.any():
            plane[ndimage.binary_fill_holes(mask)] = code
    return result


def interpolate(labels: Labels, code: int, painted: Mask, axis: int = 0) -> Labels:
    """Fill the gaps between slices that were painted with ``code``, by the distances to both outlines (Raya 1990).

    ``painted``: voxels that the user changed. Of a slice count the connected parts of ``code`` that hold one of them;
    each is joined to those it overlaps in the next slice that has such, unless the common ground holds ``code``
    already. What was between becomes ``code``.
    """
    result = labels.copy()
    planes, touched = np.moveaxis(result, axis, 0), np.moveaxis(painted, axis, 0)
    before = planes == code
    marked = [_parts_with(mask, marks) for mask, marks in zip(before, touched, strict=True)]
    there = [index for index, mask in enumerate(marked) if mask.any()]
    for at, first in enumerate(there):
        parts, count = ndimage.label(marked[first], structure=PARTS[0])
        for number in range(1, count + 1):
            one = parts == number
            last = next((index for index in there[at + 1 :] if (marked[index] & one).any()), first)
            other = _parts_with(marked[last], one)
            if last - first < 2 or before[first + 1 : last, one & other].any():
                continue
            from_one, from_other = _signed(one), _signed(other)
            for index in range(first + 1, last):
                weight = (index - first) / (last - first)
                planes[index][(1 - weight) * from_one + weight * from_other <= 0] = code
    return result


def remove_small(labels: Labels, ml: float, spacing: Sequence[float]) -> Labels:
    """Set connected findings of any code to background that are smaller than ``ml`` in all."""
    parts, count = ndimage.label(labels > 0, structure=PARTS)
    result = labels.copy()
    if count:
        sizes = np.bincount(parts.ravel()) * (float(np.prod(spacing)) / 1000)
        sizes[0] = np.inf
        result[(sizes < ml)[parts]] = 0
    return result


def take_away(labels: Labels, voxel: Sequence[int]) -> Labels:
    """Set the connected finding at ``voxel`` to background, all its codes. Nothing there: nothing changes."""
    place = tuple(int(v) for v in voxel)
    result = labels.copy()
    inside = all(0 <= v < n for v, n in zip(place, labels.shape, strict=True))
    if inside and labels[place]:
        parts, _ = ndimage.label(labels > 0, structure=PARTS)
        result[parts == parts[place]] = 0
    return result


# -- within -----------------------------------------------------------------------------------------------


def _positive(mm: float) -> None:
    if not mm > 0:
        raise ValueError(f"{mm} mm is no distance to change a border by")


def _around(mask: Mask, mm: float, spacing: Sequence[float]) -> Box | None:
    """The box of ``mask`` with ``mm`` and a voxel around it; None of an empty one."""
    found = []
    for axis, (size, width) in enumerate(zip(mask.shape, spacing, strict=True)):
        (there,) = np.nonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not there.size:
            return None
        margin = int(np.ceil(mm / width)) + 1
        found.append(slice(max(0, int(there[0]) - margin), min(size, int(there[-1]) + margin + 1)))
    return tuple(found)


def _distance(mask: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """Of each voxel of ``mask``, the distance in mm to the nearest one that is not of it; infinite if there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    found: npt.NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=spacing)
    return found


def _give_to_neighbours(part: Labels, code: int, lost: Mask, spacing: Sequence[float]) -> None:
    """Change ``lost`` voxels of ``code`` into the nearest other code, in place."""
    if not lost.any():
        return
    if (part == code).all():
        part[lost] = 0
        return
    nearest = ndimage.distance_transform_edt(
        part == code, sampling=spacing, return_distances=False, return_indices=True
    )
    part[lost] = part[tuple(axis[lost] for axis in nearest)]


def _parts_with(mask: Mask, marks: Mask) -> Mask:
    """The connected parts of a plane's ``mask`` that hold one of ``marks``."""
    parts, _ = ndimage.label(mask, structure=PARTS[0])
    codes = np.unique(parts[marks & mask])
    found: Mask = np.isin(parts, codes[codes > 0])
    return found


def _signed(mask: Mask) -> npt.NDArray[np.float64]:
    """Distance to the border of ``mask`` in voxels, negative inside it."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    result: npt.NDArray[np.float64] = np.where(mask, 0.5 - inside, outside - 0.5)
    return result
