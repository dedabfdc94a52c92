"""How long a user waits while all other combinations are computed behind: first look, and cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from napari_mrseg.bench.synthetic import headline, renamed
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study

LIMIT = 900.0  # seconds until a wait is given up
_QUIET = 0.25  # seconds without work after which the thread has stopped
Turn = Callable[[], None]


def _doze() -> None:
    time.sleep(0.002)


def interrupt_sweep(session: Session, study: Study, *, repeats: int, turn: Turn = _doze) -> dict[str, Any]:
    """Seconds from a toggle to its first look, and from Cancel to the end of the work, while the sweep runs.

    Each repeat opens the study as a new subject, so that nothing is remembered, and interrupts a little later.
    ``turn`` passes the time: sleeps, or runs the event loop. A sweep that was over before the
    interruption gives no figure.
    """
    first_looks: list[float] = []
    cancels: list[float] = []
    incomplete, _ = headline(study)
    other = incomplete[1:] or incomplete
    for repeat in range(repeats):
        session.set_study(renamed(study, f"interrupted-{repeat}"))
        until(lambda: finished(session), turn)
        assert session.shown is not None
        pause = session.shown.seconds * (0.3 + repeat) / repeats
        _pass(pause, turn)
        if other not in session.predictions and other != session.combination:
            arrived = _Arrival(session)
            began = time.perf_counter()
            session.use(other)
            until(lambda: arrived.at is not None, turn)  # noqa: B023
            arrived.close()
            assert arrived.at is not None
            first_looks.append(arrived.at - began)
            until(lambda: finished(session), turn)
        _pass(pause, turn)
        if session.running is not None:
            began = time.perf_counter()
            session.cancel()
            stopped = _end_of_work(turn)
            if stopped is not None:
                cancels.append(stopped - began)
    return {"first_look_s": describe(first_looks), "cancel_s": describe(cancels)}


def finished(session: Session) -> bool:
    """What is switched on is shown, and final. Raises MrsegError's sentence as RuntimeError if the run failed."""
    if session.error is not None:
        raise RuntimeError(session.error)
    return session.shown is not None and not session.stale and not session.shown.preview


def until(done: Callable[[], bool], turn: Turn) -> None:
    end = time.perf_counter() + LIMIT
    while not done():
        if time.perf_counter() > end:
            raise RuntimeError(f"Nothing came within {LIMIT:.0f} s.")
        turn()


def _pass(seconds: float, turn: Turn) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        turn()


class _Arrival:
    """Notes when the session first shows what is switched on, on whatever thread it happens."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.at: float | None = None
        session.shown_changed.connect(self._look)

    def _look(self) -> None:
        if self.at is None and self.session.shown is not None and not self.session.stale:
            self.at = time.perf_counter()

    def close(self) -> None:
        self.session.shown_changed.disconnect(self._look)


def _end_of_work(turn: Turn) -> float | None:
    """When the session's thread stopped using the processor; None where this cannot be told."""
    thread = next((t for t in threading.enumerate() if t.name == "mrseg-live"), None)
    if thread is None or thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return None
    clock = time.pthread_getcpuclockid(thread.ident)
    used, last = time.clock_gettime(clock), time.perf_counter()
    while time.perf_counter() - last < _QUIET:
        turn()
        now = time.clock_gettime(clock)
        if now - used > 1e-4:
            used, last = now, time.perf_counter()
    return last


def describe(samples: list[float]) -> dict[str, Any]:
    """JSON-able: how many, the median and the worst, seconds; None where there are none."""
    if not samples:
        return {"count": 0, "median": None, "longest": None}
    ordered = sorted(samples)
    return {"count": len(ordered), "median": ordered[len(ordered) // 2], "longest": ordered[-1]}
