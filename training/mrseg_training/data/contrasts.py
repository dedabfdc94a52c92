"""What scanners do to a head and what none does: contrasts at random, lesions, fields cut short, faces taken off.

After SynthStrip (Hoopes 2022, doi 10.1016/j.neuroimage.2022.119474), which learns the brain's shape from intensities
that mean nothing; here they are those of real scans, exchanged for others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy import ndimage

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

KNOTS = (4, 9)  # of a random curve
OWN, RISING = 0.65, 0.13  # shares: contrast as it is (gamma alone), another curve that never falls


def mixed(scans: Sequence[Array], rng: Generator) -> Array:
    """One of the scans, or sometimes a blend of two: a contrast between theirs."""
    one = scans[int(rng.integers(len(scans)))]
    if len(scans) > 1 and rng.random() < 0.15:
        share = rng.uniform(0.2, 0.8)
        return share * one + (1 - share) * scans[int(rng.integers(len(scans)))]
    return one


def recoloured(
    scan: Array, brain: Mask, rng: Generator, apart: bool = False, mild: bool = False
) -> tuple[Array, Mask]:
    """Other intensities, the brain's median around 1; ``apart``: what is outside for itself; ``mild``: little."""
    if mild and not apart:
        return _gamma(scan, rng), brain
    if apart:
        outside = _curved(scan, rng, falls=rng.random() < 0.5) * rng.uniform(0.5, 1.6)
        inside = _gamma(scan, rng) if rng.random() < 0.6 else _curved(scan, rng, falls=True)
        return np.where(brain, inside, outside), brain
    kind = rng.random()
    if kind < OWN:
        return _gamma(scan, rng), brain
    if kind < OWN + RISING:
        return _curved(scan, rng, falls=False), brain
    if kind < 0.94:
        return _curved(scan, rng, falls=True), brain
    soft = ndimage.gaussian_filter(brain.astype(np.float32), 0.7)
    return soft * _curved(scan, rng, falls=True) + (1 - soft) * _curved(scan, rng, falls=True), brain


def _gamma(scan: Array, rng: Generator) -> Array:
    return np.sign(scan) * np.abs(scan) ** np.exp(rng.uniform(-0.5, 0.5))


def _curved(scan: Array, rng: Generator, falls: bool) -> Array:
    """Through a random curve of a few straight pieces. Air stays what it is: 0 goes to 0."""
    count = int(rng.integers(*KNOTS))
    at = np.sort(np.concatenate([[0.0, 0.12], rng.uniform(0.15, 2.0, count), [2.5]]))
    if falls:
        to = np.concatenate([[0.0, rng.uniform(0, 0.4)], rng.uniform(0.05, 1.6, count + 1)])
    else:
        to = np.concatenate([[0.0], np.cumsum(rng.gamma(1.0, 1.0, count + 2) + 0.1)])
        to = to / np.interp(1.0, at, to)
    return np.interp(scan, at, to)


def with_lesion(scan: Array, brain: Mask, rng: Generator, spacing: float) -> Array:
    """Sometimes with a blob of another intensity in the brain, often up to its border: a tumour, or where one was."""
    if rng.random() > 0.35 or not brain.any():
        return scan
    places = np.argwhere(brain)
    centre = places[int(rng.integers(len(places)))]
    axes = rng.uniform(6, 26) * rng.uniform(0.7, 1.3, 3) / spacing
    grid = np.ogrid[tuple(slice(0, n) for n in scan.shape)]
    far = sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
    wavy = ndimage.gaussian_filter(rng.normal(size=scan.shape).astype(np.float32), 2.5)
    blob = (np.asarray(far) + 0.5 * wavy / wavy.std() < 1) & brain
    soft = ndimage.gaussian_filter(blob.astype(np.float32), rng.uniform(0.4, 1.2)) * brain
    value = rng.uniform(0.1, 2.2)
    texture = 1 + 0.1 * rng.normal(size=scan.shape)
    return scan * (1 - soft) + soft * (value * texture + 0.3 * (scan - 1))


def with_neck(scan: Array, brain: Mask, rng: Generator) -> Array:
    """Sometimes what lies below the field of view: its lowest slice again and again, narrower, without a brain."""
    shown = (scan > 0.05).any((1, 2))
    if rng.random() > 0.35 or not shown.any():
        return scan
    last = int(np.flatnonzero(shown)[-1])
    if last < 2 or last >= len(scan) - 3 or brain[last - 1].sum() > 40:
        return scan
    made = scan.copy()
    slice_ = scan[last - 1]
    for row in range(last, len(scan)):
        wide = 1 + 0.012 * (row - last)
        middle = (np.array(slice_.shape) - 1) / 2
        moved = middle - middle * wide + np.array([0.3 * (row - last), 0])
        made[row] = ndimage.affine_transform(slice_, np.array([wide, wide]), moved, order=1)
    made[last:] *= 1 + 0.25 * ndimage.gaussian_filter(rng.normal(size=made[last:].shape), 1.5) * 4
    return made


def scanned(
    scan: Array, brain: Mask, rng: Generator, spacing: float, mild: bool = False
) -> tuple[Array, Mask]:
    """What a scanner and those after it make of it: thick slices, bias, blur, noise, a cut field, no face.

    ``mild``: each a third as often.
    """
    often = 1 / 3 if mild else 1.0
    scan = np.asarray(scan, dtype=np.float32)
    if rng.random() < 0.25 * often:
        scan = _thick(scan, int(rng.integers(3)), int(rng.integers(2, 4)))
    if rng.random() < 0.2 * often:
        scan = ndimage.gaussian_filter(scan, rng.uniform(0.3, 0.8))
    if rng.random() < 0.5 * often:
        scan = scan * _bias(scan.shape, rng)
    if rng.random() < 0.18 * often:
        scan = _faceless(scan, brain, rng, spacing)
    if rng.random() < 0.5 * often:
        strength = rng.uniform(0, 0.09)
        one, other = strength * rng.normal(size=(2, *scan.shape)).astype(np.float32)
        # Magnitudes: noise in air has a mean above 0. Where files hold 0, there is none.
        noisy = np.hypot(np.abs(scan) + one, other)
        scan = np.where(scan == 0, 0, noisy) if rng.random() < 0.5 else noisy
    if rng.random() < 0.25 * often:
        scan, brain = _cut_short(scan, brain, rng)
    if rng.random() < 0.25 * often:
        # Air of a scanner is not always near 0.
        scan = scan + rng.uniform(0.02, 0.2 if rng.random() < 0.7 else 0.7)
    return np.asarray(scan, dtype=np.float32), brain


def _thick(scan: Array, axis: int, slices: int) -> Array:
    """Slices as thick as so many voxels along ``axis``, filled in between."""
    n = scan.shape[axis]
    edges = np.arange(0, n - slices + 1, slices)
    lines = np.moveaxis(scan, axis, 0)
    means = np.stack([lines[e : e + slices].mean(0) for e in edges])
    at = np.clip((np.arange(n) + 0.5) / slices - 0.5, 0, len(means) - 1)
    low = np.minimum(at.astype(int), len(means) - 2)
    share = (at - low)[:, None, None]
    return np.moveaxis(means[low] * (1 - share) + means[low + 1] * share, 0, axis)


def _bias(shape: Sequence[int], rng: Generator) -> Array:
    coarse = rng.normal(size=(4, 4, 4)) * rng.uniform(0.05, 0.35)
    field = ndimage.zoom(coarse, [n / 4 for n in shape], order=1, grid_mode=True, mode="nearest")
    return np.exp(ndimage.gaussian_filter(field, 8)).astype(np.float32)


def _faceless(scan: Array, brain: Mask, rng: Generator, spacing: float) -> Array:
    """Everything in front of and below a slanted plane that spares the brain is 0."""
    if not brain.any():
        return scan
    angle = np.radians(rng.uniform(20, 80))
    places = np.argwhere(brain)
    down, front = np.sin(angle), np.cos(angle)
    depth = places[:, 0] * down - places[:, 1] * front  # I grows downwards, P backwards
    limit = depth.max() + rng.uniform(2, 15) / spacing
    grid = np.ogrid[tuple(slice(0, n) for n in scan.shape)]
    face = grid[0] * down - grid[1] * front > limit
    return np.where(face, 0, scan)


def _cut_short(scan: Array, brain: Mask, rng: Generator) -> tuple[Array, Mask]:
    """Nothing beyond a plane on one or two sides, through the brain or outside it."""
    scan, brain = scan.copy(), brain.copy()
    for _ in range(int(rng.integers(1, 3))):
        axis = int(rng.choice(3, p=[0.6, 0.2, 0.2]))
        places = np.flatnonzero((scan > 0.05).any(tuple(a for a in range(3) if a != axis)))
        if len(places) < 12:
            continue
        low, high = int(places[0]), int(places[-1])
        lost = int(rng.uniform(0.03, 0.4) * (high - low))
        away = slice(0, low + lost) if rng.random() < 0.5 else slice(high - lost, None)
        index = tuple(away if a == axis else slice(None) for a in range(3))
        scan[index], brain[index] = 0, False
    return scan, brain
