"""The booth: the viewer shows itself, stops at a touch, and goes on when it is left alone."""

from __future__ import annotations

from collections.abc import Callable

from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.tour import Tour
from napari_mrseg.session.state import Session


def test_the_tour_plays_stops_at_a_touch_and_goes_on(
    qtbot: QtBot, session: Session, make_napari_viewer: Callable[..., Viewer], make_study: MakeStudy
) -> None:
    """Every modality alone and left out, and all combinations; a key or click gives the window back."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    dock = open_dock(viewer, session)
    session.sweep = True
    dock.open([make_study()])
    until_final(qtbot, dock)
    tour = Tour(viewer, dock, hold_s=0.05, idle_s=1.0)
    said: list[str] = []
    used: set[tuple[str, ...]] = set()
    session.combination_changed.connect(lambda: used.add(session.combination))
    tour.start()

    def played() -> bool:
        if tour.caption.isVisible() and tour.caption.text() not in said:
            said.append(tour.caption.text())
        return tour.rounds >= 1

    qtbot.waitUntil(played, timeout=PATIENCE)
    assert any("Without T1ce" in words for words in said)
    assert any("All 15 combinations" in words for words in said)
    assert {("flair",), ("t1",), ("t1ce",), ("t2",), ("flair", "t1", "t2")} <= used
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton)
    assert not tour.playing
    assert not tour.caption.isVisible()
    qtbot.waitUntil(lambda: tour.playing, timeout=PATIENCE)
    qtbot.keyClick(canvas, Qt.Key.Key_Space)
    assert not tour.playing
    tour.close()
