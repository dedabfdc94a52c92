"""Metrics: one list, which another package may add to; what is in it has a column everywhere."""

from __future__ import annotations

import json
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare import columns, comparison, metric, table
from napari_mrseg.compare.comparison_report import report_html
from napari_mrseg.extend import Metric
from napari_mrseg.tasks import BRATS

PACKAGE = """
from napari_mrseg.extend import Metric


class Difference(Metric):
    name = "difference"
    title = "voxels off"
    better = "low"

    def explain(self, region, task):
        return f"Voxels of {region.title} that only one of both has."

    def measure(self, prediction, reference, spacing):
        return float((prediction != reference).sum())
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A package of one file with a metric; an entry point to nothing is named and left out."""
    (tmp_path / "metricpackage.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(tmp_path)
    found = [
        EntryPoint("difference", "metricpackage:Difference", metric.GROUP),
        EntryPoint("gone", "metricpackage:Gone", metric.GROUP),
    ]
    monkeypatch.setattr(metric, "entry_points", lambda group: found if group == metric.GROUP else [])
    with pytest.warns(UserWarning, match=r"“gone” of metricpackage:Gone cannot be loaded"):
        (one,) = metric.installed()
    every = {m.name: m for m in (*metric.OWN, one)}
    for module in (metric, columns, comparison, table):
        monkeypatch.setattr(module, "METRICS", every)
    return one


def test_a_metric_of_one_file_has_a_column_everywhere(added: Metric) -> None:
    """Table in CSV, JSON and Markdown, report, and the numbers are those of the metric."""
    truth = np.zeros(made.SHAPE, np.uint8)
    truth[2:8, 2:8, 2:8] = 2
    found = made.comparison(made.study(reference=truth))
    combination = next(iter(found.predictions))
    assert found.value(combination, "difference.WT") is None  # not measured yet
    found.measure(combination)
    labels = found.predictions[combination].labels
    assert found.value(combination, "difference.WT") == np.count_nonzero((labels > 0) != (truth > 0))
    assert found.value(combination, "hd95.WT") is not None
    assert "WT voxels off" in table.table_markdown(found)
    assert ",difference_WT," in table.table_csv(found).splitlines()[0]
    document = table.table_document(found)
    row = next(r for r in document["rows"] if tuple(r["combination"]) == combination)
    assert set(row["difference"]) == {region.name for region in BRATS.regions}
    assert "voxels off" in report_html(found, json.loads(json.dumps(document)), date="2026-01-01")
    assert added.unit(BRATS) == ""


def test_ours_stay_where_they_are() -> None:
    """HD95 is one of the list, with the key and the unit that it always had."""
    found = made.comparison(made.study(reference=np.zeros(made.SHAPE, np.uint8)))
    assert next(iter(metric.METRICS)) == "hd95"
    assert found.column("hd95.WT").unit == "mm"
    assert found.column("hd95.WT").title == "WT HD95 mm"
