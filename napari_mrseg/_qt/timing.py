"""What only the real window can tell: how soon a toggle is on the screen, and whether the window ever stalls.

Run in a process of its own by :func:`napari_mrseg.bench.bench`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.garbage import modules_kept
from napari_mrseg.bench.hardware import memory
from napari_mrseg.bench.jobs import Job, serve
from napari_mrseg.bench.response_time import describe, finished, interrupt_sweep, until
from napari_mrseg.bench.synthetic import Subject, renamed
from napari_mrseg.inference.device import resolve_device
from napari_mrseg.models.store import load_model
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study

_TICK = 5  # ms between two ticks of an idle event loop
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")


class Ticker:
    """Ticks every 5 ms and keeps the time between two ticks: a gap is time in which the window answered nothing."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start(_TICK)

    def stop(self) -> dict[str, Any]:
        """JSON-able: seconds, 99th percentile over ticks and longest; and the share of time in gaps over 50 ms."""
        self._timer.stop()
        gaps, self.gaps = np.array(self.gaps or [0.0]), []
        return {
            "ticks": int(gaps.size),
            "p99": float(np.quantile(gaps, 0.99)),
            "longest": float(gaps.max()),
            "share_of_time_over_50_ms": float(gaps[gaps > 0.05].sum() / max(gaps.sum(), 1e-9)),
        }

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now


class OnScreen:
    """Tells when the canvas has shown the session's present prediction: drawn with it, and the frame swapped."""

    def __init__(self, viewer: Any, dock: MrsegDock) -> None:
        self._dock = dock
        self._drawn = False
        self.at: float | None = None
        canvas = viewer.window._qt_viewer.canvas
        canvas._scene_canvas.events.draw.connect(self._drawing)
        canvas.native.frameSwapped.connect(self._swapped)

    def reset(self) -> None:
        self._drawn, self.at = False, None

    def _drawing(self, event: Any = None) -> None:
        session, layer = self._dock.session, self._dock.layers.prediction
        shown = session.shown
        if layer is not None and shown is not None and not session.stale and layer.data is shown.labels:
            self._drawn = True

    def _swapped(self) -> None:
        if self._drawn and self.at is None:
            self.at = time.perf_counter()


def measure(job: Job) -> dict[str, Any]:
    """The job ``window``: sweep, gaps, waits during the sweep, cached toggles in 2-D and 3-D, memory."""
    study = Subject.of(job["subject"]).open()
    session = Session(task=study.task, device=job["device"], precision=job["precision"])
    with modules_kept(session.model_changed):  # as mrseg view does
        session.set_model(load_model(Path(job["model"])))
        return _measured(job, study, session)


def _measured(job: Job, study: Study, session: Session) -> dict[str, Any]:
    viewer, dock = open_window(session)
    try:
        session.set_study(study)
        until(lambda: finished(session), turn)  # the network's first run, layers, first frames
        session.cancel()
        turn(500)
        ticker = Ticker()
        sweep = _sweep(session, renamed(study, "sweep"), ticker)
        few = bool(job["quick"])
        flat = _toggles(viewer, dock, repeats=4 if few else 30)
        viewer.dims.ndisplay = 3
        turn(1000)
        solid = _toggles(viewer, dock, repeats=2 if few else 15)
        viewer.dims.ndisplay = 2
        turn(500)
        ticker.start()
        waiting = interrupt_sweep(session, study, repeats=1 if few else 3, turn=turn)
        interrupted = ticker.stop()
        renderer = _renderer(viewer)
        return {
            "renderer": renderer,
            "software": any(word in renderer.lower() for word in _SOFTWARE),
            "canvas": [int(n) for n in viewer.window._qt_viewer.canvas._scene_canvas.size],
            **sweep,
            "gaps_with_interruptions": interrupted,
            "toggle_2d_s": flat,
            "toggle_3d_s": solid,
            "waiting": waiting,
            **memory(resolve_device(job["device"])),
        }
    finally:
        viewer.close()
        session.close()


def turn(milliseconds: int = 2) -> None:
    """Run the event loop for a while."""
    loop = QEventLoop()
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setSingleShot(True)
    timer.timeout.connect(loop.quit)
    timer.start(milliseconds)
    loop.exec()


def _sweep(session: Session, study: Any, ticker: Ticker) -> dict[str, Any]:
    """From opening a study that is read already to the last of its combinations.

    The gaps until its first final, while layers are made, stand apart from those of the sweep behind it.
    """
    number = len(session.combinations)
    ticker.start()
    began = time.perf_counter()
    session.set_study(study)
    until(lambda: finished(session), turn)
    opening = ticker.stop()
    ticker.start()
    until(lambda: len(session.predictions) == number or session.error is not None, lambda: turn(50))
    seconds = time.perf_counter() - began
    gaps = ticker.stop()
    return {
        "sweep": {"combinations": len(session.predictions), "seconds": seconds},
        "gaps": gaps,
        "gaps_while_opening": opening,
    }


def _toggles(viewer: Any, dock: MrsegDock, *, repeats: int) -> dict[str, Any]:
    """Seconds from switching one modality, as a click does, to the frame that shows the remembered result."""
    session = dock.session
    assert session.study is not None
    names = session.study.present
    screen = OnScreen(viewer, dock)
    seconds = []
    for repeat in range(repeats):
        turn(100)
        name = names[(repeat // 2) % len(names)]  # off, on, then the next one
        if session.combination == (name,):
            continue
        screen.reset()
        began = time.perf_counter()
        dock.toggle(name)
        until(lambda: screen.at is not None, turn)
        assert screen.at is not None
        seconds.append(screen.at - began)
    return describe(seconds)


def _renderer(viewer: Any) -> str:
    """The name OpenGL gives what draws."""
    from vispy.gloo import gl

    viewer.window._qt_viewer.canvas._scene_canvas.set_current()
    return str(gl.glGetParameter(gl.GL_RENDERER))


KINDS: Mapping[str, Callable[[Job], dict[str, Any]]] = {"window": measure}

if __name__ == "__main__":
    sys.exit(serve(KINDS, sys.argv[1:]))
