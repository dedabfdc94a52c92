"""Where the combinations agree."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare.agreement import Agreement
from napari_mrseg.compare.comparison import Comparison


def masks(comparison: Comparison, codes: tuple[int, ...]) -> np.ndarray:
    return np.stack([np.isin(p.labels, codes) for p in comparison.predictions.values()])


def test_maps_follow_the_votes() -> None:
    """Share, agreement and entropy of a region are those of its 15 masks, float32 on the grid."""
    found = made.comparison(made.study())
    agreement = Agreement(found)
    for region in found.task.regions:
        p = masks(found, region.codes).mean(0)
        q = np.where(p > 0, p, 1), np.where(p < 1, 1 - p, 1)
        np.testing.assert_allclose(agreement.share(region.name), p, atol=1e-6)
        np.testing.assert_allclose(agreement.agreement(region.name), np.maximum(p, 1 - p), atol=1e-6)
        entropy = -p * np.log2(q[0]) - (1 - p) * np.log2(q[1])
        np.testing.assert_allclose(agreement.entropy(region.name), entropy, atol=1e-6)
    assert agreement.share("WT").dtype == np.float32
    assert agreement.share("WT").shape == made.SHAPE


def test_labels_agree_where_the_same_code_wins() -> None:
    """Without a region, agreement is that of the most common code, entropy that of all."""
    found = made.comparison(made.study(task=made.TWO))
    agreement = Agreement(found)
    counts = np.stack([masks(found, (code,)).sum(0) for code in (0, 1, 2)]) / 3
    np.testing.assert_allclose(agreement.agreement(), counts.max(0), atol=1e-6)
    expected = -(counts * np.log2(np.where(counts > 0, counts, 1))).sum(0)
    np.testing.assert_allclose(agreement.entropy(), expected, atol=1e-6)


def test_the_sentence_counts_marked_voxels_only() -> None:
    """“12 of 15 combinations agree on …” is of the voxels at least one marks, in mL."""
    study = made.study(shape=(4, 10, 10))

    def make(combination: tuple[str, ...]) -> np.ndarray:
        p = np.zeros((3, 4, 10, 10))
        p[:, 0] = 1  # all 15 mark 100 voxels
        if len(combination) >= 2:
            p[:, 1] = 1  # 11 of 15 mark 100 more
        if combination == ("t1",):
            p[:, 2, :5] = 1  # one marks 50: the other 14 agree that it is none
        return p

    summary = Agreement(made.comparison(study, make)).summary("WT")
    assert (summary.votes, summary.combinations) == (12, 15)
    assert summary.share == pytest.approx(150 / 250)
    assert summary.size == pytest.approx(0.25)
    assert summary.sentence.startswith("12 of 15 combinations agree on 60 % of the volume (0.2 mL")
    assert Agreement(made.comparison(study, make)).summary("WT", votes=11).share == 1.0


def test_nothing_found_is_said() -> None:
    """Where no combination finds anything there is no percentage."""
    found = made.comparison(made.study(), lambda c: np.zeros((3, *made.SHAPE)))
    agreement = Agreement(found)
    assert agreement.summary().sentence == "None of the 15 combinations finds WT."
    assert agreement.agreement().min() == 1.0
    assert agreement.entropy().max() == 0.0


def test_exclusive_tasks_are_summed_up_over_all_labels() -> None:
    """A task without an outer region is summed up by its labels, and 3 of 3 reads “All 3”."""
    summary = Agreement(made.comparison(made.study(task=made.TWO))).summary()
    assert summary.region is None
    assert summary.sentence.startswith("All 3 combinations agree on")
    assert "px" in summary.sentence


def test_near_complete_agreement_is_not_rounded_to_complete() -> None:
    """100 % is said only where it is."""
    study = made.study(shape=(10, 20, 20))

    def make(combination: tuple[str, ...]) -> np.ndarray:
        p = np.zeros((3, 10, 20, 20))
        p[:, :, :, :10] = 1
        p[:, 0, 0, 0] = len(combination) > 1
        return p

    assert "99.9 % or more" not in Agreement(made.comparison(study, make)).summary("WT").sentence
    assert " 99.9" in Agreement(made.comparison(study, make)).summary("WT").sentence
