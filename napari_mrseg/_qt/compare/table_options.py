"""Beside the matrix: which rows, which columns, and what the others are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.compare.style_sheet import quiet, scale_style, titled, wrapped
from napari_mrseg._qt.user_settings import last_folder
from napari_mrseg.compare.columns import SECOND
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.metric import METRICS
from napari_mrseg.tasks import Task

_TITLES = {
    "size": "size",
    "versus": "Dice to chosen",
    "dice": "Dice to reference",
    **{name: metric.title for name, metric in METRICS.items()},
    "seconds": "time",
}
_TIPS = {
    "size": "Size of each region",
    "versus": "Dice between each row's result and that of the combination chosen below: how much it changes",
    "dice": "Dice between each row's result and the loaded reference segmentation",
    **dict.fromkeys(METRICS, "To the reference; measured when switched on, row by row"),
    "hd95": "95th percentile of the surface distances to the reference; measured when switched on, row by row",
    "seconds": "How long each combination took on this machine",
}
_ON_AT_FIRST = ("size", "versus", "dice", "seconds")
_NEEDS_REFERENCE = ("dice", *METRICS)
_FOLDER = "…"  # no model's name: they begin with a letter or a number
_WORDS = {None: "any", True: "with", False: "without"}


class Choices(QWidget):
    """Filter by modality, choose columns, choose what "versus" compares with. Emits requests only."""

    kinds_changed = Signal(object)  # frozenset of column kinds
    filter_changed = Signal(object)  # {modality: with or without}
    against_changed = Signal(object)  # a combination
    second_changed = Signal(object)  # a model's name or folder, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.filters: dict[str, QPushButton] = {}
        self.kinds: dict[str, QCheckBox] = {}
        self._wanted: dict[str, bool | None] = {}
        self._task: Task | None = None
        self.against = QComboBox()
        self.against.setToolTip(wrapped("The combination whose result the others are compared with"))
        self.against.activated.connect(lambda i: self.against_changed.emit(self.against.itemData(i)))
        self.second = QComboBox()
        self.second.setToolTip(
            wrapped(
                "Another model's answer to each row: its columns beside these, its differences under “two at a time” "
                "and in the contact sheet. It is computed while nothing else is."
            )
        )
        self.second.setAccessibleName("Second model")
        self.second.addItem("none", None)
        self.second.activated.connect(self._choose_second)
        self._second: str | None = None
        self._buttons = QGridLayout()
        self._buttons.setSpacing(3)
        checks = QGridLayout()
        checks.setSpacing(2)
        for number, (kind, title) in enumerate(_TITLES.items()):
            check = QCheckBox(title)
            check.setChecked(kind in _ON_AT_FIRST)
            check.setToolTip(wrapped(_TIPS[kind]))
            check.toggled.connect(lambda _: self.kinds_changed.emit(self.chosen_kinds()))
            self.kinds[kind] = check
            checks.addWidget(check, number // 2, number % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(titled("ROWS"))
        layout.addLayout(self._buttons)
        layout.addWidget(titled("COLUMNS"))
        layout.addLayout(checks)
        row = QHBoxLayout()
        row.addWidget(quiet("chosen:", wrap=False))
        row.addWidget(self.against, 1)
        layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(quiet("second model:", wrap=False))
        row.addWidget(self.second, 1)
        layout.addLayout(row)
        layout.addLayout(self._scale())

    def show_comparison(self, comparison: Comparison | None) -> None:
        if comparison is None:
            return
        if comparison.task is not self._task:
            self._task = comparison.task
            self._offer_filters(comparison.task)
        for name, button in self.filters.items():
            button.setEnabled(name in comparison.study.present)
        for kind in _NEEDS_REFERENCE:
            self.kinds[kind].setEnabled(comparison.study.reference is not None)
        wanted = list(comparison.expected)
        if [self.against.itemData(i) for i in range(self.against.count())] != wanted:
            self.against.clear()
            for combination in wanted:
                full = combination == comparison.study.present
                self.against.addItem("all there" if full else comparison.title(combination), combination)
        self.against.setCurrentIndex(wanted.index(comparison.against))

    def chosen_kinds(self) -> frozenset[str]:
        chosen = (kind for kind, check in self.kinds.items() if check.isChecked())
        return frozenset((*chosen, *SECOND))  # those are there with a second model only

    def show_kinds(self, kinds: frozenset[str]) -> None:
        for kind, check in self.kinds.items():
            check.setChecked(kind in kinds)

    def offer_models(self, names: Sequence[str], current: str | None) -> None:
        """Models to choose the second one from: the installed ones but ``current``, and any folder."""
        with QSignalBlocker(self.second):
            self.second.clear()
            self.second.addItem("none", None)
            for name in names:
                if name != current:
                    self.second.addItem(name, name)
            if self._second is not None and self.second.findData(self._second) < 0:
                self.second.addItem(Path(self._second).name, self._second)
            self.second.insertSeparator(self.second.count())
            self.second.addItem("A folder: model or predictions …", _FOLDER)
        self.show_second(self._second)

    def show_second(self, asked: str | None) -> None:
        """What is chosen now; a folder that is not among the names is added."""
        self._second = asked
        with QSignalBlocker(self.second):
            if asked is not None and self.second.findData(asked) < 0:
                self.second.insertItem(1, Path(asked).name, asked)
            self.second.setCurrentIndex(max(0, self.second.findData(asked)) if asked is not None else 0)

    def name_second(self, name: str | None) -> None:
        """The model's own name, once it is known, in place of its folder's."""
        if name is not None and self.second.currentIndex() > 0:
            self.second.setItemText(self.second.currentIndex(), name)

    def _choose_second(self, index: int) -> None:
        asked = self.second.itemData(index)
        if asked == _FOLDER:
            asked = (
                QFileDialog.getExistingDirectory(
                    self, "A model, or label files of another program", last_folder()
                )
                or self._second
            )
        self.show_second(asked)
        self.second_changed.emit(asked)

    def _offer_filters(self, task: Task) -> None:
        for button in self.filters.values():
            button.deleteLater()
        self.filters, self._wanted = {}, dict.fromkeys(task.names)
        for number, modality in enumerate(task.modalities):
            button = QPushButton()
            button.setToolTip(wrapped(f"Rows with or without {modality.title}; click to go through them"))
            button.clicked.connect(partial(self._cycle, modality.name))
            self.filters[modality.name] = button
            self._buttons.addWidget(button, number // 2, number % 2)
            self._label(modality.name)

    def _cycle(self, name: str, _: bool = False) -> None:
        order: tuple[bool | None, ...] = (None, True, False)
        self._wanted[name] = order[(order.index(self._wanted[name]) + 1) % 3]
        self._label(name)
        self.filter_changed.emit({n: w for n, w in self._wanted.items() if w is not None})

    def _label(self, name: str) -> None:
        assert self._task is not None
        wanted, button = self._wanted[name], self.filters[name]
        title = self._task.modality(name).title
        button.setText(f"{title}: any" if wanted is None else f"{_WORDS[wanted]} {title}")
        button.setProperty("with", {None: "any", True: "yes", False: "no"}[wanted])
        button.style().unpolish(button)
        button.style().polish(button)

    def _scale(self) -> QHBoxLayout:
        row = QHBoxLayout()
        bar = QLabel()
        bar.setFixedHeight(10)
        bar.setStyleSheet(scale_style())
        row.addWidget(quiet("Dice 0", wrap=False))
        row.addWidget(bar, 1)
        row.addWidget(quiet("1", wrap=False))
        hatched = quiet("▨ estimate", wrap=False)
        hatched.setToolTip(wrapped("Hatched: the region needs a modality that is off; not observable"))
        row.addWidget(hatched)
        return row
