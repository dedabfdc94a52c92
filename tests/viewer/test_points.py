"""Points 16, 20 and 21 of the walk (docs/window.md), each in the real window by keys and brush."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from quick import Quick, Reading, studies
from test_use import ALT, canvas, drag
from waiting import PATIENCE, until_final

from napari_mrseg import io
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.edits import copies_in, is_edited
from napari_mrseg._qt.user_settings import remembered_style
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

KEY = Qt.Key


class Held(Quick):
    """A run that was asked for, or the sweep behind it, waits while its event is clear."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.asked, self.background = Event(), Event()
        self.asked.set()
        self.background.set()

    def run(self, *args: Any, **options: Any) -> Iterator[Prediction]:
        self.pause = lambda: float(not self.asked.wait(60))
        yield from super().run(*args, **options)

    def run_all(self, *args: Any, **options: Any) -> Iterator[Prediction]:
        self.pause = lambda: float(not self.background.wait(60))
        yield from super().run_all(*args, **options)


@pytest.fixture
def held(tiny: Model) -> Held:
    return Held(tiny)


@pytest.fixture
def dock(
    window: Viewer,
    held: Held,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MrsegDock]:
    """The real window on studies that cost little, with the sweep on."""
    monkeypatch.setattr(io, "open_study", Reading(studies()))
    session = Session(device="cpu")
    session.set_predictor(held)
    window.window.resize(1100, 760)
    made = open_dock(window, session)
    made.open(["/studies/alpha"])
    qtbot.waitUntil(lambda: made.case.text() == "alpha", timeout=PATIENCE)
    until_final(qtbot, made)
    yield made
    held.asked.set()
    held.background.set()
    session.close()


def test_an_outline_chosen_during_a_run_outlasts_it(qtbot: QtBot, dock: MrsegDock, held: Held) -> None:
    """16: Alt+O while a combination is computed is kept at once, however the program ends: the next window has it."""
    dock.session.wait_for_sweep(PATIENCE / 1000)
    dock.session.cache.clear()
    held.asked.clear()
    qtbot.keyClick(canvas(dock), KEY.Key_1, ALT)
    qtbot.waitUntil(lambda: dock.session.running is not None, timeout=PATIENCE)
    qtbot.keyClick(canvas(dock), KEY.Key_O, ALT)
    assert dock.session.running is not None
    assert remembered_style().outline


def test_the_zoom_stays_round_the_planes(qtbot: QtBot, dock: MrsegDock) -> None:
    """16: zoomed by hand, Ctrl+E through all three planes keeps the zoom, with the place looked at in the middle."""
    viewer = dock.viewer
    dock.fit.take()
    viewer.scene.camera.zoom = 31.0
    point = tuple(viewer.dims.point)
    for _ in range(3):
        qtbot.keyClick(canvas(dock), KEY.Key_E, Qt.KeyboardModifier.ControlModifier)
        qtbot.wait(50)
        shown = list(viewer.dims.displayed)
        assert viewer.scene.camera.zoom == 31.0
        assert tuple(viewer.dims.point) == point
        assert np.allclose(viewer.scene.camera.center[-2:], np.array(point)[shown], atol=0.01)


def test_alt_e_during_the_sweep_and_again(qtbot: QtBot, dock: MrsegDock, held: Held) -> None:
    """21: while the others are computed Alt+E makes a copy; once more it makes none; a stroke makes it EDITED."""
    dock.session.wait_for_sweep(PATIENCE / 1000)
    dock.session.cache.clear()
    held.background.clear()
    dock.session.run()
    until_final(qtbot, dock)
    qtbot.waitUntil(lambda: dock.session.running is not None, timeout=PATIENCE)
    qtbot.keyClick(canvas(dock), KEY.Key_E, ALT)
    assert dock.session.running is not None, "the sweep was over before the key was pressed"
    copy = dock.layers.copy
    assert copy is not None
    names = [layer.name for layer in dock.viewer.layers]
    qtbot.keyClick(canvas(dock), KEY.Key_E, ALT)
    assert [layer.name for layer in dock.viewer.layers] == names
    assert copies_in(dock.viewer) == [copy]
    assert "[1]" not in " ".join(names)
    assert "EDITED" not in dock.banner.text() + dock.viewer.canvas.overlays.text.text
    held.background.set()
    copy.mode, copy.brush_size, copy.selected_label = "paint", 3, 3
    middle = QPoint(canvas(dock).width() // 2, canvas(dock).height() // 2)
    drag(qtbot, canvas(dock), middle, middle + QPoint(40, 0))
    assert is_edited(copy)
    qtbot.waitUntil(lambda: "EDITED BY HAND" in dock.banner.text(), timeout=PATIENCE)
    assert "EDITED BY HAND" in dock.viewer.canvas.overlays.text.text
