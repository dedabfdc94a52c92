"""Between two studies and at the end, in the real window: the banner on the canvas, and the one question."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QRect
from test_use import LEFT, canvas, dock
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg import io
from napari_mrseg._qt.dock import MrsegDock

__all__ = ["dock"]  # the fixture


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


def test_scans_that_are_not_seen_cost_no_frame(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """The canvas is drawn again when the scan that is seen is there, and goes on drawing afterwards."""
    counts: list[int] = []
    dock.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(
        lambda _: counts.append(len(dock.layers.images)) if dock.updates.opening else None
    )
    dock.open([make_study(("flair", "t1", "t1ce", "t2"), case="first")])
    until_final(qtbot, dock)
    assert set(counts) <= {0, 4}
    assert 4 in counts
    assert canvas(dock).updatesEnabled()


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
