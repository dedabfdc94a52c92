"""Tests, ranks and figures of several models, and every table as LaTeX and CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mrseg_training.evaluate_models import compared, write_models
from mrseg_training.ranking import critical_difference, holm, pairwise_tests, ranking, signed_rank
from mrseg_training.tables import tables_in, write_page
from napari_mrseg.compare.statistics import bootstrap, interval, resampled_means
from napari_mrseg.tasks import BRATS


def document(name: str, shift: float, subjects: int = 12) -> dict:
    """What ``evaluate`` gives, of two combinations; the last subject has no ET."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(subjects):
        level = rng.uniform(0.3, 0.7)
        for combination in (("flair",), BRATS.names):
            there = {"WT": True, "TC": True, "ET": number < subjects - 1}
            dice = {r: level + shift + rng.normal(0, 0.01) for r in there}
            dice["ET"] = dice["ET"] if there["ET"] else 1.0
            rows.append(
                {"subject": str(number), "combination": list(combination), "dice": dice, "present": there}
            )
    return {
        "model": {"name": name},
        "data": "made",
        "subjects": [str(n) for n in range(subjects)],
        "by_subject": rows,
    }


def test_holm_steps_down() -> None:
    """By hand: 0.01, 0.04, 0.03 of three give 0.03, 0.06, 0.06; none above 1; in the order given."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_paired_test_is_exact_by_hand() -> None:
    """Six pairs, all to one side: 2 / 2⁶. No difference, and a nan, say nothing."""
    gap = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.nan])
    assert signed_rank(np.zeros(7), gap) == pytest.approx(2 / 64)
    assert signed_rank(np.ones(5), np.ones(5)) == 1


def test_the_critical_difference_is_demsars() -> None:
    """Demšar 2006: four algorithms on 14 data sets, q = 2.569, CD = 1.25 at 5 %."""
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    assert critical_difference(5, 30) == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 30)), rel=1e-3)


def test_ranks_of_models_that_differ_and_of_equal_ones() -> None:
    """The better one is first in every draw; equal ones share the rank and a group."""
    base = np.random.default_rng(0).uniform(0.2, 0.6, 40)
    found = ranking({"low": base, "high": base + 0.1, "same": base})
    assert next(iter(found["models"])) == "high"
    assert found["models"]["high"]["rank"] == found["models"]["high"]["high"] == 1
    assert found["models"]["high"]["first"] == 1
    assert found["models"]["low"]["rank"] == found["models"]["same"]["rank"] == 2.5
    assert found["groups"] == [["low", "same"]]
    assert found["friedman_p"] < 1e-9
    equal = ranking({"a": base, "b": base, "c": base})
    assert equal["groups"] == [["a", "b", "c"]]
    assert equal["friedman_p"] == 1


def test_intervals_are_those_of_the_slower_bootstrap() -> None:
    """Means over subjects drawn again, columns at once: as one column by one, nan left out."""
    values = np.random.default_rng(1).normal(0.5, 0.2, (30, 2))
    values[3, 1] = np.nan
    low, high = interval(resampled_means(values))
    for k in range(2):
        slow = bootstrap(values[None, :, k : k + 1])
        assert (low[k], high[k]) == pytest.approx((slow["low"], slow["high"]), abs=0.01)
    assert np.isnan(interval(resampled_means(np.full((4, 1), np.nan)))).all()


def test_pairs_are_tested_and_corrected() -> None:
    """A shift of 0.1 is found in every region; both conventions are told; noise of equal models is not."""
    found = compared({"a": document("a", 0.0), "b": document("b", 0.1)}, BRATS)
    for test in found["tests"]:
        assert test["difference"] == pytest.approx(0.1, abs=1e-6)
        assert test["p"] < test["p_holm"] < 0.05
        assert test["subjects"] == (11 if test["region"] == "ET" else 12)
    mean = found["rows"][-1]
    assert mean["models_all"]["a"]["ET"] == pytest.approx((11 * mean["models"]["a"]["ET"] + 1) / 12, abs=1e-5)
    assert mean["difference"]["b"]["WT"]["p_holm"] >= mean["difference"]["b"]["WT"]["p"]
    rng = np.random.default_rng(8)
    same = {name: rng.normal(0.5, 0.1, (20, 3)) for name in "abcd"}
    assert all(test["p_holm"] > 0.05 for test in pairwise_tests(same, ["WT", "TC", "ET"]))


def test_figures_and_tables_are_written(tmp_path: Path) -> None:
    """models.md says tests and ranks; its tables lie beside it with the same cells; both figures name the models."""
    write_models({"ours": document("a", 0.0), "th_eirs": document("b", 0.1)}, BRATS, tmp_path)
    page = (tmp_path / "models.md").read_text()
    assert "Wilcoxon" in page
    assert "absent and found absent is 1" in page
    tables = list(tables_in(page))
    assert len(tables) == 4
    for number, table in enumerate(tables, start=1):
        rows = list(csv.reader((tmp_path / "tables" / f"models-{number}.csv").read_text().splitlines()))
        assert rows[0] == list(table.heads)
        assert rows[1:] == [list(row) for row in table.rows]
        tex = (tmp_path / "tables" / f"models-{number}.tex").read_text()
        assert tex.count(r" \\") == len(table.rows) + 1
    assert r"th\_eirs" in (tmp_path / "tables" / "models-1.tex").read_text()
    for figure in ("ranks.svg", "spider.svg"):
        text = (tmp_path / figure).read_text()
        assert "th_eirs" in text
        assert "nan" not in text


def test_a_page_written_again_leaves_no_old_table(tmp_path: Path) -> None:
    """Dots become numbers or signs; a page with fewer tables takes the others away, and those of other pages stay."""
    table = "words\n\n| a | b_1 |\n| --- | --: |\n| ● | 1 % |\n| ○ | – |\n"
    write_page(tmp_path / "one.md", table + "\nmore\n\n" + table)
    write_page(tmp_path / "one-2.md", table)
    write_page(tmp_path / "one.md", table)
    assert sorted(p.name for p in (tmp_path / "tables").glob("*.csv")) == ["one-1.csv", "one-2-1.csv"]
    assert (tmp_path / "tables" / "one-1.csv").read_text() == "a,b_1\n1,1 %\n0,\n"
    tex = (tmp_path / "tables" / "one-1.tex").read_text()
    assert r"$\bullet$ & 1 \% \\" in tex
    assert tex.startswith("% words\n\\begin{tabular}{lr}")
