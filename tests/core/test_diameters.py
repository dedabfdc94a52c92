"""The two diameters of a lesion: worked out by hand on shapes, and turned they stay the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare.diameters import diameters


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
