"""The modalities: which file is which, switched on or off, which one is seen behind the overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QWidget,
)

from napari_mrseg._qt.key_names import key as key_of
from napari_mrseg._qt.key_names import key_text, with_key
from napari_mrseg.tasks import Combination, Modality, Task

REFERENCE = "reference"
_NONE = "— not found —"
_CLOSED = "–"  # no study is open, so no file was looked for
BLINK_MS = 700
_IMAGINE = 60  # pixels of the button in the column of the views
_BLINK = "QComboBox { background: #7a4a00; color: #fff2da; }"  # the colours of what is stale


@dataclass(frozen=True)
class FileChoice:
    """A file that was found: its ``path``, short ``name``, ``role`` and the ``reason`` for it.

    ``question``: what the user should check of that role, or nothing.
    """

    path: str
    name: str
    role: str | None
    reason: str
    question: str = ""


class ModalityList(QWidget):
    """One row per modality: switch, key, view, file. Emits requests, changes nothing itself.

    In place of its view, one that is not in use has a button by which it is imagined, where it can be.
    """

    toggled = Signal(str)
    viewed = Signal(str)
    imagine = Signal(str)
    assigned = Signal(str, str)  # role, file's path ("" for none)

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = task
        self._files: tuple[FileChoice, ...] = ()
        self.checks: dict[str, QCheckBox] = {}
        self.views: dict[str, QRadioButton] = {}
        self.imagines: dict[str, QPushButton] = {}
        self.combos: dict[str, QComboBox] = {}
        self._keys: dict[str, QLabel] = {}
        self._asked: frozenset[tuple[str, str]] = frozenset()
        self._blinking = QTimer(self)
        self._blinking.setSingleShot(True)
        self._blinking.timeout.connect(self._calm)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(3, 1)
        for column, text in ((0, "use"), (1, "key"), (2, "view"), (3, "file")):
            head = QLabel(text)
            head.setProperty("role", "quiet")
            grid.addWidget(head, 0, column)
        group = self._group = QButtonGroup(self)
        grid.setColumnMinimumWidth(2, _IMAGINE)  # no row moves when a button comes
        for row, modality in enumerate(task.modalities, start=1):
            check = QCheckBox(modality.title)
            check.setProperty("role", "modality")
            check.clicked.connect(lambda _, name=modality.name: self.toggled.emit(name))
            key = QLabel(key_text(key_of(str(row))))
            key.setProperty("role", "quiet")
            view = QRadioButton()
            view.setToolTip(with_key(f"Show {modality.title} behind the segmentation", "next_view"))
            view.clicked.connect(lambda _, name=modality.name: self.viewed.emit(name))
            group.addButton(view)
            grid.addWidget(check, row, 0)
            grid.addWidget(key, row, 1)
            grid.addWidget(view, row, 2, Qt.AlignmentFlag.AlignHCenter)
            grid.addWidget(self._imagine(modality), row, 2)
            grid.addWidget(self._combo(modality.name), row, 3)
            self.checks[modality.name], self.views[modality.name] = check, view
            self._keys[modality.name] = key
        last = len(task.modalities) + 1
        self._reference_label = QLabel("Reference")
        grid.addWidget(self._reference_label, last, 0, 1, 3)
        grid.addWidget(self._combo(REFERENCE), last, 3)

    def show_study(self, present: Combination, files: Sequence[FileChoice], open_: bool) -> None:
        """List what was found; what is missing is greyed."""
        self._files = tuple(files)
        by_role = {f.role: f for f in files if f.role}
        for row, modality in enumerate(self._task.modalities, start=1):
            name, there = modality.name, modality.name in present
            found = by_role.get(name)
            self.checks[name].setEnabled(there)
            self.views[name].setEnabled(there)
            self._keys[name].setVisible(there)
            none = f"No file was taken for {modality.title}." if open_ else ""
            reason = f"{found.name}: {found.reason}" if found else none
            self.checks[name].setToolTip(
                f"{with_key(f'Switch {modality.title} on or off', str(row))}\n{reason}" if there else reason
            )
            self._fill(name, found, open_)
        self._ask(by_role)
        reference = by_role.get(REFERENCE)
        self._fill(REFERENCE, reference, open_)
        for widget in (self._reference_label, self.combos[REFERENCE]):
            widget.setVisible(open_)

    def _ask(self, by_role: Mapping[str, FileChoice]) -> None:
        """Let the row of each modality that should be checked blink once; not again while it stays as it is."""
        asked = {
            name: by_role[name] for name in self._task.names if name in by_role and by_role[name].question
        }
        for name, file in asked.items():
            combo = self.combos[name]
            combo.setToolTip(f"{combo.toolTip()}\n{file.question}")
            if (name, file.path) not in self._asked:
                combo.setStyleSheet(_BLINK)
                self._blinking.start(BLINK_MS)
        self._asked = frozenset((name, file.path) for name, file in asked.items())

    def _calm(self) -> None:
        for combo in self.combos.values():
            combo.setStyleSheet("")

    def _imagine(self, modality: Modality) -> QPushButton:
        button = self.imagines[modality.name] = QPushButton("imagine")
        button.setProperty("role", "imagine")
        button.setCheckable(True)
        button.setFixedWidth(_IMAGINE)
        button.setAccessibleName(f"Imagine {modality.title}")
        button.setToolTip(
            with_key(
                f"What a network imagines {modality.title} to look like, from the scans in use", "imagine"
            )
        )
        button.setVisible(False)
        button.clicked.connect(lambda _: self.imagine.emit(modality.name))
        return button

    def show_imagining(self, choices: Combination, target: str | None) -> None:
        """Which modalities can be imagined, and which one is."""
        for name, button in self.imagines.items():
            button.setVisible(name in choices)
            button.setChecked(name == target)
            self.views[name].setVisible(name not in choices)

    def show_combination(self, combination: Combination) -> None:
        for name, check in self.checks.items():
            check.setChecked(name in combination)

    def show_views(self, visible: Sequence[str]) -> None:
        """Mark the image on screen; ``visible`` modalities, of which the first counts."""
        self._group.setExclusive(bool(visible))  # else the last one stays marked while none is on screen
        for name, view in self.views.items():
            view.setChecked(bool(visible) and name == visible[0])
        self._group.setExclusive(True)

    def _combo(self, role: str) -> QComboBox:
        combo = QComboBox()
        combo.setMinimumContentsLength(6)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # A wheel over the list must not reassign files while the dock is scrolled.
        combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        combo.wheelEvent = lambda event: event.ignore()
        combo.activated.connect(lambda _, r=role, c=combo: self._chosen(r, c))
        self.combos[role] = combo
        return combo

    def _chosen(self, role: str, combo: QComboBox) -> None:
        path = str(combo.currentData() or "")
        now = next((f.path for f in self._files if f.role == role), "")
        if path != now:
            self.assigned.emit(role, path)

    def _fill(self, role: str, found: FileChoice | None, open_: bool) -> None:
        combo = self.combos[role]
        combo.clear()
        combo.addItem(_CLOSED if not open_ else _NONE if found is None else "— none —", "")
        short = short_names(self._files)
        for file in self._files:
            combo.addItem(short[file.path], file.path)
            combo.setItemData(combo.count() - 1, f"{file.name}: {file.reason}", Qt.ItemDataRole.ToolTipRole)
        combo.setCurrentIndex(0 if found is None else max(combo.findData(found.path), 0))
        combo.setEnabled(open_ and bool(self._files))
        what = "Choose the file to correct this" if self._files else ""
        combo.setToolTip(f"{found.name}\n{found.reason}\n{what}" if found else what)


def swapped(files: Sequence[FileChoice], role: str, path: str) -> Mapping[str, str | None]:
    """Corrections that give ``role`` to the file at ``path``; the file that had it takes the other's place.

    ``path`` "" leaves the role without a file.
    """
    before = next((f for f in files if f.role == role), None)
    after = next((f for f in files if f.path == path), None)
    changes: dict[str, str | None] = {}
    if after is not None:
        changes[after.path] = role
    if before is not None:
        changes[before.path] = after.role if after is not None else None
    return changes


def short_names(files: Sequence[FileChoice]) -> dict[str, str]:
    """Names by path without the part all files begin with: it hides what differs in a narrow dock."""
    names = [f.name for f in files]
    start = 0
    if len(names) > 1:
        first, last = min(names), max(names)
        while start < min(len(first), len(last)) and first[start] == last[start]:
            start += 1
        while start and first[start - 1].isalnum():
            start -= 1
    return {f.path: ("…" if start > 3 else "") + f.name[start if start > 3 else 0 :] for f in files}
