"""The tools for a copy edited by hand: there while one is in front, undone with napari's own undo."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from tiny import study
from waiting import PATIENCE, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.edit_panel import BETWEEN, BRUSH, ERASE, GROW, SHRINK, TAKE
from napari_mrseg.editing import grow, take_away


def copied(qtbot: QtBot, dock: MrsegDock, labels: np.ndarray | None = None, **options: Any) -> Labels:
    """A copy in front, with these labels."""
    dock.session.set_study(study(**options))
    until_final(qtbot, dock)
    dock.panel.edit_button.click()
    copy = dock.layers.copy
    assert copy is not None
    if labels is not None:
        copy.data = labels
    return copy


def until_done(qtbot: QtBot, dock: MrsegDock) -> None:
    qtbot.waitUntil(lambda: dock.editing.settled, timeout=PATIENCE)


def test_corrections_change_the_copy_alone_and_each_is_one_undo(qtbot: QtBot, dock: MrsegDock) -> None:
    """By the core's functions, in mm; Undo takes back one at a time, Redo does it again; the prediction stays."""
    labels = np.zeros((24, 32, 28), np.uint8)
    labels[8:14, 10:20, 10:18] = 2
    copy = copied(qtbot, dock, labels.copy(), spacing=2.0)
    assert dock.session.shown is not None
    before = dock.session.shown.labels.copy()
    tools = dock.panel.edit_tools
    assert not tools.isHidden()
    tools.labels.setCurrentIndex(tools.labels.findData(2))
    tools.label_chosen.emit(2)
    tools.mm.setValue(4.0)
    tools.changes[GROW].click()
    until_done(qtbot, dock)
    grown = grow(labels, 2, 4.0, (2.0, 2.0, 2.0))
    assert np.array_equal(copy.data, grown)
    tools.changes[SHRINK].click()
    until_done(qtbot, dock)
    assert np.count_nonzero(copy.data) < np.count_nonzero(grown)
    tools.changes["undo"].click()
    assert np.array_equal(copy.data, grown)
    tools.changes["undo"].click()
    assert np.array_equal(copy.data, labels)
    tools.changes["redo"].click()
    assert np.array_equal(copy.data, grown)
    assert np.array_equal(dock.session.shown.labels, before)
    qtbot.waitUntil(lambda: "not saved" in dock.banner.text(), timeout=PATIENCE)


def test_only_what_was_painted_is_interpolated(qtbot: QtBot, dock: MrsegDock) -> None:
    """Two painted slices are joined, in the plane on screen; a gap of the model's own result stays."""
    labels = np.zeros((24, 32, 28), np.uint8)
    copy = copied(qtbot, dock)
    copy.data[:] = 0
    copy.data[[2, 6], 2:8, 2:8] = 1
    dock.editing._follow(None)  # as if the copy came with these voxels
    dock.editing.refresh()
    copy.selected_label = 1
    for index in (10, 16):
        copy.data_setitem(np.nonzero(disc(labels.shape, index)), 1)
    dock.panel.edit_tools.changes[BETWEEN].click()
    until_done(qtbot, dock)
    assert all(np.array_equal(copy.data[index] == 1, disc(labels.shape, 10)[10]) for index in range(10, 17))
    assert not copy.data[3:6].any()


def disc(shape: tuple[int, ...], index: int) -> np.ndarray:
    found = np.zeros(shape, bool)
    found[index, 12:20, 10:20] = True
    return found


def test_a_lesion_is_taken_away_and_tools_follow_napari(qtbot: QtBot, dock: MrsegDock) -> None:
    """Take away removes the lesion that is clicked; brush and eraser are napari's modes, whoever sets them."""
    labels = np.zeros((24, 32, 28), np.uint8)
    labels[4:8, 4:8, 4:8] = 1
    labels[5, 5, 5] = 3
    labels[15:18, 15:18, 15:18] = 2
    copy = copied(qtbot, dock, labels.copy())
    tools = dock.panel.edit_tools
    tools.tools[BRUSH].click()
    assert str(copy.mode) == "paint"
    copy.mode = "erase"
    assert tools.tools[ERASE].isChecked()
    assert not tools.tools[BRUSH].isChecked()
    tools.tools[TAKE].click()
    assert str(copy.mode) == "pan_zoom"
    assert tools.tools[TAKE].isChecked()
    dock.editing.take_away((5, 5, 5))
    until_done(qtbot, dock)
    assert np.array_equal(copy.data, take_away(labels, (5, 5, 5)))
    assert copy.data.any()
    copy.undo()
    assert np.array_equal(copy.data, labels)


def test_a_stroke_during_a_correction_wins(qtbot: QtBot, dock: MrsegDock) -> None:
    """The correction is left out with a sentence; nothing that was painted is lost."""
    labels = np.zeros((24, 32, 28), np.uint8)
    labels[8:14, 10:20, 10:18] = 2
    copy = copied(qtbot, dock, labels)
    copy.selected_label = 2
    dock.panel.edit_tools.changes[GROW].click()
    assert not dock.editing.settled
    copy.paint((2, 2, 2), 3)
    painted = copy.data.copy()
    until_done(qtbot, dock)
    assert "painted in meanwhile" in dock.error.text()
    assert np.array_equal(copy.data, painted)


def test_the_tools_are_there_only_while_a_copy_is_in_front(qtbot: QtBot, dock: MrsegDock) -> None:
    """Hidden before, shown with the copy, hidden again once a toggle brings the prediction back."""
    assert dock.panel.edit_tools.isHidden()
    copied(qtbot, dock)
    assert not dock.panel.edit_tools.isHidden()
    dock.toggle("t2")
    until_final(qtbot, dock)
    qtbot.waitUntil(dock.panel.edit_tools.isHidden, timeout=PATIENCE)
