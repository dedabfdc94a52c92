"""Where in a worklist the user is, and the buttons to go on."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_mrseg._qt.key_names import with_key


class WorklistBar(QWidget):
    """Previous, which of how many, next. Not there without a worklist."""

    stepped = Signal(int)  # -1 or 1

    def __init__(self) -> None:
        super().__init__()
        self.label = QLabel()
        self.label.setProperty("role", "quiet")
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.previous, self.next = QToolButton(), QToolButton()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button, text, words, action, step in (
            (self.previous, "◀", "Previous study of the worklist", "previous_study", -1),
            (self.next, "▶", "Next study of the worklist", "next_study", 1),
        ):
            button.setText(text)
            button.setAccessibleName(words)
            button.setToolTip(with_key(words, action))
            button.clicked.connect(lambda _=False, by=step: self.stepped.emit(by))
        row.addWidget(self.previous)
        row.addWidget(self.label, 1)
        row.addWidget(self.next)
        self.hide()

    def show_place(self, words: str, *, first: bool, last: bool) -> None:
        self.label.setText(words)
        self.label.setToolTip(words)
        self.previous.setEnabled(not first)
        self.next.setEnabled(not last)
        self.show()
