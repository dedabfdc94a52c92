"""Overlap and distance between two segmentations, of label maps or of single regions. Numpy and scipy only.

Conventions, where the field has more than one:

* Dice of two empty masks is ``empty``: 1 as in the BraTS challenge and the RFNet family's tables, or ``nan``
  so that ``np.nanmean`` leaves the case out. One empty mask against a non-empty one is 0 in both. (MONAI's
  ``DiceMetric`` with its default ``ignore_empty=True`` leaves out every case with an empty *reference*, a
  false positive included: drop those cases, with ``reference.any()``, to stand beside its figures.)
* HD95 is the larger of the two directed 95th percentiles of the distances between surfaces, as MONAI's
  ``compute_hausdorff_distance(percentile=95)``; medpy pools both directions into one percentile instead. A
  surface voxel is one of the mask with a face neighbour (or the image's edge) outside it.
* HD95 of one empty mask against another is ``nan`` here, so a mean leaves it out, which flatters a model that misses
  regions. Challenges count it as :data:`PENALTY_MM`, and two empty masks as 0: :func:`penalised`.
* Lesion-wise scores are those of BraTS 2023 (:func:`lesion_wise`); distances by voxel surfaces as above, where the
  challenge's program measures between surface meshes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.tasks import Region, Task

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.integer]
Box = tuple[slice, ...]

PENALTY_MM = 374.0
"""HD95 of a lesion that was missed or made up: about the diagonal of BraTS's 240 × 240 × 155 mm."""


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
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_shape(first, second)
    if len(spacing) != first.ndim:
        raise ValueError(f"spacing has {len(spacing)} values for arrays of {first.ndim} axes")
    around_first, around_second = bounding_box(first), bounding_box(second)
    if around_first is None or around_second is None:
        return float("nan")
    # Exact: both surfaces lie within the union of the boxes, and only distances between them are asked for.
    box = join(around_first, around_second)
    there, back = _surface_distances(first[box], second[box], spacing)
    return max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))


def penalised(distance: float, a_empty: bool, b_empty: bool) -> float:
    """HD95 as challenges count it: :data:`PENALTY_MM` where one mask is empty, 0 where both are."""
    if a_empty and b_empty:
        return 0.0
    return PENALTY_MM if a_empty or b_empty else distance


def surface_dice(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spacing: Sequence[float],
    tolerance: float = 1.0,
    *,
    empty: float = 1.0,
) -> float:
    """Normalised surface Dice (Nikolov et al. 2021): share of both surfaces that is within ``tolerance`` of the other.

    Surface voxels are counted as MONAI's ``compute_surface_dice`` does; ``tolerance`` in the unit of ``spacing``.
    ``empty`` if both masks are; one empty mask against another gives 0.
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _same_shape(first, second)
    boxes = [box for box in (bounding_box(first), bounding_box(second)) if box is not None]
    if len(boxes) < 2:
        return 0.0 if boxes else empty
    box = join(*boxes)
    there, back = _surface_distances(first[box], second[box], spacing)
    near = int(np.count_nonzero(there <= tolerance)) + int(np.count_nonzero(back <= tolerance))
    return near / (len(there) + len(back))


def _surface_distances(
    first: BoolArray, second: BoolArray, spacing: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distance of each surface voxel of the one mask to the nearest of the other, both ways; neither is empty.

    By trees of the surfaces' voxels: distance maps of a large box cost up to 14 times as much.
    """
    from scipy.spatial import cKDTree

    step = np.asarray(spacing, dtype=np.float64)
    one, other = np.argwhere(surface(first)), np.argwhere(surface(second))
    tree_of_one, tree_of_other = (
        cKDTree(place * step, balanced_tree=False, compact_nodes=False) for place in (one, other)
    )

    def to_nearest(place: IntArray, others: IntArray, tree: Any) -> npt.NDArray[np.float64]:
        gap = (place - others[tree.query(place * step)[1]]) * step
        # From whole voxels, not from the tree's distances: to the last digit what a distance map has.
        return np.asarray(np.sqrt((gap * gap).sum(1)))

    return to_nearest(one, other, tree_of_other), to_nearest(other, one, tree_of_one)


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference. ``size``: its volume; ``found``: whether anything was matched with it."""

    size: float
    found: bool
    dice: float
    hd95: float


@dataclass(frozen=True)
class LesionWise:
    """Lesion-wise scores of one region. ``lesions``: those that count; ``small``: how many were too small to count.

    ``false``: components of the prediction that no lesion matches. ``dice`` and ``hd95``: means over the lesions that
    count and the false ones, which have a Dice of 0 and :data:`PENALTY_MM`.
    """

    lesions: tuple[Lesion, ...]
    small: int
    false: int

    @property
    def dice(self) -> float:
        """1 where there is neither a lesion nor a false one."""
        count = len(self.lesions) + self.false
        return sum(lesion.dice for lesion in self.lesions) / count if count else 1.0

    @property
    def hd95(self) -> float:
        """0 where there is neither a lesion nor a false one."""
        count = len(self.lesions) + self.false
        total = sum(lesion.hd95 for lesion in self.lesions) + PENALTY_MM * self.false
        return total / count if count else 0.0

    @property
    def missed(self) -> int:
        """Lesions that count and of which nothing was found."""
        return sum(not lesion.found for lesion in self.lesions)


def lesion_wise(
    prediction: npt.ArrayLike,
    reference: npt.ArrayLike,
    spacing: Sequence[float],
    *,
    dilation: int = 3,
    smallest: float = 50.0,
) -> LesionWise:
    """Lesion-wise Dice and HD95 as BraTS 2023 defines them for glioma (Baid et al., the challenge's metrics).

    Parts of the reference whose masks, each grown by ``dilation`` voxels, touch are one lesion. All components of the
    prediction that touch the grown lesion are matched with it, together. A lesion that nothing is matched with has a
    Dice of 0 and :data:`PENALTY_MM`. Lesions of at most ``smallest`` (in the cubed unit of ``spacing``) do not count,
    whether found or not, but what is matched with one is no false component. Metastases: dilation 1, smallest 2.
    """
    from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure, label

    found, truth = np.asarray(prediction, dtype=bool), np.asarray(reference, dtype=bool)
    _same_shape(found, truth)
    boxes = [box for box in (bounding_box(found), bounding_box(truth)) if box is not None]
    if not boxes:
        return LesionWise((), 0, 0)
    box = tuple(
        slice(max(0, s.start - dilation), min(n, s.stop + dilation))
        for s, n in zip(join(*boxes), truth.shape, strict=True)
    )
    found, truth = found[box], truth[box]
    grow = generate_binary_structure(truth.ndim, min(2, truth.ndim))
    touch = generate_binary_structure(truth.ndim, truth.ndim)

    def grown(mask: BoolArray) -> BoolArray:
        return np.asarray(binary_dilation(mask, grow, iterations=dilation)) if dilation else mask

    joined, _ = label(grown(truth), touch)
    numbers = np.where(truth, joined, 0)
    parts, count = label(found, touch)
    volume = float(np.prod(spacing))
    matched: set[int] = set()
    lesions, small = [], 0
    for number, place in enumerate(find_objects(numbers), start=1):
        if place is None:
            continue
        one = numbers == number
        around = tuple(  # the lesion grows within it
            slice(max(0, s.start - dilation), s.stop + dilation) for s in place
        )
        own = set(np.unique(parts[around][grown(one[around])]).tolist()) - {0}
        matched |= own
        size = float(np.count_nonzero(one)) * volume
        if size <= smallest:
            small += 1
            continue
        answer = np.isin(parts, list(own)) if own else np.zeros_like(one)
        distance = hd95(answer, one, spacing) if own else PENALTY_MM
        lesions.append(Lesion(size, bool(own), dice(answer, one), distance))
    return LesionWise(tuple(lesions), small, count - len(matched))


def surface(mask: BoolArray) -> BoolArray:
    """Voxels of ``mask`` with a face neighbour outside it; beyond the array counts as outside."""
    from scipy.ndimage import binary_erosion

    result: BoolArray = mask & ~binary_erosion(mask)
    return result


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
