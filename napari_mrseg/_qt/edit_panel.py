"""The tools for a copy edited by hand: what is painted and how, and corrections of the whole."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_mrseg._qt.in_sight import bring_into_sight
from napari_mrseg.tasks import Task

BRUSH, ERASE, FILL, TAKE = "paint", "erase", "fill", "take"
"""What a click or a drag on the picture does; the first three are napari's names."""
GROW, SHRINK, SMOOTH, HOLES, BETWEEN, SMALL = "grow", "shrink", "smooth", "holes", "between", "small"
UNDO, REDO = "undo", "redo"


class EditPanel(QWidget):
    """Emits requests only. ``tool`` carries one of the tools, or "" for none; ``change`` a correction."""

    tool = Signal(str)
    change = Signal(str)
    label_chosen = Signal(int)
    size_chosen = Signal(int)

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        unit, small = task.length_unit, task.unit
        self.labels = QComboBox()
        for label in task.labels:
            self.labels.addItem(f"{label.name}, {label.title}", label.code)
        self.labels.setAccessibleName("Label to paint")
        self.labels.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.labels.setMinimumContentsLength(8)
        self.labels.setToolTip("What is painted, and what the corrections below change")
        self.labels.activated.connect(lambda _: self.label_chosen.emit(int(self.labels.currentData())))
        self.size = QSpinBox()
        self.size.setRange(1, 200)
        self.size.setPrefix("⌀ ")
        self.size.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)  # as below
        self.size.setAccessibleName("Brush size")
        self.size.setToolTip("Brush size in voxels")
        self.size.valueChanged.connect(self.size_chosen)
        self.mm = _number(0.1, 50.0, 2.0, f" {unit}", "How far to grow, shrink or smooth")
        self.small = _number(0.001 if task.ndim == 3 else 1, 1e6, 0.1 if task.ndim == 3 else 20, f" {small}",
                             "Connected findings below this size are removed")  # fmt: skip
        self.small.setPrefix("< ")
        self.small.setDecimals(3 if task.ndim == 3 else 0)
        self.tools = {
            BRUSH: _tool("Brush", "Paint the label"),
            ERASE: _tool("Erase", "Paint background"),
            FILL: _tool("Fill", "Click: all that is connected there becomes the label"),
            TAKE: _tool("Take away", "Click on a lesion: all of it, connected in 3-D, becomes background"),
        }
        self.changes = {
            GROW: _button("Grow", "Add what lies within this distance of the label"),
            SHRINK: _button("Shrink", "Give the label's rim to what is beside it"),
            SMOOTH: _button("Smooth", "Round the label's border off by this distance"),
            HOLES: _button("Fill holes", "Fill what the label encloses in the slices of this plane"),
            BETWEEN: _button("Interpolate", "Fill the gaps between slices of this plane that you painted"),
            SMALL: _button("Remove", "Remove connected findings that are smaller than this"),
            UNDO: _button("Undo", "Take back the last stroke or correction (Ctrl+Z)"),
            REDO: _button("Redo", "Do it again (Ctrl+Shift+Z)"),
        }
        for name, tool in self.tools.items():
            tool.clicked.connect(lambda checked, name=name: self.tool.emit(name if checked else ""))
        for name, button in self.changes.items():
            button.clicked.connect(lambda _=False, name=name: self.change.emit(name))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        rows: tuple[tuple[QWidget, ...], ...] = (
            (self.labels, self.size, self.changes[UNDO], self.changes[REDO]),
            tuple(self.tools.values()),
            (self.mm, self.changes[GROW], self.changes[SHRINK], self.changes[SMOOTH]),
            (self.small, self.changes[SMALL], self.changes[HOLES], self.changes[BETWEEN]),
        )
        for row, widgets in enumerate(rows):
            for column, widget in enumerate(widgets):
                widget.setMinimumWidth(30)
                widget.setSizePolicy(
                    QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
                )  # columns of one width
                grid.addWidget(widget, row, column)
        for column in range(4):
            grid.setColumnStretch(column, 1)
        self.setStyleSheet(
            "QPushButton { padding: 4px 0px; font-size: 12px; }"
            "QComboBox, QAbstractSpinBox { min-width: 20px; padding-left: 3px; }"
        )

    def showEvent(self, event: Any) -> None:  # noqa: N802
        super().showEvent(event)
        bring_into_sight(self)

    def show_state(self, tool: str, label: int, size: int, *, undo: bool, redo: bool, busy: bool) -> None:
        """``tool`` in hand, "" if none; ``busy``: a correction is being computed."""
        with QSignalBlocker(self.labels), QSignalBlocker(self.size):
            self.labels.setCurrentIndex(self.labels.findData(label))
            self.size.setValue(size)
        for name, button in self.tools.items():
            button.setChecked(name == tool)
        for button in self.changes.values():
            button.setEnabled(not busy)
        self.changes[UNDO].setEnabled(undo and not busy)
        self.changes[REDO].setEnabled(redo and not busy)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _tool(text: str, tip: str) -> QPushButton:
    button = _button(text, tip)
    button.setCheckable(True)
    return button


def _number(low: float, high: float, value: float, unit: str, tip: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setSuffix(unit)
    field.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # no room for them; arrow keys step
    field.setDecimals(1)
    field.setToolTip(tip)
    field.setAccessibleName(tip)
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return field
