"""A scan mirrored left to right under a header that does not say so: it matches the others better the other way round.

A brain is nearly symmetric, but not to a voxel: of 366 pairs of real scans on one grid (tumours cut to the brain, 36
native heads with thick slices), mirroring one lowered their mutual information to 0.80 of what it was or less.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from napari_mrseg.study import Image, Note
from napari_mrseg.tasks import Task

COARSE_MM = 4.0  # grid on which scans are compared
LEVELS = 24  # of intensity, equally many voxels in each
REACH = 3  # coarse voxels by which the mirrored scan may lie aside
SHOWN = 0.05  # of the 99th percentile of |intensity|: what a scan shows of the head lies above it
LEAST_VOXELS = 2000  # of both scans; fewer say nothing
LEAST_NATS = 0.1  # of mutual information; scans of one head have 0.17 or more, unlike ones less
BETTER = 1.1  # how many times better a mirrored match must be to be told

Levels = npt.NDArray[np.int64]


def mirrored(images: Mapping[str, Image], task: Task) -> tuple[Note, ...]:
    """A warning where a scan matches the others better mirrored left to right. Of two scans, it names both."""
    if task.ndim != 3 or len(images) < 2:
        return ()
    levels = {name: _levels(image) for name, image in images.items()}
    names = list(levels)
    if not any(gain(levels[a], levels[b]) > BETTER for a, b in pairwise(names)):
        return ()  # one that is mirrored would differ from the one beside it
    against: dict[str, list[str]] = {name: [] for name in names}
    for a, b in combinations(names, 2):
        if gain(levels[a], levels[b]) > BETTER:
            against[a].append(b)
            against[b].append(a)
    most = max(map(len, against.values()))
    worst = [name for name, others in against.items() if len(others) == most]
    message = "matches the other scans much better mirrored left to right than as it is"
    if len(worst) == 1 and most > 1:
        (name,) = worst
        who = _file(images, name, task)
        return (
            Note(
                "mirrored",
                f"{who} {message}: its left and right are probably exchanged; export it again.",
                name,
            ),
        )
    one, other = (_file(images, name, task) for name in (worst[0], against[worst[0]][0]))
    return (
        Note(
            "mirrored",
            f"{one} and {other} match much better if one of them is mirrored left to right: left and right are "
            "probably exchanged in one; look which side the finding is on, and export that scan again.",
        ),
    )


def gain(a: Levels, b: Levels) -> float:
    """How many times more each scan says of the other with ``b`` mirrored than as it is; 0 if they say next to nothing.

    As it is, the scan stays where it lies; mirrored, it may move along left and right.
    """
    if a.shape != b.shape or min(np.count_nonzero(a), np.count_nonzero(b)) < LEAST_VOXELS:
        return 0.0
    turned = b[:, :, ::-1]
    as_is = _information(a, b)
    aside = round(_middle(a) - _middle(turned))
    tried = {*range(-REACH, REACH + 1), *range(aside - REACH, aside + REACH + 1)}
    best = max(_information(*_beside(a, turned, shift)) for shift in tried)
    return best / max(as_is, 1e-6) if best > LEAST_NATS else 0.0


def _levels(image: Image) -> Levels:
    """(i, p, l) on a coarse grid: 0 outside what the scan shows, inside the rank of its intensity, 1 to LEVELS."""
    steps = [max(1, round(COARSE_MM / mm)) for mm in image.source.ipl_grid.spacing]
    # Every second voxel is enough of four.
    thin = [2 if step >= 4 else 1 for step in steps]
    data = image.data[tuple(slice(None, None, n) for n in thin)]
    steps = [min(step // n, size) for step, n, size in zip(steps, thin, data.shape, strict=True)]
    data = data[tuple(slice(n // step * step) for n, step in zip(data.shape, steps, strict=True))]
    split = [size for n, step in zip(data.shape, steps, strict=True) for size in (n // step, step)]
    coarse = data.reshape(split).mean((1, 3, 5))
    inside = np.abs(coarse) > SHOWN * np.percentile(np.abs(coarse), 99)
    if not inside.any():
        return np.zeros(coarse.shape, np.int64)
    limits = np.quantile(coarse[inside], np.linspace(0, 1, LEVELS + 1)[1:-1])
    return np.where(inside, 1 + np.searchsorted(limits, coarse), 0)


def _information(a: Levels, b: Levels) -> float:
    """Mutual information of two scans where both show something, in nats."""
    both = (a > 0) & (b > 0)
    if np.count_nonzero(both) < LEAST_VOXELS:
        return 0.0
    pairs = np.bincount((a[both] - 1) * LEVELS + b[both] - 1, minlength=LEVELS**2).reshape(LEVELS, LEVELS)
    share = pairs / pairs.sum()
    alone = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    there = share > 0
    return float((share[there] * np.log(share[there] / alone[there])).sum())


def _middle(levels: Levels) -> float:
    return float(np.nonzero(levels)[2].mean())


def _beside(a: Levels, b: Levels, shift: int) -> tuple[Levels, Levels]:
    """The parts of ``a`` and of ``b``, moved by ``shift`` along left and right, that lie on each other."""
    n = a.shape[2]
    shift = max(1 - n, min(n - 1, shift))
    return a[:, :, max(0, shift) : n + min(0, shift)], b[:, :, max(0, -shift) : n - max(0, shift)]


def _file(images: Mapping[str, Image], name: str, task: Task) -> str:
    return f"{task.modality(name).title} ({images[name].source.path.name})"
