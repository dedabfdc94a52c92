"""The two diameters of a lesion: worked out by hand on shapes, and turned they stay the same."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_mrseg.compare.diameters import Diameters, diameters


def ellipse(a: float, b: float, angle: float, mm: tuple[float, float]) -> np.ndarray:
    """(1, 90, 90): half-axes in mm, turned by ``angle``."""
    p, l = np.indices((90, 90), dtype=float)  # noqa: E741 - the axes' names
    y, x = (p - 45) * mm[0], (l - 45) * mm[1]
    u, v = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
    return ((u / a) ** 2 + (v / b) ** 2 <= 1)[None]


def test_a_box_has_its_diagonal() -> None:
    """30 × 40 mm: 50 mm, and at right angles to the diagonal a line of 30 / (40 / 50) = 37.5 mm from side to side."""
    mask = np.zeros((3, 60, 60), bool)
    mask[1, 10:40, 10:50] = True
    found = diameters(mask, (5, 1, 1))
    assert found is not None
    assert found.slice == 1
    assert found.long_mm == pytest.approx(50)
    assert found.short_mm == pytest.approx(37.5, abs=1.5)


@given(
    a=st.floats(18, 30),
    ratio=st.floats(0.4, 0.85),
    angle=st.floats(0, math.pi),
    width=st.sampled_from([0.8, 1.0, 1.25]),
)
@settings(max_examples=40, deadline=None)
def test_an_ellipse_has_its_axes(a: float, ratio: float, angle: float, width: float) -> None:
    """Whatever its angle and the voxels, within two voxels."""
    found = diameters(ellipse(a, a * ratio, angle, (1.0, width)), (3, 1.0, width))
    assert found is not None
    assert found.long_mm == pytest.approx(2 * a, abs=2.5)
    assert found.short_mm == pytest.approx(2 * a * ratio, abs=2.5)
    ends = np.array([found.long_ends, found.short_ends])
    lines = (ends[:, 1] - ends[:, 0]) * (1.0, width)
    assert abs(np.dot(lines[0], lines[1])) / (np.linalg.norm(lines[0]) * np.linalg.norm(lines[1])) < 0.05


def test_the_largest_part_counts_and_one_voxel_has_its_width() -> None:
    """A second, smaller lesion changes nothing; nothing gives None."""
    mask = np.zeros((4, 40, 40), bool)
    mask[2, 5:25, 5:25] = True
    alone = diameters(mask, (1, 1, 1))
    mask[0, 30, 2:38] = True
    assert diameters(mask, (1, 1, 1)) == alone
    single = np.zeros((2, 5, 5), bool)
    single[1, 2, 2] = True
    found = diameters(single, (1, 2.0, 2.0))
    assert found is not None
    assert found.long_mm == pytest.approx(2 * math.sqrt(2), rel=0.01)  # the diagonal of one voxel of 2 mm
    assert diameters(single * False, (1, 1, 1)) is None


def searched(mask: np.ndarray, mm: tuple[float, float]) -> tuple[float, float]:
    """Both diameters of one slice, (P, L) bool, by trying every pair of corners of all its voxels, and across the
    longest one every line through a corner, cut at the edges of every voxel."""
    width = np.array(mm)
    centres = np.argwhere(mask) * width
    square = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]) * width
    corners = np.unique(np.round((centres[:, None] + square).reshape(-1, 2), 9), axis=0)
    between = cdist(corners, corners)
    longest = between.max()
    starts = (centres[:, None] + square).reshape(-1, 2)
    ends = (centres[:, None] + np.roll(square, -1, axis=0)).reshape(-1, 2)
    best = 0.0
    for i, j in np.argwhere(np.triu(between >= longest - 1e-6)):
        along = (corners[j] - corners[i]) / longest
        side = np.array([-along[1], along[0]])
        t0, t1, s0, s1 = starts @ along, ends @ along, starts @ side, ends @ side
        for t in np.unique(np.round(corners @ along, 9)):
            on = (np.minimum(t0, t1) <= t + 1e-7) & (np.maximum(t0, t1) >= t - 1e-7)
            part = np.where(np.abs(t1 - t0) < 1e-9, 0.0, (t - t0) / np.where(t1 == t0, 1.0, t1 - t0))
            cut = s0 + np.clip(part, 0, 1) * (s1 - s0)
            reach = np.concatenate(
                [cut[on], s0[on & (np.abs(t0 - t) < 1e-7)], s1[on & (np.abs(t1 - t) < 1e-7)]]
            )
            best = max(best, float(np.ptp(reach)))
    return float(longest), best


def equal_to_search(mask: np.ndarray, spacing: tuple[float, float, float], found: Diameters | None) -> None:
    """``mask``: one lesion. The slice has the largest product of all, and both diameters are those of the search."""
    assert found is not None
    every = {int(i): searched(mask[i], spacing[1:]) for i in np.flatnonzero(mask.any((1, 2)))}
    long, short = every[found.slice]
    assert found.long_mm == pytest.approx(long, abs=1e-4)
    assert found.short_mm == pytest.approx(short, abs=1e-4)
    assert found.product_mm2 == pytest.approx(max(a * b for a, b in every.values()), abs=1e-2)


@pytest.mark.parametrize("seed", range(50))
def test_made_lesions_have_the_diameters_of_an_exhaustive_search(seed: int) -> None:
    """Ragged, hollow, concave, of voxels of any width: long and short diameter are equal to those of the search."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(5, 16, 16)), 1.5)
    mask = noise > np.quantile(noise, rng.uniform(0.6, 0.95))
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    mask = parts == np.bincount(parts[mask]).argmax()
    spacing = (3.0, float(rng.uniform(0.5, 2)), float(rng.uniform(0.5, 2)))
    if seed % 5 == 0:  # many lines of one length
        spacing = (1.0, 1.0, 1.0)
        mask[2, 4:12, 4:12] = True
    equal_to_search(mask, spacing, diameters(mask, spacing))


@pytest.mark.real
def test_real_references_have_the_diameters_of_an_exhaustive_search(real_data: Path) -> None:
    """Each enhancing lesion of each BraTS reference of at least 50 voxels, in the slice that was chosen."""
    tried = 0
    for path in sorted(real_data.glob("BraTS2021_*/*_seg.nii.gz")):
        labels = np.asarray(nib.load(path).dataobj).transpose(2, 1, 0)
        parts, _ = ndimage.label(labels == 4, np.ones((3, 3, 3)))
        for code, box in enumerate(ndimage.find_objects(parts), start=1):
            mask = parts[box] == code
            if np.count_nonzero(mask) < 50:
                continue
            found = diameters(mask, (1, 1, 1))
            assert found is not None
            long, short = searched(mask[found.slice], (1, 1))
            assert found.long_mm == pytest.approx(long, abs=1e-4), path.name
            assert found.short_mm == pytest.approx(short, abs=1e-4), path.name
            tried += 1
    assert tried >= 5
