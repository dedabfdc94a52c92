"""Corrections of label maps: what each promises, on any map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_mrseg.editing import fill_holes, grow, interpolate, remove_small, shrink, smooth, take_away

SPACINGS = st.tuples(*(st.sampled_from([0.5, 1.0, 1.7, 3.0]),) * 3)


@st.composite
def maps(draw: st.DrawFn) -> np.ndarray:
    """Ragged blobs of codes 0 to 3."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(int(n) for n in rng.integers(4, 9, 3))
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    return np.digitize(noise, np.quantile(noise, [0.6, 0.75, 0.9])).astype(np.uint8)


def nearest_mm(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Of every voxel, by comparing all pairs, the distance to the nearest of ``mask``."""
    everywhere = np.argwhere(np.ones(mask.shape)) * spacing
    there = np.argwhere(mask) * spacing
    return cdist(everywhere, there).min(1).reshape(mask.shape)


@given(maps(), SPACINGS, st.floats(0.3, 6))
@settings(max_examples=25, deadline=None)
def test_growing_takes_all_voxels_within_the_millimetres_and_no_others(
    labels: np.ndarray, spacing: tuple[float, ...], mm: float
) -> None:
    """Against all pairs of voxels; the map given stays as it was."""
    before = labels.copy()
    found = grow(labels, 2, mm, spacing)
    expected = np.where(nearest_mm(labels == 2, spacing) <= mm, 2, labels)
    assert np.array_equal(found, expected)
    assert np.array_equal(labels, before)


@given(maps(), SPACINGS, st.floats(0.3, 6))
@settings(max_examples=25, deadline=None)
def test_shrinking_gives_the_rim_to_its_neighbours(
    labels: np.ndarray, spacing: tuple[float, ...], mm: float
) -> None:
    """What is lost lies within the millimetres of another code and becomes one that is nearest; all else stays."""
    found = shrink(labels, 2, mm, spacing)
    far = nearest_mm(labels != 2, spacing)
    lost = (labels == 2) & (far <= mm)
    assert np.array_equal(found == 2, (labels == 2) & ~lost)
    assert np.array_equal(found[~lost], labels[~lost])
    reach = {code: nearest_mm(labels == code, spacing) for code in (0, 1, 3) if (labels == code).any()}
    for place in zip(*np.nonzero(lost), strict=True):
        assert reach[int(found[place])][place] == pytest.approx(far[place])


@given(maps(), SPACINGS, st.floats(0.3, 4))
@settings(max_examples=30, deadline=None)
def test_growing_undoes_no_voxel_and_shrinking_adds_none(
    labels: np.ndarray, spacing: tuple[float, ...], mm: float
) -> None:
    """Shrunk ⊆ as it was ⊆ grown, and a larger distance changes no less."""
    was = labels == 2
    assert not (was & (grow(labels, 2, mm, spacing) != 2)).any()
    assert not ((shrink(labels, 2, mm, spacing) == 2) & ~was).any()
    assert ((grow(labels, 2, mm, spacing) == 2) <= (grow(labels, 2, 2 * mm, spacing) == 2)).all()
    assert ((shrink(labels, 2, 2 * mm, spacing) == 2) <= (shrink(labels, 2, mm, spacing) == 2)).all()


def test_smoothing_takes_spikes_off_and_keeps_a_ball() -> None:
    """A ball of 10 mm stays within 3 % of its volume; a spike of one voxel and a hole of one are gone; codes stay."""
    axes = np.indices((40, 40, 40)) - 19.5
    labels = np.where((axes**2).sum(0) <= 100, 3, 0).astype(np.uint8)
    size = int((labels == 3).sum())
    labels[20, 20, 20] = 0
    labels[20, 20, 30:34] = 3
    labels[:3] = 1
    found = smooth(labels, 3, 1.0, (1, 1, 1))
    assert found[20, 20, 20] == 3
    assert found[20, 20, 33] == 0
    assert int((found == 3).sum()) == pytest.approx(size, rel=0.03)
    assert (found[:3] == 1).all()


@given(maps(), st.sampled_from([0, 1, 2]))
@settings(max_examples=30, deadline=None)
def test_filling_leaves_no_hole_in_a_slice(labels: np.ndarray, axis: int) -> None:
    """After it, filling finds nothing more; no voxel of the code is lost."""
    found = fill_holes(labels, 1, axis)
    assert np.array_equal(fill_holes(found, 1, axis), found)
    assert (found[labels == 1] == 1).all()
    ring = np.ones((1, 5, 5), np.uint8)
    ring[0, 2, 2] = 0
    assert fill_holes(ring, 1).all()
    assert not fill_holes(ring, 1, axis=1)[0, 2, 2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cylinder_and_a_cone_painted_in_two_slices_are_whole(axis: int) -> None:
    """Between two equal discs lies the cylinder; between discs of 3 and 9 voxels the radius grows evenly."""

    def disc(radius: float) -> np.ndarray:
        y, x = np.indices((30, 30)) - 14.5
        return y**2 + x**2 <= radius**2

    labels = np.zeros((9, 30, 30), np.uint8)
    labels[1], labels[7] = disc(3), disc(9)
    labels = np.moveaxis(labels, 0, axis)
    found = np.moveaxis(interpolate(labels, 1, labels > 0, axis), axis, 0)
    radii = [np.sqrt(np.count_nonzero(plane) / np.pi) for plane in found]
    assert radii[1:8] == pytest.approx([3, 4, 5, 6, 7, 8, 9], abs=0.35)
    assert radii[0] == radii[8] == 0


def test_interpolation_joins_only_what_was_painted_and_overlaps() -> None:
    """Untouched lesions with a gap stay two; parts that do not overlap stay apart; one between others is no bar."""
    labels = np.zeros((7, 40, 40), np.uint8)
    labels[1, 2:8, 2:8] = labels[5, 2:8, 2:8] = 1  # not painted now
    painted = np.zeros(labels.shape, bool)
    assert np.array_equal(interpolate(labels, 1, painted), labels)
    labels[1, 20:26, 20:26] = labels[5, 20:26, 20:26] = 1
    labels[1, 32:36, 2:6] = 1
    labels[5, 32:36, 30:34] = 1
    labels[3, 22, 22] = 2
    labels[3, 12:15, 32:35] = 1  # another lesion, painted in a slice between
    painted[[1, 3, 5], 10:, :] = True
    found = interpolate(labels, 1, painted)
    assert (found[2:5, 20:26, 20:26] == 1).all()
    assert np.array_equal(found[:, 12:15, 32:35], labels[:, 12:15, 32:35])
    assert not found[2:5, :11].any()
    assert not found[2:5, 30:].any()


@given(maps(), SPACINGS, st.floats(0.001, 0.2))
@settings(max_examples=30, deadline=None)
def test_small_findings_go_and_larger_ones_stay_whole(
    labels: np.ndarray, spacing: tuple[float, ...], ml: float
) -> None:
    """Every finding that is left has at least the volume, codes unchanged; what went had less."""
    found = remove_small(labels, ml, spacing)
    voxel = np.prod(spacing) / 1000
    parts, count = ndimage.label(labels > 0, np.ones((3, 3, 3)))
    for code in range(1, count + 1):
        part = parts == code
        assert np.array_equal(found[part], labels[part] if part.sum() * voxel >= ml else np.zeros(part.sum()))


@given(maps())
@settings(max_examples=30, deadline=None)
def test_a_lesion_is_taken_away_whole_and_alone(labels: np.ndarray) -> None:
    """All that is connected to the voxel goes, nothing else; on background nothing happens, nor outside."""
    for place in np.argwhere(labels > 0)[:3]:
        found = take_away(labels, place)
        parts, _ = ndimage.label(labels > 0, np.ones((3, 3, 3)))
        gone = parts == parts[tuple(place)]
        assert not found[gone].any()
        assert np.array_equal(found[~gone], labels[~gone])
    empty = np.argwhere(labels == 0)[0]
    assert np.array_equal(take_away(labels, empty), labels)
    assert np.array_equal(take_away(labels, (99, 0, 0)), labels)


@pytest.mark.parametrize("change", [grow, shrink, smooth])
def test_a_code_that_is_not_there_and_distances_that_are_none(change: object) -> None:
    """An absent code changes nothing; no distance, or a negative one, is refused."""
    labels = np.zeros((3, 4, 5), np.uint8)
    assert np.array_equal(change(labels, 1, 2.0, (1, 1, 1)), labels)  # type: ignore[operator]
    with pytest.raises(ValueError, match="no distance"):
        change(labels, 1, 0.0, (1, 1, 1))  # type: ignore[operator]
    full = np.full((3, 4, 5), 2, np.uint8)
    assert np.array_equal(change(full, 2, 1.0, (1, 1, 1)), full)  # type: ignore[operator]
