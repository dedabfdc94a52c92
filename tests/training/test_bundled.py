"""The bundled model's own recipe: no fold is seen, and the table is what the subjects' rows say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrseg_training.bundled import FOLDS, configs, pooled, report

DOCUMENT = json.loads(FOLDS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("settings", ["bundled", "first"])
def test_no_run_sees_a_scan_that_it_is_measured_on(tmp_path: Path, settings: str) -> None:
    """A fold's test subjects, and the scans without tumour, are in no part of its data nor of the base's."""
    found = configs(tmp_path, tmp_path / "out", settings=settings)
    assert [config.model.name for config in found.values()] == [f"{settings}-{run}" for run in found]
    for fold, tested in DOCUMENT["test"].items():
        for run in ("base", fold):
            simulate = found[run].data.simulate
            seen = {*simulate.brains, *simulate.labelled}
            assert seen.isdisjoint(tested)
            assert seen.isdisjoint(DOCUMENT["no_tumour"])
        assert found[fold].start == tmp_path / "out" / "base" / "model"
        assert found[fold].data.simulate.real_share <= 0.2
    assert found["base"].data.simulate.real_share == 0
    assert "BraTS-GLI-00000-000" in DOCUMENT["test"]["a"]
    everyone = [subject for tested in DOCUMENT["test"].values() for subject in tested]
    assert len(everyone) == len(set(everyone)) == 7


def test_settings_reach_the_runs_they_are_for(tmp_path: Path) -> None:
    """key=value changes every run, fold.key=value the folds."""
    found = configs(tmp_path, tmp_path, ["data.spacing=2.0", "fold.stages.adapt.steps=7"])
    assert {config.data.spacing for config in found.values()} == {2.0}
    assert [config.stages.adapt.steps for config in found.values()][1:] == [7, 7]  # type: ignore[union-attr]
    assert found["base"].stages.adapt.steps != 7  # type: ignore[union-attr]


def row(subject: str, combination: str, wt: float, et: float, et_ml: float) -> dict:
    return {
        "subject": subject,
        "combination": combination.split("+"),
        "dice": {"WT": wt, "ET": et},
        "reference": {"WT": 30.0, "ET": et_ml},
    }


def test_a_region_counts_where_there_is_enough_of_it() -> None:
    """Means over subjects of means over combinations, with an interval; 0.4 mL of ET is not counted."""
    one = {"subjects": ["p"], "by_subject": [row("p", "flair", 0.6, 0.2, 9.0), row("p", "t1", 0.4, 0.4, 9.0)]}
    two = {"subjects": ["q"], "by_subject": [row("q", "flair", 0.9, 1.0, 0.4), row("q", "t1", 0.7, 0.0, 0.4)]}
    summary = pooled({"a": one, "b": two})
    assert summary["WT"]["mean"] == pytest.approx((0.5 + 0.8) / 2)
    assert summary["WT"]["n"] == 2
    assert 0.5 <= summary["WT"]["low"] < summary["WT"]["high"] <= 0.8
    assert summary["ET"]["n"] == 1
    assert summary["ET"]["mean"] == pytest.approx(0.3)
    text = report(summary, {"a": one, "b": two}, {"a": {"ms": {"flair": 1.25, "t1": 0.0}}})
    assert "| q (model b) | 0.800 | – |" in text
    assert "| flair | 0.750 | 0.200 | 1.2 |" in text
