"""Asks where to save, and saves in the background."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox

from napari_mrseg._qt.edits import about_edit, edited_name, mark_saved

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host
    from napari_mrseg.inference.prediction import Prediction


class Saver:
    """The Save button's three ways. Writing is the session's and io's work."""

    def __init__(self, dock: Host) -> None:
        self._dock = dock

    def menu(self) -> QMenu:
        menu = QMenu(self._dock)
        for text, slot in (
            ("Save the segmentation shown …", self.save_shown),
            ("Save all computed combinations …", self.save_all),
            ("Save the edited copy …", self.save_edited),
        ):
            menu.addAction(text).triggered.connect(lambda _=False, act=slot: act())
        return menu

    def save_shown(self) -> None:
        """What is on screen: the session's result, or the copy edited by hand that is drawn in its place."""
        session = self._dock.session
        if self._dock.layers.copy is not None:
            self.save_edited()
            return
        shown = session.shown
        if shown is None or shown.preview or session.stale:
            self._dock.say("There is no finished segmentation to save; wait for the final result, then save.")
            return
        self._into((shown,))

    def save_all(self) -> None:
        session = self._dock.session
        done = session.predictions
        if not done:
            self._dock.say("No combination is computed yet; wait for a final result, then save.")
            return
        self._into(tuple(done.values()))

    def save_edited(self) -> None:
        from napari_mrseg.io.export import write_labels
        from napari_mrseg.io.formats import label_ending

        layer = self._dock.layers.edited()
        if layer is None:
            self._dock.say(
                "There is no edited copy of this study; press “Edit a copy” first, or select another study's "
                "copy in the layer list."
            )
            return
        about = about_edit(layer)
        name = f"{edited_name(layer)}{label_ending(self._dock.session.task, len(layer.data))}"
        folder = self._ask(f"Save the edited copy of {self._dock.layers.whose(layer)} into this folder")
        if folder is None or not self._may_replace(folder, [name]):
            return
        labels = layer.data.copy()  # painting may go on while the file is written

        subject = self._dock.session.subject

        def done(_: object) -> None:
            mark_saved(layer, labels)
            self._saved(f"{name} of {about['case']}", folder, subject)

        self._dock.later(lambda: write_labels(labels, about["source"], folder / name), done=done)

    def _into(self, predictions: tuple[Prediction, ...]) -> None:
        from napari_mrseg.io.export import RESULT, label_file

        session = self._dock.session
        folder = self._ask()
        names = [*(label_file(p.combination, p.task, frames=p.grid.shape[0]) for p in predictions), RESULT]
        if folder is None or not self._may_replace(folder, names):
            return
        there, subject = any((folder / name).exists() for name in names), session.subject
        what = names[0] if len(names) == 2 else f"{len(names) - 1} label files"
        self._dock.later(
            lambda: session.save(folder, predictions, overwrite=there),
            done=lambda _: self._saved(f"{what} and {RESULT}", folder, subject),
        )

    def _saved(self, what: str, folder: Path, subject: str) -> None:
        """Say so in the dock, where it stays, and refresh what said “not saved”; nothing of a study that is gone."""
        if subject != self._dock.session.subject:
            return
        self._dock.panel.saved.setText(f"Saved {what} in {folder}")
        self._dock.panel.saved.setToolTip(str(folder))
        self._dock.result.changed.emit()

    def _ask(self, title: str = "Save into this folder") -> Path | None:
        from napari_mrseg._qt.settings import SAVED, last_folder, remember_folder

        chosen = QFileDialog.getExistingDirectory(self._dock, title, last_folder(SAVED))
        if not chosen:
            return None
        remember_folder(chosen, SAVED)
        self._dock.hush()
        return Path(chosen)

    def _may_replace(self, folder: Path, names: list[str]) -> bool:
        from napari_mrseg.io.export import RESULT

        there = [name for name in names if (folder / name).exists()]
        if not there:
            return True
        listed = ", ".join(there[:3]) + (" and more" if len(there) > 3 else "")
        question = f"There is already {listed} in {folder.name}. Replace?"
        if RESULT in names:
            question += " All results of the earlier run in that folder go; another folder keeps both."
        answer = QMessageBox.question(self._dock, "Replace?", question)
        return answer == QMessageBox.StandardButton.Yes
