"""What the scans that are off or missing would probably change: one line in the dock, opened by a click."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout

from napari_mrseg._qt.panels import DockPanel
from napari_mrseg._qt.text_labels import ElidedLabel, WrappedLabel
from napari_mrseg.compare.worth import headline, sentences, worth_of_missing
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Combination, Task


class WorthPanel(DockPanel):
    """The sentences of :mod:`napari_mrseg.compare.worth` for the combination in use; hidden where all scans are."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._about: tuple[str, Combination] | None = None
        self.line = ElidedLabel("quiet")
        self.opened = QToolButton()
        self.opened.setAutoRaise(True)
        self.opened.setCheckable(True)
        self.opened.setArrowType(Qt.ArrowType.RightArrow)
        self.opened.setToolTip("What another scan would change, in full")
        self.opened.setAccessibleName("What another scan would change")
        self.words = WrappedLabel("quiet")
        self.words.setVisible(False)
        self.opened.toggled.connect(self._open)
        row = QHBoxLayout()
        row.setSpacing(5)
        row.addWidget(self.opened)
        row.addWidget(self.line, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.words)
        self.setVisible(False)

    def refresh(self, session: Session | None) -> None:
        if session is None or session.study is None or session.model is None:
            self._about = None
            self.setVisible(False)
            return
        card = session.model.card
        about = (session.model.sha256, session.combination)
        if about == self._about:
            return
        self._about = about
        if not about[1]:
            self.setVisible(False)
            return
        worths = worth_of_missing(card, session.task, about[1])
        self.line.setText(headline(session.task, about[1], worths))
        self.words.setText("\n".join(sentences(session.task, about[1], worths)))
        self.setVisible(bool(self.line.text()))

    def _open(self, on: bool) -> None:
        self.opened.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.words.setVisible(on)
