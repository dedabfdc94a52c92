"""The traffic light: which warning weighs how much, and that it is said wherever a number is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare import write_comparison
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.comparison_report import report_html
from napari_mrseg.compare.table import table_csv, table_document, table_markdown
from napari_mrseg.compare.trust import ALIKE, MARKS, judge
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Note
from napari_mrseg.tasks import BRATS


def doubtful(prediction: Prediction, *codes: str) -> Prediction:
    return replace(prediction, notes=tuple(Note(code, f"A sentence about {code}.") for code in codes))


@pytest.fixture
def full() -> Prediction:
    found = made.comparison(made.study())
    return replace(found.predictions[BRATS.names], notes=())


@pytest.mark.parametrize(
    ("codes", "level"),
    [
        ((), "green"),
        (("slow_device", "registered", "brain_cut_out"), "green"),
        (("thick_slices",), "amber"),
        (("brain_doubtful",), "amber"),
        (("brain_cut_off",), "amber"),
        (("partial_head", "nothing_found"), "amber"),
        (("brain_not_found", "nothing_found"), "red"),
        (("brain_not_found",), "red"),
        (("skull",), "red"),
        (("wrong_contrast",), "red"),
        (("same_image",), "red"),
        (("thick_slices", "large_finding"), "red"),
    ],
)
def test_the_worst_warning_decides(full: Prediction, codes: tuple[str, ...], level: str) -> None:
    """No warning that counts: green. A scan that is not what the model was made for: red. Else amber."""
    trust = judge(doubtful(full, *codes))
    assert trust.level == level
    assert trust.headline.startswith(MARKS[trust.level])
    assert all(trust.of(region.name) == level for region in BRATS.regions)
    assert all(trust.is_doubted(region.name) == (level == "red") for region in BRATS.regions)


def test_a_region_that_cannot_be_seen_is_doubted_alone(full: Prediction) -> None:
    """Without contrast ET is amber and greyed; WT and TC are not."""
    trust = judge(replace(full, combination=("flair", "t2")))
    assert (trust.level, trust.of("WT"), trust.of("ET")) == ("amber", "green", "amber")
    assert [trust.is_doubted(name) for name in ("WT", "TC", "ET")] == [False, False, True]
    assert "no contrast: not observable" in trust.headline


def test_of_a_red_result_only_the_red_reasons_make_the_headline(full: Prediction) -> None:
    """What matters most is not hidden among lesser things."""
    headline = judge(doubtful(full, "thick_slices", "skull")).headline
    assert "skull" in headline
    assert "slices" not in headline


def test_combinations_that_disagree_are_amber(full: Prediction) -> None:
    """A result unlike the others' is amber; with fewer than three others nothing is said."""
    assert judge(full, ALIKE).level == "green"
    assert judge(full, ALIKE - 0.01).level == "amber"
    study = made.study()
    labels = np.zeros(study.grid.shape, np.uint8)
    labels[2:6, 2:6, 2:6] = 2
    odd = np.zeros_like(labels)
    odd[6:8, 6:8, 6:8] = 2
    alike = [replace(full, combination=c, labels=labels.copy()) for c in BRATS.combinations()[:4]]
    strange = replace(full, combination=BRATS.combinations()[4], labels=odd)
    found = Comparison(study, [*alike, strange])
    assert found.likeness(alike[0].combination) == 1.0
    assert found.likeness(strange.combination) == 0.0
    assert found.trust(strange.combination).reasons[0].code == "combinations_disagree"
    assert Comparison(study, [*alike[:2], strange]).likeness(strange.combination) is None


def test_an_empty_region_that_cannot_be_seen_has_no_dice_to_show(full: Prediction) -> None:
    """ET without contrast, empty in result and reference: the value is 1 by convention, and no table shows it."""
    reference = np.zeros(made.SHAPE, np.uint8)
    reference[2:6, 2:6, 2:6] = 2
    study = made.study(reference=reference)
    every = [replace(full, combination=c, labels=reference.copy(), digest="") for c in BRATS.combinations()]
    found = Comparison(study, every)
    without, with_ = ("flair", "t2"), BRATS.names
    assert found.value(without, "dice.ET") == 1.0
    assert found.shown(without, "dice.ET") is None
    assert found.shown(with_, "dice.ET") == 1.0
    assert found.shown(without, "dice.WT") == 1.0
    assert found.is_doubted(without, "dice.ET")
    assert not found.is_doubted(with_, "dice.ET")
    row = next(line for line in table_markdown(found).splitlines() if "(–)" in line)
    assert row.count("1.000") == 4  # WT and TC, to all four and to the reference
    cells = report_html(found, table_document(found), date="2026-01-02").count("1.000</td>")
    regions = sum(2 * (2 + ("t1ce" in c)) for c in BRATS.combinations())
    assert cells == regions + 6  # and the averages


def test_results_report_and_tables_say_it(tmp_path: Path, full: Prediction) -> None:
    """result.json, table.json, table.csv, report and Markdown carry the level and its sentence."""
    study = made.study()
    found = made.comparison(study)
    every = [doubtful(p, "brain_not_found") for p in found.predictions.values()]
    result = write_comparison(study, every, tmp_path / "out", model=full.model, date="2026-01-02")
    for entry in result["predictions"]:
        assert entry["trust"]["level"] == "red"
        assert entry["trust"]["reasons"][0]["message"] == "A sentence about brain_not_found."
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert {row["trust"]["level"] for row in table["rows"]} == {"red"}
    report = (tmp_path / "out" / "report.html").read_text()
    assert "✕ DO NOT TRUST: no brain was found" in report
    comparison = Comparison(study, every)
    assert {line.rsplit(",", 1)[1] for line in table_csv(comparison).splitlines()[1:]} == {"red"}
    assert "✕ DO NOT TRUST: no brain was found" in table_markdown(comparison)
