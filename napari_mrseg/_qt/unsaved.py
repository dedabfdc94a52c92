"""The one question before work done by hand could be lost: on opening, quitting, closing the dock and deleting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from weakref import WeakMethod

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow, QMessageBox, QWidget

from napari_mrseg._qt.edits import about_edit, edited_name, edits_in, mark_saved
from napari_mrseg._qt.user_settings import SAVED, last_folder, remember_folder
from napari_mrseg.errors import MrsegError

Answer = Literal["save", "discard", "cancel"]


def ask(question: str, parent: QWidget | None) -> Answer:
    """Save, Discard or Cancel; Esc is Cancel."""
    button = QMessageBox.StandardButton
    box = QMessageBox(QMessageBox.Icon.Warning, "Not saved", question, parent=parent)
    box.setStandardButtons(button.Save | button.Discard | button.Cancel)
    box.setDefaultButton(button.Save)
    answer = box.exec()
    return "save" if answer == button.Save else "discard" if answer == button.Discard else "cancel"


def leave(unsaved: Sequence[Labels], parent: QWidget | None, why: str) -> bool:
    """Whether the user goes on although work is not saved, or once it is. Asks nothing if there is none."""
    if not unsaved:
        return True
    names = "\n".join(str(layer.name) for layer in unsaved)
    answer = ask(f"Edited by hand and not saved:\n\n{names}\n\nSave before {why}?", parent)
    return answer == "discard" or (answer == "save" and save(unsaved, parent))


def save(layers: Sequence[Labels], parent: QWidget | None) -> bool:
    """Write all into a folder that the user chooses, at once. False if it was not chosen, or could not be written."""
    from napari_mrseg.io.export import write_labels
    from napari_mrseg.io.formats import label_ending
    from napari_mrseg.tasks import DEFAULT, TASKS

    cases = ", ".join(dict.fromkeys(str(about_edit(layer)["case"]) for layer in layers))
    chosen = QFileDialog.getExistingDirectory(parent, f"Save what was edited of {cases}", last_folder(SAVED))
    if not chosen:
        return False
    remember_folder(chosen, SAVED)
    folder, files = Path(chosen), dict[Path, Labels]()
    for layer in layers:
        task = TASKS.get(str(about_edit(layer).get("task")), DEFAULT)
        ending, number = label_ending(task, len(layer.data)), 1
        while (path := folder / f"{edited_name(layer)}{f'-{number}' if number > 1 else ''}{ending}") in files:
            number += 1
        files[path] = layer
    there = [path.name for path in files if path.exists()]
    question = (
        f"There is already {', '.join(there)} in {folder.name}. Replace it by what was edited of {cases}?"
    )
    if there and QMessageBox.question(parent, "Replace?", question) != QMessageBox.StandardButton.Yes:
        return False
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        for path, layer in files.items():
            labels = np.array(layer.data)
            write_labels(labels, about_edit(layer)["source"], path)
            mark_saved(layer, labels)
    except (MrsegError, OSError) as error:
        QApplication.restoreOverrideCursor()
        QMessageBox.critical(parent, "Not saved", f"{error}")
        return False
    QApplication.restoreOverrideCursor()
    return True


class UnsavedWork(QObject):
    """Lives with the window, also when the dock is closed before it: the copies stay in the layer list.

    ``more``: what a dock knows beside what is in the list; the newest dock sets it.
    """

    def __init__(self, window: QMainWindow, viewer: ViewerModel) -> None:
        super().__init__(window)
        self._window, self._viewer = window, viewer
        self.more: Callable[[], Callable[[], list[Labels]] | None] = lambda: None
        self._asked = False  # for this closing
        window.installEventFilter(self)
        close = window.close

        def close_once(quit_app: bool = False, confirm_need: bool = False) -> Any:
            """napari's own way to close, which asks its own question first: ours says more and takes its place."""
            if not confirm_need:
                return close(quit_app=quit_app, confirm_need=False) if quit_app else close()
            unsaved = self._unsaved()
            if not self._may_go(unsaved):
                return None
            self._asked = True
            try:
                return close(quit_app=quit_app, confirm_need=not unsaved)
            finally:
                self._asked = False

        if hasattr(window, "_qt_viewer"):
            window.close = close_once

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.Close or self._asked or not self._window.isVisible():
            return False
        unsaved = self._unsaved()
        if not unsaved:
            return False
        if not self._may_go(unsaved):
            event.ignore()
            return True
        if not event.spontaneous():
            return False
        event.ignore()  # and again on our own account, which napari does not ask about once more
        self._asked = True
        try:
            self._window.close()
        finally:
            self._asked = False
        return True

    def _unsaved(self) -> list[Labels]:
        more = self.more()
        return list(dict.fromkeys([*edits_in(self._viewer.layers), *(more() if more is not None else ())]))

    def _may_go(self, unsaved: Sequence[Labels]) -> bool:
        return leave(unsaved, self._window, "closing")


def guard(viewer: Any, more: Callable[[], list[Labels]]) -> None:
    """Have one in the viewer's window; a ViewerModel has none. ``more``: a method of the dock's layers."""
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    if window is None:
        return
    there = window.findChildren(UnsavedWork) or [UnsavedWork(window, viewer)]
    there[0].more = WeakMethod(more)
