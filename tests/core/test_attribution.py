"""Shapley values of the modalities, and the smallest sufficient set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import synthetic_comparison as made
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.compare.attribution import attribute, probability_map, shapley, weights
from napari_mrseg.compare.sufficient import default_lines, smallest_sufficient

PLAYERS = ("flair", "t1", "t1ce", "t2")
games = st.dictionaries(
    st.frozensets(st.sampled_from(PLAYERS), min_size=1), st.floats(-100, 100), min_size=0, max_size=15
)


def value_of(game: dict[frozenset[str], float]) -> Callable[[Iterable[str]], float]:
    return lambda combination: game.get(frozenset(combination), 0.0)


@given(games)
@settings(max_examples=60, deadline=None)
def test_values_sum_to_the_full_set(game: dict[frozenset[str], float]) -> None:
    """Efficiency: the values sum to full minus empty, and empty is 0."""
    value = value_of(game)
    assert sum(shapley(value, PLAYERS).values()) == pytest.approx(value(PLAYERS), abs=1e-9)


@given(games)
@settings(max_examples=60, deadline=None)
def test_an_ignored_modality_gets_zero(game: dict[frozenset[str], float]) -> None:
    """Dummy: a modality that never changes the result (and alone finds nothing) gets exactly nothing."""
    value = value_of(game)
    without = lambda c: value(tuple(p for p in c if p != "t2")) if set(c) != {"t2"} else 0.0  # noqa: E731
    assert shapley(without, PLAYERS)["t2"] == pytest.approx(0, abs=1e-9)


@given(games)
@settings(max_examples=60, deadline=None)
def test_interchangeable_modalities_get_the_same(game: dict[frozenset[str], float]) -> None:
    """Symmetry: two modalities that can stand in for each other everywhere get the same value."""
    value = value_of(game)
    swap = {"flair": "t2", "t2": "flair"}
    even = lambda c: value(c) + value(tuple(swap.get(p, p) for p in c))  # noqa: E731
    found = shapley(even, PLAYERS)
    assert found["flair"] == pytest.approx(found["t2"], abs=1e-9)


def test_known_game() -> None:
    """Two players, of whom one alone is worth 4, the other 1, both 7."""
    found = shapley({("a",): 4.0, ("b",): 1.0, ("a", "b"): 7.0}.__getitem__, ("a", "b"))
    assert found == {"a": 5.0, "b": 2.0}
    assert shapley(lambda c: 3.0, ("only",)) == {"only": 3.0}


def test_weights_of_the_papers_formula() -> None:
    """Each of the n! orders counts once: the joined subsets' factors sum to 1."""
    for player in PLAYERS:
        found = weights(PLAYERS, player)
        assert len(found) == 15
        assert sum(w for c, w in found.items() if player in c) == pytest.approx(1)


def test_volumes_and_dice_of_a_study() -> None:
    """Every region's values sum to the full set's mL and Dice; a region the reference lacks has no Dice."""
    reference = np.zeros(made.SHAPE, np.uint8)
    reference[2:8, 2:8, 2:8] = 2
    reference[3:6, 3:6, 3:6] = 1
    study = made.study(reference=reference)
    found = made.comparison(study)
    size, dice = attribute(found), attribute(found, "dice")
    assert size is not None
    assert dice is not None
    assert size.unit == "mL"
    assert set(size.values) == {"WT", "TC", "ET"}
    assert set(dice.values) == {"WT", "TC"}
    for part in (size, dice):
        for region, values in part.values.items():
            assert sum(values.values()) == pytest.approx(part.total[region])
    assert size.total["WT"] == pytest.approx(found.predictions[study.present].sizes["WT"])


def test_no_attribution_before_the_sweep_is_done() -> None:
    """Exact values need every combination; without a reference there is none for Dice."""
    study = made.study(("t1", "t2"))
    assert attribute(made.comparison(study, only=[("t1",)])) is None
    assert attribute(made.comparison(study), "dice") is None
    with pytest.raises(ValueError, match="not computed"):
        probability_map(made.comparison(study, only=[("t1",)]), "WT", "t1")


def test_voxel_maps_sum_to_the_full_probability() -> None:
    """Per voxel the modalities' values sum to the full set's probability; float32 on the whole grid."""
    study = made.study()
    found = made.comparison(study)
    maps = [probability_map(found, "TC", m) for m in study.present]
    assert maps[0].dtype == np.float32
    full = found.predictions[study.present].probability("TC")
    np.testing.assert_allclose(np.sum(maps, axis=0), full, atol=1e-5)


def test_voxel_maps_respect_the_boxes() -> None:
    """Predictions whose probabilities cover different boxes are put where they belong."""
    study = made.study(("t1", "t2"))
    box = (slice(2, 5), slice(1, 4), slice(6, 9))
    found = made.comparison(study, lambda c: np.zeros((3, *made.SHAPE)))
    alone = made.prediction(
        study, ("t1",), np.zeros((3, *made.SHAPE)), box=box, probabilities=np.ones((3, 3, 3, 3), np.float16)
    )
    found = found.updated({**found.predictions, ("t1",): alone})
    expected = np.zeros(made.SHAPE)
    expected[box] = 0.5
    np.testing.assert_allclose(probability_map(found, "WT", "t1"), expected)
    np.testing.assert_allclose(probability_map(found, "WT", "t2"), -expected)


# -- the smallest sufficient set ---------------------------------------------------------------------------


def stairs(order: tuple[str, ...]) -> made.Probabilities:
    """WT grows by one plane of ten with each modality of ``order``; the rest add nothing."""

    def make(combination: tuple[str, ...]) -> np.ndarray:
        p = np.zeros((3, *made.SHAPE))
        p[:, : 6 + sum(n in combination for n in order)] = 1
        return p

    return make


def test_the_smallest_set_and_the_next_step() -> None:
    """The smallest combination within the threshold is named with what the best next modality would bring."""
    found = made.comparison(made.study(), stairs(("flair", "t1", "t1ce", "t2")))
    best = smallest_sufficient(found, ("WT",), 0.9)  # 9 of 10 planes: 18/19; 8: 16/18 = 0.89
    assert best.combination is not None
    assert len(best.combination) == 3
    assert best.dice["WT"] == pytest.approx(18 / 19)
    assert best.next is not None
    assert best.next.after == 1.0
    assert "would bring Dice from 0.95 to 1.00" in best.text


def test_a_next_step_that_makes_it_worse_is_not_sold_as_one() -> None:
    """Where every further modality leads away from the full result, the line says that none raises it."""

    def make(combination: tuple[str, ...]) -> np.ndarray:
        p = np.zeros((3, *made.SHAPE))
        p[:, : 8 if len(combination) in (2, 3) else 10] = 1
        return p

    text = smallest_sufficient(made.comparison(made.study(), make), ("WT",)).text
    assert "no further modality raises Dice (best: T1, from 1.00 to 0.89)" in text


def test_a_region_that_cannot_be_seen_is_not_sufficient() -> None:
    """ET without contrast does not count as enough, however similar it looks."""
    found = made.comparison(made.study(), stairs(()))
    assert smallest_sufficient(found, ("WT",)).combination == ("flair",)
    assert smallest_sufficient(found).combination == ("t1ce",)


def test_a_study_without_contrast_is_not_asked_for_it() -> None:
    """If even the full set cannot show ET, the question is asked of the other regions."""
    found = made.comparison(made.study(("flair", "t2")), stairs(()))
    assert smallest_sufficient(found).regions == ("WT", "TC")
    assert "no region" not in smallest_sufficient(found).text
    assert smallest_sufficient(found, ("ET",)).combination is None


def test_no_smaller_set_is_said() -> None:
    """Where only the full set will do, the line says so; before the full one is there, it waits."""
    found = made.comparison(made.study(), stairs(("flair", "t1", "t1ce", "t2")))
    assert "no smaller set" in smallest_sufficient(found, ("WT",), 0.99).text
    waiting = made.comparison(made.study(), only=[("t1",)])
    assert smallest_sufficient(waiting).text.startswith("Waiting for the result of FLAIR + T1 + T1ce + T2")


def test_an_unfinished_sweep_says_so_far() -> None:
    """While combinations are missing the answer may still change."""
    study = made.study()
    found = made.comparison(study, only=[study.present, ("flair", "t1ce", "t2")])
    assert smallest_sufficient(found, ("WT",), 0.0).text.endswith(
        "So far: not every combination is computed."
    )


def test_default_lines_ask_for_the_first_region_and_for_all() -> None:
    """Two lines for nested regions: WT alone, and every region."""
    lines = default_lines(made.comparison(made.study()))
    assert [line.regions for line in lines] == [("WT",), ("WT", "TC", "ET")]
