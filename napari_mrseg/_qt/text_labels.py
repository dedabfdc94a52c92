"""Labels that never widen or push apart what they lie in."""

from __future__ import annotations

import re
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

_MOST = 130  # pixels of notes that are shown; the rest scrolls


class WrappedLabel(QLabel):
    """Text that wraps, also within a long file name, and so never widens the dock. ``text()`` is as it was set."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._words = ""
        self.setProperty("role", role)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, words: str | None) -> None:  # noqa: N802
        self._words = words or ""
        super().setText(re.sub(r"(?<=[_/\\])(?=\S)", "\u200b", self._words))

    def text(self) -> str:
        return self._words


class ElidedLabel(QLabel):
    """Text in one line, cut where there is no room; the tip has all of it. ``text()`` is as it was set.

    ``hides``: takes no room while there is nothing to say.
    """

    def __init__(self, role: str, *, hides: bool = False) -> None:
        super().__init__()
        self._words = self._tipped = ""
        self._hides = hides
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(self.fontMetrics().height())  # also while there is nothing to say

    def setText(self, words: str | None) -> None:  # noqa: N802
        self._words = words or ""
        self._fit()
        if self._hides:
            self.setVisible(bool(self._words))

    def text(self) -> str:
        return self._words

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        cut = self.fontMetrics().elidedText(
            self._words, Qt.TextElideMode.ElideMiddle, max(20, self.width() - 2)
        )
        if cut != super().text():
            super().setText(cut)
        if cut != self._words:
            self.setToolTip(self._words)
            self._tipped = self._words
        elif self.toolTip() == self._tipped:  # a tip that somebody gave it stays
            self.setToolTip("")


class Notes(QWidget):
    """Sentences, one a line, behind a line that says how many there are; open, they scroll in a part of the dock."""

    toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton()
        self.button.setObjectName("notes")
        self.button.setCheckable(True)
        self.button.toggled.connect(self._open)
        self.words = WrappedLabel("note")
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setFixedHeight(_MOST)
        self._scroll.setWidget(self.words)
        self._scroll.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.button)
        column.addWidget(self._scroll)

    def setText(self, sentences: str) -> None:  # noqa: N802
        if sentences == self.words.text():
            return
        self.words.setText(sentences)
        self._name()

    def text(self) -> str:
        return self.words.text()

    @property
    def is_open(self) -> bool:
        return self.button.isChecked()

    def _open(self, on: bool) -> None:
        self._scroll.setVisible(on)
        self._name()
        self.toggled.emit(on)

    def _name(self) -> None:
        count = len(self.words.text().splitlines())
        self.button.setText(f"{count} note{'' if count == 1 else 's'} {'▾' if self.is_open else '▸'}")
        self.button.setToolTip("" if self.is_open else self.words.text())
