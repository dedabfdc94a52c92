"""Overlap and distance between segmentations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare import metrics
from napari_mrseg.compare.metrics import bounding_box, dice, hd95, region_dice, region_hd95
from napari_mrseg.tasks import BRATS


def random_labels(seed: int, shape: tuple[int, ...] = (9, 8, 7)) -> np.ndarray:
    """A label map with a random blob of codes 0–3, empty one time in ten."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint8)
    if rng.random() > 0.1:
        starts = [int(rng.integers(0, n - 2)) for n in shape]
        box = tuple(slice(s, s + int(rng.integers(2, 6))) for s in starts)
        labels[box] = rng.integers(0, 4, labels[box].shape)
    return labels


def test_dice_of_known_masks() -> None:
    """Dice is twice the overlap over the sum of both sizes."""
    a, b = np.zeros((2, 10), bool), np.zeros((2, 10), bool)
    a[0, :6], b[0, 3:9] = True, True
    assert dice(a, b) == pytest.approx(2 * 3 / 12)
    assert dice(a, a) == 1.0


def test_dice_of_empty_masks() -> None:
    """Both empty give the chosen convention, one empty gives 0."""
    none, some = np.zeros(4, bool), np.ones(4, bool)
    assert dice(none, none) == 1.0
    assert math.isnan(dice(none, none, empty=math.nan))
    assert dice(none, some) == dice(some, none) == 0.0


def test_different_shapes_are_refused() -> None:
    """Masks of different shapes are never broadcast against each other."""
    with pytest.raises(ValueError, match="different shapes"):
        dice(np.ones((2, 2), bool), np.ones((1, 2), bool))


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_region_dice_equals_dice_of_masks(seed_a: int, seed_b: int) -> None:
    """One pass over the label maps gives what each region's masks give one by one."""
    a, b = random_labels(seed_a), random_labels(seed_b)
    got = region_dice(a, b, BRATS)
    for region in BRATS.regions:
        assert got[region.name] == dice(np.isin(a, region.codes), np.isin(b, region.codes))


def test_region_dice_with_large_codes() -> None:
    """Codes up to 255 do not overflow the joint count."""
    a, b = np.array([0, 255, 255, 7], np.uint8), np.array([0, 255, 7, 7], np.uint8)
    counts = metrics.joint_counts(a, b)
    assert (counts[255, 255], counts[255, 7], counts[7, 7], counts.sum()) == (1, 1, 1, 4)


@pytest.mark.parametrize("seed", range(6))
def test_hd95_and_dice_are_those_of_monai(seed: int) -> None:
    """HD95 and Dice equal MONAI's own metrics on anisotropic voxels."""
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 12, 11, 10)) > 0.5
    a[:, :3], b[8:] = False, False
    a, b = a | np.roll(a, 1, 0), b | np.roll(b, 1, 1)
    spacing = (3.0, 0.7, 1.2)
    ta, tb = (torch.from_numpy(m[None, None]) for m in (a, b))
    theirs = compute_hausdorff_distance(ta, tb, include_background=True, percentile=95, spacing=spacing)
    assert hd95(a, b, spacing) == pytest.approx(float(theirs), rel=1e-5)
    assert dice(a, b) == pytest.approx(float(compute_dice(ta, tb)), rel=1e-6)


def test_hd95_of_shifted_cubes() -> None:
    """Two single voxels lie as far apart as their centres, in mm, along the right axis."""
    a, b = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    a[1, 4, 4] = b[5, 4, 4] = True
    assert hd95(a, b, (2.0, 1.0, 1.0)) == pytest.approx(8.0)
    assert hd95(a, a, (2.0, 1.0, 1.0)) == 0.0


def test_hd95_of_an_empty_mask_is_not_a_number() -> None:
    """There is no distance to nothing."""
    none, some = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)
    assert math.isnan(hd95(none, some, (1, 1, 1)))
    assert math.isnan(hd95(none, none, (1, 1, 1)))


def test_region_hd95_names_every_region() -> None:
    """Distances come per region, from the label maps."""
    a = np.zeros((6, 6, 6), np.uint8)
    b = a.copy()
    a[1, 1, 1], b[1, 1, 3] = 3, 2
    got = region_hd95(a, b, BRATS, (1, 1, 1))
    assert got["WT"] == 2.0
    assert math.isnan(got["TC"])
    assert math.isnan(got["ET"])


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_bounding_box_is_tight(seed: int) -> None:
    """The box holds every voxel, and each of its faces touches one."""
    labels = random_labels(seed)
    box = bounding_box(labels)
    if box is None:
        assert not labels.any()
        return
    where = np.argwhere(labels)
    assert [s.start for s in box] == where.min(0).tolist()
    assert [s.stop for s in box] == (where.max(0) + 1).tolist()
