"""Overlap and distance between two segmentations, of label maps or of single regions. Numpy and scipy only.

Conventions, where the field has more than one:

* Dice of two empty masks is ``empty``: 1 as in the BraTS challenge and the RFNet family's tables, or ``nan``
  so that ``np.nanmean`` leaves the case out. One empty mask against a non-empty one is 0 in both. (MONAI's
  ``DiceMetric`` with its default ``ignore_empty=True`` leaves out every case with an empty *reference*, a
  false positive included: drop those cases, with ``reference.any()``, to stand beside its figures.)
* HD95 is the larger of the two directed 95th percentiles of the distances between surfaces, as MONAI's
  ``compute_hausdorff_distance(percentile=95)``; medpy pools both directions into one percentile instead. A
  surface voxel is one of the mask with a face neighbour (or the image's edge) outside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from napari_mrseg.tasks import Region, Task

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.integer]
Box = tuple[slice, ...]


def dice(a: npt.ArrayLike, b: npt.ArrayLike, *, empty: float = 1.0) -> float:
    """Dice coefficient, 2·|a ∩ b| / (|a| + |b|), of two masks of one shape; ``empty`` if both are empty."""
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_shape(first, second)
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return empty if total == 0 else 2.0 * int(np.count_nonzero(first & second)) / total


def hd95(a: npt.ArrayLike, b: npt.ArrayLike, spacing: Sequence[float]) -> float:
    """Symmetric 95th percentile of the surface distances, in the unit of ``spacing``; nan if one is empty.

    ``a``, ``b``: boolean arrays of one shape; ``spacing``: one value per axis.
    """
    from scipy.ndimage import distance_transform_edt

    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_shape(first, second)
    if len(spacing) != first.ndim:
        raise ValueError(f"spacing has {len(spacing)} values for arrays of {first.ndim} axes")
    around_first, around_second = bounding_box(first), bounding_box(second)
    if around_first is None or around_second is None:
        return float("nan")
    # Exact: both surfaces lie within the union of the boxes, and only distances between them are asked for.
    box = join(around_first, around_second)
    surfaces = surface(first[box]), surface(second[box])
    worst = 0.0
    for here, there in (surfaces, surfaces[::-1]):
        distances = distance_transform_edt(~there, sampling=spacing)[here]
        worst = max(worst, float(np.percentile(distances, 95)))
    return worst


def surface(mask: BoolArray) -> BoolArray:
    """Voxels of ``mask`` with a face neighbour outside it; beyond the array counts as outside."""
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask)


def region_dice(
    prediction: IntArray,
    reference: IntArray,
    task: Task,
    *,
    empty: float = 1.0,
    within: Box | None = None,
) -> dict[str, float]:
    """Dice of every region of ``task``, from two label maps of one shape in the task's codes.

    ``within``: a box outside which both maps are 0, if known; else it is found. One pass serves all regions.
    """
    _same_shape(prediction, reference)
    if within is None:
        boxes = [box for box in (bounding_box(prediction), bounding_box(reference)) if box is not None]
        if not boxes:
            return {region.name: empty for region in task.regions}
        within = join(*boxes)
    counts = joint_counts(prediction[within], reference[within])
    return {region.name: _dice_of_counts(counts, region, empty) for region in task.regions}


def region_hd95(
    prediction: IntArray, reference: IntArray, task: Task, spacing: Sequence[float]
) -> dict[str, float]:
    """HD95 (unit of ``spacing``) of every region of ``task``, from two label maps of one shape."""
    return {
        region.name: hd95(region_mask(prediction, region), region_mask(reference, region), spacing)
        for region in task.regions
    }


def region_mask(labels: IntArray, region: Region) -> BoolArray:
    """Voxels of a label map that belong to ``region``; same shape."""
    return lookup(region)[labels]


def lookup(region: Region) -> BoolArray:
    """(256,) table: is the code part of ``region``?"""
    table = np.zeros(256, dtype=bool)
    table[list(region.codes)] = True
    return table


def joint_counts(a: IntArray, b: IntArray) -> npt.NDArray[np.int64]:
    """(n, n) numbers of voxels with code i in ``a`` and j in ``b``; n = largest code + 1."""
    if a.size == 0:
        return np.zeros((1, 1), dtype=np.int64)
    n = int(max(a.max(), b.max())) + 1
    joint = np.multiply(
        a, n, dtype=np.uint8 if n <= 16 else np.intp
    )  # uint8: a fifth of the time, fits n² ≤ 256
    joint += b.astype(joint.dtype, copy=False)
    return np.bincount(joint.ravel(), minlength=n * n).reshape(n, n)


def sizes(labels: IntArray, task: Task, unit: float) -> Mapping[str, float]:
    """Size of every region: its number of voxels times ``unit`` (mL a voxel, or 1 for pixels)."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {region.name: float(counts[list(region.codes)].sum()) * unit for region in task.regions}


def bounding_box(mask: npt.NDArray[np.generic]) -> Box | None:
    """The smallest box that holds every non-zero voxel, one slice per axis; None if there is none."""
    box: list[slice] = [slice(0, n) for n in mask.shape]
    for axis in range(mask.ndim):  # each axis looks only at what the axes before it left over
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if found.size == 0:
            return None
        box[axis] = slice(int(found[0]), int(found[-1]) + 1)
    return tuple(box)


def join(*boxes: Box) -> Box:
    """The smallest box around all ``boxes`` (at least one)."""
    return tuple(
        slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True)
    )


def _dice_of_counts(counts: npt.NDArray[np.int64], region: Region, empty: float) -> float:
    codes = [code for code in region.codes if code < len(counts)]
    total = int(counts[codes].sum() + counts[:, codes].sum())
    return empty if total == 0 else 2.0 * int(counts[np.ix_(codes, codes)].sum()) / total


def _same_shape(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> None:
    if a.shape != b.shape:
        raise ValueError(f"the two segmentations have different shapes, {a.shape} and {b.shape}")
