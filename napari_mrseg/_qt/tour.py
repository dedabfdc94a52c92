"""The booth: the viewer shows itself, in plain words, until somebody touches it; left alone, it goes on.

A round is a row of scenes. Each asks the session for something, waits until it is on screen, says what was found, and
holds it. The window fills the screen, without menus; Esc gives them back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QLabel, QSizePolicy, QToolBar

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import hide_comparison, open_comparison
from napari_mrseg.display import titles
from napari_mrseg.tasks import Combination, sized

HOLD_S = 5.0  # a scene, once it is there
IDLE_S = 60.0  # without a touch, after which a stopped tour goes on
TICK_MS = 200
TOUCHES = (
    QEvent.Type.MouseButtonPress,
    QEvent.Type.KeyPress,
    QEvent.Type.Wheel,
    QEvent.Type.TouchBegin,
)
POINTS = 13, 22  # of the caption, on the smallest and on a large screen
_LINES = 36  # of the largest caption that would fill a window


@dataclass(frozen=True)
class Scene:
    """What is said, what is asked for, when that is on screen, and what there is to say of it then."""

    caption: str
    act: Callable[[], Any]
    ready: Callable[[], bool]
    found: Callable[[], str]


class _Strip(QToolBar):
    """The words, below the pictures and not on them: they have letters and a scale bar. Never lower than it was."""

    def __init__(self, window: Any) -> None:
        super().__init__("MRSeg: tour", window)
        self.setObjectName("MrsegTour")
        self.setMovable(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.setStyleSheet("QToolBar { border: none; padding: 0; background: #121820; }")
        self.words = QLabel()
        self.words.setObjectName("tour")
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.words.setMinimumWidth(100)
        self.addWidget(self.words)
        window.addToolBar(Qt.ToolBarArea.BottomToolBarArea, self)
        self.hide()

    def say(self, words: str, found: str = "") -> None:
        least, most = POINTS
        points = min(most, max(least, self.parentWidget().height() // _LINES))
        style = f"font-size: {points}pt; color: #f2f5f7; background: #121820; padding: 6px;"
        if style != self.words.styleSheet():
            self.words.setStyleSheet(style)
            self.words.setMinimumHeight(0)
        self.words.setText(f"{words}\n{found or ' '}")
        needed = self.words.heightForWidth(self.parentWidget().width() - 20)
        self.words.setFixedHeight(max(needed, self.words.minimumHeight()))
        self.show()


class Tour(QObject):
    """Plays by itself from :meth:`start` on. ``rounds``: how often it has come to its end."""

    scene_ending = Signal()  # what was found has been on screen for ``hold_s``
    round_ended = Signal()

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
        self._full = False  # the window is as the tour made it
        self._folded = False  # napari's lists were there before
        self._beside = False  # the tour put an imagined scan beside the real one
        self.strip = _Strip(viewer.window._qt_window)
        self.caption = self.strip.words
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    @property
    def error(self) -> str | None:
        """Why a scene cannot come: the session's run, or the reading of a study, failed."""
        return self._dock.session.error

    def start(self) -> None:
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)
        self.playing, self._scenes, self._scene = True, iter(()), None
        self._fill_the_screen()
        self._timer.start()

    def close(self) -> None:
        """End it, and give menus and window back."""
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)
        self._timer.stop()
        self.playing = False
        with suppress(RuntimeError):  # the window was closed
            self.strip.hide()
            self._leave_the_screen()

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        """A touch stops the tour, and does what it would have done without it."""
        if event.type() in TOUCHES and event.spontaneous():
            if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:
                self.close()
            else:
                self.stop()
        return False

    def stop(self) -> None:
        """Give the window to whoever is there."""
        self._touched = time.monotonic()
        if self.playing:
            self.playing, self._scene = False, None
            self.strip.hide()

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
                self.strip.say(self._scene.caption, self._scene.found())
        elif time.monotonic() - self._since > self.hold_s:
            self.scene_ending.emit()
            self._next()

    def _next(self) -> None:
        scene = next(self._scenes, None)
        if scene is None:
            if self._scene is not None:
                self.rounds += 1
                self.round_ended.emit()
                if not self.playing:
                    return
            self._scenes = self._round()
            scene = next(self._scenes)
        self._scene, self._since = scene, None
        scene.act()
        self.strip.say(scene.caption)

    def _fill_the_screen(self) -> None:
        """Without menus, which are not for visitors, and without napari's lists."""
        window, reading = self._viewer.window._qt_window, self._dock.reading
        if not self._full:
            self._full, self._folded = True, not reading.shown
            window.menuBar().hide()
            window.showFullScreen()
            reading.set(True)

    def _leave_the_screen(self) -> None:
        window = self._viewer.window._qt_window
        if self._full:
            self._full = False
            window.showNormal()
            window.menuBar().show()
            if self._folded:
                self._dock.reading.set(False)

    def _round(self) -> Iterator[Scene]:
        session, dock = self._dock.session, self._dock
        task = session.task

        def there() -> bool:
            shown = session.shown
            return shown is not None and not shown.preview and not session.stale and dock.settled

        def use(combination: Combination) -> Callable[[], None]:
            def act() -> None:
                hide_comparison(self._viewer)
                self._end_imagining()
                dock.attempt(lambda: session.use(combination))
                dock.overlay_style.visible = True

            return act

        if session.study is None:
            yield Scene("Research software, not for diagnosis.", dock.opener.open_sample, there, self._found)
        present = session.study.present if session.study is not None else ()
        finding = task.finding
        yield Scene(
            f"{len(present)} kinds of picture of one {task.subject}, and {finding} that a network found in all of them "
            "together. Research software, not for diagnosis.",
            use(present),
            there,
            self._found,
        )
        yield Scene("Here is its largest part.", dock.jump, there, self._found)
        for name in present if len(present) > 1 else ():
            rest = tuple(n for n in present if n != name)
            yield Scene(
                f"Often one is missing. Without {task.modality(name).title}:", use(rest), there, self._found
            )
        for name in present:
            yield Scene(f"Or only {titles(task, (name,))} was taken:", use((name,)), there, self._found)
        yield from self._imagined(present, there)
        every = len(task.combinations(present)) if present else 0

        def compare() -> None:
            self._end_imagining()
            session.use(present)
            bench = open_comparison(self._viewer)
            bench.tabs.setCurrentIndex(1)

        yield Scene(
            f"All {every} combinations side by side.", compare, lambda: self._swept(every), self._spread
        )
        yield Scene(
            f"Touch anything: switch a modality, move through the {task.subject}.",
            use(present),
            there,
            self._found,
        )

    def _imagined(self, present: Combination, there: Callable[[], bool]) -> Iterator[Scene]:
        """T1 without agent as imagined from the others, beside the real one; nothing where there is none."""
        session, dock = self._dock.session, self._dock
        core = dock.imagining.core
        plain = [
            m for m in session.task.modalities if m.weighting == "T1" and not m.agent and m.name in present
        ]
        if not plain or len(present) == 1:
            return
        name, title = plain[0].name, plain[0].title

        def act() -> None:
            hide_comparison(self._viewer)
            session.use(tuple(n for n in present if n != name))
            if core.target != name:
                dock.imagining.choose(name)
            dock.overlay_style.visible = False
            if not dock.beside.shown:
                dock.show_beside()
            self._beside = True
            if dock.beside.pane is not None:
                dock.beside.pane.choose(name, "")

        def ready() -> bool:
            return there() and not core.busy and core.shown is not None and core.shown.likeness is not None

        def found() -> str:
            likeness = None if core.shown is None else core.shown.likeness
            if not likeness or "brain" not in likeness:
                return ""
            return f"Found: PSNR {likeness['brain'].psnr:.1f} dB in the brain; the higher, the more alike."

        yield Scene(
            f"{title} as a network imagines it from the others (violet: where it cannot know), and as it was taken:",
            act,
            ready,
            found,
        )

    def _end_imagining(self) -> None:
        if not self._beside:
            return
        self._beside = False
        self._dock.imagining.stop()
        if self._dock.beside.shown:
            self._dock.show_beside()

    def _found(self) -> str:
        """How much, beside how much with all scans; what of it is not to be believed."""
        session, trust = self._dock.session, self._dock.result.trust
        task, shown, study = session.task, session.shown, session.study
        if shown is None or study is None:
            return ""
        whole = task.regions[0]
        size = sized(shown.sizes[whole.name], task.unit)
        said = f"Found: {size} {task.unit} of {whole.title}."
        every = session.predictions.get(study.present)
        if every is not None and shown.combination != study.present:
            said = f"{said[:-1]}; with all: {sized(every.sizes[whole.name], task.unit)} {task.unit}."
        doubt = "" if trust is None or trust.level == "green" else f" {trust.headline}."
        return said + doubt

    def _spread(self) -> str:
        """From the least to the most that any combination found."""
        session = self._dock.session
        task, whole = session.task, session.task.regions[0]
        sizes = [one.sizes[whole.name] for one in session.predictions.values()]
        if not sizes:
            return ""
        least, most = (sized(end(sizes), task.unit) for end in (min, max))
        return f"Found: from {least} to {most} {task.unit} of {whole.title}."

    def _swept(self, every: int) -> bool:
        return len(self._dock.session.predictions) >= every
