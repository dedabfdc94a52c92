"""Asks which file is which, when the names do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QInputDialog,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.modalities import REFERENCE, FileChoice
from napari_mrseg.errors import MrsegError
from napari_mrseg.session.opening import held_by, name_of
from napari_mrseg.tasks import Task

NO_REFERENCE = "Leave the reference out"


def files_at(paths: Sequence[str | Path], task: Task) -> tuple[FileChoice, ...]:
    """The scans at ``paths`` and what their names say; nothing if there are none. Reads no voxel."""
    from napari_mrseg.io import recognise

    try:
        found = recognise([str(path) for path in paths], task).files
    except (MrsegError, OSError):
        return ()
    return tuple(FileChoice(str(f.path), f.path.name, f.role, f.reason) for f in found)


def studies_at(paths: Sequence[str | Path], task: Task) -> tuple[tuple[Path, str], ...]:
    """Path and words of the studies at ``paths``, or one level down, where one must be chosen."""
    from napari_mrseg.io import recognise

    given = [str(path) for path in paths]
    try:
        found = recognise(given, task)
    except (MrsegError, OSError):
        found = None
    if found is not None and (found.studies or any(file.role for file in found.files)):
        return found.studies
    return tuple((path, f"{name_of([str(path)])} ({kind})") for path, kind in held_by(given, task))


def ask_study(studies: Sequence[tuple[Path, str]], parent: QWidget) -> Path | None:
    """The one that the user chooses, or None."""
    words = [text for _, text in studies]
    chosen, there = QInputDialog.getItem(parent, "Which study?", "The export holds:", words, 0, False)
    return studies[words.index(chosen)][0] if there else None


def ask_codes(task: Task, current: str | None, parent: QWidget) -> dict[str, Any] | None:
    """``open_study``'s options for the reference as the user says it is written; None if nothing was chosen."""
    from napari_mrseg.io.labels import codes_in_words

    names = [task.name, *(name for name, _ in task.schemes)]
    words = [f"{name}: {codes_in_words(task, name)}" for name in names]
    chosen, there = QInputDialog.getItem(
        parent,
        "What do the reference's codes mean?",
        "Codes of:",
        [*words, NO_REFERENCE],
        names.index(current) if current in names else 0,
        False,
    )
    if not there:
        return None
    if chosen == NO_REFERENCE:
        return {"reference": False, "labels": None}
    return {"labels": names[words.index(chosen)]}


def is_unclear(paths: Sequence[str | Path], task: Task) -> bool:
    """True if the names of the scans at ``paths`` are why they cannot be opened, so that the user has to say."""
    from napari_mrseg.io import recognise

    try:
        return bool(recognise([str(path) for path in paths], task).problems(task))
    except (MrsegError, OSError):
        return False


class AssignDialog(QDialog):
    """One row per file: its name, what its name says, and a drop-down for what it is."""

    def __init__(
        self,
        task: Task,
        files: Sequence[FileChoice],
        parent: QWidget | None = None,
        suggested: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which file is which?")
        self.combos: dict[str, QComboBox] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        for row, file in enumerate(files):
            suggestion = suggested.get(file.path)
            role, reason = file.role, file.reason
            if suggestion is not None and role is None:
                role = suggestion
                reason = f"{reason}; looks like {task.modality(suggestion).title} by its contrast"
            combo = QComboBox()
            combo.addItem("not used", None)
            for modality in task.modalities:
                combo.addItem(modality.title, modality.name)
            combo.addItem("reference", REFERENCE)
            combo.setCurrentIndex(max(combo.findData(role), 0))
            self.combos[file.path] = combo
            grid.addWidget(QLabel(file.name), row, 0)
            grid.addWidget(QLabel(reason), row, 1)
            grid.addWidget(combo, row, 2)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel, self
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(grid)
        column.addWidget(buttons)

    def roles(self) -> Mapping[str, str | None]:
        """What the user chose, by file path."""
        return {path: combo.currentData() for path, combo in self.combos.items()}
