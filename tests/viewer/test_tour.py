"""The booth: the viewer shows itself, stops at a touch, and goes on when it is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari import Viewer
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QWidget
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt import recording
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.tour import Tour
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.session.state import Session


def test_the_tour_plays_stops_at_a_touch_and_goes_on(
    qtbot: QtBot, session: Session, window: Viewer, make_study: MakeStudy
) -> None:
    """Every modality alone and left out, T1 imagined beside the real one, and all combinations, each page with what was
    found; a key or click stops it.

    It fills the screen without menus, and its words lie on no picture; Esc gives the window back.
    """
    viewer = window
    viewer.window.resize(1280, 800)
    dock = open_dock(viewer, session)
    session.sweep = True
    dock.open([make_study()])
    until_final(qtbot, dock)
    tour = Tour(viewer, dock, hold_s=0.05, idle_s=1.0)
    said: list[str] = []
    marks: set[str] = set()
    used: set[tuple[str, ...]] = set()
    session.combination_changed.connect(lambda: used.add(session.combination))
    tour.start()
    main = viewer.window._qt_window
    assert main.isFullScreen()
    assert not main.menuBar().isVisible()
    native = viewer.window._qt_viewer.canvas.native

    def place(widget: QWidget) -> QRect:
        return QRect(widget.mapTo(main, QPoint(0, 0)), widget.size())

    def played() -> bool:
        if tour.caption.isVisible() and tour.caption.text() not in said:
            said.append(tour.caption.text())
            if "imagines" in said[-1] and "Found" in said[-1]:
                marks.add(dock.watermark.text)
            assert not place(native).intersects(place(tour.strip))
        return tour.rounds >= 1

    qtbot.waitUntil(played, timeout=4 * PATIENCE)  # a dozen scenes
    assert any("Without T1ce" in words for words in said)
    assert any("All 15 combinations" in words for words in said)
    assert any("PSNR" in words and "in the brain" in words for words in said)
    assert marks == {"IMAGINED T1 from FLAIR + T1ce + T2: not a scan"}
    assert dock.watermark.text == ""
    assert not dock.beside.shown
    pages = {words.partition("\n")[0] for words in said}
    found = {
        page for page, _, what in (words.partition("\n") for words in said) if what.startswith("Found: ")
    }
    assert found == pages
    assert any("; with all: " in words for words in said)
    assert {("flair",), ("t1",), ("t1ce",), ("t2",), ("flair", "t1", "t2")} <= used
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton)
    assert not tour.playing
    assert not tour.caption.isVisible()
    qtbot.waitUntil(lambda: tour.playing, timeout=PATIENCE)
    qtbot.keyClick(native, Qt.Key.Key_Space)
    assert not tour.playing
    assert not main.menuBar().isVisible()
    qtbot.keyClick(native, Qt.Key.Key_Escape)
    assert main.menuBar().isVisible()
    assert not main.isFullScreen()


def test_a_round_of_the_tour_is_recorded(
    qtbot: QtBot,
    session: Session,
    window: Viewer,
    make_study: MakeStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frame for each scene, in a file whose name says its kind; the picture has its room again at the end."""
    monkeypatch.setattr(recording, "HOLD_S", 0.05)
    viewer = window
    viewer.window.resize(1280, 800)
    dock = open_dock(viewer, session)
    dock.open([make_study()])
    until_final(qtbot, dock)
    session.sweep = True
    recorder = recording.Recorder(viewer, Tour(viewer, dock))
    with qtbot.waitSignal(recorder.finished, timeout=4 * PATIENCE):
        pass
    assert (
        len(recorder.frames) == 13
    )  # what is there, its largest part, four missing, four alone, imagined, all, touch
    with pytest.raises(InputError, match="must end in"):
        recorder.save(tmp_path / "tour.mp4")
    recorder.save(tmp_path / "tour.gif")
    with Image.open(tmp_path / "tour.gif") as picture:
        assert picture.n_frames == 13
        assert picture.width == recording.WIDTH
    qtbot.waitUntil(lambda: dock.width() < 450, timeout=PATIENCE)


def test_a_recording_ends_when_nothing_comes(qtbot: QtBot, window: Viewer, tmp_path: Path) -> None:
    """Without a result, or when the run fails, recording stops and says why, in place of waiting without end."""
    viewer = window
    dock = open_dock(viewer, Session(device="cpu"))
    recorder = recording.Recorder(viewer, Tour(viewer, dock), patience_s=0.0)
    with qtbot.waitSignal(recorder.finished, timeout=PATIENCE):
        pass
    with pytest.raises(MrsegError, match="Nothing new was on screen"):
        recorder.save(tmp_path / "tour.gif")
    failing = recording.Recorder(viewer, Tour(viewer, dock))
    with qtbot.waitSignal(failing.finished, timeout=PATIENCE):
        dock.session.error = "The device is gone."
    with pytest.raises(MrsegError, match=r"The device is gone\."):
        failing.save(tmp_path / "tour.gif")
    assert not (tmp_path / "tour.gif").exists()
