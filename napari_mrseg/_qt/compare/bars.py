"""Bars of what each modality adds to a region's size or Dice."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_mrseg._qt.compare.style_sheet import PAPER, wrapped
from napari_mrseg.compare.attribution import CAVEAT, HOW, Attribution
from napari_mrseg.tasks import Task

_BAR, _GAP, _TOP = 16, 9, 24  # pixels
_REGION, _NAME, _NUMBER = 34, 52, 56
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00")  # Okabe and Ito


class Bars(QWidget):
    """A group of bars per region, one per modality, from a common zero line."""

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = task
        self.attribution: Attribution | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_attribution(self, task: Task, attribution: Attribution | None) -> None:
        self._task, self.attribution = task, attribution
        self.setVisible(attribution is not None and bool(attribution.values))
        self.setAccessibleName(self.words())
        self.updateGeometry()
        self.update()

    def words(self) -> str:
        """The bars as text."""
        if self.attribution is None:
            return ""
        return "; ".join(
            f"{region}: "
            + ", ".join(f"{self._task.modality(m).title} {self._number(v)}" for m, v in values.items())
            for region, values in self.attribution.values.items()
        )

    def sizeHint(self) -> QSize:  # noqa: N802
        if self.attribution is None:
            return QSize(240, 0)
        groups = self.attribution.values.values()
        return QSize(300, _TOP + sum(len(g) * _BAR + _GAP for g in groups))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(240, self.sizeHint().height())

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        if self.attribution is None:
            return
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(PAPER))
        ink, faint = QColor("#e8ecef"), QColor("#9aa5ad")
        values = [v for group in self.attribution.values.values() for v in group.values()]
        low, high = min(0.0, *values), max(0.0, *values)
        left, room = _REGION + _NAME, self.width() - _REGION - _NAME - _NUMBER
        scale = room / ((high - low) or 1.0)
        zero = left - low * scale
        painter.setPen(faint)
        what = "mL" if self.attribution.unit == "mL" else self.attribution.unit
        title = (
            f"Share in the volume, {what}"
            if self.attribution.measure == "size"
            else "Share in Dice to reference"
        )
        painter.drawText(0, 14, title)
        y = _TOP
        for region, group in self.attribution.values.items():
            painter.setPen(ink)
            painter.drawText(0, y + 12, region)
            start = y
            for name, value in group.items():
                painter.setPen(ink)
                label = QRectF(_REGION, y, _NAME - 6, _BAR)
                painter.drawText(
                    label,
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                    self._task.modality(name).title,
                )
                x = zero + min(0.0, value) * scale
                place = self._task.names.index(name) % len(COLOURS)
                painter.fillRect(
                    QRectF(x, y + 2, max(1.0, abs(value) * scale), _BAR - 4), QColor(COLOURS[place])
                )
                painter.drawText(QRectF(zero + max(0.0, value) * scale + 4, y, _NUMBER, _BAR),
                                 Qt.AlignmentFlag.AlignVCenter, self._number(value))  # fmt: skip
                y += _BAR
            painter.setPen(QPen(faint, 1))
            painter.drawLine(round(zero), start, round(zero), y)
            y += _GAP

    def event(self, event: Any) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), wrapped(f"{self._totals()} {HOW} {CAVEAT}"), self)
            return True
        return bool(super().event(event))

    def _totals(self) -> str:
        if self.attribution is None:
            return ""
        totals = ", ".join(f"{r} {self._number(v, sign=False)}" for r, v in self.attribution.total.items())
        return f"All modalities together: {totals} {self.attribution.unit}."

    def _number(self, value: float, sign: bool = True) -> str:
        assert self.attribution is not None
        unit = self.attribution.unit
        digits = 2 if self.attribution.measure == "dice" else 0 if unit == "px" else 1
        return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
