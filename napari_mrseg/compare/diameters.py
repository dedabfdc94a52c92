"""The two diameters of a lesion by which response is judged (RANO: Wen 2010, 2023): in axial slices, in millimetres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from napari_mrseg.compare.metrics import region_mask

if TYPE_CHECKING:
    from napari_mrseg.inference.prediction import Prediction

Point = tuple[float, float]
Line = tuple[Point, Point]

PARTS = np.ones((3, 3, 3))
"""Voxels that touch by a corner belong to one lesion."""
_CLOSE = 1e-6  # mm; lengths closer than this are equal


@dataclass(frozen=True)
class Diameters:
    """RANO diameters of one lesion: the longest line in an axial slice, and the longest one at right angles to it.

    ``slice``: index along I; ``long_ends``, ``short_ends``: (P, L) voxel positions; lengths in mm, voxels' own width
    included.
    """

    slice: int
    long_mm: float
    short_mm: float
    long_ends: Line
    short_ends: Line

    @property
    def product_mm2(self) -> float:
        """Bidimensional product, mm²."""
        return self.long_mm * self.short_mm


def diameters(mask: npt.NDArray[np.bool_], spacing: Sequence[float]) -> Diameters | None:
    """Diameters of the largest connected part of (I, P, L) bool, ``spacing`` in mm; None if nothing is there."""
    parts, count = ndimage.label(mask, structure=PARTS)
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return diameters_of_part(parts == sizes.argmax(), spacing)


def diameters_of_part(
    part: npt.NDArray[np.bool_], spacing: Sequence[float], start: Sequence[int] = (0, 0, 0)
) -> Diameters:
    """Diameters of all that is in ``part``, (I, P, L) bool and not empty: those of the slice with the largest product.

    ``start``: voxel of the whole grid at which ``part`` begins.
    """
    width = np.array((spacing[1], spacing[2]), dtype=float)
    slices = [_Slice.of(int(index), part[index], width) for index in np.flatnonzero(part.any((1, 2)))]
    best: Diameters | None = None
    for one in sorted(slices, key=lambda one: one.most_mm2, reverse=True):
        if best is not None and one.most_mm2 < best.product_mm2:
            break
        found = one.measured(start)
        ahead = 0.0 if best is None else found.product_mm2 - best.product_mm2
        if best is None or ahead > _CLOSE or (ahead > -_CLOSE and found.slice < best.slice):
            best = found
    assert best is not None
    return best


@dataclass(frozen=True)
class _Slice:
    """One slice of a lesion, in mm. ``pairs``: numbers of the corners between which its longest lines run.

    ``most_mm2``: what the product of its diameters cannot exceed; quickly known.
    """

    index: int
    width: npt.NDArray[np.float64]  # (2,) of a voxel
    centres: npt.NDArray[np.float64]  # (n, 2) of the voxels at its edge
    corners: npt.NDArray[np.float64]  # (4 n, 2)
    hull: npt.NDArray[np.float64]  # (m, 2)
    longest: float
    pairs: npt.NDArray[np.intp]  # (k, 2)
    most_mm2: float

    @classmethod
    def of(cls, index: int, mask: npt.NDArray[np.bool_], width: npt.NDArray[np.float64]) -> _Slice:
        centres = np.argwhere(mask & ~ndimage.binary_erosion(mask)) * width
        # A voxel reaches half its width beyond its centre.
        offsets = np.array(((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))) * width
        corners = (centres[:, None] + offsets).reshape(-1, 2)
        hull = corners[ConvexHull(corners).vertices]
        between = squareform(pdist(hull))
        longest = float(between.max())
        pairs = np.argwhere(np.triu(between >= longest - _CLOSE, 1))
        sides = _sides(hull[pairs[:, 1]] - hull[pairs[:, 0]])
        broadest = float(np.ptp(hull @ sides.T, axis=0).max())
        return cls(index, width, centres, corners, hull, longest, pairs, longest * broadest + _CLOSE)

    def measured(self, start: Sequence[int]) -> Diameters:
        """Of lines of one length, the one with the longest line across."""
        lines = [(self.hull[a], self.hull[b]) for a, b in self.pairs]
        across = [_across(a, b, self.corners, self.centres, self.width) for a, b in lines]
        at = int(np.argmax([length for length, _ in across]))
        short, ends = across[at]
        index = self.index + int(start[0])
        return Diameters(index, self.longest, short, self._line(lines[at], start), self._line(ends, start))

    def _line(self, ends: Sequence[npt.NDArray[np.float64]], start: Sequence[int]) -> Line:
        one, other = ((end / self.width + np.array(start[1:])).tolist() for end in ends)
        return (one[0], one[1]), (other[0], other[1])


def _sides(lines: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 2) unit vectors at right angles to ``lines``."""
    along = lines / np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-9)
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def _across(
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    corners: npt.NDArray[np.float64],
    centres: npt.NDArray[np.float64],
    width: npt.NDArray[np.float64],
) -> tuple[float, list[npt.NDArray[np.float64]]]:
    """The longest line at right angles to ``first``–``second``: its length, and its ends in mm.

    It begins and ends in a voxel of the lesion. How far the lesion reaches across changes linearly between the places
    of its corners along the line, so the longest one goes through a corner.
    """
    side = _sides((second - first)[None])[0]
    along = np.array([side[1], -side[0]])
    places = np.unique(np.round(corners @ along, 9))
    # Where the line at each place enters and leaves each voxel: (places, voxels).
    low = np.full((len(places), len(centres)), -np.inf)
    high = -low
    inside = np.ones(low.shape, bool)
    for axis in (0, 1):
        # On the line, coordinate `axis` is places · along[axis] + s · side[axis].
        gap = centres[:, axis] - places[:, None] * along[axis]
        half = width[axis] / 2 + _CLOSE / 10
        if abs(side[axis]) < 1e-12:
            inside &= np.abs(gap) <= half
            continue
        one, other = (gap - half) / side[axis], (gap + half) / side[axis]
        low, high = np.maximum(low, np.minimum(one, other)), np.minimum(high, np.maximum(one, other))
    inside &= low <= high
    lower, upper = np.where(inside, low, np.inf).min(1), np.where(inside, high, -np.inf).max(1)
    at = int((upper - lower).argmax())
    ends = [places[at] * along + reach * side for reach in (lower[at], upper[at])]
    return float(upper[at] - lower[at]), ends


def diameters_of(prediction: Prediction) -> Mapping[str, Mapping[str, float] | None] | None:
    """Region → the two diameters in mm for ``result.json``; None for tasks whose images are no volumes."""
    if prediction.task.ndim != 3:
        return None
    found = {}
    for region in prediction.task.regions:
        one = diameters(region_mask(prediction.labels, region), prediction.grid.spacing)
        found[region.name] = (
            None if one is None else {"long_mm": round(one.long_mm, 1), "short_mm": round(one.short_mm, 1)}
        )
    return found
