"""What a missing scan would change: paired over the subjects of the model's card; silent where that is not known."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare.worth import (
    UNKNOWN,
    document,
    headline,
    interval,
    sentence,
    sentences,
    worth_of_missing,
)
from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import BRATS


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_model("compact").card


def measured(card: ModelCard, rows: list[dict[str, Any]]) -> ModelCard:
    return card.model_copy(update={"measured": tuple(rows)})


def rows(subjects: int, gain: float, without: str = "") -> list[dict[str, Any]]:
    """Every combination of each subject: Dice about 0.5, and ``gain`` more with T1ce."""
    found = []
    for subject in range(subjects):
        for number in range(1, 5):
            for names in combinations(BRATS.names, number):
                dice = 0.5 + (subject - 4.5) / 100 + (gain if "t1ce" in names else 0)
                scores = {region.name: None if region.name == without else dice for region in BRATS.regions}
                found.append({"case": f"s{subject}", "combination": list(names), "dice": scores})
    return found


def test_gains_are_paired_over_subjects(card: ModelCard) -> None:
    """Each subject against itself: a gain of 0.2 in all is 0.2 with no spread, however unlike the subjects are."""
    found = worth_of_missing(measured(card, rows(10, 0.2)), BRATS, ("flair", "t1"))
    assert [worth.missing for worth in found] == ["t1ce", "t2"]
    t1ce, t2 = found
    assert t1ce.subjects == 10
    for gain in t1ce.gains:
        assert (gain.now, gain.then, gain.low, gain.high) == pytest.approx((0.5, 0.7, 0.2, 0.2))
    assert all(gain.mean == 0 for gain in t2.gains)


def test_the_sentence_names_scan_region_and_interval(card: ModelCard) -> None:
    """What would rise, from where to where, how sure that is, and what would change little."""
    lines = sentences(
        BRATS, ("flair", "t1"), worth_of_missing(measured(card, rows(10, 0.2)), BRATS, ("flair", "t1"))
    )
    assert lines[0].startswith("T1ce would probably raise the Dice of the ")
    assert "tumour core from about 0.50 to 0.70" in lines[0]
    assert "80 % interval of the change +0.20 to +0.20" in lines[0]
    assert lines[1] == "T2 would probably change little."
    assert "10 subjects" in lines[2]


def test_a_gain_that_may_be_a_loss_is_not_called_probable(card: ModelCard) -> None:
    """Where the interval reaches below nothing it "may" rise."""
    changed = rows(10, 0.3)
    for row in changed:
        if row["case"] in ("s0", "s1") and "t1ce" in row["combination"]:
            row["dice"] = dict.fromkeys(row["dice"], 0.1)
    lines = sentences(BRATS, ("t1",), worth_of_missing(measured(card, changed), BRATS, ("t1",)))
    assert lines[0].startswith("T1ce may raise")


def test_enhancement_that_stays_unseen_is_not_promised(card: ModelCard) -> None:
    """A second scan without contrast agent raises no enhancing tumour in words, whatever the scores say."""
    lines = sentences(BRATS, ("flair",), worth_of_missing(card, BRATS, ("flair",)))
    for line in lines:
        assert "enhancing" not in line or line.startswith("T1ce")


def test_the_line_names_the_scan_that_changes_most(card: ModelCard) -> None:
    """Also where another scan gains more in sum, but nothing that is told; "perhaps" where it may be a loss."""
    used = ("t1ce", "t2")
    worths = worth_of_missing(card, BRATS, used)
    assert headline(BRATS, used, worths).startswith("With FLAIR probably: Dice WT 0.8")
    used = ("flair", "t1ce", "t2")
    worths = worth_of_missing(card, BRATS, used)
    told = [sentence(BRATS, used, worth) for worth in worths]
    assert headline(BRATS, used, worths).startswith("With T1 perhaps") == told[0].startswith("T1 may")
    assert headline(BRATS, BRATS.names, ()) == ""


def test_it_says_when_it_does_not_know(card: ModelCard) -> None:
    """Too few subjects, none, or a mean alone: no number, one sentence."""
    for few in (rows(8, 0.2), [], [{"case": "mean", "combination": ["flair"], "dice": {"WT": 0.8}}]):
        found = worth_of_missing(measured(card, few), BRATS, ("flair",))
        assert found == ()
        assert sentences(BRATS, ("flair",), found) == [UNKNOWN]


def test_a_region_without_scores_is_left_out(card: ModelCard) -> None:
    """Subjects that have no enhancing tumour say nothing of it."""
    found = worth_of_missing(measured(card, rows(9, 0.2, without="ET")), BRATS, ("flair",))
    assert {gain.region for worth in found for gain in worth.gains} == {"WT", "TC"}


def test_with_all_scans_there_is_nothing_to_gain(card: ModelCard) -> None:
    """No sentence and no entry."""
    assert worth_of_missing(card, BRATS, BRATS.names) == ()
    assert sentences(BRATS, BRATS.names, ()) == []


def test_the_bundled_card_knows(card: ModelCard) -> None:
    """Scores of single subjects are on it: T1ce is what raises the enhancing tumour most from FLAIR and T1."""
    found = worth_of_missing(card, BRATS, ("flair", "t1"))
    assert found[0].missing == "t1ce"
    assert max(found[0].gains, key=lambda gain: gain.mean).region == "ET"
    assert document(found)[0]["subjects"] >= 9


@settings(max_examples=20, deadline=None)
@given(st.integers(9, 60), st.integers(0, 2**31))
def test_the_interval_holds_its_share_of_new_subjects(count: int, seed: int) -> None:
    """Of any continuous distribution at least 78 % of new values lie within, over many draws."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(300):
        values = rng.exponential(size=count + 1)
        low, high = interval(list(values[:-1]))
        held.append(low <= values[-1] <= high)
    assert np.mean(held) > 0.73
