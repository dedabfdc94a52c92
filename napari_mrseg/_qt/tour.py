"""The booth: the viewer shows itself, in plain words, until somebody touches it; left alone, it goes on.

A round is a row of scenes. Each asks the session for something, waits until it is on screen, and holds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QLabel

from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.dock_windows import open_comparison
from napari_mrseg.display import titles
from napari_mrseg.tasks import Combination

HOLD_S = 5.0  # a scene, once it is there
IDLE_S = 60.0  # without a touch, after which a stopped tour goes on
TICK_MS = 200
TOUCHES = (
    QEvent.Type.MouseButtonPress,
    QEvent.Type.KeyPress,
    QEvent.Type.Wheel,
    QEvent.Type.TouchBegin,
)
POINTS = 22  # of the caption


@dataclass(frozen=True)
class Scene:
    """What is said, what is asked for, and when that is on screen."""

    caption: str
    act: Callable[[], Any]
    ready: Callable[[], bool]


class Tour(QObject):
    """Plays by itself from :meth:`start` on. ``rounds``: how often it has come to its end."""

    def __init__(
        self, viewer: Viewer, dock: MrsegDock, *, hold_s: float = HOLD_S, idle_s: float = IDLE_S
    ) -> None:
        super().__init__(dock)
        self._viewer, self._dock = viewer, dock
        self.hold_s, self.idle_s, self.rounds = hold_s, idle_s, 0
        self.playing = False
        self._scenes: Iterator[Scene] = iter(())
        self._scene: Scene | None = None
        self._since: float | None = None  # when the scene was on screen
        self._touched = 0.0
        self.caption = QLabel(viewer.window._qt_window)
        self.caption.setObjectName("tour")
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.caption.setWordWrap(True)
        self.caption.setStyleSheet(
            f"font-size: {POINTS}pt; color: #f2f5f7; background: rgba(18, 24, 32, 215); padding: 10px;"
        )
        self.caption.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.caption.hide()
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)
        self.playing, self._scenes, self._scene = True, iter(()), None
        self._timer.start()

    def close(self) -> None:
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)
        self._timer.stop()
        self.caption.hide()

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        """A touch stops the tour, and does what it would have done without it."""
        if event.type() in TOUCHES and event.spontaneous():
            self.stop()
        return False

    def stop(self) -> None:
        """Give the window to whoever is there."""
        self._touched = time.monotonic()
        if self.playing:
            self.playing, self._scene = False, None
            self.caption.hide()

    # -- within -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._dock.closed:
            self.close()
            return
        if not self.playing:
            if time.monotonic() - self._touched > self.idle_s:
                self.playing, self._scenes = True, iter(())
            return
        if self._scene is None:
            self._next()
        elif self._since is None:
            if self._scene.ready():
                self._since = time.monotonic()
        elif time.monotonic() - self._since > self.hold_s:
            self._next()

    def _next(self) -> None:
        scene = next(self._scenes, None)
        if scene is None:
            self.rounds += self._scene is not None
            self._scenes = self._round()
            scene = next(self._scenes)
        self._scene, self._since = scene, None
        scene.act()
        self._say(scene.caption)

    def _say(self, words: str) -> None:
        self.caption.setText(words)
        window = self._viewer.window._qt_window
        canvas = self._viewer.window._qt_viewer.canvas.native
        corner = canvas.mapTo(window, canvas.rect().topLeft())
        width = canvas.width()
        height = max(60, self.caption.heightForWidth(width))
        self.caption.setGeometry(corner.x(), corner.y() + canvas.height() - height, width, height)
        self.caption.show()
        self.caption.raise_()

    def _round(self) -> Iterator[Scene]:
        session, dock = self._dock.session, self._dock
        task = session.task

        def there() -> bool:
            shown = session.shown
            return shown is not None and not shown.preview and not session.stale and dock.settled

        def use(combination: Combination) -> Callable[[], None]:
            def act() -> None:
                self._close_comparison()
                dock.attempt(lambda: session.use(combination))
                dock.overlay_style.visible = True

            return act

        if session.study is None:
            yield Scene("Research software, not for diagnosis.", dock.opener.open_sample, there)
        present = session.study.present if session.study is not None else ()
        finding = task.finding
        yield Scene(
            f"{len(present)} kinds of picture of one {task.subject}, and {finding} that a network found in all of them "
            "together. Research software, not for diagnosis.",
            use(present),
            there,
        )
        yield Scene("Here is its largest part.", dock.jump, there)
        for name in present if len(present) > 1 else ():
            rest = tuple(n for n in present if n != name)
            yield Scene(f"Often one is missing. Without {task.modality(name).title}:", use(rest), there)
        for name in present:
            yield Scene(f"Or only {titles(task, (name,))} was taken:", use((name,)), there)
        every = len(task.combinations(present)) if present else 0

        def compare() -> None:
            session.use(present)
            bench = open_comparison(self._viewer)
            bench.tabs.setCurrentIndex(1)

        yield Scene(f"All {every} combinations side by side.", compare, lambda: self._swept(every))
        yield Scene(
            f"Touch anything: switch a modality, move through the {task.subject}.", use(present), there
        )

    def _swept(self, every: int) -> bool:
        return len(self._dock.session.predictions) >= every

    def _close_comparison(self) -> None:
        bench = workbench_of(self._viewer)
        if bench is not None:
            holder, _ = dock_widget_of(bench)
            if holder is not None:
                holder.hide()
