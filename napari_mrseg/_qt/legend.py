"""The legend: colours, names, sizes, agreement with the reference, and what cannot be observed."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.key_names import key, key_text, label_key, with_key
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.result import Measures
from napari_mrseg._qt.style import restyle
from napari_mrseg.display import greyed, rgb
from napari_mrseg.tasks import Region, Task, sized

_SWATCH = 12
_NAME = 24  # pixels of a region's short name
_TWO_LINES = 28  # pixels: of a note, so that no row moves when it comes


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
    """Regions with size and Dice; in ``drawn``, how they are drawn, as a :class:`OverlayStyle` says and may be told."""

    def __init__(self, task: Task, overlay_style: OverlayStyle, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task, self._overlay_style = task, overlay_style
        self.sizes: dict[str, QLabel] = {}
        self.dices: dict[str, QLabel] = {}
        self.notes: dict[str, QLabel] = {}
        self.labels: dict[int, QCheckBox] = {}
        self._names: dict[str, QLabel] = {}
        self._swatches: list[tuple[int, QLabel]] = []
        self.drawn = QWidget(self)  # how they are drawn: the panel may place it elsewhere
        rows = QVBoxLayout(self.drawn)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._regions())
        rows.addLayout(self._switches())
        rows.addLayout(self._style_row())
        layout.addWidget(self.drawn)
        overlay_style.events.connect(self._show_style)
        self._show_style()
        self.show_measures(Measures())

    def show_measures(self, measures: Measures) -> None:
        """Sizes and Dice of what is on screen; what must not be believed greyed and in parentheses, with the reason."""
        combination, stale, dice = measures.combination or self._task.names, measures.stale, measures.dice
        trust = measures.trust
        estimated = {region.name for region in self._task.estimated(combination)}
        grey = {label.code for label in self._task.estimated_labels(combination)}
        for region in self._task.regions:
            size, note, name = self.sizes[region.name], self.notes[region.name], self._names[region.name]
            is_estimate = region.name in estimated
            doubted = is_estimate or (trust is not None and trust.is_doubted(region.name))
            text = "–" if measures.sizes is None else sized(measures.sizes[region.name], self._task.unit)
            size_text = f"{text} {self._task.unit}" + (" *" if stale else "")
            size.setText(f"({size_text})" if doubted and measures.sizes is not None else size_text)
            why = ([trust.explained] if trust is not None and doubted else []) + (
                ["STALE: of the old one on screen."] if stale else []
            )
            size.setToolTip(" ".join([_how_sized(region, self._task), *why]))
            self.dices[region.name].setToolTip(_DICE)
            note.setText(region.unseen or "estimate")
            note.setIndent(_NAME)
            note.setToolTip(note.text())
            note.setVisible(is_estimate)
            name.setText(f"<b>{region.name}</b>" if is_estimate else f"<b>{region.name}</b> {region.title}")
            for widget in (size, name):
                restyle(widget, "estimated", "true" if doubted else "false")
            value = dice.get(region.name)
            # Two empty regions count as 1: of one that cannot be seen that would say the opposite.
            self.dices[region.name].setText("" if value is None else "–" if is_estimate else f"{value:.2f}")
            restyle(self.dices[region.name], "estimated", "true" if doubted else "false")
        self._dice_head.setText("Dice" if dice else "")
        frames = measures.frames
        self._size_head.setText(
            "size"
            if frames == 0
            else "size, of the frame"
            if frames == 1
            else f"size, of all {frames} frames"
        )
        for code, swatch in self._swatches:
            colour = next(label.colour for label in self._task.labels if label.code == code)
            style = _swatch_style(colour, code in grey)
            if swatch.styleSheet() != style:  # setting one lays the whole dock out anew
                swatch.setStyleSheet(style)

    def _show_style(self, *_: object) -> None:
        overlay_style = self._overlay_style
        boxes = [(self.overlay, overlay_style.visible), (self.outline, overlay_style.outline)]
        boxes += [(check, code not in overlay_style.hidden) for code, check in self.labels.items()]
        for box, checked in boxes:
            with QSignalBlocker(box):
                box.setChecked(checked)
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(100 * overlay_style.opacity))

    def _regions(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        self._size_head, self._dice_head = QLabel("size"), QLabel("Dice")
        self._dice_head.setToolTip(_DICE)
        grid.setColumnMinimumWidth(3, 36)  # the sizes must not move when the Dice comes
        for column, head in ((2, self._size_head), (3, self._dice_head)):
            head.setProperty("role", "quiet")
            grid.addWidget(head, 0, column, Qt.AlignmentFlag.AlignRight)
        for i, region in enumerate(self._task.regions):
            row = i + 1
            swatches = QHBoxLayout()
            swatches.setSpacing(2)
            for code in region.codes:
                swatches.addWidget(self._swatch(code))
            swatches.addStretch()
            grid.addLayout(swatches, row, 0)
            name = QLabel()
            name.setProperty("role", "region")
            size, dice, note = QLabel(), QLabel(), QLabel()
            size.setProperty("role", "size")
            dice.setProperty("role", "dice")
            note.setProperty("role", "note")
            note.setWordWrap(True)  # in a narrow dock: a warning must not be cut
            if region.unseen:
                grid.setRowMinimumHeight(row, _TWO_LINES)
            grid.addWidget(name, row, 1)
            grid.addWidget(note, row, 1)
            grid.addWidget(size, row, 2, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(dice, row, 3, Qt.AlignmentFlag.AlignRight)
            self.sizes[region.name], self.dices[region.name] = size, dice
            self.notes[region.name], self._names[region.name] = note, name
        return grid

    def _switches(self) -> QHBoxLayout:
        """A switch for each label in one row: its short name, in its colour; the tip has the long one."""
        row = QHBoxLayout()
        row.setSpacing(4)
        for label in self._task.labels:
            check = QCheckBox(label.name)
            check.setAccessibleName(f"Show {label.title}")
            number = label_key(self._task, label)
            named = f" ({key_text(key(number))})" if number else ""
            check.setToolTip(f"Show or hide {label.title}{named}")
            check.toggled.connect(self._hidden)
            self.labels[label.code] = check
            row.addWidget(self._swatch(label.code))
            row.addWidget(check, 1)
        return row

    def _style_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.overlay = QCheckBox("Show")
        self.overlay.setToolTip(with_key("Show or hide the segmentation", "overlay"))
        self.overlay.toggled.connect(lambda on: setattr(self._overlay_style, "visible", on))
        self.outline = QCheckBox("Outline")
        self.outline.setToolTip(with_key("Outline instead of fill", "outline"))
        self.outline.toggled.connect(lambda on: setattr(self._overlay_style, "outline", on))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        faded = " and ".join(key_text(key(action)) for action in ("fainter", "stronger"))
        self.opacity.setToolTip(f"Opacity of the segmentation ({faded})")
        self.opacity.valueChanged.connect(
            lambda percent: setattr(self._overlay_style, "opacity", percent / 100)
        )
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
        self._overlay_style.hidden = frozenset(c for c, check in self.labels.items() if not check.isChecked())


def _swatch_style(colour: str, estimated: bool) -> str:
    if not estimated:
        return f"background: {colour}; border-radius: 3px;"
    red, green, blue = (int(v * 255) for v in greyed(np.array(rgb(colour))))
    return f"background: rgb({red},{green},{blue}); border: 1px dashed #eee; border-radius: 3px;"
