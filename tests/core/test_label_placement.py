"""Labels beside lines: never on top of each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare.label_placement import Label, placed


def overlaps(a: np.ndarray, b: np.ndarray, size: np.ndarray) -> bool:
    return bool((np.abs(a - b) < size - 1e-6).all())


def crosses(centre: np.ndarray, size: np.ndarray, line: np.ndarray) -> bool:
    """Looked for at 400 places along the line."""
    on = line[0] + np.linspace(0, 1, 400)[:, None] * (line[1] - line[0])
    return bool((np.abs(on - centre) < size / 2 - 1e-6).all(1).any())


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_no_label_lies_on_another_or_on_a_line(seed: int, count: int) -> None:
    """However the lines lie, crossing, on one another, all within a few pixels."""
    rng = np.random.default_rng(seed)
    lines = rng.uniform(0, rng.choice([5, 100, 800]), (count, 2, 2))
    size = np.array([20.0, 140.0])
    found = placed([Label(one[None], (20.0, 140.0)) for one in lines], lines)
    for number, centre in enumerate(found):
        assert not any(overlaps(centre, other, size) for other in found[:number])
        assert not any(crosses(centre, size, line) for line in lines)


def test_a_label_lies_beside_an_end_of_its_line_where_that_can_be_seen() -> None:
    """At the end that is on screen, not at the other one."""
    line = np.array([[100.0, 100.0], [100.0, 700.0]])
    (centre,) = placed([Label(line[None], (20, 80))], line[None], within=((0, 0), (400, 600)))
    assert np.linalg.norm(centre - line[0]) < 60
    (centre,) = placed([Label(line[None], (20, 80))], line[None], within=((0, 200), (400, 900)))
    assert np.linalg.norm(centre - line[1]) < 60
