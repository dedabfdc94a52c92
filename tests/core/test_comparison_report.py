"""report.html and the whole folder that a comparison leaves."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare import write_comparison
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.comparison_report import report_html
from napari_mrseg.compare.table import table_document
from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io import write_results
from napari_mrseg.models.store import load_model
from napari_mrseg.study import Note

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks that tags close in order, and gathers text, tags and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for n, v in attrs if n in ("src", "href", "xlink:href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def reference() -> np.ndarray:
    labels = np.zeros(made.SHAPE, np.uint8)
    labels[2:8, 3:9, 2:8] = np.random.default_rng(3).integers(1, 4, (6, 6, 6))
    return labels


def report(**study: object) -> str:
    found = made.comparison(made.study(**study))  # type: ignore[arg-type]
    return report_html(found, table_document(found, versions={"torch": "2.13"}), date="2026-01-02")


def test_the_report_is_one_self_contained_file() -> None:
    """Nothing is loaded from anywhere and no script runs; every picture is in the file."""
    page = Page(report(reference=reference()))
    assert page.open == []
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert page.addresses
    assert all(a.startswith("data:image/png;base64,") for a in page.addresses)
    assert "url(" not in "".join(page.words)
    assert "@import" not in "".join(page.words)


def test_the_report_says_how_it_was_made() -> None:
    """Model, hash, device, versions, date, warnings, the agreement sentence and the limits are on the page."""
    text = " ".join(Page(report(reference=reference())).words)
    for part in (
        "tiny 0.0", "0" * 64, "cpu, fp32", "torch 2.13", "2026-01-02", "research use only", "synthetic",
        "combinations agree on", "no smaller set", "not clinical evidence", "not observable & only an estimate",
        "15 of 15 combinations", "standard deviation",
    ):  # fmt: skip
        assert part in text, part


def test_words_from_outside_are_escaped() -> None:
    """A case or a warning that looks like HTML is shown as text."""
    study = dataclasses.replace(
        made.study(case="<script>alert(1)</script>"), notes=(Note("x", '"><img src=x onerror=y>'),)
    )
    found = made.comparison(study)
    text = report_html(found, table_document(found), date="<b>")
    page = Page(text)
    assert "script" not in page.tags
    assert not any(a == "x" for a in page.addresses)
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_two_modalities_without_a_reference() -> None:
    """A task of two modalities in pixels, and a study with two of four, both make a whole report."""
    text = " ".join(Page(report(task=made.TWO, shape=(1, 12, 11))).words)
    assert "3 of 3 combinations" in text
    assert "Dice to reference" not in text
    assert "3 of 15 combinations: this study has no FLAIR and no T1ce" in " ".join(
        Page(report(names=("t1", "t2"))).words
    )


def test_what_a_missing_scan_would_change_is_marked() -> None:
    """With the model's card: a plus at the scans that would change much, and what the study's missing ones would."""
    found = made.comparison(made.study(names=("flair", "t1", "t2")))
    document = table_document(found)
    assert "would probably" not in report_html(found, document, date="2026-01-02")
    known = Comparison(found.study, found.predictions, card=load_model("compact").card)
    text = " ".join(Page(report_html(known, document, date="2026-01-02")).words)
    assert "raise the Dice of the enhancing tumour" in text
    assert "+" in text.split()
    assert set(known.gains(("flair", "t1"))) == {"t1ce", "t2"}
    assert not known.gains(("flair", "t1", "t1ce", "t2"))


def test_nothing_found_makes_a_report() -> None:
    """A model that finds nothing still gives a report that says so."""
    found = made.comparison(made.study(), lambda c: np.zeros((3, *made.SHAPE)))
    text = report_html(found, table_document(found), date="2026-01-02")
    assert "None of the 15 combinations finds WT" in text


def test_the_folder_of_a_comparison(tmp_path: Path) -> None:
    """Labels, result.json, table.csv, table.json and report.html are there, and their numbers are the same."""
    study = made.study(reference=reference())
    found = made.comparison(study)
    out = tmp_path / "out"
    result = write_comparison(study, found.predictions.values(), out, model=made.MODEL, date="2026-01-02")
    names = {p.name for p in out.iterdir()}
    assert names == {e["file"] for e in result["predictions"]} | {
        "result.json", "table.csv", "table.json", "report.html"
    }  # fmt: skip
    table = json.loads((out / "table.json").read_text())
    assert json.loads((out / "result.json").read_text()) == result
    rows = list(csv.DictReader(io.StringIO((out / "table.csv").read_text())))
    for entry, row, line in zip(result["predictions"], table["rows"], rows, strict=True):
        assert entry["combination"] == row["combination"] == line["combination"].split("+")
        assert entry["dice"] == row["dice"]
        assert entry["sizes"] == row["sizes"]
        assert row["hd95"]["WT"] == float(line["hd95_WT_mm"])
    for name in ("table.csv", "table.json", "report.html"):
        assert str(tmp_path) not in (out / name).read_text()


def test_a_cancel_leaves_nothing(tmp_path: Path) -> None:
    """A sweep that is stopped half way writes no file at all."""
    study = made.study()
    found = made.comparison(study)

    def stopped() -> Iterator[Prediction]:
        yield from list(found.predictions.values())[:3]
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        write_comparison(study, stopped(), tmp_path / "out", model=made.MODEL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["table.csv", "table.json", "report.html", "result.json", "t1.nii.gz"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, name: str) -> None:
    """Any output that is there already is refused before the first combination is computed."""
    (tmp_path / name).write_text("mine")

    def never() -> Iterator[Prediction]:
        pytest.fail("computed although the folder was not free")
        yield

    with pytest.raises(InputError, match=re.escape(f"{name} is already in")):
        write_comparison(made.study(), never(), tmp_path, model=made.MODEL)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_overwrite_replaces(tmp_path: Path) -> None:
    """With overwrite the same call works twice."""
    study = made.study(("t1", "t2"))
    found = made.comparison(study)
    for _ in range(2):
        write_comparison(study, found.predictions.values(), tmp_path, model=made.MODEL, overwrite=True)
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["table.json", "report.html", "result.json"])
def test_a_full_disk_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Labels, results, table and report move in together: if one cannot, the earlier ones are all there."""
    study = made.study(("t1", "t2"))
    found = made.comparison(study)
    write_comparison(study, found.predictions.values(), tmp_path, model=made.MODEL, date="2026-01-02")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    real = os.replace

    def full(source: object, target: object) -> None:
        if str(target) == str(tmp_path / name) and ".before" not in str(source):
            raise OSError(28, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    other = made.comparison(study, lambda c: np.zeros((3, *made.SHAPE)))
    with pytest.raises(InputError, match="No space left"):
        write_comparison(study, other.predictions.values(), tmp_path, model=made.MODEL, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_fewer_combinations_leave_nothing_of_the_run_before(tmp_path: Path) -> None:
    """After --overwrite the folder holds what result.json lists, and what the user put there; no old report."""
    study = made.study(("t1", "t2"))
    found = made.comparison(study)
    write_comparison(study, found.predictions.values(), tmp_path, model=made.MODEL)
    (tmp_path / "t1_edited.nii.gz").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    one = found.predictions[("t2",)]
    write_results(study, [one], tmp_path, model=made.MODEL, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "notes.txt", "result.json", "t1_edited.nii.gz", "t2.nii.gz"
    ]  # fmt: skip


def test_only_our_own_files_are_taken_away(tmp_path: Path) -> None:
    """A result.json that lists other files, and tables of other programs, cost nobody a file."""
    study = made.study(("t1", "t2"))
    folder = tmp_path / "out"
    folder.mkdir()
    kept = [tmp_path / "t1.nii.gz", folder / "notes.txt", folder / "table.csv", folder / "report.html"]
    for file in kept:
        file.write_text("mine")
    listed = [{"file": name} for name in ("../t1.nii.gz", "notes.txt", "table.csv", "", ".")]
    (folder / "result.json").write_text(json.dumps({"predictions": listed}))
    one = made.comparison(study).predictions[("t2",)]
    write_results(study, [one], folder, model=made.MODEL, overwrite=True)
    assert [file.read_text() for file in kept] == ["mine"] * len(kept)


@pytest.mark.real
def test_a_plain_script_finds_the_same_numbers(real_data: Path, tmp_path: Path) -> None:
    """nibabel and MONAI, from the written files alone, give the table's volumes, Dice and HD95."""
    import nibabel as nib
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    from napari_mrseg.io import open_study

    folder = real_data / "BraTS-GLI-00000-000"
    study = open_study([folder])
    study = study.only(("t1ce", "t2"))
    assert study.reference is not None
    shifts = {("t1ce", "t2"): 1, ("t1ce",): 2, ("t2",): 3}  # stand in for a model's errors
    nothing = np.zeros((3, 1, 1, 1))
    synthetic = [
        made.prediction(study, c, nothing, labels=np.roll(study.reference.labels, n, axis=n - 1))
        for c, n in shifts.items()
    ]
    write_comparison(study, synthetic, tmp_path / "out", model=made.MODEL)
    seg = nib.load(next(folder.glob("*seg*.nii.gz")))
    truth = np.asarray(seg.dataobj).astype(int)
    truth[truth == 4] = 3
    rows = {
        "+".join(r["combination"]): r for r in json.loads((tmp_path / "out/table.json").read_text())["rows"]
    }
    for name, row in rows.items():
        image = nib.load(tmp_path / "out" / f"{name}.nii.gz")
        found = np.asarray(image.dataobj)
        for region, codes in {"WT": (1, 2, 3), "ET": (3,)}.items():
            either = np.argwhere(np.isin(found, codes) | np.isin(truth, codes))
            box = tuple(
                slice(max(0, a - 1), b + 2) for a, b in zip(either.min(0), either.max(0), strict=True)
            )
            a, b = (torch.from_numpy(np.isin(x[box], codes)[None, None]) for x in (found, truth))
            volume = int(a.sum()) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
            assert row["sizes"][region]["value"] == pytest.approx(volume, rel=1e-5)
            assert row["dice"][region] == pytest.approx(float(compute_dice(a, b)), abs=1e-5)
            spacing = [float(v) for v in image.header.get_zooms()]
            theirs = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing)
            assert row["hd95"][region] == pytest.approx(float(theirs), abs=1e-4)
