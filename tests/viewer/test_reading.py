"""The reading layout in the real window: room for pictures at small sizes, panes in step, words off the anatomy."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget
from test_use import ALT, LEFT, canvas, click
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.reading import NAPARIS
from napari_mrseg.session.state import Session


@pytest.fixture
def dock(window: Viewer, session: Session, qtbot: QtBot) -> MrsegDock:
    window.window.resize(1366, 768)
    return open_dock(window, session)


def naparis(dock: MrsegDock) -> list[bool]:
    window = dock.viewer.window._qt_window
    return [not window.findChild(QDockWidget, name).isHidden() for name in NAPARIS]


def test_one_key_folds_naparis_lists_away_and_back(qtbot: QtBot, dock: MrsegDock) -> None:
    """Alt+Enter: the picture is wider by their room; again: those that were there are back, others are not."""
    window = dock.viewer.window._qt_window
    window.findChild(QDockWidget, NAPARIS[0]).hide()
    before = canvas(dock).width()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_Return, ALT)
    qtbot.waitUntil(lambda: canvas(dock).width() > before + 150, timeout=PATIENCE)
    assert naparis(dock) == [False, False]
    assert dock.panel.reading_button.isChecked()
    click(qtbot, dock.panel.reading_button)
    assert naparis(dock) == [False, True]
    window.findChild(QDockWidget, NAPARIS[0]).show()  # for the next test


def test_what_is_used_all_the_time_is_in_sight_at_small_sizes(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The window keeps its size (960×540: a full screen scaled twice), and notes or an error push nothing out of it."""
    window = dock.viewer.window._qt_window
    dock.reading.set(True)
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.toggle("t1ce")
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    dock.panel.notes.button.click()
    dock.say(
        "Something went wrong with a file whose long name takes two lines of the dock to be said in full."
    )

    def assert_in_sight(size: tuple[int, int]) -> None:
        assert (window.width(), window.height()) == size
        for widget in (
            dock.runbar.button,
            dock.runbar.devices,
            dock.panel.save_button,
            dock.banner,
            *dock.legend.sizes.values(),
        ):
            assert widget.visibleRegion().boundingRect().height() == widget.height(), widget.objectName()
            low = widget.mapTo(window, QPoint(widget.width() - 1, widget.height() - 1))
            assert window.rect().contains(low)
        assert canvas(dock).width() > size[0] * 0.5

    for size in ((1366, 768), (1024, 700), (960, 540)):
        window.resize(*size)
        qtbot.waitUntil(partial(assert_in_sight, size), timeout=PATIENCE)


def test_two_results_side_by_side_are_in_step(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Slice, plane, zoom and place are one, whichever is moved; the right shows its own result; back as before."""
    with_error = dock.beside
    dock.show_beside()
    assert "open a study first" in until_error(qtbot, dock)
    assert not with_error.shown
    dock.session.sweep = True
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.session.wait_for_sweep(PATIENCE / 1000)
    place = tuple(dock.viewer.dims.point)
    click(qtbot, dock.panel.beside_button)
    assert tuple(dock.viewer.dims.point) == place  # the view stays on the finding
    pane = dock.beside.pane
    assert pane is not None
    qtbot.waitUntil(lambda: pane.view.width() > 200, timeout=PATIENCE)
    qtbot.waitUntil(
        lambda: abs(pane.view.canvas.native.width() - canvas(dock).width()) < 12, timeout=PATIENCE
    )
    assert abs(pane.view.canvas.native.height() - canvas(dock).height()) < 8
    main, right = dock.viewer, pane.model
    study = dock.session.study
    assert study is not None
    assert study.reference is not None
    assert np.array_equal(right.layers["result"].data, study.reference.labels)
    assert right.layers["result"].visible
    one = pane.result.findText("T1 + T2")
    pane.result.setCurrentIndex(one)
    pane.result.activated.emit(one)
    qtbot.waitUntil(lambda: ("t1", "t2") in dock.session.predictions, timeout=PATIENCE)
    pane.refresh()
    assert np.array_equal(right.layers["result"].data, dock.session.predictions["t1", "t2"].labels)
    assert "T1 + T2" in pane.words.text
    assert "research use only" in pane.words.text
    main.dims.set_current_step(0, 5)
    assert right.dims.point == main.dims.point
    right.dims.set_current_step(0, 9)
    assert main.dims.point == right.dims.point
    right.scene.camera.zoom = 7.0
    assert main.scene.camera.zoom == 7.0
    main.scene.camera.center = (0, 11.0, 12.0)
    assert tuple(right.scene.camera.center) == tuple(main.scene.camera.center)
    main.dims.order = (1, 0, 2)
    assert tuple(right.dims.order) == (1, 0, 2)
    assert pane.letters.shown == dock.letters.shown
    dock.toggle("flair")
    until_final(qtbot, dock, ("t1", "t1ce", "t2"))
    assert np.array_equal(right.layers["result"].data, dock.session.predictions["t1", "t2"].labels)
    click(qtbot, dock.panel.beside_button)
    assert not dock.beside.shown
    assert not dock.panel.beside_button.isChecked()
    qtbot.waitUntil(lambda: canvas(dock).width() > 600, timeout=PATIENCE)
    dock.open([make_study(case="another")])
    qtbot.waitUntil(lambda: dock.session.study is not study, timeout=PATIENCE)
    until_final(qtbot, dock)


def test_where_there_is_little_room_the_words_leave_the_picture(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Side by side: a strip across the window says all; the canvas keeps whose it is, its scans and its use."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    text = dock.viewer.canvas.overlays.text
    assert "model tiny" in " ".join(text.text.split())
    click(qtbot, dock.panel.beside_button)
    qtbot.waitUntil(lambda: dock.annotation._strip is not None, timeout=PATIENCE)
    strip = dock.annotation._strip
    assert strip is not None
    qtbot.waitUntil(strip.isVisible, timeout=PATIENCE)
    for words in ("combination 1 of 15: FLAIR + T1 + T1ce + T2", "model tiny", "final", "research use only"):
        assert words in strip.words.text()
    said = " ".join(text.text.split())
    assert "FLAIR + T1 + T1ce + T2" in said
    assert "research use only" in said
    assert "model" not in said
    qtbot.mouseClick(dock.panel.beside_button, LEFT)
    qtbot.waitUntil(lambda: not strip.isVisible(), timeout=PATIENCE)
    assert "model tiny" in " ".join(text.text.split())
