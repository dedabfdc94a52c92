"""The table as CSV, JSON and Markdown, and as a figure."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare.agreement import Agreement
from napari_mrseg.compare.attribution import attribute
from napari_mrseg.compare.colours import cividis
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.figures import ESTIMATE_PAPER, bars, cell_colours, matrix, save
from napari_mrseg.compare.table import table_csv, table_document, table_markdown
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import key


def reference() -> np.ndarray:
    labels = np.zeros(made.SHAPE, np.uint8)
    labels[2:8, 3:9, 2:8] = np.random.default_rng(3).integers(1, 4, (6, 6, 6))
    return labels


@pytest.fixture(scope="module")
def full() -> Comparison:
    """All 15 combinations with a reference, HD95 measured."""
    found = made.comparison(made.study(reference=reference()))
    for combination in found.predictions:
        found.measure(combination)
    return found


def test_csv_holds_every_cell(full: Comparison) -> None:
    """A line per combination: a 0/1 flag per modality and every number, readable back."""
    rows = list(csv.DictReader(io.StringIO(table_csv(full))))
    assert [row["combination"] for row in rows] == [key(c) for c in full.predictions]
    for combination, row in zip(full.predictions, rows, strict=True):
        assert [int(row[name]) for name in full.task.names] == list(full.used(combination))
        assert float(row["size_WT_mL"]) == pytest.approx(full.value(combination, "size.WT"), abs=1e-6)
        assert float(row["dice_ET"]) == pytest.approx(full.value(combination, "dice.ET"), abs=1e-6)
        assert float(row["hd95_TC_mm"]) == pytest.approx(full.value(combination, "hd95.TC"), abs=1e-6)
        assert row["estimated"] == ("" if "t1ce" in combination else "ET")


def test_csv_leaves_unknown_cells_empty() -> None:
    """What has no value is an empty field, not a number or “nan”."""
    found = made.comparison(made.study(("t1", "t2")), only=[("t1",)])
    row = next(iter(csv.DictReader(io.StringIO(table_csv(found)))))
    assert row["versus_WT"] == ""


def test_json_is_valid_and_says_its_schema(full: Comparison) -> None:
    """table.json holds rows, foot, agreement, attribution and the sufficient sets, without NaN."""
    document = json.loads(json.dumps(table_document(full), allow_nan=False))
    assert document["schema"] == "mrseg-table/1"
    assert document["coverage"] == {"done": 15, "possible": 15, "of": 15, "text": "15 of 15 combinations."}
    assert len(document["rows"]) == 15
    row = document["rows"][3]
    combination = tuple(row["combination"])
    assert row["dice"]["TC"] == pytest.approx(full.value(combination, "dice.TC"), abs=1e-6)
    assert document["foot"]["dice.TC"]["mean"] == pytest.approx((full.foot("dice.TC") or [0])[0], abs=1e-6)
    assert document["agreement"]["text"] == Agreement(full).summary().sentence
    parts = document["attribution"]["size"]
    assert sum(parts["values"]["WT"].values()) == pytest.approx(parts["total"]["WT"], abs=1e-5)
    assert {w["code"] for w in document["warnings"]} == {"et_without_contrast"}


def test_json_of_an_empty_comparison() -> None:
    """Before the first prediction the document is valid and empty."""
    document = json.loads(json.dumps(table_document(Comparison(made.study(), {})), allow_nan=False))
    assert document["rows"] == []
    assert document["agreement"] is None


def test_markdown_has_dots_and_foot(full: Comparison) -> None:
    """The papers' layout: filled and empty dots, estimates in parentheses, average and deviation below."""
    lines = table_markdown(full).splitlines()
    assert lines[2].startswith("| ● | ● | ● | ● |")
    only_t2 = next(line for line in lines if line.startswith("| ○ | ○ | ○ | ● |"))
    assert "(" in only_t2
    assert any(line.startswith("| average |") for line in lines)
    assert any(line.startswith("| sd |") for line in lines)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_colours_are_ordered_and_estimates_grey(full: Comparison) -> None:
    """Higher Dice is lighter; a cell that cannot be observed is grey whatever its value."""
    light = [sum(cividis(v)) for v in np.linspace(0, 1, 30)]
    assert light == sorted(light)
    column = full.column("dice.ET")
    assert cell_colours(full, column, 0.9, True)[0] == ESTIMATE_PAPER
    assert cell_colours(full, column, 0.9, False)[0] != ESTIMATE_PAPER


def test_figures_are_written_as_png_and_svg(full: Comparison, tmp_path: Path) -> None:
    """Matrix and bars come out as valid SVG and PNG; another ending is refused and nothing is written."""
    from PIL import Image

    drawing = matrix(full)
    save(drawing, tmp_path / "m.svg")
    save(drawing, tmp_path / "m.png")
    assert ElementTree.parse(tmp_path / "m.svg").getroot().tag.endswith("svg")
    with Image.open(tmp_path / "m.png") as image:
        assert image.size == (2 * drawing.width, 2 * drawing.height)
    found = attribute(full)
    assert found is not None
    ElementTree.fromstring(bars(full, found).svg())
    with pytest.raises(InputError, match=r"neither \.png nor \.svg"):
        save(drawing, tmp_path / "m.jpg")
    with pytest.raises(InputError, match="cannot be written"):
        save(drawing, tmp_path / "nowhere" / "m.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.png", "m.svg"]
