"""Lesions one by one: volume, centre and RANO diameters of each, what the user corrects, and their table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.compare.diameters import PARTS, Diameters, Line, Point, diameters_of_part
from napari_mrseg.study import Grid
from napari_mrseg.tasks import Combination, Region, Task

MEASURABLE_MM = 10.0
"""A lesion counts for the sum if both diameters are at least this long (RANO: Wen 2010)."""
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


def region_to_measure(task: Task, combination: Combination) -> Region:
    """Enhancing tumour with contrast, the innermost of nested regions; the outermost where one cannot be seen."""
    inner = task.nested and not task.estimated(combination)
    return task.regions[-1 if inner else 0]


class LesionTable:
    """The lesions of one result as the user reads them: taken out, corrected, and all of it undone step by step."""

    def __init__(self, lesions: Iterable[Lesion], grid: Grid) -> None:
        self.lesions = tuple(lesions)
        self.grid = grid
        self._before: list[tuple[Lesion, ...]] = []

    @property
    def sum_mm2(self) -> float:
        """Sum of the products of all measurable lesions, mm²."""
        return sum(one.diameters.product_mm2 for one in self.lesions if one.measurable)

    @property
    def changed(self) -> bool:
        """True if there is a step to undo."""
        return bool(self._before)

    def lesion(self, number: int) -> Lesion:
        """The lesion of that number. Raises KeyError if it is not in the table."""
        found = next((one for one in self.lesions if one.number == number), None)
        if found is None:
            raise KeyError(number)
        return found

    def delete(self, numbers: Iterable[int]) -> None:
        """Take lesions out of the table and of the sum; the others keep their numbers."""
        gone = set(numbers)
        self._become(one for one in self.lesions if one.number not in gone)

    def move_end(self, number: int, line: int, end: int, to: Point) -> None:
        """Move one end of a diameter, as :meth:`Lesion.moved`."""
        moved = self.lesion(number).moved(line, end, to, self.grid.spacing).ordered()
        self._become(moved if one.number == number else one for one in self.lesions)

    def undo(self) -> bool:
        """Take back the last deletion or correction. False if there is none."""
        if not self._before:
            return False
        self.lesions = self._before.pop()
        return True

    def _become(self, lesions: Iterable[Lesion]) -> None:
        now = tuple(lesions)
        if now != self.lesions:
            self._before.append(self.lesions)
            self.lesions = now


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
