"""Heads with the brain known, to learn to find it in: drawn from heads with a mask and from brains cut out of theirs.

Number k of a head is always the same one. What scanners do and what no scanner does (other contrasts, at random) are
drawn by :mod:`.contrasts`; what is no head at all, by :mod:`.things`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator
from scipy import ndimage

from mrseg_training.augment import rotation
from mrseg_training.data import contrasts, things
from mrseg_training.data.contrasts import Array, Mask
from mrseg_training.data.subjects import PREPARATION, Prepared
from mrseg_training.perturb import mix
from mrseg_training.settings import HeadsPart
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.prepare import measure, scale
from napari_mrseg.study import Grid, Study
from napari_mrseg.tasks import BRATS, Task

GENERATOR = 4
"""Raised when other samples are drawn from the same seed, so that no older cache is used."""
TRUTH = "brain.nii.gz"
EXTENTS_MM = (180.0, 220.0, 180.0)  # of a sample
AROUND, NO_BRAIN = 0.22, 0.04  # shares of a head's samples: another's brain inside it, none inside it
WIDE, NARROW = 30.0, 12.0  # degrees a head is turned by, at most, and usually
RING = (24, 48)  # directions from a brain's middle in which its radius is known


@dataclass(frozen=True)
class Head:
    """Scans of one head on one grid, (I, P, L) float32 with the brain's median at 1, and its brain."""

    scans: tuple[Array, ...]
    brain: Mask
    grid: Grid


class Heads:
    """Samples drawn from the folders below ``root`` that hold scans and their brain mask, ``brain.nii.gz``."""

    def __init__(self, part: HeadsPart, task: Task, spacing: float, root: Path) -> None:
        self.part, self.task, self.spacing, self.root = part, task, spacing, root
        names = sorted(path.parent.name for path in root.glob(f"*/{TRUTH}"))
        unknown = sorted(set(part.leave_out) - set(names))
        if not names or unknown:
            what = f"has no head {unknown[0]}" if names else f"holds no folder with scans and {TRUTH}"
            raise InputError(f"{root.name} {what}; check data.path and data.heads.")
        kept = [name for name in names if name not in part.leave_out]
        self.brains = [folder for root in part.brains for folder in _brains_below(root.expanduser())]
        train = [f"{name}-{k:03d}" for name in kept for k in range(part.each)]
        train += [f"alone-{k:03d}" for k in range(part.alone if self.brains else 0)]
        train += [f"thing-{k:03d}" for k in range(part.things)]
        self.split: Mapping[str, Sequence[str]] | None = {"train": train, "validation": [], "test": []}
        self.ids: Sequence[str] = train
        self.size = tuple(8 * round(mm / spacing / 8) for mm in EXTENTS_MM)

    def fingerprint(self, subject: str) -> str:
        told = [PREPARATION, GENERATOR, self.spacing, self.part.seed, subject, [b.name for b in self.brains]]
        told += [self.part.mild] if self.part.mild and not subject.startswith("thing") else []
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]

    def load(self, subject: str) -> Prepared:
        name, _, number = subject.rpartition("-")
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        rng = np.random.default_rng(mix(self.part.seed, digest, int(number)))
        mild = self.part.mild > 0 and name != "thing" and rng.random() < self.part.mild
        if name == "thing":
            scan, brain = things.draw(rng, self.size), np.zeros(self.size, bool)
        elif name == "alone":
            scan, brain = self._alone(rng)
        else:
            scan, brain = self._head(_head(self.root / name), rng, mild)
        scan, brain = contrasts.scanned(scan, brain, rng, self.spacing, mild)
        image = torch.from_numpy(np.ascontiguousarray(scan, dtype=np.float32))
        image = scale(image, measure(image, method="level"))[None]
        labels = torch.from_numpy(brain.astype(np.uint8))
        return Prepared(image, labels, torch.ones(1, dtype=torch.bool))

    def _head(self, head: Head, rng: Generator, mild: bool = False) -> tuple[Array, Mask]:
        kind = rng.random()
        place = self._pose(head, rng, narrow=mild)
        scan, brain = self._sampled(head, contrasts.mixed(head.scans, rng), place)
        if kind < NO_BRAIN:
            return things.emptied(scan, brain, rng), np.zeros_like(brain)
        if not mild and kind < NO_BRAIN + AROUND and self.brains:
            other = _brain(self.brains[int(rng.integers(len(self.brains)))])
            inner, its = self._sampled(
                other, contrasts.mixed(other.scans, rng), self._pose(other, rng, narrow=True)
            )
            return contrasts.recoloured(*around(inner, its, scan, brain, rng), rng, apart=True)
        scan = contrasts.with_lesion(scan, brain, rng, self.spacing)
        scan, brain = contrasts.recoloured(scan, brain, rng, mild=mild)
        return contrasts.with_neck(scan, brain, rng), brain

    def _alone(self, rng: Generator) -> tuple[Array, Mask]:
        other = _brain(self.brains[int(rng.integers(len(self.brains)))])
        scan, brain = self._sampled(other, contrasts.mixed(other.scans, rng), self._pose(other, rng))
        scan, brain = contrasts.recoloured(scan, brain, rng)
        return scan * brain, brain

    def _pose(self, head: Head, rng: Generator, narrow: bool = False) -> Array:
        """(4, 4): voxels of a sample → voxels of the head, its brain near the middle, turned and stretched."""
        most = WIDE if rng.random() < 0.15 and not narrow else NARROW
        matrix = rotation(np.radians(rng.uniform(-most, most, 3)).tolist()).numpy()
        matrix = matrix @ np.diag(rng.uniform(0.9, 1.12) * rng.uniform(0.94, 1.06, 3))
        middle = np.array(ndimage.center_of_mass(head.brain))
        own = np.diag(np.array(head.grid.spacing))  # voxels → mm along the head's own axes
        move = np.linalg.inv(own) @ matrix * self.spacing
        # The brain lies above the middle of a head, and anywhere in a field of view.
        at = np.array(self.size) / 2 + rng.uniform(-1, 1, 3) * np.array([18, 15, 12]) / self.spacing
        found = np.eye(4)
        found[:3, :3], found[:3, 3] = move, middle - move @ at
        return found

    def _sampled(self, head: Head, scan: Array, place: Array) -> tuple[Array, Mask]:
        def at(data: Array) -> Array:
            found: Array = ndimage.affine_transform(
                data, place[:3, :3], place[:3, 3], output_shape=self.size, order=1, mode="constant"
            )
            return found

        # Between slices finer than the sample's spacing nothing is skipped.
        widths = [0.42 * max(0.0, (self.spacing / mm) ** 2 - 1) ** 0.5 for mm in head.grid.spacing]
        return at(ndimage.gaussian_filter(scan, widths)), at(head.brain.astype(np.float32)) >= 0.5


def around(inner: Array, brain: Mask, scan: Array, others: Mask, rng: Generator) -> tuple[Array, Mask]:
    """The brain ``inner`` within ``brain`` inside the tissue of ``scan`` around its own brain ``others``.

    Skull and scalp keep their thickness: what lies so far outside one brain comes to lie so far outside the other, seen
    from its middle.
    """
    if not brain.any() or not others.any():
        return scan, others
    outside = np.argwhere(~brain)
    away, radius, ring = _directions(outside, brain)
    extent = ndimage.map_coordinates(_radii(brain), ring, order=1, mode="nearest")
    wanted = ndimage.map_coordinates(_radii(others), ring, order=1, mode="nearest")
    middle = np.array(ndimage.center_of_mass(others))
    far = np.maximum(radius - extent, 0) + wanted
    place = middle[:, None] + away * far
    found = ndimage.map_coordinates(scan, place, order=1, mode="constant")
    # A brain is no star: where its own shows through, there is fluid.
    hidden = ndimage.map_coordinates(others.astype(np.float32), place, order=1) > 0.5
    fluid = rng.uniform(0.05, 0.5) if rng.random() < 0.7 else rng.uniform(1.2, 2.2)
    made = inner * brain
    made[tuple(outside.T)] = np.where(hidden, fluid, found)
    return made, brain


def _directions(places: npt.NDArray[np.integer], brain: Mask) -> tuple[Array, Array, Array]:
    """Of voxels seen from the brain's middle: unit vectors (3, n), radii (n,), places on :data:`RING` (2, n)."""
    from_middle = places.T - np.array(ndimage.center_of_mass(brain))[:, None]
    radius = np.linalg.norm(from_middle, axis=0) + 1e-6
    away = from_middle / radius
    up = np.arccos(np.clip(away[0], -1, 1)) / np.pi * (RING[0] - 1)
    round_ = (np.arctan2(away[1], away[2]) / (2 * np.pi) + 0.5) * (RING[1] - 1)
    return away, radius, np.stack([up, round_])


@np.errstate(invalid="ignore")
def _radii(brain: Mask) -> Array:
    """How far the brain reaches in each direction of :data:`RING`, smoothed."""
    _, radius, ring = _directions(np.argwhere(brain), brain)
    rows, columns = ring.round().astype(int)
    found = np.zeros(RING, np.float32)
    np.maximum.at(found, (rows, columns), radius)
    filled = ndimage.grey_dilation(found, (3, 3), mode=("nearest", "wrap"))
    found = np.where(found > 0, found, filled)
    return ndimage.gaussian_filter(found, 0.7, mode=("nearest", "wrap"))


def _brains_below(root: Path) -> list[Path]:
    """Folders of ``root`` that hold scans cut to the brain."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; check data.heads.brains.")
    return sorted(path for path in root.iterdir() if path.is_dir())


def _level(study: Study, brain: Mask) -> tuple[Array, ...]:
    scans = (study.images[name].data for name in study.present)
    return tuple(np.asarray(scan / (np.median(scan[brain]) or 1.0), dtype=np.float32) for scan in scans)


@lru_cache(maxsize=64)
def _head(folder: Path) -> Head:
    scans = [f"{name}={path}" for name in BRATS.names if (path := folder / f"{name}.nii.gz").is_file()]
    study = open_study(scans, reference=folder / TRUTH, brain="none")
    assert study.reference is not None
    brain = study.reference.labels > 0
    return Head(_level(study, brain), brain, study.grid)


@lru_cache(maxsize=64)
def _brain(folder: Path) -> Head:
    study = open_study(folder, reference=False, brain="none")
    shown = np.any(
        [np.abs(image.data) > 1e-3 * np.abs(image.data).max() for image in study.images.values()], 0
    )
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(shown, 3), iterations=2))[
        3:-3, 3:-3, 3:-3
    ]
    parts, count = ndimage.label(brain)
    if count > 1:
        brain = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    # Voxels of 1 mm are finer than any sample.
    thin = tuple(slice(None, None, 2 if mm < 1.2 else 1) for mm in study.grid.spacing)
    matrix = study.grid.matrix @ np.diag([*[s.step for s in thin], 1])
    scans = [s if thin[0].step == 1 else ndimage.uniform_filter(s, 2)[thin] for s in _level(study, brain)]
    return Head(tuple(scans), brain[thin], Grid.of(brain[thin].shape, matrix))
