"""Overlap and distance between segmentations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare import metrics
from napari_mrseg.compare.metrics import (
    bounding_box,
    dice,
    hd95,
    lesion_wise,
    penalised,
    region_dice,
    region_hd95,
    region_mask,
    surface_dice,
)
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


@pytest.mark.parametrize("seed", range(8))
def test_surface_distances_are_those_of_distance_maps(seed: int) -> None:
    """To the last digit those of SciPy's distance transform of the whole box, also of voxels that are no cubes."""
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(seed)
    a, b = rng.random((2, *rng.integers(3, 20, 3))) > rng.uniform(0.3, 0.95)
    a[1, 1, 1] = b[0, 0, 0] = True
    spacing = (1.0, 1.0, 1.0) if seed % 2 else tuple(rng.uniform(0.4, 5, 3))
    one, other = metrics.surface(a), metrics.surface(b)
    there, back = metrics._surface_distances(a, b, spacing)
    assert np.array_equal(there, distance_transform_edt(~other, sampling=spacing)[one])
    assert np.array_equal(back, distance_transform_edt(~one, sampling=spacing)[other])


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


@pytest.mark.parametrize("seed", range(4))
def test_surface_dice_is_monais(seed: int) -> None:
    """Normalised surface Dice at 1 and 2 mm, on voxels that are no cubes."""
    import torch
    from monai.metrics import compute_surface_dice
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    a, b = (gaussian_filter(rng.normal(size=(14, 15, 16)), 2) > 0.02 for _ in range(2))
    tensors = [torch.tensor(np.stack([~m, m])[None]) for m in (a, b)]
    for tolerance in (1.0, 2.0):
        expected = compute_surface_dice(*tensors, class_thresholds=[tolerance], spacing=(1.0, 1.5, 0.7))
        assert surface_dice(a, b, (1.0, 1.5, 0.7), tolerance) == pytest.approx(float(expected), abs=1e-6)


def test_both_conventions_for_empty_masks() -> None:
    """Surface Dice and HD95 of nothing: 1 and 0 where both are empty (or left out), 0 and 374 mm where one is."""
    none, some = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert surface_dice(none, none, (1, 1, 1)) == 1.0
    assert np.isnan(surface_dice(none, none, (1, 1, 1), empty=np.nan))
    assert surface_dice(none, some, (1, 1, 1)) == 0.0
    assert penalised(float("nan"), True, True) == 0.0
    assert penalised(float("nan"), True, False) == penalised(float("nan"), False, True) == 374.0
    assert penalised(2.5, False, False) == 2.5


def box(*edges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((40, 40, 40), bool)
    mask[tuple(slice(*edge) for edge in edges)] = True
    return mask


def test_lesion_wise_scores_by_hand() -> None:
    """One lesion found, one missed, one too small to count though found, and one component that is no lesion."""
    first, second = box((2, 8), (2, 8), (2, 8)), box((25, 30), (25, 30), (25, 30))
    tiny_one = box((2, 5), (25, 28), (2, 5))  # 27 mm³
    found_first, made_up = box((4, 8), (2, 8), (2, 8)), box((30, 34), (2, 6), (30, 34))
    found = lesion_wise(found_first | tiny_one | made_up, first | second | tiny_one, (1, 1, 1))
    assert (len(found.lesions), found.small, found.false, found.missed) == (2, 1, 1, 1)
    assert [lesion.size for lesion in found.lesions] == [216.0, 125.0]
    own = 2 * 144 / (216 + 144)
    assert found.lesions[0].dice == pytest.approx(own)
    assert found.lesions[0].hd95 == pytest.approx(hd95(found_first, first, (1, 1, 1)))
    assert found.dice == pytest.approx((own + 0 + 0) / 3)
    assert found.hd95 == pytest.approx((found.lesions[0].hd95 + 374 + 374) / 3)


def test_parts_of_the_reference_that_nearly_touch_are_one_lesion() -> None:
    """Grown by 3 voxels: a gap of 6 joins, a gap of 7 does not; a component near a lesion is matched with it."""
    near, far = box((10, 15), (10, 15), (21, 25)), box((10, 15), (10, 15), (22, 26))
    first = box((10, 15), (10, 15), (10, 15))
    assert len(lesion_wise(first, first | near, (1, 1, 1)).lesions) == 1
    assert len(lesion_wise(first, first | far, (1, 1, 1)).lesions) == 2
    beside = lesion_wise(box((10, 15), (10, 15), (17, 20)), first, (1, 1, 1))
    assert (beside.false, beside.lesions[0].found, beside.lesions[0].dice) == (0, True, 0.0)
    apart = lesion_wise(box((10, 15), (10, 15), (19, 22)), first, (1, 1, 1))
    assert (apart.false, apart.missed, apart.dice, apart.hd95) == (1, 1, 0.0, 374.0)


def phantom(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Label maps of 40 × 36 × 30 with balls of three codes: found, missed, made up, small, and near one another."""
    rng = np.random.default_rng(seed)
    shape = (40, 36, 30)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    truth, found = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for _ in range(9):
        centre, radius = rng.uniform(3, np.array(shape) - 3), rng.uniform(1.2, 4.5)
        for labels, shift in ((truth, 0), (found, rng.normal(0, 1.2, 3))):
            if rng.random() < 0.75:
                far = np.sqrt(((grid - np.reshape(centre + shift, (3, 1, 1, 1))) ** 2).sum(0))
                for code, share in ((2, 1.0), (1, 0.75), (3, 0.55)):
                    labels[far < radius * share] = code
    return found, truth


# What the challenge's own program says of them (github.com/rachitsaluja/BraTS-2023-Metrics, BraTS-GLI): lesions found,
# false ones, missed, lesion-wise Dice and HD95. It measures between surface meshes, so HD95 may differ by a voxel.
CHALLENGE = (
    {"WT": (3, 2, 0, 0.315438, 154.18), "TC": (2, 2, 0, 0.33409, 189.737), "ET": (0, 2, 0, 0.0, 374.0)},
    {
        "WT": (3, 1, 0, 0.467021, 97.293),
        "TC": (2, 1, 0, 0.370568, 126.385),
        "ET": (2, 1, 0, 0.318056, 126.512),
    },
    {"WT": (1, 2, 0, 0.181671, 252.633), "TC": (2, 2, 0, 0.201705, 187.862), "ET": (0, 2, 0, 0.0, 374.0)},
    {"WT": (4, 1, 0, 0.472387, 77.502), "TC": (4, 1, 0, 0.400271, 77.534), "ET": (1, 1, 0, 0.352941, 187.5)},
)


@pytest.mark.parametrize("seed", range(4))
def test_lesion_wise_scores_are_the_challenges(seed: int) -> None:
    """Counts and Dice as the BraTS 2023 program gives them; HD95 within the voxel by which surfaces differ."""
    found, truth = phantom(seed)
    for region in BRATS.regions:
        scores = lesion_wise(region_mask(found, region), region_mask(truth, region), (1, 1, 1))
        matched, false, missed, expected, distance = CHALLENGE[seed][region.name]
        assert (len(scores.lesions) - scores.missed, scores.false, scores.missed) == (matched, false, missed)
        assert scores.dice == pytest.approx(expected, abs=1e-6)
        assert scores.hd95 == pytest.approx(distance, abs=1)


def test_nothing_to_find_lesion_wise() -> None:
    """Neither lesion nor false component: 1 and 0; a single false one: 0 and 374; a perfect map: 1 and 0."""
    none, some = np.zeros((9, 9, 9), bool), np.ones((9, 9, 9), bool)
    for found, truth, expected in (
        (none, none, (1.0, 0.0)),
        (some, none, (0.0, 374.0)),
        (some, some, (1.0, 0.0)),
    ):
        scores = lesion_wise(found, truth, (1, 1, 1))
        assert (scores.dice, scores.hd95) == expected
