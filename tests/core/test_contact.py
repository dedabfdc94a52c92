"""The contact sheet: the same slice in every combination."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic_comparison as made

from napari_mrseg.compare.colours import rgb
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.contact import HEADER, ContactSheet
from napari_mrseg.compare.figures import save_contact_sheet
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
