"""Thresholds for the largest Dice: what is counted is what the engine's label map gives, and the choice is the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mrseg_training import thresholds
from mrseg_training.thresholds import GRID, choose, count, dice_at, left_out, means, scores
from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.tasks import BRATS, key

FULL = BRATS.names
LARGE = {"WT": 20.0, "TC": 10.0, "ET": 5.0}


def nested(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random nested 0/1 truths of the three regions."""
    whole = rng.random(shape) < 0.5
    core = whole & (rng.random(shape) < 0.6)
    return np.stack([whole, core, core & (rng.random(shape) < 0.6)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.tuples(*[st.integers(0, len(GRID) - 1)] * 3))
def test_counts_give_the_dice_of_the_label_map(seed: int, cuts: tuple[int, int, int]) -> None:
    """Any thresholds, truth outside the box included: the counts' Dice is that of the labels on the whole grid."""
    rng = np.random.default_rng(seed)
    truth = nested(rng, (4, 5, 6))
    box = (slice(1, 4), slice(0, 5), slice(2, 6))
    p = rng.random((3, 3, 5, 4)).astype(np.float16)
    inside = truth[(slice(None), *box)]
    missed = [int(t.sum() - i.sum()) for t, i in zip(truth, inside, strict=True)]
    counts = count("s", FULL, p, inside, missed, LARGE)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[box] = BRATS.label_map(p.astype(np.float32), [GRID[c] for c in cuts])
    for number, region in enumerate(BRATS.regions):
        assert dice_at(counts, number, cuts) == pytest.approx(
            dice(region_mask(labels, region), truth[number])
        )


def timid(subject: str, combination: tuple[str, ...]) -> thresholds.Counts:
    """A network that finds the enhancing tumour, but gives it a probability of 0.2 only."""
    truth = nested(np.random.default_rng(3), (8, 8, 8))
    p = np.stack([truth[0] * 0.9, truth[1] * 0.8, truth[2] * 0.2 + ~truth[2] * 0.02])
    return count(subject, combination, p, truth, [0, 0, 0], LARGE)


def test_a_timid_region_gets_a_lower_threshold_and_the_others_keep_theirs() -> None:
    """ET at 0.2 is found with a threshold of 0.05 to 0.2 where T1ce is there; WT and TC stay at 0.5."""
    with_contrast, without = ("flair", "t1ce"), ("flair", "t2")
    counts = [timid(s, c) for s in "ab" for c in (with_contrast, without)]
    chosen = choose(counts, BRATS)
    assert set(chosen) == {"ET"}
    assert 0.05 <= chosen["ET"][key(with_contrast)] <= 0.2
    assert set(chosen["ET"]) == {key(c) for c in BRATS.combinations() if c != ("t1ce",)}
    assert means(scores(counts, BRATS, {}))["ET"] == 0.0
    assert means(left_out(counts, BRATS))["ET"] == pytest.approx(1.0)


def test_a_region_that_a_subject_hardly_has_decides_nothing() -> None:
    """A subject with less than 0.5 mL of a region has no score for it."""
    counts = [
        thresholds.Counts(c.subject, c.combination, c.voxels, LARGE | {"ET": 0.1}) for c in [timid("a", FULL)]
    ]
    assert "ET" not in choose(counts, BRATS)
    assert scores(counts, BRATS, {})[0]["dice"]["ET"] is None


def test_a_card_holds_thresholds_of_its_own_regions_and_combinations(tmp_path: Path) -> None:
    """By region and combination, 0.5 where none is given; other names, and 0 or 1, are refused."""
    card = tiny.model(tmp_path).card
    values = card.model_dump() | {"thresholds": {"ET": {"flair+t1ce": 0.2}}}
    assert type(card)(**values).thresholds_for(("flair", "t1ce")) == (0.5, 0.5, 0.2)
    assert type(card)(**values).thresholds_for(("flair",)) == (0.5, 0.5, 0.5)
    for wrong in ({"XX": {"flair": 0.2}}, {"ET": {"t1ce+flair": 0.2}}, {"ET": {"flair": 1.0}}):
        with pytest.raises(ValidationError):
            type(card)(**(values | {"thresholds": wrong}))
