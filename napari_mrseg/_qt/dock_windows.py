"""The plugin's two windows, built here and nowhere else: for napari's Plugins menu, its ``-w`` flag, and ourselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from napari import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_mrseg._qt.compare.workbench import Workbench, workbench_of
from napari_mrseg._qt.dock import MrsegDock, dock_of
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import DEFAULT, RGBD_SOD, Task

DOCK, COMPARISON = "MRSeg", "MRSeg comparison"
WIDTH = 384  # pixels of the dock


class _Place(QWidget):
    """Where one of our widgets lies in napari's window.

    A viewer has one dock and one comparison, but napari may ask for another place for it: it names the same widget
    differently by its menu, by ``-w`` and when we add it. The widget then moves there, with all that it shows.
    """

    def __init__(self, viewer: Viewer, inner: QWidget) -> None:
        super().__init__()
        # Else napari puts an empty stretch below it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        before, _ = dock_widget_of(inner)
        self.inner = inner
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(inner)
        self._placed = False
        if before is not None:
            viewer.window.remove_dock_widget(before)

    def event(self, event: Any) -> bool:
        # napari takes a closed dock widget out of the window and forgets it; what it computes must end then.
        if event.type() == QEvent.Type.ParentChange and self._placed and self.parent() is None:
            self.gone()
            self.deleteLater()
        return bool(super().event(event))

    def gone(self) -> None:
        """Called when napari has taken the widget out of its window."""

    def showEvent(self, event: Any) -> None:  # noqa: N802
        super().showEvent(event)
        if not self._placed:  # once: the user may change it
            self._placed = True
            QTimer.singleShot(0, self.arrange)

    def arrange(self) -> None:
        """Take the room that the widget needs."""


class DockWindow(_Place):
    """The dock. napari gives ``napari_viewer`` by its name. One of another task that is there makes room for it."""

    task: ClassVar[Task] = DEFAULT

    def __init__(self, napari_viewer: Any, session: Session | None = None) -> None:
        viewer = _itself(napari_viewer)
        dock = dock_of(viewer)
        wanted = session.task if session is not None else self.task
        if dock is not None and dock.session.task != wanted:
            _take_away(viewer, dock)
            dock = None
        if dock is None:
            dock = MrsegDock(viewer, session or Session(task=wanted))
            dock.compare_asked.connect(lambda: open_comparison(viewer))
        super().__init__(viewer, dock)

    def arrange(self) -> None:
        holder, _ = dock_widget_of(self)
        close = getattr(holder, "destroyOnClose", None)
        if close is not None:
            holder.destroyOnClose = lambda: self._close(close)  # type: ignore[union-attr]
        self.narrow()

    def narrow(self) -> None:
        """Take no more width than the dock needs."""
        holder, window = dock_widget_of(self)
        if holder is not None and window is not None and not holder.isFloating():
            window.resizeDocks([holder], [WIDTH], Qt.Orientation.Horizontal)

    def _close(self, close: Callable[[], None]) -> None:
        """By the cross of the dock."""
        if self.inner.leave():
            close()


class ImageDockWindow(DockWindow):
    """The dock for colour and depth."""

    task = RGBD_SOD


class ComparisonWindow(_Place):
    """The comparison, on the session of the viewer's dock, which is opened if it is not there."""

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer = _itself(napari_viewer)
        self.bench = workbench_of(self._viewer) or Workbench(open_dock(self._viewer))
        super().__init__(self._viewer, self.bench)

    def arrange(self) -> None:
        self.bench.go_beside()

    def gone(self) -> None:
        _give_room_back(self._viewer)


def _take_away(viewer: Viewer, dock: MrsegDock) -> None:
    """Close a dock and what belongs to it. Its scans and overlay go: in another unit than what comes, and with no line
    that says what they are, they would mislead. What the user painted and did not save stays, hidden."""
    bench = workbench_of(viewer)
    for widget in (bench, dock):
        holder, _ = dock_widget_of(widget) if widget is not None else (None, None)
        if holder is not None:
            viewer.window.remove_dock_widget(holder)
    dock.layers.clear()
    dock.end()


def open_dock(viewer: Viewer, session: Session | None = None, *, task: Task | None = None) -> MrsegDock:
    """The dock in ``viewer``; on ``session`` if it has to be built; with ``task``, one for it."""
    dock = dock_of(viewer)
    if dock is None or task not in (None, dock.session.task):
        place = DockWindow(viewer, session or Session(task=task or DEFAULT))
        viewer.window.add_dock_widget(place, name=DOCK, area="right", add_vertical_stretch=False)
        dock = dock_of(viewer)
        assert dock is not None
    return dock


def open_comparison(viewer: Viewer) -> Workbench:
    """Show the comparison beside the picture; the one that is there already is brought to the front."""
    bench = workbench_of(viewer)
    if bench is None:
        place = ComparisonWindow(viewer)
        bench = place.bench
        viewer.window.add_dock_widget(
            place, name=COMPARISON, area="right", add_vertical_stretch=False, tabify=True
        )
    holder, _ = dock_widget_of(bench)
    if holder is not None:
        holder.show()
        holder.raise_()
    return bench


def hide_comparison(viewer: Viewer) -> None:
    """Put the comparison away, if it is there; it keeps what it shows."""
    bench = workbench_of(viewer)
    holder, _ = dock_widget_of(bench) if bench is not None else (None, None)
    if holder is not None and not holder.isHidden():  # or behind the dock, as a tab
        holder.hide()
        _give_room_back(viewer)


def _give_room_back(viewer: Viewer) -> None:
    """The dock stood behind the comparison and is as wide: the picture gets the room again."""
    dock = dock_of(viewer)
    place = dock.parentWidget() if dock is not None else None
    if isinstance(place, DockWindow):
        QTimer.singleShot(0, place.narrow)


def _itself(viewer: Any) -> Viewer:
    """The viewer behind the proxy that ``napari -w`` hands to widgets: we compare viewers, and draw in them."""
    return getattr(viewer, "__wrapped__", viewer)
