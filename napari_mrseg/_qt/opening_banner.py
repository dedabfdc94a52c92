"""In the middle of the canvas: which study is being opened and how far it is, or why it was not opened."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

from napari_mrseg._qt.reading import window_of

_WIDTH = 460  # pixels
_LOOK = """
#MrsegOpening { background: rgba(18, 24, 32, 235); border: 1px solid #5a6672; border-radius: 6px; }
#MrsegOpening QLabel { color: #f2f5f7; background: transparent; }
#MrsegOpening QLabel[role="title"] { font-size: 13pt; font-weight: bold; }
"""


class OpeningBanner(QFrame):
    """Lies over the canvas of a window; beside a viewer without one it is never shown."""

    cancelled = Signal()

    def __init__(self, viewer: Any) -> None:
        window = window_of(viewer)
        super().__init__(window)
        self._viewer = viewer  # and not its window: who ends with the program would keep that for good
        self._hints = window is not None and bool(viewer.window._qt_viewer.show_welcome_screen)
        self.setObjectName("MrsegOpening")
        self.setStyleSheet(_LOOK)
        self.setAccessibleName("Opening a study")
        self.title, self.step = QLabel(), QLabel()
        self.title.setProperty("role", "title")
        for label in (self.title, self.step):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.button = QPushButton()
        self.button.clicked.connect(self._clicked)
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addStretch()
        row.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 14, 18, 14)
        column.addWidget(self.title)
        column.addWidget(self.step)
        column.addLayout(row)
        self.hide()
        viewer.canvas.events.size.connect(self._place)

    def show_opening(self, title: str, step: str, fraction: float) -> None:
        self._show(title, step, "Cancel")
        self.progress.setValue(round(100 * fraction))
        self.progress.show()

    def show_refusal(self, title: str, sentence: str) -> None:
        """Stays until it is closed, or something else is asked for."""
        self._show(title, sentence, "Close")
        self.progress.hide()

    def end_opening(self) -> None:
        """The study is there. A refusal stays."""
        if self.button.text() == "Cancel":
            self._hide()

    def end_refusal(self) -> None:
        if self.button.text() == "Close":
            self._hide()

    def close_down(self) -> None:
        self._viewer.canvas.events.size.disconnect(self._place)
        self._hide()
        self.deleteLater()

    def _show(self, title: str, words: str, button: str) -> None:
        self.title.setText(title)
        self.step.setText(words)
        self.button.setText(button)
        if window_of(self._viewer) is not None:
            self._show_hints(False)
            self._place()
            self.show()
            self.raise_()

    def _hide(self) -> None:
        self.hide()
        self._show_hints(self._hints)

    def _show_hints(self, on: bool) -> None:
        """Show or hide what napari says in an empty window: it would stand behind the words."""
        if window_of(self._viewer) is not None:
            view = self._viewer.window._qt_viewer
            if view.show_welcome_screen != on:
                view.show_welcome_screen = on

    def _clicked(self) -> None:
        if self.button.text() == "Cancel":
            self.cancelled.emit()
        else:
            self._hide()

    def _place(self, event: Any = None) -> None:
        window = window_of(self._viewer)
        if window is None:
            return
        canvas = self._viewer.window._qt_viewer.canvas.native
        corner = canvas.mapTo(window, QPoint(0, 0))
        width = min(_WIDTH, canvas.width())
        height = max(self.layout().heightForWidth(width), self.layout().minimumSize().height())
        left, top = (canvas.width() - width) // 2, (canvas.height() - height) // 2
        self.setGeometry(corner.x() + left, corner.y() + max(0, top), width, height)
