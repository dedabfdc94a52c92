"""Between two studies and at the end, in the real window: the banner on the canvas, and the one question."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from napari import Viewer
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QRect
from test_use import LEFT, canvas, dock
from waiting import PATIENCE, Asked, MakeStudy, until_error, until_final

from napari_mrseg import io
from napari_mrseg._qt.dock import MrsegDock, dock_of
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.edits import copies_in

__all__ = ["dock"]  # the fixture


def opened_with_an_edit(qtbot: QtBot, dock: MrsegDock, folder: Path) -> None:
    dock.open([folder])
    until_final(qtbot, dock)
    dock.layers.edit_copy().paint((3, 4, 5), 3)


def forget(request: pytest.FixtureRequest, viewer: Any) -> None:
    """Keep napari's fixture from closing once more a window that was closed as a user does, and is deleted."""
    request.node._viewer_weak_set.discard(viewer)
    del viewer.window._qt_window


def test_the_canvas_says_what_is_opened_and_cancel_brings_the_old_study_back(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The banner lies over the canvas with name and Cancel; while it is there the canvas is empty; a refusal stands in
    its place until it is closed; the old picture is back as it was, camera and all."""
    read, gate = io.open_study, Event()

    def patient(paths: Any, **options: Any) -> Any:
        if "second" in str(paths):
            gate.wait(60)
        return read(paths, **options)

    monkeypatch.setattr(io, "open_study", patient)
    first, second = make_study(case="first", shape=(40, 44, 30)), make_study(case="second")
    dock.open([first])
    until_final(qtbot, dock)
    banner, native, window = dock.opening_banner, canvas(dock), dock.viewer.window._qt_window
    assert not banner.isVisible()
    camera = dock.viewer.scene.camera
    camera.zoom *= 1.3
    before = (camera.zoom, *camera.center)
    dock.open([second])
    assert banner.isVisible()
    assert banner.title.text() == "Opening second …"
    place = QRect(native.mapTo(window, QPoint(0, 0)), native.size())
    assert place.contains(banner.geometry())
    assert list(dock.viewer.layers) == []
    qtbot.mouseClick(banner.button, LEFT)
    assert "second was cancelled. Still open: first." in until_error(qtbot, dock)
    assert (camera.zoom, *camera.center) == pytest.approx(before)
    assert banner.isVisible()
    assert banner.button.text() == "Close"
    qtbot.mouseClick(banner.button, LEFT)
    assert not banner.isVisible()
    gate.set()
    until_final(qtbot, dock)


def test_the_cross_of_the_dock_asks_and_quitting_does_not_ask_again(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, asked: Asked, request: pytest.FixtureRequest
) -> None:
    """Cancel keeps the dock; Discard closes it, and the edit is gone from the list."""
    opened_with_an_edit(qtbot, dock, make_study())
    viewer = dock.viewer
    holder, window = dock_widget_of(dock)
    assert holder is not None
    assert window is not None
    asked.answer = "cancel"
    qtbot.mouseClick(holder.title.close_button, LEFT)
    assert dock_of(viewer) is dock
    asked.answer = "discard"
    qtbot.mouseClick(holder.title.close_button, LEFT)
    qtbot.waitUntil(lambda: dock_of(viewer) is None, timeout=PATIENCE)
    assert copies_in(viewer) == []
    assert window.close()
    assert len(asked) == 2
    forget(request, viewer)


def test_quitting_asks_one_question(
    qtbot: QtBot,
    dock: MrsegDock,
    make_study: MakeStudy,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """File → Close Window with unsaved work: ours, and not napari's as well; without, napari's as ever."""
    theirs: list[bool] = []
    monkeypatch.setattr(ConfirmCloseDialog, "exec_", lambda self: bool(theirs.append(True)))
    opened_with_an_edit(qtbot, dock, make_study())
    window = dock.viewer.window._qt_window
    asked.answer = "cancel"
    window.close(quit_app=False, confirm_need=True)
    assert window.isVisible()
    assert len(asked) == 1
    assert theirs == []
    copy = dock.layers.copy
    assert copy is not None
    copy.undo()
    window.close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert len(theirs) == 1
    copy.redo()
    asked.answer = "discard"
    window.close(quit_app=False, confirm_need=True)
    assert not window.isVisible()
    assert len(asked) == 2
    assert len(theirs) == 1
    forget(request, dock.viewer)


def test_a_window_closed_by_a_program_with_three_planes_open_says_nothing(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, capfd: pytest.CaptureFixture[str]
) -> None:
    """``viewer.close()``: no traceback, whatever goes first."""
    pytest.importorskip("napari_orthogonal_views")
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.show_three_planes()
    qtbot.waitUntil(lambda: dock.three_planes.shown, timeout=PATIENCE)
    viewer = dock.viewer
    assert isinstance(viewer, Viewer)
    viewer.close()
    qtbot.wait(200)
    assert "Traceback" not in capfd.readouterr().err


def test_three_planes_go_on_with_the_next_study(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Opened with the planes on, the next study is in all three, and the old one when it comes back."""
    pytest.importorskip("napari_orthogonal_views")
    dock.open([make_study(case="first")])
    until_final(qtbot, dock)
    dock.show_three_planes()
    other = make_study(case="second", shape=(16, 18, 14), seed=2)
    dock.open([other])
    qtbot.waitUntil(lambda: dock.case.text() == "second", timeout=PATIENCE)
    until_final(qtbot, dock)
    dock.open([other / "nothing"])
    until_error(qtbot, dock)
    until_final(qtbot, dock)
    manager = dock.three_planes._manager()
    for widget in (manager.right_widget, manager.bottom_widget):
        arrays = [layer.data for layer in widget.qt_viewer.viewer.layers if layer.name == "FLAIR"]
        assert len(arrays) == 1
        assert np.shares_memory(arrays[0], dock.layers.images["flair"].data)


def test_names_in_the_layer_list_stay_the_same(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Refused, the list has the old layers under their old names, none twice."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    before = [layer.name for layer in dock.viewer.layers]
    dock.open([Path("/nowhere/at/all")])
    until_error(qtbot, dock)
    assert [layer.name for layer in dock.viewer.layers] == before
