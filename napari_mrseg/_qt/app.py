"""Opens napari's window with the dock in it, for the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QByteArray, QEvent, QEventLoop, QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.garbage import modules_kept
from napari_mrseg._qt.reading import ROOMY
from napari_mrseg._qt.recording import Recorder, check_name
from napari_mrseg._qt.tour import Tour
from napari_mrseg._qt.user_settings import remember, remembered
from napari_mrseg._qt.watching import watch
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.io.watched import Watched
from napari_mrseg.session.state import Session

WIDTH, HEIGHT = 1440, 900
_LAID_OUT = 400  # ms until a new window is laid out and drawn
_TURN = (
    0.0005  # seconds until a busy thread lets the window go on: each call into Qt and OpenGL may wait for it
)
_PATIENCE = 900.0  # seconds a screenshot waits for the final result


def launch(
    session: Session,
    *,
    paths: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    screenshot: Path | None = None,
    show: bool = True,
    tour: bool = False,
    record: Path | None = None,
    live: tuple[Watched, float, str] | None = None,
) -> None:
    """Show ``session`` in a new window and return when it is closed.

    ``paths`` are read in the window, with ``options`` of :meth:`Session.open`. What cannot be read is said there, and
    raised as InputError once the window is closed if nothing else was opened in it.

    ``tour``: it plays by itself (:mod:`.tour`). ``record``: one round of it, saved as a moving picture
    (:mod:`.recording`); then the window closes. ``live``: a folder whose newest frame is shown, seconds between two
    looks, and what depth files say.

    With ``screenshot``: wait for the final result, go to the largest finding, save a picture of the
    whole window and return. Raises MrsegError if the result does not come or the picture cannot be written.
    """
    if screenshot is not None and screenshot.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{screenshot.name}: a picture's name must end in .png or .jpg.")
    if record is not None:
        check_name(record)
    sys.setswitchinterval(_TURN)
    by_itself = tour or screenshot is not None or record is not None
    remembering = screenshot is None and record is None
    viewer, dock = open_window(session, show=show, remembering=remembering, at_once=not by_itself)
    if screenshot is None:
        refused: list[str] = []
        opened: list[bool] = []
        session.failed.connect(refused.append)
        session.study_changed.connect(lambda: opened.append(True))
        if paths:
            dock.open(paths, **(options or {}))
        recorder = None
        if record is not None:
            recorder = Recorder(viewer, Tour(viewer, dock))
            recorder.finished.connect(viewer.close)
        elif tour:
            Tour(viewer, dock).start()
        if live is not None:
            watched, every, depth = live
            watch(dock, watched.folder, dock.panel, every=every, depth=depth)
        with modules_kept(session.study_changed if paths else session.model_changed, session.failed):
            napari.run()
        if paths and refused and not opened:
            raise InputError(refused[-1])
        if recorder is not None and record is not None:
            recorder.save(record)
        return
    try:
        _wait_for_final(session, dock)
        dock.jump(asked=False)
        _settle()
        picture = viewer.window._screenshot(flash=False, canvas_only=False)
        if not picture.save(str(screenshot)):
            raise InputError(f"{screenshot} cannot be written; choose another place.")
    finally:
        viewer.close()
        session.close()


def open_window(
    session: Session, *, show: bool = True, remembering: bool = False, at_once: bool = False
) -> tuple[napari.Viewer, MrsegDock]:
    """A viewer with the dock on the right, of a size that fits the screen.

    ``remembering``: with the size and at the place that it had when it was closed last, which is kept when it closes.
    ``at_once``: without waiting until it is laid out; what lies off the screen is brought in a moment later.
    """
    viewer = napari.Viewer(title="MRSeg · research use only", show=show)
    screen = QApplication.primaryScreen().availableGeometry()
    window = viewer.window._qt_window
    window.resize(min(WIDTH, screen.width()), min(HEIGHT, screen.height()))
    dock = open_dock(viewer, session)
    if screen.width() < ROOMY[0] or screen.height() < ROOMY[1]:
        dock.reading.set(True)
    window.resize(min(WIDTH, screen.width()), min(HEIGHT, screen.height()))
    if remembering:
        window.restoreGeometry(QByteArray.fromBase64(remembered("place", "").encode("ascii", "ignore")))
        window.installEventFilter(Keeper(window))
    if at_once:
        QApplication.processEvents()  # the first frame, before a thread that reads gets in its way
        timer = QTimer(window)  # goes with the window, which may be closed before
        timer.setSingleShot(True)
        timer.timeout.connect(lambda: _bring_in(timer.parent()))
        timer.start(_LAID_OUT)
        return viewer, dock
    _settle()
    _bring_in(window)
    return viewer, dock


def _bring_in(window: Any) -> None:
    """Let no side of the window lie off the screen."""
    screen = QApplication.primaryScreen().availableGeometry()
    frame = window.frameGeometry()  # with the title bar, which nobody counts before it is there
    over = max(0, frame.width() - screen.width()), max(0, frame.height() - screen.height())
    if any(over) and not window.isMaximized():
        window.resize(window.width() - over[0], window.height() - over[1])
        window.move(screen.topLeft())


class Keeper(QObject):
    """Keeps size and place of a window when it is closed."""

    def eventFilter(self, window: Any, event: Any) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Close and not window.isFullScreen():
            remember("place", bytes(window.saveGeometry().toBase64().data()).decode("ascii"))
        return False


def _wait_for_final(session: Session, dock: MrsegDock) -> None:
    end = time.monotonic() + _PATIENCE
    steady = False  # for one turn of the event loop: what the session said last has reached the dock
    while time.monotonic() < end:
        _turn(50)
        shown = session.shown
        if session.error is not None:
            raise MrsegError(session.error)
        final = shown is not None and not shown.preview and not session.stale
        if final and session.running is not None:
            session.cancel()  # the picture needs no other combination
        there = final and session.running is None and dock.settled
        if there and steady:
            return
        steady = there
    raise MrsegError(f"No final segmentation came within {_PATIENCE:.0f} s; try another device or model.")


def _settle(milliseconds: int = _LAID_OUT) -> None:
    """Let the window lay itself out and draw."""
    _turn(milliseconds)


def _turn(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
