"""Worse than missing: each modality can be degraded live, by a kind and a strength."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.style_sheet import button, quiet, titled, wrapped
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Task

_PAUSE = 250  # ms without a move of the slider before the images change


@dataclass
class _Line:
    title: QLabel
    kind: QComboBox
    strength: QSlider
    value: QLabel


class Degrade(QWidget):
    """A line per modality. Requests wait for a short pause and run on a thread; the last one wins."""

    failed = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.lines: dict[str, _Line] = {}
        self._task: Task | None = None
        self._wanted: dict[str, tuple[str, float]] = {}
        self._busy = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._send)
        self.mark = QLabel()
        self.mark.setProperty("role", "warn")
        self.mark.setWordWrap(True)
        self.mark.setVisible(False)
        self.grid = QGridLayout()
        self.grid.setHorizontalSpacing(12)
        self.grid.setColumnStretch(2, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(titled("WORSE THAN MISSING"))
        layout.addWidget(
            quiet(
                "A bad scan can do more harm than none. Make a modality worse and watch picture and table: the same "
                "model, the same combinations. The files stay as they are; at 0 % everything is as it was."
            )
        )
        layout.addLayout(self.grid)
        row = QHBoxLayout()
        row.addWidget(self.mark, 1)
        row.addStretch(0)
        self.restore = button("Restore all", "All modalities as they were read", self._restore)
        row.addWidget(self.restore)
        layout.addLayout(row)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show what the session has."""
        session = self.session
        if session.task is not self._task:
            self._task = session.task
            self._build(session.task)
        study = session.study
        for name, line in self.lines.items():
            there = study is not None and name in study.present
            for widget in (line.title, line.kind, line.strength, line.value):
                widget.setEnabled(there)
            if name in self._wanted or self._busy or self._timer.isActive():
                continue
            kind, strength = session.degradations.get(name, (line.kind.currentText(), 0.0))
            with QSignalBlocker(line.kind), QSignalBlocker(line.strength):
                line.kind.setCurrentText(kind)
                line.strength.setValue(round(100 * strength))
            self._number(line)
        parts = [
            f"{session.task.modality(name).title}: {kind} {strength:.0%}"
            for name, (kind, strength) in session.degradations.items()
        ]
        self.mark.setText(f"DEGRADED ON PURPOSE: {', '.join(parts)}")
        self.mark.setVisible(bool(parts))
        self.restore.setEnabled(bool(parts) or bool(self._wanted))

    def _build(self, task: Task) -> None:
        from napari_mrseg.degrade import DEGRADATIONS

        for number, modality in enumerate(task.modalities):
            line = _Line(
                QLabel(modality.title), QComboBox(), QSlider(Qt.Orientation.Horizontal), QLabel("0 %")
            )
            line.kind.addItems(list(DEGRADATIONS))
            for kind, how in DEGRADATIONS.items():
                tip = (how.__doc__ or "").strip().splitlines()[0]
                line.kind.setItemData(line.kind.findText(kind), wrapped(tip), Qt.ItemDataRole.ToolTipRole)
            line.kind.setToolTip("What is done to the image")
            line.strength.setRange(0, 100)
            line.strength.setToolTip(
                f"How strongly {modality.title} is degraded; 0 is the scan as it was read"
            )
            line.value.setMinimumWidth(46)
            line.strength.valueChanged.connect(lambda _, name=modality.name: self._moved(name))
            line.kind.activated.connect(lambda _, name=modality.name: self._moved(name))
            for column, widget in enumerate((line.title, line.kind, line.strength, line.value)):
                self.grid.addWidget(widget, number, column)
            self.lines[modality.name] = line

    def _moved(self, name: str) -> None:
        line = self.lines[name]
        self._number(line)
        self._wanted[name] = line.kind.currentText(), line.strength.value() / 100
        self._timer.start()

    def _number(self, line: _Line) -> None:
        line.value.setText(f"{line.strength.value()} %")

    def _restore(self) -> None:
        for line in self.lines.values():
            line.strength.setValue(0)

    def _send(self) -> None:
        if self._busy or not self._wanted:
            return
        wanted, self._wanted = self._wanted, {}
        now = self.session.degradations
        wanted = {n: (k, s) for n, (k, s) in wanted.items() if now.get(n, (k, 0.0)) != (k, s)}
        if not wanted or self.session.study is None:
            return

        def work() -> None:
            for name, (kind, strength) in wanted.items():
                self.session.degrade(name, kind, strength)

        self._busy = True
        BackgroundTask(work, done=lambda _: self._sent(), failed=self._broke, parent=self)

    def _sent(self) -> None:
        self._busy = False
        self.refresh()
        self._send()

    def _broke(self, sentence: str) -> None:
        self._sent()
        self.failed.emit(sentence)
