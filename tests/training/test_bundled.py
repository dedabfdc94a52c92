"""The bundled model's own recipe: no fold is seen, and the table is what the subjects' rows say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny

from mrseg_training.calibration import LOGITS
from tools.bundled import configs, read_folds
from tools.bundled_card import bundled_card
from tools.bundled_table import measured, pooled, report

DOCUMENT = read_folds()


def test_no_run_sees_a_scan_that_it_is_measured_on(tmp_path: Path) -> None:
    """A fold's test subjects, and scans for measuring only, are in no part of its data nor of the base's."""
    found = configs(tmp_path, tmp_path / "out")
    name = found["base"].model.name.removesuffix("-base")
    assert [config.model.name for config in found.values()] == [f"{name}-{run}" for run in found]
    for fold, tested in DOCUMENT["test"].items():
        for run in ("base", fold):
            simulate = found[run].data.simulate
            seen = {*simulate.scans, *simulate.labelled}
            assert seen.isdisjoint(tested)
            assert seen.isdisjoint([*DOCUMENT["no_tumour"].get(fold, []), *DOCUMENT["whole_tumour"]])
        assert found[fold].start == tmp_path / "out" / "base" / "model"
        assert set(found["base"].data.simulate.brains) < set(found[fold].data.simulate.brains)
    assert "BraTS-GLI-00000-000" in DOCUMENT["test"]["a"]
    every = found["all"].data.simulate
    assert set(every.labelled) == {s for fold in DOCUMENT["test"] for s in found[fold].data.simulate.labelled}
    assert {*every.scans}.isdisjoint([*DOCUMENT["no_tumour"]["a"], *DOCUMENT["whole_tumour"]])
    assert found["all"].start == tmp_path / "out" / "a" / "model"
    everyone = [subject for tested in DOCUMENT["test"].values() for subject in tested]
    assert len(everyone) == len(set(everyone)) == 40
    for pair in (("00056", "00080"), ("00076", "00081"), ("00115", "00121")):  # they look alike
        ids = {f"BraTS-SSA-{number}-000" for number in pair}
        assert any(ids <= set(tested) for tested in DOCUMENT["test"].values())


def test_settings_reach_the_runs_they_are_for(tmp_path: Path) -> None:
    """key=value changes every run, fold.key=value all but the base, b.key=value fold b."""
    settings = ["data.spacing=2.0", "fold.stages.supervised.steps=7", "b.stages.supervised.steps=8"]
    found = configs(tmp_path, tmp_path, settings)
    assert {config.data.spacing for config in found.values()} == {2.0}
    assert [config.stages.supervised.steps for config in found.values()][1:] == [7, 8, 7, 7]  # type: ignore[union-attr]
    assert found["base"].stages.supervised.steps != 7  # type: ignore[union-attr]


def row(subject: str, combination: str, wt: float, et: float, et_ml: float) -> dict:
    return {
        "subject": subject,
        "combination": combination.split("+"),
        "dice": {"WT": wt, "ET": et},
        "size": {"WT": 31.0, "ET": 2.5},
        "reference": {"WT": 30.0, "ET": et_ml},
        "far": 0.3,
        "seconds": 0.5,
    }


@pytest.fixture
def folds() -> dict:
    """Subject p of fold a with enhancing tumour, q of fold b with too little of it to count."""
    rows = {
        "a": [row("p", "flair", 0.6, 0.2, 9.0), row("p", "t1", 0.4, 0.4, 9.0)],
        "b": [row("q", "flair", 0.9, 1.0, 0.4), row("q", "t1", 0.7, 0.0, 0.4)],
    }
    # 100 voxels of probability 0.95, 88 of them in the region: logit 2.9 to logit 1.99.
    fine = [[100 * (abs(x - 2.9) < 0.01) for x in LOGITS], [88 * (abs(x - 2.9) < 0.01) for x in LOGITS]]
    errors = {"1": {region: {"ece_from_0.05": 0.125, "fine": fine} for region in ("WT", "ET")}}
    return {
        fold: {"subjects": [own[0]["subject"]], "by_subject": own, "calibration": errors, "device": "a CPU"}
        for fold, own in rows.items()
    }


ALARMS = {"a": {"ms": {"flair": 1.25, "t1": 0.0}}, "b": {"ms": {"flair": 7.0, "t1": 0.0}}}


WHOLE = {"w": {"flair": 0.9, "t1": 0.1}, "v": {"flair": 0.8, "t1": 0.3}}


def test_a_region_counts_where_there_is_enough_of_it(folds: dict) -> None:
    """Means over subjects of means over combinations, with an interval; 0.4 mL of ET is not counted."""
    summary = pooled(folds)
    assert summary["WT"]["mean"] == pytest.approx((0.5 + 0.8) / 2)
    assert summary["WT"]["n"] == 2
    assert 0.5 <= summary["WT"]["low"] < summary["WT"]["high"] <= 0.8
    assert summary["ET"]["n"] == 1
    assert summary["ET"]["mean"] == pytest.approx(0.3)


def test_the_report_states_every_subject_and_combination(folds: dict) -> None:
    """Each subject by its fold's model, false ET where there is none, false positives, and the simulated benchmark."""
    text = report(pooled(folds), folds, ALARMS, ("a", folds["a"]), {"a": WHOLE})
    assert "| w | 0.900 | 0.100 |\n| v | 0.800 | 0.300 |\n| **mean** | 0.850 | 0.200 |" in text
    assert "| p (model a) | 0.500 | 0.300 | – | 0.3 |" in text
    assert "| q (model b) | 0.800 | – | 2.5 | 0.3 |" in text
    assert "| flair | 0.750 | 0.200 | 0.600 | 0.200 | 1.2 | 7.0 |" in text
    assert "| 1 | 0.125 | 0.125 | 0.125 | 0.125 |" in text
    cell = "1.46: 0.068 → 0.000"
    assert f"| 1 | {cell} | {cell} | {cell} | {cell} |" in text


def test_the_card_says_who_was_measured_by_whom(folds: dict, tmp_path: Path) -> None:
    """Mean Dice by combination over the subjects that count; what fails, and false positives of the shipped model."""
    runs = configs(tmp_path, tmp_path)
    unseen = [*DOCUMENT["test"]["a"], *DOCUMENT["no_tumour"]["a"]]
    rows = measured(folds, {"a": ALARMS["a"]})
    card = bundled_card(tiny.model(tmp_path).card, runs["base"], runs["a"], unseen, rows, pooled(folds))
    assert card.measured_dice(("flair",)) == {"WT": [0.6, 0.9], "ET": [0.2]}
    assert dict(card.measured_table())[("t1",)] == pytest.approx({"WT": 0.55, "ET": 0.4})
    assert "ms, which has no tumour, it calls up to 1.2 mL one (flair)" in card.limitations
    assert re.search(r"commit ([0-9a-f]{10}\+?|unknown) ", card.trained_on[0])
    assert all(name in card.trained_on[-1] for name in unseen)
    assert "WT 0.65 [" in card.measured_on
    assert {"BraTS2021_01476", "CC BY 4.0", "TCGA-LGG", "ICBM"} <= {
        word
        for word in ("BraTS2021_01476", "CC BY 4.0", "TCGA-LGG", "ICBM")
        if word in " ".join(card.trained_on)
    }
