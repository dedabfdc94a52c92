"""The contact sheet: the same slice in every combination."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import synthetic_comparison as made
from PIL import Image

from napari_mrseg.compare.colours import rgb
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.comparison_report import report_html
from napari_mrseg.compare.contact_sheet import CAPTION, HEADER, ContactSheet
from napari_mrseg.compare.drawing import text_width
from napari_mrseg.compare.figures import save_contact_sheet
from napari_mrseg.compare.table import table_document
from napari_mrseg.io import open_study
from napari_mrseg.io.export import write_labels
from napari_mrseg.tasks import BRATS

SHAPE = (9, 20, 16)
OEDEMA = np.array(rgb(BRATS.labels[1].colour))


def with_labels(labels: dict[tuple[str, ...], np.ndarray], **study: object) -> Comparison:
    """A comparison in which the combinations have these label maps."""
    made_study = made.study(shape=SHAPE, **study)  # type: ignore[arg-type]
    empty = np.zeros((3, *SHAPE))
    return Comparison(
        made_study,
        {c: made.prediction(made_study, c, empty, labels=found) for c, found in labels.items()},
    )


def blank() -> np.ndarray:
    return np.zeros(SHAPE, np.uint8)


def test_tiles_show_radiologically() -> None:
    """Anterior is at the top and the patient's left on the right; feet at the bottom of the other planes."""
    labels = blank()
    labels[1:3, 1:3, 12:15] = 2  # head end, front, patient's left
    found = with_labels({("flair",): labels})
    sheet = ContactSheet(found, tile=40)

    def centre(axis: int, index: int) -> tuple[float, float]:
        tile = sheet.tiles(axis, index)[0]
        rows, columns = np.nonzero((tile == OEDEMA).all(-1))
        return rows.mean() / tile.shape[0], columns.mean() / tile.shape[1]

    top, right = centre(0, 2)
    assert top < 0.3
    assert right > 0.7
    top, right = centre(1, 2)
    assert top < 0.35
    assert right > 0.7
    top, front = centre(2, 13)
    assert top < 0.35
    assert front < 0.3


WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
LANDMARK = np.array([-9.0, 12.0, 7.0])  # mm from the middle, RAS: to the patient's left, front and top
SIDES = (
    (0, 1),
    (0, 2),
    (1, 2),
)  # world axes across and up in the sheet: axial, coronal, sagittal (planes of I, P, L)


def landmark_study(folder: Path, codes: str, spacing: tuple[float, float, float]) -> Comparison:
    """A FLAIR file whose axes grow towards ``codes``, bright at LANDMARK by its own affine; labelled where bright."""
    affine = np.eye(4)
    for axis, letter in enumerate(codes):
        world, sign = WORLD[letter]
        affine[:3, axis] = 0
        affine[world, axis] = sign * spacing[axis]
    shape = (44, 48, 40)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    world = (index - (np.array(shape) - 1) / 2) @ affine[:3, :3].T
    near = ((world - LANDMARK) ** 2).sum(-1) < 4**2
    data = np.where(near, 2000, 100 + np.arange(np.prod(shape)).reshape(shape) % 97).astype(np.int16)
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), folder / "landmark_flair.nii.gz")
    study = open_study([folder], brain="none")
    labels = np.where(study.images["flair"].data > 1000, 2, 0).astype(np.uint8)
    return Comparison(
        study, {("flair",): made.prediction(study, ("flair",), np.zeros((3, *labels.shape)), labels=labels)}
    )


def offset(picture: np.ndarray, axis: int, spacing: tuple[float, float]) -> tuple[float, float]:
    """Where the oedema's colour lies: mm to the right of a tile's middle, and up. ``spacing`` by pixel."""
    rows, columns = np.nonzero((picture == OEDEMA).all(-1))
    assert len(rows), f"plane {axis} shows no landmark"
    height, width = picture.shape[:2]
    return (columns.mean() - (width - 1) / 2) * spacing[1], ((height - 1) / 2 - rows.mean()) * spacing[0]


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SLA", "IRP"])
def test_a_landmark_lies_on_its_side_in_every_plane(tmp_path: Path, codes: str) -> None:
    """Files stored in any order: patient's left is right, front and head are up; saved and reopened, it stays there."""
    spacing = (1.0, 1.2, 0.9)
    found = landmark_study(tmp_path / "first", codes, spacing)
    labels = found.predictions[("flair",)].labels
    written = tmp_path / "labels.nii.gz"
    study = found.study
    write_labels(labels, study.images["flair"].source, written)
    again = np.asanyarray(nib.load(written).dataobj)
    assert np.array_equal(
        again > 0, np.asanyarray(nib.load(tmp_path / "first" / "landmark_flair.nii.gz").dataobj) > 1000
    )
    sheet = ContactSheet(found, tile=180)
    for axis in range(3):
        middle = round(float(np.argwhere(labels > 0)[:, axis].mean()))
        tile = sheet.tiles(axis, middle)[0]
        shape = [
            n * s for i, (n, s) in enumerate(zip(labels.shape, study.grid.spacing, strict=True)) if i != axis
        ]
        right, up = offset(tile, axis, (shape[0] / tile.shape[0], shape[1] / tile.shape[1]))
        # Radiologically: patient's left on the right; in the sagittal plane the front on the left.
        across = -LANDMARK[0] if axis < 2 else -LANDMARK[1]
        upwards = LANDMARK[1] if axis == 0 else LANDMARK[2]
        assert right == pytest.approx(across, abs=1.5), f"{codes}, {study.grid.axis_codes}, axis {axis}"
        assert up == pytest.approx(upwards, abs=1.5)


def test_a_landmark_lies_on_its_side_in_the_report(tmp_path: Path) -> None:
    """The picture inside report.html, as a browser shows it: to the right and up for the patient's left and front."""
    found = landmark_study(tmp_path / "scan", "RAS", (1.0, 1.0, 1.0))
    text = report_html(found, table_document(found, versions={}), date="2026-01-02")
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)
    shown = [np.array(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")) for code in pictures]
    marked = [picture for picture in shown if (picture == OEDEMA).all(-1).any()]
    assert marked
    sheet = ContactSheet(found)
    (x, y), (height, width) = sheet._corner(0, 0), sheet._extent(0)
    for picture in marked:  # the sheet, twice as large, below its caption
        tile = picture[2 * (y + CAPTION) : 2 * (y + CAPTION + height), 2 * x : 2 * (x + width)]
        right, up = offset(tile, 0, (48 / tile.shape[0], 44 / tile.shape[1]))
        assert right == pytest.approx(-LANDMARK[0], abs=1.5)
        assert up == pytest.approx(LANDMARK[1], abs=1.5)


def test_the_default_slice_is_the_largest_cross_section() -> None:
    """The sheet opens where the full result is largest; an empty result opens in the middle."""
    labels = blank()
    labels[2, 3:5, 3:5], labels[6, 3:9, 3:9] = 2, 2
    sheet = ContactSheet(with_labels({BRATS.names: labels, ("t1",): blank()}))
    assert sheet.best_slice() == 6
    assert "slice 7 of 9" in sheet.caption()
    assert ContactSheet(with_labels({BRATS.names: blank()})).best_slice() == 4


def test_every_combination_has_its_tile() -> None:
    """A click finds the combination whose tile it hits; missing ones are empty, and say so."""
    labels = blank()
    labels[4, 5:15, 4:12] = 2
    found = with_labels({("t2",): labels})
    sheet = ContactSheet(found, tile=50, columns=5)
    picture = sheet.render(0, 4)
    marked = (picture == OEDEMA).all(-1)
    rows, columns = np.nonzero(marked)
    assert {sheet.combination_at(x, y) for x, y in zip(columns, rows, strict=True)} == {("t2",)}
    assert sheet.combination_at(12, HEADER + 5) == BRATS.names
    assert sheet.combination_at(1, 1) is None


def test_estimates_are_drawn_broken_and_hatched() -> None:
    """A label whose border cannot be seen has a broken outline and grey hatching, not a fill."""
    labels = blank()
    labels[4, 4:16, 3:13] = 3
    found = with_labels({("t1ce",): labels, ("t2",): labels})
    sure, guess = ContactSheet(found, tile=120).tiles(0, 4)
    colour = np.array(rgb(BRATS.labels[2].colour))
    grey = (guess == 200).all(-1)
    assert grey.sum() > 100
    assert not (sure == 200).all(-1).any()
    outline_sure, outline_guess = ((t == colour).all(-1).sum() for t in (sure, guess))
    assert 0.5 < outline_guess / outline_sure < 0.8


def test_pixels_are_square_on_thick_slices() -> None:
    """A coronal view of 5 mm slices is as tall as it is in the patient."""
    study = made.study(shape=SHAPE, spacing=(5.0, 1.0, 1.0))
    sheet = ContactSheet(made.comparison(study), tile=90)
    _, height, width, _ = sheet.tiles(1, 3).shape
    assert height == 90
    assert width == pytest.approx(90 * 16 / 45, abs=1)


def test_two_dimensional_images_work() -> None:
    """A task of 2-D images shows its image with three tiles."""
    study = made.study(task=made.TWO, shape=(1, 12, 11))
    sheet = ContactSheet(made.comparison(study))
    assert sheet.tiles(0, 0).shape[0] == 3
    assert "slice" not in sheet.caption()


def test_the_sheet_is_saved_with_its_caption(tmp_path: Path) -> None:
    """PNG and SVG carry caption and legend; the SVG holds its pictures itself."""
    found = made.comparison(made.study())
    save_contact_sheet(found, tmp_path / "sheet.png")
    save_contact_sheet(found, tmp_path / "sheet.svg", axis=1, index=3)
    text = (tmp_path / "sheet.svg").read_text()
    ElementTree.fromstring(text)
    assert text.count("data:image/png;base64,") == 15
    assert "coronal slice 4 of 12" in text
    assert "research use only" in text
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("tile", [60, 90, 140, 240])
def test_captions_of_neighbours_never_touch(tile: int) -> None:
    """However small the tiles, every word over one ends within it, and each has a name or its dots."""
    sheet = ContactSheet(made.comparison(made.study()), tile=tile)
    drawing = sheet._frame(0, 0)
    places = [sheet.place(c) for c in sheet.comparison.expected]
    words = [item for item in drawing.items if item.kind == "text" and item.text]
    for x, y, width, _ in places:
        above = [i for i in drawing.items if x <= i.at[0] < x + width and 0 < y - i.at[1] <= HEADER]
        dots = [i for i in above if i.kind == "circle"]
        names = [i for i in above if i.kind == "text" and i.text]
        assert len(dots) == len(BRATS.names) or names
    for item in words:
        x, _, width, _ = next(
            p for p in places if p[0] <= item.at[0] < p[0] + p[2] and 0 < p[1] - item.at[1] <= HEADER
        )
        assert item.at[0] + text_width(item.text, item.size) <= x + width, (item.text, item.size)
