"""One line under the table: the smallest set that is enough, and what the next modality would add."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QBoxLayout, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from napari_mrseg._qt.compare.style_sheet import quiet, wrapped
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.sufficient import EXPLANATION, THRESHOLD, default_lines

_HEIGHT = 62  # pixels, four lines: reserved, so that a longer sentence does not push the window apart


_WIDE = 900  # pixels for the sentences beside the number


class SufficientLine(QWidget):
    """A spin box for the Dice, and the sentences."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparison: Comparison | None = None
        self.threshold = QDoubleSpinBox()
        self.threshold.setRange(0.5, 0.99)
        self.threshold.setSingleStep(0.01)
        self.threshold.setDecimals(2)
        self.threshold.setValue(THRESHOLD)
        self.threshold.setToolTip(wrapped(f"The Dice to the result of all modalities to keep. {EXPLANATION}"))
        self.threshold.valueChanged.connect(lambda _: self._refresh())
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setToolTip(wrapped(EXPLANATION))
        self.text.setProperty("role", "small")
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setFixedHeight(_HEIGHT)
        asked = QHBoxLayout()
        asked.addWidget(quiet("Enough for a Dice of", wrap=False))
        asked.addWidget(self.threshold)
        asked.addStretch(1)
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(2)
        self._row.addLayout(asked)
        self._row.addWidget(self.text, 1)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """In a narrow window the sentences lie below, where they have the whole width."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        self._row.setDirection(way.LeftToRight if self.width() >= _WIDE else way.TopToBottom)

    def show_comparison(self, comparison: Comparison | None) -> None:
        self._comparison = comparison
        self._refresh()

    def _refresh(self) -> None:
        comparison = self._comparison
        if comparison is None:
            self.text.setText("")
            return
        lines = default_lines(comparison, self.threshold.value())
        self.text.setText("\n".join(line.text for line in lines))
        self.text.setToolTip(wrapped("\n".join([*(line.text for line in lines), EXPLANATION])))
