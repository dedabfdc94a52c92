"""The reading layout: napari's layer list and controls fold away, and the pictures take their room."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QStyleOptionViewItem

NAPARIS = ("layer controls", "layer list")  # napari's names of its own docks
ROOMY = (1600, 900)  # pixels of a screen on which nothing need be folded away at first


_kept: WeakSet[Any] = WeakSet()  # canvases that keep their depth


class Reading:
    """Folds napari's own docks away, and brings back those that were there. ``changed``: called with what it is."""

    def __init__(self, viewer: Any, changed: Callable[[bool], None] = lambda _: None) -> None:
        self._viewer, self._changed = viewer, changed
        self._folded: list[QDockWidget] = []
        self.shown = False

    def toggle(self) -> None:
        self.set(not self.shown)

    def set(self, on: bool) -> None:
        if on == self.shown:
            return
        self.shown = on
        window = window_of(self._viewer)
        if on and window is not None:
            docks = [window.findChild(QDockWidget, name) for name in NAPARIS]
            self._folded = [dock for dock in docks if dock is not None and not dock.isHidden()]
        for dock in self._folded:
            with suppress(RuntimeError):  # the window was closed
                dock.setVisible(not on)
        if not on:
            self._folded = []
        self._changed(on)

    def close(self) -> None:
        self.set(False)


def keep_ends(viewer: Any) -> None:
    """Cut long names in napari's layer list at their beginning: which scans a result is of stands at the end."""
    if window_of(viewer) is None:
        return
    delegate = viewer.window._qt_viewer.layers.itemDelegate()
    usual = type(delegate).initStyleOption

    def cut_first(option: QStyleOptionViewItem, index: Any) -> None:
        usual(delegate, option, index)
        option.textElideMode = Qt.TextElideMode.ElideLeft

    delegate.initStyleOption = cut_first


def keep_depth(canvas: Any) -> None:
    """Have a canvas that is put elsewhere draw all its layers: Qt may give it a new context, without napari's setting.

    Then only the first of the layers at one depth would be drawn.
    """
    scene = canvas._scene_canvas

    def again(event: Any = None) -> None:
        with suppress(RuntimeError):  # the canvas is gone
            scene.context.set_depth_func("lequal")
            scene.update()

    if scene not in _kept:
        _kept.add(scene)
        scene.events.initialize.connect(again)
    QTimer.singleShot(0, again)


def window_of(viewer: Any) -> QMainWindow | None:
    """The viewer's window; a ViewerModel has none."""
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    return window if isinstance(window, QMainWindow) else None
