"""Lesions and distances in the dock: of what is on screen, readable where drawn, and all of it can be undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject, Qt
from tiny import study
from waiting import PATIENCE, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.marks import DISTANCES, Mark, Marks
from napari_mrseg._qt.measuring import DISTANCE, LESION
from napari_mrseg._qt.window_level import OWN
from napari_mrseg.compare.lesions import lesions_of
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.display import contrast_limits
from napari_mrseg.session.state import Session


def opened(qtbot: QtBot, dock: MrsegDock, **options: Any) -> None:
    dock.session.set_study(study(**options))
    until_final(qtbot, dock)


def until_measured(qtbot: QtBot, dock: MrsegDock) -> None:
    qtbot.waitUntil(lambda: dock.measuring.table is not None and dock.measuring.settled, timeout=PATIENCE)


def cells(dock: MrsegDock) -> list[list[str]]:
    table = dock.panel.lesions.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def test_the_table_lists_the_lesions_on_screen_and_a_click_goes_there(qtbot: QtBot, dock: MrsegDock) -> None:
    """Of the region chosen, by the core's numbers; the sliders go to the row's lesion; nothing while it is closed."""
    opened(qtbot, dock, spacing=2.0)
    assert dock.measuring.table is None
    dock.panel.measure_button.click()
    until_measured(qtbot, dock)
    shown = dock.session.shown
    assert shown is not None
    for name in ("ET", "WT"):
        dock.panel.lesions.region_chosen.emit(name)
        until_measured(qtbot, dock)
        expected = lesions_of(region_mask(shown.labels, shown.task.region(name)), shown.grid)
        assert [row[0] for row in cells(dock)] == [str(one.number) for one in expected]
        assert dock.measuring.table is not None
        assert dock.measuring.table.items == expected
    assert expected
    last = expected[-1]
    dock.panel.lesions.table.selectRow(len(expected) - 1)
    point = np.array(dock.viewer.dims.point)
    assert np.allclose(point, np.round(np.array(last.place)) * 2.0, atol=2.01)
    assert f"{len(expected)} lesion" in dock.panel.lesions.total.text()


def test_deleting_and_correcting_is_undone_and_comes_back_with_its_result(
    qtbot: QtBot, dock: MrsegDock
) -> None:
    """Delete takes a row out of the sum; after two toggles a correction is there again; undo takes both back."""
    opened(qtbot, dock)
    dock.panel.measure_button.click()
    dock.panel.lesions.region_chosen.emit("WT")
    until_measured(qtbot, dock)
    assert dock.measuring.table is not None
    before, rows = dock.measuring.table.items, cells(dock)
    (p, l) = before[0].diameters.long_ends[1]  # noqa: E741 - the axes' names
    dock.measuring.move(((LESION, 1), 0, 1), (before[0].diameters.slice, p + 30, l), done=True)
    assert "*" in cells(dock)[0][2]
    dock.toggle("t2")
    until_final(qtbot, dock)
    until_measured(qtbot, dock)
    assert "*" not in "".join(cells(dock)[0])
    dock.toggle("t2")
    until_final(qtbot, dock)
    until_measured(qtbot, dock)
    assert "*" in cells(dock)[0][2]
    dock.panel.lesions.table.selectRow(0)
    qtbot.keyClick(dock.panel.lesions.table, Qt.Key.Key_Delete)
    assert all(row[0] != "1" for row in cells(dock))
    dock.panel.lesions.undo_button.click()
    assert "*" in cells(dock)[0][2]
    dock.panel.lesions.undo_button.click()
    assert cells(dock) == rows
    assert not dock.panel.lesions.undo_button.isEnabled()


def test_distances_are_listed_multiplied_where_they_cross_and_go_with_the_study(
    qtbot: QtBot, dock: MrsegDock
) -> None:
    """Two crossing lines have a product; an end can be moved; another study has no line, no layer and no lesion."""
    opened(qtbot, dock)
    dock.panel.measure_button.click()
    until_measured(qtbot, dock)
    here = float(dock.viewer.dims.point[0])
    dock.measuring.draw((here, 10, 4), (here, 10, 20), done=False)
    assert [row for row in cells(dock) if row[0].startswith("D")] == []
    dock.measuring.draw((here, 10, 4), (here, 10, 24), done=True)
    dock.measuring.draw((here, 2, 12), (here, 22, 12), done=True)
    rows = [row for row in cells(dock) if row[0].startswith("D")]
    assert [row[2] for row in rows] == ["20.0 mm", "20.0 mm"]
    assert rows[1][3] == "400 ×D1"
    assert DISTANCES in dock.viewer.layers
    held = dock.measuring.end_near((here, 10, 24))
    assert held == ((DISTANCE, 1), 0, 1)
    dock.measuring.move(held, (here, 10, 34), done=True)
    assert "30.0 mm" in str(cells(dock))
    dock.panel.lesions.undo_button.click()
    assert "30.0 mm" not in str(cells(dock))
    opened(qtbot, dock, names=("flair", "t1"))
    until_measured(qtbot, dock)
    assert not any(row[0].startswith("D") for row in cells(dock))
    assert DISTANCES not in dock.viewer.layers
    assert not dock.panel.lesions.undo_button.isEnabled()


def test_labels_on_the_picture_never_lie_on_each_other(qtbot: QtBot) -> None:
    """Twelve lines that cross in one place, at any zoom: no two boxes overlap, and each label stands on its ground."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 80, 80), np.float32))
    viewer.dims.set_point(0, 2)
    parent = QObject()
    marks = Marks(viewer, parent)
    turns = np.linspace(0, np.pi, 12, endpoint=False)
    found = [
        Mark(k, np.array([[(2, 40 - 9 * np.sin(a), 40 - 9 * np.cos(a)), (2, 40 + 9 * np.sin(a), 40 + 9 * np.cos(a))]]),
             f"D{k}: 18.0 mm", "#7cfc00")
        for k, a in enumerate(turns)
    ]  # fmt: skip
    for zoom in (0.7, 3.0, 12.0):
        viewer.scene.camera.zoom = zoom
        marks.show(found)
        places = [(np.array(marks.centres[k]), np.array(marks.boxes[k])) for k in range(12)]
        for k, (centre, size) in enumerate(places):
            for other, larger in places[:k]:
                assert (np.abs(centre - other) >= (size + larger) / 2 - 1e-6).any()
    assert sum(said != "" for said in viewer.layers[DISTANCES].features["length"]) == 12
    viewer.dims.set_point(0, 3)
    assert viewer.layers[DISTANCES].nshapes == 0
    marks.show(())
    assert DISTANCES not in viewer.layers


def test_the_status_line_says_place_intensities_and_region(qtbot: QtBot, dock: MrsegDock) -> None:
    """RAS mm by the scan's own affine, the slice, every scan's value, the region; no key hints of napari's."""
    opened(qtbot, dock, spacing=2.0)
    current, shown = dock.session.study, dock.session.shown
    assert current is not None
    assert shown is not None
    voxel = tuple(int(v) for v in np.argwhere(shown.labels > 0)[0])
    r, a, s = (current.grid.matrix @ [*voxel, 1.0])[:3]
    said = dock.status_line.words([2.0 * v for v in voxel])
    assert f"R {r:.1f}  A {a:.1f}  S {s:.1f} mm" in said
    assert f"axial slice {voxel[0] + 1} of {current.grid.shape[0]}" in said
    for name, image in current.images.items():
        value = float(image.data[voxel])
        shortened = f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
        assert f"{current.task.modality(name).title} {shortened}" in said
    label = next(one for one in current.task.labels if one.code == shown.labels[voxel])
    assert label.title in said
    dock.viewer.mouse_over_canvas = True
    dock.viewer.cursor.position = tuple(2.0 * v for v in voxel)
    dock.viewer.update_status_from_cursor()
    assert dock.viewer.status == said
    assert dock.viewer.help == ""
    assert "FLAIR" not in dock.status_line.words((-20.0, 0.0, 0.0))


def test_window_and_level_are_typed_and_come_back_with_the_contrast(
    qtbot: QtBot, dock: MrsegDock, session: Session
) -> None:
    """Typed numbers hold for the scan on top alone; the next study's FLAIR opens so, in proportion; “usual” ends it."""
    opened(qtbot, dock)
    button, flair = dock.panel.window_button, dock.layers.images["flair"]
    low, high = flair.contrast_limits
    qtbot.waitUntil(lambda: button.text() == f"W {high - low:.0f} L {(high + low) / 2:.0f}", timeout=PATIENCE)
    others = dock.layers.images["t1"].contrast_limits
    button.window_field.setValue(round(2 * (high - low)))
    button.level_field.setValue(high)
    window, level = round(2 * (high - low)), pytest.approx(high, abs=0.5)
    assert dock.window_level.numbers == (pytest.approx(window), level)
    assert dock.window_level.preset == OWN
    assert f"W {window}" in button.text()
    assert dock.layers.images["t1"].contrast_limits == others
    level_typed = button.level_field.value()
    opened(qtbot, dock, shape=(20, 30, 26))
    again = dock.layers.images["flair"]
    assert again is not flair
    least, most = contrast_limits(np.asarray(again.data))
    wide = (most - least) / (high - low)
    assert dock.window_level.numbers is not None
    assert dock.window_level.numbers == (
        pytest.approx(window * wide, rel=1e-3),
        pytest.approx(least + (level_typed - low) * wide, rel=0.02),
    )
    dock.window_level.set_preset("usual")
    assert dock.window_level.preset == "usual"
    opened(qtbot, dock)
    assert dock.layers.images["flair"].contrast_limits == pytest.approx([low, high])
    with pytest.raises(ValueError, match="no width"):
        dock.window_level.set_numbers(0, 100)


def test_a_list_of_layers_that_is_emptied_is_not_given_lines_again(qtbot: QtBot, dock: MrsegDock) -> None:
    """With a distance drawn, emptying the list of layers ends: napari does so when a window closes."""
    opened(qtbot, dock)
    dock.panel.measure_button.click()
    until_measured(qtbot, dock)
    here = float(dock.viewer.dims.point[0])
    dock.measuring.draw((here, 4, 4), (here, 20, 4), done=True)
    assert DISTANCES in [layer.name for layer in dock.viewer.layers]
    for _ in range(len(dock.viewer.layers)):
        dock.viewer.layers.pop()
    assert not dock.viewer.layers
