"""Asks before a window closes over a copy that was edited by hand and is not saved."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox

from napari_mrseg._qt.edits import copies_in, is_unsaved


class Leaving(QObject):
    """Lives with the window, also when the dock is closed before it: the copies stay in the layer list."""

    def __init__(self, window: QMainWindow, viewer: ViewerModel) -> None:
        super().__init__(window)
        self._viewer = viewer
        window.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.Close:
            return False
        unsaved = [str(copy.name) for copy in copies_in(self._viewer) if is_unsaved(copy)]
        if not unsaved or self._may_go(unsaved):
            return False
        event.ignore()
        return True

    def _may_go(self, unsaved: list[str]) -> bool:
        names = "\n".join(unsaved)
        question = f"Edited by hand and not saved:\n\n{names}\n\nClose and lose this work?"
        choices = QMessageBox.StandardButton.Discard | QMessageBox.StandardButton.Cancel
        answer = QMessageBox.warning(
            self.parent(), "Not saved", question, choices, QMessageBox.StandardButton.Cancel
        )
        return answer == QMessageBox.StandardButton.Discard


def guard(viewer: Any) -> None:
    """Have one in the viewer's window; a ViewerModel has none."""
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    if window is not None and not window.findChildren(Leaving):
        Leaving(window, viewer)
