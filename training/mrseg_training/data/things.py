"""What is no head with a brain.

Phantoms, limbs, spines and trunks in the rough, stacks of pictures, noise, nothing, and heads that hold none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from mrseg_training.data.contrasts import Array, Mask


def draw(rng: Generator, size: Sequence[int]) -> Array:
    """(*size) float32, brightness around 1."""
    kind = KINDS[int(rng.choice(len(KINDS), p=SHARES))]
    made = kind(rng, size)
    if kind in ORGANIC and rng.random() < 0.6:
        made = _bent(made, rng)
    return np.asarray(made, dtype=np.float32)


def nothing(rng: Generator, size: Sequence[int]) -> Array:
    return np.full(size, rng.choice([0.0, 1.0]))


def noise(rng: Generator, size: Sequence[int]) -> Array:
    """Of any smoothness, over all of the field or within a ball or box of it."""
    smooth = 0.0 if rng.random() < 0.3 else rng.uniform(0, 6)
    made = ndimage.gaussian_filter(rng.normal(size=size), smooth)
    made = np.abs(made / made.std() + rng.choice([0.0, 0.0, 2.0, 5.0]))
    if rng.random() < 0.4:
        inside = _solid(rng, size, np.array(size) / 2, np.array(size) * rng.uniform(0.2, 0.45, 3))
        made = made * np.where(inside, 1.0, rng.uniform(0, 0.3))
    return made / made.mean()


def phantom(rng: Generator, size: Sequence[int]) -> Array:
    """A vessel of fluid, round or square, with rods, balls, plates or nothing in it."""
    vessel = _solid(rng, size, np.array(size) / 2, np.array(size) * rng.uniform(0.28, 0.48, 3))
    made = vessel * rng.uniform(0.6, 1.4)
    if rng.random() < 0.4:  # its wall
        made = np.where(vessel & ~ndimage.binary_erosion(vessel, iterations=2), rng.uniform(0, 2), made)
    for _ in range(int(rng.choice([0, 1, 4, 12, 30]))):
        centre = np.array(size) * rng.uniform(0.2, 0.8, 3)
        part = _solid(rng, size, centre, np.array(size) * rng.uniform(0.02, 0.2, 3))
        made = np.where(part & vessel, rng.uniform(0, 2), made)
    if rng.random() < 0.2:  # a grid of plates, as those by which distortion is measured
        apart, thick = int(rng.integers(5, 10)), int(rng.integers(1, 3))
        lines = [np.arange(n) % apart < thick for n in size]
        chosen = rng.permutation(3)[: int(rng.integers(1, 4))]
        plates = np.zeros(size, bool)
        for axis in chosen:
            plates |= lines[axis].reshape([-1 if a == axis else 1 for a in range(3)])
        made = np.where(plates & vessel, rng.uniform(0, 1.8), made)
    return made * _grain(rng, size, 0.06)


def shells(rng: Generator, size: Sequence[int]) -> Array:
    """Closed layers around one another, as scalp, skull and fluid are around a brain, and nothing like one within."""
    centre = np.array(size) / 2 + rng.uniform(-3, 3, 3)
    half = np.array(size) * rng.uniform(0.3, 0.5) * rng.uniform(0.85, 1.15, 3)
    made = np.zeros(size)
    grid = np.ogrid[tuple(slice(0, n) for n in size)]
    far = np.sqrt(sum(((g - c) / h) ** 2 for g, c, h in zip(grid, centre, half, strict=True)))
    if rng.random() < 0.4:  # the base of a head is open
        far = np.where(grid[0] > size[0] * rng.uniform(0.55, 0.9), far * rng.uniform(0.6, 0.95), far)
    for depth in np.sort(rng.uniform(0.45, 1.0, int(rng.integers(1, 6))))[::-1]:
        made = np.where(far < depth, rng.uniform(0, 2.2) * _grain(rng, size, 0.1), made)
    for _ in range(int(rng.choice([0, 0, 1, 3]))):
        part = _solid(
            rng, size, np.array(size) * rng.uniform(0.3, 0.7, 3), np.array(size) * rng.uniform(0.04, 0.2, 3)
        )
        made = np.where(part & (far < 0.6), rng.uniform(0, 2) * _grain(rng, size, 0.1), made)
    return made


def limbs(rng: Generator, size: Sequence[int]) -> Array:
    """One or two: skin, fat, muscle, and bones with marrow that meet in a joint."""
    made = np.zeros(size)
    count = int(rng.integers(1, 3))
    fat, muscle, marrow, skin = rng.uniform(0.3, 1.8, 4)
    axis = int(rng.choice(3, p=[0.7, 0.15, 0.15]))
    for number in range(count):
        along = np.linspace(-1, 1, size[axis])
        others = [a for a in range(3) if a != axis]
        middle = [size[a] * rng.uniform(0.42, 0.58) for a in others]
        if count == 2:
            middle[1] = size[others[1]] * (0.28 if number else 0.72)
        wide = np.array([size[a] for a in others]) * rng.uniform(0.16, 0.5 if count == 1 else 0.24)
        taper = 1 + rng.uniform(-0.3, 0.3) * along + rng.uniform(-0.2, 0.2) * along**2
        far = _ring(size, axis, middle, wide, taper)
        made = np.where(far < 1, skin, made)
        made = np.where(far < 0.93, fat, made)
        made = np.where(far < rng.uniform(0.6, 0.9), muscle * _grain(rng, size, 0.15), made)
        joint = rng.uniform(-0.5, 0.5)
        bone = _ring(
            size,
            axis,
            middle,
            wide * rng.uniform(0.2, 0.5),
            1 + 0.7 * np.exp(-(((along - joint) / 0.3) ** 2)),
        )
        gap = np.abs(along - joint) < 0.04
        shape = [1, 1, 1]
        shape[axis] = -1
        made = np.where((bone < 1.1) & ~gap.reshape(shape), 0.05, made)
        made = np.where((bone < 0.9) & ~gap.reshape(shape), marrow * _grain(rng, size, 0.08), made)
    return made


def trunk(rng: Generator, size: Sequence[int]) -> Array:
    """Fat around organs of all sizes, and a column of vertebrae."""
    middle = [size[1] / 2, size[2] / 2]
    far = _ring(size, 0, middle, np.array([size[1], size[2]]) * rng.uniform(0.35, 0.6), np.ones(size[0]))
    made = np.where(far < 1, rng.uniform(0.5, 1.8), 0.0)
    inside = far < rng.uniform(0.7, 0.92)
    made = np.where(inside, rng.uniform(0.3, 1.0) * _grain(rng, size, 0.2), made)
    for _ in range(int(rng.integers(3, 25))):
        centre = np.array(size) * rng.uniform(0.1, 0.9, 3)
        part = _solid(rng, size, centre, np.array(size) * rng.uniform(0.04, 0.22, 3))
        made = np.where(part & inside, rng.uniform(0, 1.8) * _grain(rng, size, 0.12), made)
    if rng.random() < 0.6:
        column = _ring(
            size, 0, [size[1] * rng.uniform(0.5, 0.75), middle[1]], np.full(2, 7.0), np.ones(size[0])
        )
        discs = (np.arange(size[0]) % int(rng.integers(10, 15)) < 3)[:, None, None]
        made = np.where(column < 1, np.where(discs, rng.uniform(0.1, 1.5), rng.uniform(0.3, 1.5)), made)
    return made


def spine(rng: Generator, size: Sequence[int]) -> Array:
    """Vertebrae and discs in front of a cord in its fluid, muscle and fat behind them."""
    bone, disc, fluid, cord, muscle, fat = rng.uniform(0.1, 1.8, 6)
    rows = np.arange(size[0])
    curve = rng.uniform(0, 5) * np.sin(rows / size[0] * np.pi * rng.uniform(0.7, 2) + rng.uniform(0, 6))
    p, l = np.ogrid[: size[1], : size[2]]  # noqa: E741 - the axes' names
    middle, front = size[2] * rng.uniform(0.4, 0.6), size[1] * rng.uniform(0.3, 0.55)
    wide, thick = size[2] * rng.uniform(0.25, 0.5), size[1] * rng.uniform(0.25, 0.5)
    body, canal = rng.uniform(5, 10), rng.uniform(2, 4)
    period = int(rng.integers(7, 13))
    made = np.zeros(size)
    for row in rows:
        at = front + curve[row]
        trunk = ((p - at) / thick) ** 2 + ((l - middle) / wide) ** 2
        one = np.select([trunk > 1, trunk > 0.75], [0.0, fat], muscle)
        column = np.sqrt((p - at) ** 2 + ((l - middle) / 1.2) ** 2)
        one = np.where(column < body, disc if row % period < 2 else bone, one)
        hole = np.sqrt((p - at - body - canal) ** 2 + (l - middle) ** 2)
        one = np.where(hole < canal, np.where(hole < 0.6 * canal, cord, fluid), one)
        made[row] = one
    return made * _grain(rng, size, 0.1)


def pictures(rng: Generator, size: Sequence[int]) -> Array:
    """Two-dimensional pictures as slices: the same one throughout, or another in each."""
    axis = int(rng.choice(3, p=[0.7, 0.15, 0.15]))
    flat = [n for a, n in enumerate(size) if a != axis]

    def picture() -> Array:
        made = sum(
            ndimage.gaussian_filter(rng.normal(size=flat), smooth) * smooth for smooth in (0.5, 1.5, 4, 10)
        )
        made = np.asarray(made) / np.std(made) + rng.uniform(0, 2)
        for _ in range(int(rng.integers(0, 12))):
            a, b = (int(rng.integers(0, n - 4)) for n in flat)
            high, broad = (int(rng.integers(3, n // 2)) for n in flat)
            made[a : a + high, b : b + broad] = rng.uniform(0, 3)
        return np.abs(made)

    kept = picture()
    other = rng.random() < 0.5
    return np.stack([picture() if other else kept for _ in range(size[axis])], axis) / 1.5


def emptied(scan: Array, brain: Mask, rng: Generator) -> Array:
    """A head whose brain is gone: air or bone, noise, or all of it shuffled."""
    kind = rng.random()
    if kind < 0.5:
        return np.where(brain, rng.uniform(0, 0.25) * _grain(rng, scan.shape, 0.05), scan)
    if kind < 0.7:
        return np.where(brain, np.abs(ndimage.gaussian_filter(rng.normal(size=scan.shape), 1.5)) * 4, scan)
    made = scan.copy()
    side = 16
    corners = list(product(*(range(0, n - side + 1, side) for n in scan.shape)))
    for to, index in zip(corners, rng.permutation(len(corners)), strict=True):
        source = tuple(slice(c, c + side) for c in corners[int(index)])
        made[tuple(slice(c, c + side) for c in to)] = scan[source][:: rng.choice([1, -1])]
    return made


def _bent(made: Array, rng: Generator) -> Array:
    """With the rounder forms of what grows: voxels moved by a smooth field."""
    places = np.meshgrid(*(np.arange(n, dtype=float) for n in made.shape), indexing="ij")
    for place in places:
        coarse = rng.normal(size=(4, 4, 4)) * rng.uniform(0, 5)
        place += ndimage.zoom(coarse, [n / 4 for n in made.shape], order=1, grid_mode=True, mode="nearest")
    bent: Array = ndimage.map_coordinates(made, places, order=1, mode="nearest")
    return bent


def _solid(rng: Generator, size: Sequence[int], centre: Array, half: Array) -> Mask:
    """A box, an ellipsoid, or a rod along one axis."""
    grid = np.ogrid[tuple(slice(0, n) for n in size)]
    far = [np.abs((g - c) / max(h, 1.0)) for g, c, h in zip(grid, centre, half, strict=True)]
    kind = int(rng.integers(3))
    if kind == 0:
        return np.asarray((far[0] < 1) & (far[1] < 1) & (far[2] < 1))
    if kind == 1:
        return np.asarray(far[0] ** 2 + far[1] ** 2 + far[2] ** 2 < 1)
    axis = int(rng.integers(3))
    a, b = (far[i] for i in range(3) if i != axis)
    return np.asarray((a**2 + b**2 < 1) & (far[axis] < 2))


def _ring(size: Sequence[int], axis: int, middle: Sequence[float], wide: Array, taper: Array) -> Array:
    """How far from a tube along ``axis`` each voxel lies, 1 at its surface."""
    grid = np.ogrid[tuple(slice(0, n) for n in size)]
    a, b = (i for i in range(3) if i != axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    far = ((grid[a] - middle[0]) / wide[0]) ** 2 + ((grid[b] - middle[1]) / wide[1]) ** 2
    return np.sqrt(far) / np.clip(taper, 0.3, None).reshape(shape)


def _grain(rng: Generator, size: Sequence[int], strength: float) -> Array:
    smooth = ndimage.gaussian_filter(rng.normal(size=size), rng.uniform(0.5, 3))
    return 1 + strength * rng.uniform(0, 2) * smooth / smooth.std()


KINDS: tuple[Callable[[Generator, Sequence[int]], Array], ...] = (
    phantom,
    limbs,
    trunk,
    spine,
    noise,
    pictures,
    nothing,
    shells,
)
SHARES = (0.2, 0.22, 0.12, 0.1, 0.09, 0.07, 0.02, 0.18)  # of each among the samples
ORGANIC = (limbs, trunk, spine, shells)
