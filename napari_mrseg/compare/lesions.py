"""What is measured: lesions one by one with their RANO diameters, and distances; with corrections and undo."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.compare.diameters import PARTS, Diameters, Line, Point, diameters_of_part
from napari_mrseg.study import Grid
from napari_mrseg.tasks import Combination, Region, Task

MEASURABLE_MM = 10.0
"""A lesion counts for the sum if both diameters are at least this long (RANO: Wen 2010)."""
Place = tuple[float, ...]
Item = TypeVar("Item", "Lesion", "Distance")
COLUMNS = (
    "case", "combination", "region", "lesion", "volume_mL", "long_mm", "short_mm", "product_mm2", "measurable",
    "centre_R_mm", "centre_A_mm", "centre_S_mm", "axial_slice", "corrected",
)  # fmt: skip


@dataclass(frozen=True)
class Lesion:
    """One connected part of a region.

    ``number``: from 1, the largest volume first. ``centre_mm``: centre of mass, RAS+ mm. ``box``: the part of the grid
    that holds it. ``corrected``: a diameter was moved by hand.
    """

    number: int
    ml: float
    centre_mm: tuple[float, float, float]
    diameters: Diameters
    box: tuple[slice, ...]
    corrected: bool = False

    @property
    def measurable(self) -> bool:
        """True if both diameters are at least :data:`MEASURABLE_MM` long."""
        return min(self.diameters.long_mm, self.diameters.short_mm) >= MEASURABLE_MM

    @property
    def place(self) -> tuple[float, float, float]:
        """(I, P, L) voxel position to look at: the middle of the longest diameter."""
        (p0, l0), (p1, l1) = self.diameters.long_ends
        return float(self.diameters.slice), (p0 + p1) / 2, (l0 + l1) / 2

    @property
    def lines(self) -> tuple[Line, Line]:
        """The long and the short diameter, (P, L) voxel positions."""
        return self.diameters.long_ends, self.diameters.short_ends

    def moved(self, line: int, end: int, to: Point, spacing: Sequence[float]) -> Lesion:
        """With one end of a diameter elsewhere in its slice. ``line``: 0 long, 1 short; ``end``: 0 or 1."""
        lines = [list(ends) for ends in self.lines]
        lines[line][end] = (float(to[0]), float(to[1]))
        mm = np.asarray(spacing[1:], dtype=float)
        lengths = [float(np.linalg.norm((np.array(b) - a) * mm)) for a, b in lines]
        (long, short) = ((a, b) for a, b in lines)
        return replace(
            self,
            diameters=Diameters(self.diameters.slice, lengths[0], lengths[1], long, short),
            corrected=True,
        )

    def ordered(self) -> Lesion:
        """With the longer line as the long diameter."""
        d = self.diameters
        if d.short_mm <= d.long_mm:
            return self
        return replace(self, diameters=Diameters(d.slice, d.short_mm, d.long_mm, d.short_ends, d.long_ends))


def lesions_of(mask: npt.NDArray[np.bool_], grid: Grid) -> tuple[Lesion, ...]:
    """Connected parts of (I, P, L) bool, the largest volume first; voxels that touch by a corner are connected."""
    parts, _ = ndimage.label(mask, structure=PARTS)
    boxes = ndimage.find_objects(parts)
    found = []
    for code, box in enumerate(boxes, start=1):
        part = parts[box] == code
        start = [s.start for s in box]
        centre = np.array(ndimage.center_of_mass(part)) + start
        r, a, s = (float(v) for v in (grid.matrix @ [*centre, 1.0])[:3])
        ml = int(np.count_nonzero(part)) * grid.voxel_ml
        found.append(Lesion(code, ml, (r, a, s), diameters_of_part(part, grid.spacing, start), box))
    found.sort(key=lambda one: (-one.ml, one.diameters.slice, one.diameters.long_ends))
    return tuple(replace(one, number=number) for number, one in enumerate(found, start=1))


def region_to_measure(
    task: Task, combination: Combination, sizes: Mapping[str, float] | None = None
) -> Region:
    """Enhancing tumour with contrast, the innermost of nested regions; the outermost where that is not to be seen.

    ``sizes``: of the result's regions, if known; the outermost one also where the innermost is empty.
    """
    inner = task.regions[-1]
    seen = task.nested and not task.estimated(combination)
    there = sizes is None or sizes[inner.name] > 0
    return inner if seen and there else task.regions[0]


class _Steps(Generic[Item]):
    """Things that can be changed, and every change undone."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.items: tuple[Item, ...] = tuple(items)
        self._before: list[tuple[Item, ...]] = []

    @property
    def changed(self) -> bool:
        """True if there is a step to undo."""
        return bool(self._before)

    def undo(self) -> bool:
        """Take back the last change. False if there is none."""
        if not self._before:
            return False
        self.items = self._before.pop()
        return True

    def delete(self, numbers: Iterable[int]) -> bool:
        """Take those of these numbers out; the others keep theirs. False if none was there."""
        gone = set(numbers)
        return self._become(one for one in self.items if one.number not in gone)

    def _become(self, items: Iterable[Item]) -> bool:
        now = tuple(items)
        if now == self.items:
            return False
        self._before.append(self.items)
        self.items = now
        return True


class LesionTable(_Steps[Lesion]):
    """The lesions of one result as the user reads them: taken out, corrected, and all of it undone step by step."""

    def __init__(self, lesions: Iterable[Lesion], grid: Grid) -> None:
        super().__init__(lesions)
        self.grid = grid

    @property
    def sum_mm2(self) -> float:
        """Sum of the products of all measurable lesions, mm²."""
        return sum(one.diameters.product_mm2 for one in self.items if one.measurable)

    def lesion(self, number: int) -> Lesion:
        """The lesion of that number. Raises KeyError if it is not in the table."""
        found = next((one for one in self.items if one.number == number), None)
        if found is None:
            raise KeyError(number)
        return found

    def move_end(self, number: int, line: int, end: int, to: Point) -> bool:
        """Move one end of a diameter, as :meth:`Lesion.moved`."""
        moved = self.lesion(number).moved(line, end, to, self.grid.spacing).ordered()
        return self._become(moved if one.number == number else one for one in self.items)


@dataclass(frozen=True)
class Distance:
    """A line drawn by hand. ``ends``: two voxel positions, (axis,) each; ``length`` in mm, of images in pixels."""

    number: int
    ends: tuple[Place, Place]
    length: float

    def crosses(self, other: Distance) -> bool:
        """True if both lie in one slice and cut each other there."""
        ends = np.array([self.ends, other.ends])  # (line, end, axis)
        for axis in range(ends.shape[-1]):
            if np.ptp(ends[..., axis]) < 0.5:
                (a, b), (c, d) = np.delete(ends, axis, axis=-1)
                return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0
        return False


def _turn(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], c: npt.NDArray[np.float64]) -> float:
    """Positive where a → b → c turns one way, negative the other way."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


class Distances(_Steps[Distance]):
    """Lines drawn by hand; ``spacing`` of the voxels their ends are given in."""

    def __init__(self, spacing: Sequence[float]) -> None:
        super().__init__()
        self._spacing = np.asarray(spacing, dtype=float)
        self._last = 0

    def measured(self, number: int, ends: Sequence[Sequence[float]]) -> Distance:
        """A distance, not yet kept."""
        one, other = (tuple(float(v) for v in end) for end in ends)
        return Distance(number, (one, other), float(np.linalg.norm(np.subtract(one, other) * self._spacing)))

    def add(self, ends: Sequence[Sequence[float]]) -> Distance:
        """Keep a new line; its number is never given again."""
        self._last += 1
        made = self.measured(self._last, ends)
        self._become((*self.items, made))
        return made

    def move_end(self, number: int, end: int, to: Sequence[float]) -> bool:
        """Move one end of a line."""
        return self._become(
            self.measured(number, [to if i == end else kept for i, kept in enumerate(one.ends)])
            if one.number == number
            else one
            for one in self.items
        )

    def product(self, number: int) -> tuple[Distance, float] | None:
        """The last earlier line that crosses this one in its slice, and the product of both lengths; or None."""
        here = next(one for one in self.items if one.number == number)
        earlier = [one for one in self.items if one.number < number and one.crosses(here)]
        return (earlier[-1], earlier[-1].length * here.length) if earlier else None


def lesions_csv(lesions: Iterable[Lesion], region: Region, *, case: str, combination: str) -> str:
    """One line per lesion under :data:`COLUMNS`. Axial slices are counted from the top of the head, from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in lesions:
        d = one.diameters
        writer.writerow(
            [
                *(case, combination, region.name, one.number, f"{one.ml:.3f}"),
                *(f"{v:.1f}" for v in (d.long_mm, d.short_mm)),
                *(f"{d.product_mm2:.0f}", int(one.measurable)),
                *(f"{v:.1f}" for v in one.centre_mm),
                *(d.slice + 1, int(one.corrected)),
            ]
        )
    return text.getvalue()
