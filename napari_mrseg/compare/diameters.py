"""The two diameters of a lesion by which response is judged (RANO: Wen 2010, 2023): in axial slices, in millimetres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from napari_mrseg.compare.metrics import region_mask

if TYPE_CHECKING:
    from napari_mrseg.inference.prediction import Prediction

Point = tuple[float, float]


@dataclass(frozen=True)
class Diameters:
    """Of the largest connected part: the longest line in one axial slice, and the longest one at right angles to it.

    ``slice``: index along I; ``long_ends``, ``short_ends``: (P, L) voxel positions; lengths in mm, voxels' own width
    included.
    """

    slice: int
    long_mm: float
    short_mm: float
    long_ends: tuple[Point, Point]
    short_ends: tuple[Point, Point]

    @property
    def product_mm2(self) -> float:
        """Bidimensional product, mm²."""
        return self.long_mm * self.short_mm


def diameters(mask: npt.NDArray[np.bool_], spacing: Sequence[float]) -> Diameters | None:
    """Of (I, P, L) bool with ``spacing`` in mm; None if nothing is there. Of the slice with the largest product."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = parts == sizes.argmax()
    best: Diameters | None = None
    for index in np.flatnonzero(largest.any((1, 2))):
        found = _of_slice(int(index), largest[index], (float(spacing[1]), float(spacing[2])))
        if best is None or found.product_mm2 > best.product_mm2:
            best = found
    return best


def _of_slice(index: int, mask: npt.NDArray[np.bool_], mm: tuple[float, float]) -> Diameters:
    # A voxel reaches half its width beyond its centre.
    places = np.argwhere(mask & ~ndimage.binary_erosion(mask)).astype(float)
    corners = np.concatenate(
        [places + offset for offset in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))]
    )
    points = corners * mm
    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:  # never with voxels' corners, which span a plane
        hull = points
    between = np.linalg.norm(hull[:, None] - hull[None], axis=-1)
    a, b = (int(i) for i in np.unravel_index(int(between.argmax()), between.shape))
    along = (hull[b] - hull[a]) / max(float(between[a, b]), 1e-9)
    across = np.array([-along[1], along[0]])
    # The longest line at right angles: how far the region reaches across, at each place along the first line.
    step = 1.25 * max(mm)  # narrower, and both ends of a line may fall beside each other
    place = np.round(points @ along / step).astype(int)
    reach = points @ across
    low, high = (np.full(place.max() - place.min() + 1, fill) for fill in (np.inf, -np.inf))
    np.minimum.at(low, place - place.min(), reach)
    np.maximum.at(high, place - place.min(), reach)
    k = int((high - low).argmax())
    middle = (k + place.min()) * step
    ends = [tuple(float(v) for v in (along * middle + across * r) / mm) for r in (low[k], high[k])]
    return Diameters(
        slice=index,
        long_mm=float(between[a, b]),
        short_mm=float(high[k] - low[k]),
        long_ends=(_point(hull[a] / mm), _point(hull[b] / mm)),
        short_ends=(_point(ends[0]), _point(ends[1])),
    )


def _point(values: Sequence[float] | npt.NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1])


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
