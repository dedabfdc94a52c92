"""The report of one result: two pages of PDF that any reader opens, with what the result says and no patient's name."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_comparison import TWO, prediction, smooth, study

from napari_mrseg.compare.case_report import (
    CaseReport,
    case_files,
    report_lesions_csv,
    report_pdf,
    with_labels,
)
from napari_mrseg.compare.drawing import Drawing
from napari_mrseg.compare.lesions import lesions_of
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.compare.pdf import A4, pdf, text_width, wrapped
from napari_mrseg.study import Note

DATE = "2026-01-02"


def made(**options: object) -> CaseReport:
    subject = study(shape=(12, 60, 60), **options)  # type: ignore[arg-type]
    labels = np.zeros(subject.grid.shape, np.uint8)
    labels[3:9, 10:45, 12:40] = 2
    labels[4:7, 15:35, 15:38] = 3
    labels[10, 50, 50] = 3
    full = prediction(subject, subject.present, smooth(subject)(subject.present), labels=labels)
    other = prediction(subject, ("t2",), smooth(subject)(("t2",)))
    return CaseReport(subject, full, DATE, others=(full, other), versions={"numpy": "2"})


def streams(content: bytes) -> list[bytes]:
    """What draws the pages, unpacked; without the pictures."""
    drawn = [part for part in content.split(b"endobj") if b"stream\n" in part and b"/Image" not in part]
    return [zlib.decompress(part.split(b"stream\n", 1)[1].rsplit(b"\nendstream", 1)[0]) for part in drawn]


def words(content: bytes) -> str:
    """All text that the pages show."""
    found = [text for raw in streams(content) for text in re.findall(rb"\((.*)\) Tj", raw)]
    return b"\n".join(found).decode("cp1252").replace("\\(", "(").replace("\\)", ")")


def test_the_report_has_two_pages_with_what_the_result_says() -> None:
    """Case, modalities, sizes, diameters with their product, every lesion, other combinations, model, research use."""
    report = made()
    content = report_pdf(report)
    assert content.startswith(b"%PDF-1.4")
    assert content.count(b"/Type /Page ") == 2
    assert content.count(b"/Subtype /Image") == 4
    said = words(content)
    (large, small) = report.found()
    d = large.diameters
    for expected in (
        *("synthetic", "FLAIR + T1 + T1ce + T2", DATE, "Research use only", "tiny 0.0", "0" * 64, "numpy 2"),
        f"{report.result.sizes['ET']:.1f}",
        f"1: {d.long_mm:.0f} × {d.short_mm:.0f} mm",
        f"Sum of the products of 1 measurable (from 10 mm): {d.product_mm2:.0f} mm²",
        *(f"{v:.1f}" for one in (large, small) for v in one.centre_mm),
        "All 2 computed combinations",
        "(estimate)",
    ):
        assert expected in said, expected
    assert "edited by hand" not in said


def test_the_first_page_has_the_traffic_light() -> None:
    """Its level and reasons in words on its colour; none on a result that was changed by hand."""
    report = made()
    assert "NO WARNING" in words(report_pdf(report))
    doubted = replace(
        report.result, notes=(Note("skull", "The skull is there."), Note("degraded", "Blurred."))
    )
    content = report_pdf(replace(report, result=doubted, others=()))
    assert "DO NOT TRUST: the skull is not cut away" in words(content)
    red = " ".join(f"{int('8e1020'[i : i + 2], 16) / 255:.3f}" for i in (0, 2, 4))
    assert f"{red} rg" in streams(content)[0].decode("latin1")
    assert "TRUST" not in words(report_pdf(replace(report, result=doubted, edited=True)))


def test_pages_hold_all_they_must_however_much_there_is() -> None:
    """Long names, forty warnings, two hundred lesions: two pages, and no text beyond an edge or below the foot."""
    report = made(case="A very long name of a case " * 6)
    labels = np.zeros(report.result.labels.shape, np.uint8)
    labels[::2, ::4, ::4] = 3
    notes = tuple(Note(f"n{n}", f"Something that is to be known, number {n}. " * 5) for n in range(40))
    crowded = prediction(
        report.study, report.result.combination, np.zeros((3, *labels.shape)), labels=labels, notes=notes
    )
    content = report_pdf(CaseReport(report.study, crowded, DATE, region=report.result.task.region("ET")))
    assert content.count(b"/Type /Page ") == 2
    assert "smaller ones" in words(content)
    places = [
        (float(x), float(y))
        for raw in streams(content)
        for x, y in re.findall(rb"Tf ([-\d.]+) ([-\d.]+) Td", raw)
    ]
    assert len(places) > 100
    assert all(20 <= x <= A4[0] - 20 and 20 <= y <= A4[1] - 20 for x, y in places)


def test_an_edited_result_says_so_and_is_measured_anew() -> None:
    """Sizes and lesions are those of the edited label map; the model is named as where it began."""
    report = made()
    labels = np.zeros(report.result.labels.shape, np.uint8)
    labels[1:3, 2:22, 2:32] = 3
    edited = CaseReport(report.study, with_labels(report.result, labels), DATE, edited=True)
    said = words(report_pdf(edited))
    assert "edited by hand" in said
    assert edited.result.sizes["ET"] == pytest.approx(np.count_nonzero(labels) / 1000)
    (row,) = csv.DictReader(io.StringIO(report_lesions_csv(edited)))
    assert row["combination"] == "flair+t1+t1ce+t2_edited"
    assert float(row["volume_mL"]) == pytest.approx(1.2)


def test_lesions_in_the_report_are_those_the_user_left() -> None:
    """A lesion taken out of the table is not in the PDF or CSV."""
    report = made()
    (large, small) = lesions_of(region_mask(report.result.labels, report.measured), report.result.grid)
    left = CaseReport(report.study, report.result, DATE, lesions=(small,))
    assert f"1: {large.diameters.long_mm:.0f} ×" not in words(report_pdf(left))
    assert len(report_lesions_csv(left).splitlines()) == 2


def test_the_files_are_those_of_the_result_with_most_modalities() -> None:
    """report.pdf and lesions.csv."""
    report = made()
    files = case_files(report.study, list(report.others)[::-1], date=DATE, versions={})
    assert set(files) == {"report.pdf", "lesions.csv"}
    assert b"flair+t1+t1ce+t2,ET,1," in files["lesions.csv"]


def test_a_page_is_what_the_drawing_says_when_a_reader_renders_it(tmp_path: Path) -> None:
    """A red square, a picture, brackets and accents: Poppler finds the colours where they were put, and the words."""
    if shutil.which("pdftoppm") is None:
        pytest.skip("needs Poppler (pdftoppm)")
    page = Drawing(200, 100)
    page.rect(10, 10, 30, 30, "#ff0000")
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[..., 2] = 255
    page.picture(100, 20, picture, 4.0)
    page.circle(180, 80, 10, "#00ff00", None)
    page.words(10, 90, "(Größe) 3 × 4 mm², a\\b", size=10)
    (tmp_path / "a.pdf").write_bytes(pdf([page], title="é (x)"))
    subprocess.run(["pdftoppm", "-r", "72", "-png", "a.pdf", "a"], cwd=tmp_path, check=True)
    from PIL import Image

    (shown,) = tmp_path.glob("a*.png")
    pixels = np.asarray(Image.open(shown).convert("RGB"))
    assert pixels.shape == (100, 200, 3)
    assert tuple(pixels[25, 25]) == (255, 0, 0)
    assert tuple(pixels[40, 120]) == (0, 0, 255)
    assert tuple(pixels[80, 180]) == (0, 255, 0)
    assert tuple(pixels[5, 5]) == (255, 255, 255)
    text = subprocess.run(
        ["pdftotext", "a.pdf", "-"], cwd=tmp_path, check=True, capture_output=True
    ).stdout.decode()
    assert "(Größe) 3 × 4 mm², a\\b" in text


def test_images_have_a_report_without_lesions() -> None:
    """Sizes in pixels and one row of pictures; no diameters, no sides of a patient."""
    subject = study(task=TWO, shape=(1, 40, 50))
    found = prediction(subject, subject.present, np.full((2, 1, 40, 50), 0.6))
    content = report_pdf(CaseReport(subject, found, DATE))
    said = words(content)
    assert content.count(b"/Subtype /Image") == 2
    assert "px" in said
    assert "Diameters" not in said
    assert "patient" not in said
    assert set(case_files(subject, [found], date=DATE, versions={})) == {"report.pdf"}


def test_lines_are_wrapped_to_their_width() -> None:
    """No line is wider than asked for, and no word is lost."""
    text = "Wide words and MMMMMM and iiii, " * 20
    lines = wrapped(text, 9, 180)
    assert all(text_width(line, 9) <= 180 for line in lines)
    assert " ".join(lines).split() == text.split()
