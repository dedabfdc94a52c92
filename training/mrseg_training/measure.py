"""Scores of one prediction against a reference, in this process or in others. NumPy and SciPy only: quick to start."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrseg_training.paper_table import is_classes
from napari_mrseg.compare.metric import of_other_packages
from napari_mrseg.compare.metrics import (
    BoolArray,
    Box,
    bounding_box,
    join,
    lesion_wise,
    region_dice,
    region_hd95,
    region_mask,
    sizes,
    surface_dice,
)
from napari_mrseg.compare.saliency import Saliency, saliency_and_curves
from napari_mrseg.tasks import Region, Task

FAR_MM = 15.0  # from the reference: what is found beyond is another thing taken for it
TOLERANCE_MM = 1.0  # of the surface Dice
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Reference:
    """What the predictions of one subject are measured against; computed once.

    ``labels`` (I, P, L): codes of the task, ``voxel`` and ``sizes``: of a voxel and of each region in the task's unit.
    Outside of the box ``near`` all is far from the reference; ``far``: within it, the voxels more than
    :data:`FAR_MM` away.
    """

    task: Task
    labels: Labels
    spacing: tuple[float, ...]
    voxel: float
    sizes: Mapping[str, float]
    near: Box
    far: BoolArray

    @classmethod
    def of(cls, labels: Labels, task: Task, spacing: Sequence[float], voxel: float) -> Reference:
        near, far = far_from(labels > 0, spacing)
        return cls(task, labels, tuple(spacing), voxel, dict(sizes(labels, task, voxel)), near, far)


def far_from(truth: BoolArray, spacing: Sequence[float]) -> tuple[Box, BoolArray]:
    """Voxels more than :data:`FAR_MM` from the nearest one of ``truth``; all, where there is none.

    Only a box around ``truth`` is looked at: (the box, the voxels in it); beyond it every voxel is far.
    """
    from scipy.ndimage import distance_transform_edt

    box = bounding_box(truth)
    if box is None:
        empty = (slice(0, 0),) * truth.ndim
        return empty, truth[empty]
    margin = [int(np.ceil(FAR_MM / step)) + 1 for step in spacing]
    near = tuple(
        slice(max(0, s.start - m), min(n, s.stop + m))
        for s, m, n in zip(box, margin, truth.shape, strict=True)
    )
    return near, np.asarray(distance_transform_edt(~truth[near], sampling=spacing) > FAR_MM)


def scores(
    labels: Labels,
    reference: Reference,
    *,
    hd95: bool,
    lesions: bool = False,
    probabilities: npt.NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Dice (both empty = 1), HD95 in mm, ``far``, the size of what is found far from the reference, and ``metrics`` of
    other packages, not a number where the region is empty in either.

    ``lesions``: of each region also its lesion-wise scores (BraTS 2023) and surface Dice at :data:`TOLERANCE_MM`. All
    is computed in the box that holds whatever was found or is true. ``probabilities`` (I, P, L): of images with one
    region, adds ``saliency``, means over frames, and ``curves``. Of many classes ``overlap``: pixels in both and in
    either.
    """
    task, truth = reference.task, reference.labels
    boxes = [b for b in (bounding_box(labels), bounding_box(truth)) if b is not None]
    box = join(*boxes) if boxes else (slice(0, 0),) * truth.ndim
    row: dict[str, Any] = {
        "dice": region_dice(labels[box], truth[box], task),
        "hd95": region_hd95(labels[box], truth[box], task, reference.spacing) if hd95 else {},
        "far": _far_size(labels, reference),
        "metrics": _of_other_packages(labels[box], truth[box], reference),
    }
    if lesions:
        row["lesions"] = {
            r.name: _lesions(labels[box], truth[box], r, reference.spacing) for r in task.regions
        }
    if probabilities is not None:
        row |= _saliency(probabilities, truth)
    if is_classes(task):
        row["overlap"] = _overlap(labels, truth, task)
    return row


def measured_row(
    subject: str, combination: Sequence[str], size: Mapping[str, float], reference: Reference
) -> dict[str, Any]:
    """What a row holds beside :func:`scores`: whose it is, and the ``size`` of each region, found and true."""
    true = dict(reference.sizes)
    return {
        "subject": subject,
        "combination": list(combination),
        "size": dict(size),
        "reference": true,
        "present": {name: value > 0 for name, value in true.items()},
    }


def _lesions(found: Labels, truth: Labels, region: Region, spacing: Sequence[float]) -> dict[str, Any]:
    a, b = region_mask(found, region), region_mask(truth, region)
    one = lesion_wise(a, b, spacing)
    return {
        "dice": one.dice,
        "hd95": one.hd95,
        "count": len(one.lesions),
        "missed": one.missed,
        "false": one.false,
        "small": one.small,
        "surface_dice": surface_dice(a, b, spacing, TOLERANCE_MM),
        "each": [[lesion.size, float(lesion.found)] for lesion in one.lesions],
    }


def _of_other_packages(found: Labels, truth: Labels, reference: Reference) -> dict[str, dict[str, float]]:
    measured: dict[str, dict[str, float]] = {}
    for name, metric in of_other_packages().items():
        measured[name] = {}
        for region in reference.task.regions:
            a, b = region_mask(found, region), region_mask(truth, region)
            both = bool(a.any() and b.any())
            measured[name][region.name] = metric.measure(a, b, reference.spacing) if both else float("nan")
    return measured


def _far_size(labels: Labels, reference: Reference) -> float:
    found = int(np.count_nonzero(labels))
    near = int(np.count_nonzero(labels[reference.near]))
    beyond = int(np.count_nonzero((labels[reference.near] > 0) & reference.far))
    return float((found - near + beyond) * reference.voxel)


def _saliency(probabilities: npt.NDArray[np.float32], truth: Labels) -> dict[str, Any]:
    """The papers' measures of a map of probabilities, mean over frames, and the mean curves."""
    each = [saliency_and_curves(p, t > 0) for p, t in zip(probabilities, truth, strict=True)]
    means = {name: float(np.mean([getattr(one, name) for one, _ in each])) for name in Saliency._fields}
    return {"saliency": means, "curves": np.mean([[c.f, c.e] for _, c in each], axis=0)}


def _overlap(labels: Labels, truth: Labels, task: Task) -> dict[str, list[int]]:
    """Pixels in both and in either, by region, where the truth says anything: 0 is unlabelled."""
    known = truth > 0
    found = {}
    for region in task.regions:
        a, b = region_mask(labels, region) & known, region_mask(truth, region)
        found[region.name] = [int((a & b).sum()), int((a | b).sum())]
    return found


@contextmanager
def measuring(processes: int) -> Iterator[Executor]:
    """An executor of so many further processes; 0: this one, which does it at once."""
    if processes == 0:
        yield _AtOnce()
        return
    context = multiprocessing.get_context("spawn")  # forked threads of PyTorch would hang
    with ProcessPoolExecutor(processes, context) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _AtOnce(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
