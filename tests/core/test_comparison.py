"""The table of all combinations and what its numbers mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare import comparison as module
from napari_mrseg.compare.columns import text_of
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.metrics import dice, hd95


def reference(seed: int = 3) -> np.ndarray:
    labels = np.zeros(made.SHAPE, np.uint8)
    labels[2:8, 3:9, 2:8] = np.random.default_rng(seed).integers(1, 4, (6, 6, 6))
    return labels


def test_cells_are_what_single_masks_give() -> None:
    """Size, Dice to the full set, Dice and HD95 to the reference equal those of the regions' masks."""
    study = made.study(reference=reference(), spacing=(2.0, 1.0, 0.5))
    found = made.comparison(study)
    one = found.predictions[("flair", "t2")].labels
    full = found.predictions[study.present].labels
    found.measure(("flair", "t2"))
    for region in study.task.regions:
        a, b, r = (np.isin(x, region.codes) for x in (one, full, reference()))
        cell = lambda kind, name=region.name: found.value(("flair", "t2"), f"{kind}.{name}")  # noqa: E731
        assert cell("size") == pytest.approx(a.sum() * 0.001)
        assert cell("versus") == pytest.approx(dice(a, b))
        assert cell("dice") == pytest.approx(dice(a, r))
        assert cell("hd95") == pytest.approx(hd95(a, r, (2.0, 1.0, 0.5)))


def test_rows_and_dots_follow_the_task() -> None:
    """A row per combination, a filled dot per used modality, and estimated regions are named."""
    found = made.comparison(made.study())
    assert len(found.rows) == 15
    row = found.row(("flair", "t1ce"))
    assert found.used(row.combination) == (True, False, True, False)
    assert row.estimated == ()
    assert found.row(("t2",)).estimated == ("ET",)
    assert found.is_estimated(("t2",), "size.ET")
    assert not found.is_estimated(("t2",), "size.WT")


def test_without_a_reference_there_are_no_columns_for_it() -> None:
    """No reference: no Dice or HD95 column, and the rows say None."""
    found = made.comparison(made.study())
    assert {c.kind for c in found.columns} == {"size", "versus", "seconds"}
    assert found.row(("t1",)).dice is None


def test_partial_sweeps_say_so() -> None:
    """“n of N combinations” counts the task's, and names what the study lacks and what is to come."""
    study = made.study(("t1", "t2"))
    assert made.comparison(study).coverage == "3 of 15 combinations: this study has no FLAIR and no T1ce."
    started = made.comparison(study, only=[("t1",)])
    assert started.coverage.endswith("2 not computed yet.")
    assert started.coverage.startswith("1 of 15")
    assert started.row(("t1",)).versus is None
    assert started.missing == (("t1", "t2"), ("t2",))


def test_two_modalities_make_three_rows_in_pixels() -> None:
    """A task of two modalities and exclusive regions works the same, in px."""
    found = made.comparison(made.study(task=made.TWO))
    assert len(found.rows) == 3
    assert found.coverage == "3 of 3 combinations."
    assert found.column("size.A").unit == "px"
    assert float(found.value(("rgb",), "size.A") or 0).is_integer()


def test_a_new_row_costs_only_that_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the sweep runs, Dice is computed once per prediction, not again for every snapshot."""
    study = made.study(reference=reference())
    whole = made.comparison(study)
    calls: list[int] = []
    real = module.region_dice
    monkeypatch.setattr(module, "region_dice", lambda *a, **k: calls.append(1) or real(*a, **k))
    now = Comparison(study, {})
    for count in range(1, 16):
        now = now.updated(dict(list(whole.predictions.items())[:count]))
        assert len(now.rows) == count
    assert len(calls) == 30  # 15 to the full set, 15 to the reference


def test_a_new_prediction_is_measured_again() -> None:
    """A row whose prediction was replaced (another model, say) does not keep the old numbers."""
    study = made.study(reference=reference())
    first = made.comparison(study)
    before = first.value(("t1",), "dice.WT")
    other = made.comparison(study, made.smooth(study, seed=9))
    after = first.updated(other.predictions)
    assert after.value(("t1",), "dice.WT") == other.value(("t1",), "dice.WT") != before


def test_another_combination_can_be_the_reference_point() -> None:
    """Dice “same” is to the chosen combination: 1 for itself."""
    found = made.comparison(made.study()).versus(("flair",))
    assert found.value(("flair",), "versus.WT") == 1.0
    assert (
        found.value(found.study.present, "versus.WT") == found.between(("flair",), found.study.present)["WT"]
    )
    assert "FLAIR" in found.explain("versus.WT")


def test_previews_have_no_row() -> None:
    """A coarse preview is not a result; its row counts as not computed."""
    study = made.study()
    whole = made.comparison(study)
    preview = dataclasses.replace(whole.predictions[("t1",)], preview=True)
    found = Comparison(study, [*(p for c, p in whole.predictions.items() if c != ("t1",)), preview])
    assert found.missing == (("t1",),)
    assert found.value(("t1",), "size.WT") is None


def test_predictions_of_another_study_are_refused() -> None:
    """Rows of different grids are never put into one table."""
    other = made.comparison(made.study(shape=(8, 8, 8)))
    with pytest.raises(ValueError, match="another study"):
        Comparison(made.study(), other.predictions)


def test_hd95_waits_until_asked() -> None:
    """HD95 is slow: its cells stay empty until measured, and then appear in every snapshot."""
    found = made.comparison(made.study(reference=reference()))
    assert found.value(("t1",), "hd95.WT") is None
    found.measure(("t1",))
    assert found.updated(found.predictions).value(("t1",), "hd95.WT") is not None


def test_sorting_leaves_empty_cells_last() -> None:
    """Rows sort by any column both ways; rows without a value come last either way."""
    found = made.comparison(made.study(reference=reference()))
    found.measure(("t1",))
    found.measure(("t2",))
    values = [found.value(c, "hd95.WT") for c in found.ordered("hd95.WT", descending=False)]
    assert values[0] <= values[1]  # type: ignore[operator]
    assert values[2:] == [None] * 13
    sizes = [found.value(c, "size.WT") for c in found.ordered("size.WT")]
    assert sizes == sorted(sizes, reverse=True)  # type: ignore[type-var]


def test_foot_is_average_and_population_deviation() -> None:
    """The foot averages over the combinations with divisor n and says how many count."""
    found = made.comparison(made.study())
    cells = [found.value(c, "size.WT") for c in found.predictions]
    mean, deviation, count = found.foot("size.WT") or (0, 0, 0)
    assert mean == pytest.approx(np.mean(cells))  # type: ignore[arg-type]
    assert deviation == pytest.approx(np.std(cells))  # type: ignore[arg-type]
    assert count == 15
    assert Comparison(found.study, {}).foot("size.WT") is None


def test_every_column_says_how_it_is_computed() -> None:
    """Each number has an explanation; that of an estimate says it is one."""
    found = made.comparison(made.study(reference=reference()))
    for column in found.columns:
        assert len(found.explain(column.key)) > 30
    assert "not observable" in found.explain("dice.ET")
    assert "mm" in found.explain("hd95.WT")


def test_cells_are_written_alike_everywhere() -> None:
    """Dice with three digits, volumes and seconds with one, pixels as whole numbers, nothing as a dash."""
    found = made.comparison(made.study(reference=reference()))
    assert text_of(found.column("dice.WT"), 0.91234) == "0.912"
    assert text_of(found.column("size.WT"), 41.26) == "41.3"
    assert text_of(found.column("hd95.WT"), None) == "–"
    two = made.comparison(made.study(task=made.TWO))
    assert text_of(two.column("size.A"), 17.0) == "17"


def test_empty_results_have_numbers() -> None:
    """A model that finds nothing gives size 0, Dice 1 to another nothing, 0 to a reference, and no HD95."""
    study = made.study(reference=reference())
    found = made.comparison(study, lambda c: np.zeros((3, *made.SHAPE)))
    row = found.row(("t1",))
    assert row.sizes["WT"] == 0
    assert row.versus is not None
    assert row.versus["WT"] == 1.0
    assert row.dice is not None
    assert row.dice["WT"] == 0.0
    assert math.isnan(found.measure(("t1",))["hd95"]["WT"])
    assert found.value(("t1",), "hd95.WT") is None


def test_result_files_get_the_same_dice() -> None:
    """The function handed to the writer of result.json gives the table's Dice."""
    study = made.study(reference=reference())
    found = made.comparison(study)
    measure = module.dice_to_reference(study)
    assert measure(found.predictions[("t1",)]) == found.dice(("t1",))
    assert module.dice_to_reference(made.study())(found.predictions[("t1",)]) is None
