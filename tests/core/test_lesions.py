"""Lesions one by one: where they are, how large, and what the user changes in their table."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare.lesions import (
    COLUMNS,
    Distances,
    LesionTable,
    lesions_csv,
    lesions_of,
    region_to_measure,
)
from napari_mrseg.study import Grid
from napari_mrseg.tasks import BRATS

# Axes I, P, L of 2 × 1 × 0.5 mm: voxel (0, 0, 0) lies at R 10, A 20, S 30.
AFFINE = [[0, 0, -0.5, 10], [0, -1, 0, 20], [-2, 0, 0, 30], [0, 0, 0, 1]]
SHAPE = (12, 60, 60)
GRID = Grid.of(SHAPE, AFFINE)


def two_lesions() -> np.ndarray:
    """A box of 3 × 20 × 40 voxels at (2, 10, 10) and one voxel at (9, 50, 50)."""
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 10:30, 10:50] = True
    mask[9, 50, 50] = True
    return mask


def test_each_lesion_has_its_volume_centre_and_diameters() -> None:
    """The largest first; centres in RAS mm of the scanner; a voxel that touches by a corner belongs to it."""
    mask = two_lesions()
    large, small = lesions_of(mask, GRID)
    assert (large.number, small.number) == (1, 2)
    assert large.ml == pytest.approx(3 * 20 * 40 / 1000)  # voxels of 1 mm³
    assert large.centre_mm == pytest.approx((10 - 0.5 * 29.5, 20 - 19.5, 30 - 2 * 3))
    assert small.centre_mm == pytest.approx((10 - 25, 20 - 50, 30 - 18))
    assert large.diameters.long_mm == pytest.approx(np.hypot(20, 20))
    assert large.place[0] == large.diameters.slice == 2
    assert large.place[1:] == pytest.approx((19.5, 29.5))
    assert (large.measurable, small.measurable) == (True, False)
    mask[5, 30, 50] = True
    assert len(lesions_of(mask, GRID)) == 2
    assert lesions_of(np.zeros(SHAPE, bool), GRID) == ()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_no_voxel_is_lost_and_the_order_is_by_volume(seed: int) -> None:
    """The lesions' volumes sum to the region's, the largest comes first, and all lie where the region is."""
    mask = np.random.default_rng(seed).random((4, 12, 12)) > 0.8
    grid = Grid.of(mask.shape, AFFINE)
    found = lesions_of(mask, grid)
    assert sum(one.ml for one in found) == pytest.approx(mask.sum() * grid.voxel_ml)
    assert [one.ml for one in found] == sorted((one.ml for one in found), reverse=True)
    assert all(mask[one.box].any() and mask[one.diameters.slice].any() for one in found)


def test_deleting_and_moving_ends_can_be_undone_step_by_step() -> None:
    """The sum follows; numbers stay; the longer line is the long diameter also after a correction."""
    table = LesionTable(lesions_of(two_lesions(), GRID), GRID)
    first = table.items
    whole = first[0].diameters.product_mm2
    assert table.sum_mm2 == pytest.approx(whole)  # the voxel is not measurable
    (p, l), end = first[0].diameters.short_ends  # noqa: E741 - the axes' names
    table.move_end(1, 1, 1, (p, l + 100))
    moved = table.lesion(1)
    assert moved.corrected
    assert moved.diameters.long_mm == pytest.approx(50)  # 100 voxels of 0.5 mm: longer than the other
    assert moved.diameters.short_ends == first[0].diameters.long_ends
    assert table.sum_mm2 == pytest.approx(50 * first[0].diameters.long_mm)
    table.delete([1])
    assert [one.number for one in table.items] == [2]
    assert table.sum_mm2 == 0
    with pytest.raises(KeyError):
        table.move_end(1, 0, 0, end)
    assert table.undo()
    assert table.undo()
    assert table.items == first
    assert not table.changed
    assert not table.undo()


def test_what_changes_nothing_leaves_nothing_to_undo() -> None:
    """Deleting a lesion that is not there is no step."""
    table = LesionTable(lesions_of(two_lesions(), GRID), GRID)
    table.delete([7])
    assert not table.changed


def test_the_innermost_region_that_can_be_seen_is_measured() -> None:
    """RANO measures what enhances; without contrast, the whole tumour."""
    assert region_to_measure(BRATS, ("flair", "t1ce")).name == "ET"
    assert region_to_measure(BRATS, ("flair", "t2")).name == "WT"
    assert region_to_measure(BRATS, ("t1ce",), {"WT": 9.0, "TC": 3.0, "ET": 0.0}).name == "WT"
    assert region_to_measure(BRATS, ("t1ce",), {"WT": 9.0, "TC": 3.0, "ET": 1.0}).name == "ET"


def test_the_csv_holds_a_line_per_lesion() -> None:
    """Numbers as in the table; slices from 1, from the top."""
    found = lesions_of(two_lesions(), GRID)
    text = lesions_csv(found, BRATS.region("ET"), case="a,b", combination="flair+t1ce")
    first, second = csv.DictReader(io.StringIO(text))
    assert tuple(first) == COLUMNS
    assert first["case"] == "a,b"
    assert (first["region"], first["combination"], first["lesion"]) == ("ET", "flair+t1ce", "1")
    assert float(first["volume_mL"]) == pytest.approx(2.4)
    assert float(first["long_mm"]) == pytest.approx(28.3)
    assert (first["axial_slice"], first["measurable"], first["corrected"]) == ("3", "1", "0")
    assert (second["centre_R_mm"], second["centre_A_mm"], second["centre_S_mm"]) == ("-15.0", "-30.0", "12.0")


def test_lines_drawn_by_hand_have_lengths_and_crossing_ones_a_product() -> None:
    """In millimetres of the voxels' spacing; only lines of one slice that cut each other are multiplied."""
    lines = Distances((2.0, 1.0, 0.5))
    first = lines.add([(3, 10, 10), (3, 10, 50)])
    lines.add([(3, 0, 20), (3, 30, 20)])
    lines.add([(4, 0, 20), (4, 30, 20)])  # another slice
    lines.add([(3, 40, 20), (3, 50, 20)])  # beside the first
    assert [one.length for one in lines.items] == pytest.approx([20, 30, 30, 10])
    assert lines.product(1) is None
    assert lines.product(2) == (first, pytest.approx(600))
    assert lines.product(3) is None
    assert lines.product(4) is None
    lines.move_end(2, 0, (3, 20, 20))  # now it begins beside the first
    assert lines.product(2) is None
    lines.delete([1, 2])
    assert [one.number for one in lines.items] == [3, 4]
    assert lines.undo()
    assert lines.undo()
    assert lines.product(2) == (first, pytest.approx(600))
    lines.delete([4])
    assert lines.add([(0, 0, 0), (1, 0, 0)]).number == 5
