"""The legend: colours, names, sizes, agreement with the reference, and what cannot be observed."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_mrseg._qt.layers import greyed, rgb
from napari_mrseg._qt.style import restyle
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.tasks import Region, Task

_SWATCH = 12


_DICE = (
    "Dice with the reference, 0 to 1: twice the common voxels over the sum of both, of the label map on screen. "
    "Two empty regions count as 1."
)


def _how_sized(region: Region, task: Task) -> str:
    """How a region's size is computed, in a sentence."""
    names = ", ".join(label.title for label in task.labels if label.code in region.codes)
    each = "times the volume of a voxel" if task.ndim == 3 else "counted"
    return f"Voxels labelled {names}, {each}, in the segmentation on screen."


class Legend(QWidget):
    """Regions with size and Dice, labels with a switch each, opacity, outline. Emits requests only."""

    hidden_changed = Signal(object)  # frozenset of label codes that are not drawn
    opacity_changed = Signal(float)
    outline_changed = Signal(bool)
    overlay_changed = Signal(bool)

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = task
        self.sizes: dict[str, QLabel] = {}
        self.dices: dict[str, QLabel] = {}
        self.notes: dict[str, QLabel] = {}
        self.labels: dict[int, QCheckBox] = {}
        self._names: dict[str, QLabel] = {}
        self._swatches: list[tuple[int, QLabel]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(self._regions())
        layout.addLayout(self._switches())
        layout.addLayout(self._looks())
        self.show_prediction(None, {})

    def show_prediction(
        self, shown: Prediction | None, dice: Mapping[str, float | None], stale: bool = False
    ) -> None:
        """Sizes and Dice of what is on screen; estimated regions greyed, with the reason."""
        combination = shown.combination if shown else self._task.names
        estimated = {region.name for region in self._task.estimated(combination)}
        grey = {label.code for label in self._task.estimated_labels(combination)}
        for region in self._task.regions:
            size, note = self.sizes[region.name], self.notes[region.name]
            text = "–" if shown is None else f"{shown.sizes[region.name]:.1f}"
            size.setText(f"{text} {self._task.unit}" + (" *" if stale and shown else ""))
            size.setToolTip(
                _how_sized(region, self._task) + (" STALE: of the old one on screen." if stale else "")
            )
            self.dices[region.name].setToolTip(_DICE)
            is_estimate = region.name in estimated
            note.setText(region.unseen or "estimate")
            note.setVisible(is_estimate)
            for widget in (size, self._names[region.name]):
                restyle(widget, "estimated", "true" if is_estimate else "false")
            value = dice.get(region.name)
            self.dices[region.name].setText("" if value is None else f"{value:.2f}")
        self._dice_head.setText("Dice" if dice else "")
        for code, swatch in self._swatches:
            colour = next(label.colour for label in self._task.labels if label.code == code)
            style = _swatch_style(colour, code in grey)
            if swatch.styleSheet() != style:  # setting one lays the whole dock out anew
                swatch.setStyleSheet(style)

    def show_outline(self, outline: bool) -> None:
        self.outline.setChecked(outline)

    def show_overlay(self, visible: bool) -> None:
        self.overlay.setChecked(visible)

    def _regions(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        size_head, self._dice_head = QLabel("size"), QLabel("Dice")
        self._dice_head.setToolTip(_DICE)
        for column, head in ((2, size_head), (3, self._dice_head)):
            head.setProperty("role", "quiet")
            grid.addWidget(head, 0, column, Qt.AlignmentFlag.AlignRight)
        for i, region in enumerate(self._task.regions):
            row = 2 * i + 1
            swatches = QHBoxLayout()
            swatches.setSpacing(2)
            for code in region.codes:
                swatches.addWidget(self._swatch(code))
            swatches.addStretch()
            grid.addLayout(swatches, row, 0)
            name = QLabel(f"<b>{region.name}</b> {region.title}")
            name.setProperty("role", "region")
            size, dice, note = QLabel(), QLabel(), QLabel()
            size.setProperty("role", "size")
            note.setProperty("role", "note")
            note.setWordWrap(True)
            grid.addWidget(name, row, 1)
            grid.addWidget(size, row, 2, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(dice, row, 3, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(note, row + 1, 1, 1, 3)
            self.sizes[region.name], self.dices[region.name] = size, dice
            self.notes[region.name], self._names[region.name] = note, name
        return grid

    def _switches(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(2)
        for label in self._task.labels:
            row = QHBoxLayout()
            check = QCheckBox(label.title)
            check.setChecked(True)
            check.setToolTip(f"Show or hide {label.title}")
            check.toggled.connect(self._hidden)
            self.labels[label.code] = check
            row.addWidget(self._swatch(label.code))
            row.addWidget(check, 1)
            column.addLayout(row)
        return column

    def _looks(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.overlay = QCheckBox("Show")
        self.overlay.setChecked(True)
        self.overlay.setToolTip("Show or hide the segmentation (Alt+0)")
        self.overlay.toggled.connect(self.overlay_changed)
        self.outline = QCheckBox("Outline")
        self.outline.setToolTip("Outline instead of fill (Alt+O)")
        self.outline.toggled.connect(self.outline_changed)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(60)
        self.opacity.setToolTip("Opacity of the segmentation")
        self.opacity.valueChanged.connect(lambda percent: self.opacity_changed.emit(percent / 100))
        row.addWidget(self.overlay)
        row.addWidget(self.outline)
        row.addWidget(QLabel("Opacity"))
        row.addWidget(self.opacity, 1)
        return row

    def _swatch(self, code: int) -> QLabel:
        swatch = QLabel()
        swatch.setFixedSize(_SWATCH, _SWATCH)
        self._swatches.append((code, swatch))
        return swatch

    def _hidden(self) -> None:
        self.hidden_changed.emit(frozenset(c for c, check in self.labels.items() if not check.isChecked()))


def _swatch_style(colour: str, estimated: bool) -> str:
    if not estimated:
        return f"background: {colour}; border-radius: 3px;"
    import numpy as np

    red, green, blue = (int(v * 255) for v in greyed(np.array(rgb(colour))))
    return f"background: rgb({red},{green},{blue}); border: 1px dashed #eee; border-radius: 3px;"
