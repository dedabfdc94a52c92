"""The way from the session's thread to the window: signals, gathered once per event-loop pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_mrseg.errors import MrsegError
from napari_mrseg.session.state import Session

TOPICS = ("study", "images", "model", "combination", "shown", "running", "predictions", "opening")

_PROGRESS = 0.2  # seconds between two progress reports: each of them redraws the window


class SessionBridge(QObject):
    """Passes a session's signals on to the main thread.

    ``changed`` carries the set of topics (of ``TOPICS``) that changed since the last pass, ``failed`` a
    sentence.
    The session's thread only notes what happened; no widget is touched from there.
    """

    changed = Signal(object)
    failed = Signal(str)
    _noted = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._lock = Lock()
        self._topics: set[str] = set()
        self._sentences: list[str] = []
        self._listeners: list[tuple[Any, Callable[..., None]]] = []
        self._last_emitted = 0.0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(round(1000 * _PROGRESS))
        self._soon.timeout.connect(self.flush)
        self._noted.connect(self.flush, Qt.ConnectionType.QueuedConnection)
        for topic in TOPICS:
            self._listen(getattr(session, f"{topic}_changed"), self._noter(topic))
        self._listen(session.failed, self._note_failure)

    def close(self) -> None:
        """Hear nothing more from the session."""
        for signal, listener in self._listeners:
            signal.disconnect(listener, missing_ok=True)
        self._listeners.clear()
        with self._lock:
            self._topics.clear()
            self._sentences.clear()

    def _listen(self, signal: Any, listener: Callable[..., None]) -> None:
        signal.connect(listener)
        self._listeners.append((signal, listener))

    def _noter(self, topic: str) -> Callable[[], None]:
        def note() -> None:
            with self._lock:
                first = not self._sentences and not self._topics - {"running"}
                if topic == "running" and topic in self._topics:
                    first = False
                self._topics.add(topic)
            if first:
                self._noted.emit()

        return note

    def _note_failure(self, sentence: str) -> None:
        with self._lock:
            first = not self._sentences and not self._topics - {"running"}
            self._sentences.append(sentence)
        if first:
            self._noted.emit()

    def flush(self) -> None:
        """Pass on what was noted; on the main thread, which may ask for it before its turn."""
        with self._lock:
            topics, self._topics = self._topics, set()
            sentences, self._sentences = self._sentences, []
        if topics == {"running"} and not sentences and time.monotonic() - self._last_emitted < _PROGRESS:
            with self._lock:
                self._topics |= topics
            self._soon.start()
            return
        self._last_emitted = time.monotonic()
        if topics:
            self.changed.emit(frozenset(topics))
        for sentence in sentences:
            self.failed.emit(sentence)


class BackgroundTask(QObject):
    """Calls ``work`` on a thread of its own; ``done`` or ``failed`` arrives on the main thread.

    Every exception becomes a sentence, also a RuntimeError, which napari's own workers lose.
    """

    done = Signal(object)
    failed = Signal(str)
    _back = Signal(object, object)

    def __init__(
        self,
        work: Callable[[], Any],
        *,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[str], None] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._back.connect(self._arrived, Qt.ConnectionType.QueuedConnection)
        if done is not None:
            self.done.connect(done)
        if failed is not None:
            self.failed.connect(failed)
        self._work = work
        # Not a daemon: a window closed during a save waits for it, and torch must not be cut off while it loads.
        Thread(target=self._run, name="mrseg-later").start()

    def _run(self) -> None:
        result, sentence = None, None
        try:
            result = self._work()
        except MrsegError as error:
            sentence = str(error)
        except Exception as error:
            sentence = f"Unexpected {type(error).__name__}: {error}"
        try:
            self._back.emit(result, sentence)
        except RuntimeError:
            return  # the window was closed meanwhile; nobody is left to tell

    def _arrived(self, result: Any, sentence: str | None) -> None:
        if sentence is None:
            self.done.emit(result)
        else:
            self.failed.emit(sentence)
        self.deleteLater()
