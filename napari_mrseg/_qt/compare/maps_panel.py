"""Where the combinations agree and what each modality adds: sentence, bars, and switches for the maps."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.bars import Bars
from napari_mrseg._qt.compare.maps import MEANING, Kind, Maps, Wanted
from napari_mrseg._qt.compare.style_sheet import quiet, titled, wrapped
from napari_mrseg.compare.agreement import Agreement, Summary
from napari_mrseg.compare.attribution import CAVEAT, HOW, attribute
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.tasks import Task

_CHECKS: tuple[tuple[Kind, str], ...] = (
    ("agreement", "Agreement on the scan"),
    ("entropy", "Entropy on the scan"),
)


_WIDE = 860  # pixels for both halves side by side


class MapsPanel(QWidget):
    """Shows :class:`Maps` and sends it requests."""

    def __init__(self, maps: Maps, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.maps = maps
        self._comparison: Comparison | None = None
        self._summing = False
        self._task: Task | None = None
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.region, self.modality = QComboBox(), QComboBox()
        self.region.setToolTip("The region that the sentence and the maps are about")
        self.region.currentIndexChanged.connect(lambda _: self._chosen())
        self.modality.currentIndexChanged.connect(lambda _: self._chosen())
        self.checks: dict[Kind, QCheckBox] = {}
        left, right = QVBoxLayout(), QVBoxLayout()
        left.setSpacing(5)
        right.setSpacing(5)
        left.addWidget(titled("WHERE THE COMBINATIONS AGREE"))
        left.addLayout(_row("Region", self.region))
        left.addWidget(self.sentence)
        for kind, text in _CHECKS:
            left.addWidget(self._check(kind, text))
        left.addWidget(titled("WHERE A MODALITY SPEAKS FOR THE REGION"))
        pick = QHBoxLayout()
        pick.addWidget(self._check("attribution", "Attribution of"))
        pick.addWidget(self.modality, 1)
        left.addLayout(pick)
        self.meaning = quiet()
        left.addWidget(self.meaning)
        left.addStretch(1)
        right.addWidget(titled("WHAT EACH MODALITY ADDS"))
        self.size, self.dice = (Bars(maps.dock.session.task) for _ in range(2))
        bars = QHBoxLayout()
        bars.setSpacing(24)
        bars.addWidget(self.size)
        bars.addWidget(self.dice)
        right.addLayout(bars)
        self.waiting = quiet()
        right.addWidget(self.waiting)
        self.caveat = quiet(f"Shapley values. {CAVEAT}")
        self.caveat.setToolTip(wrapped(HOW))
        right.addWidget(self.caveat)
        right.addStretch(1)
        inner = QWidget()
        columns = self._columns = QBoxLayout(QBoxLayout.Direction.LeftToRight, inner)
        columns.setContentsMargins(2, 2, 2, 2)
        columns.setSpacing(24)
        columns.addLayout(left, 2)
        columns.addLayout(right, 3)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        maps.changed.connect(self._show_checks)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Side by side where there is room for it."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        self._columns.setDirection(way.LeftToRight if self.width() >= _WIDE else way.TopToBottom)

    def show_comparison(self, comparison: Comparison | None) -> None:
        self._comparison = comparison
        self.maps.show_comparison(comparison)
        if comparison is None:
            self.sentence.setText("")
            self.size.show_attribution(self.maps.dock.session.task, None)
            self.dice.show_attribution(self.maps.dock.session.task, None)
            return
        regions = [r.name for r in comparison.task.regions]
        if [self.region.itemText(i) for i in range(self.region.count())] != regions:
            with QSignalBlocker(self.region):
                self.region.clear()
                self.region.addItems(regions)
        names = list(comparison.study.present)
        if [self.modality.itemData(i) for i in range(self.modality.count())] != names:
            with QSignalBlocker(self.modality):
                self.modality.clear()
                for name in names:
                    self.modality.addItem(comparison.task.modality(name).title, name)
        self.size.show_attribution(comparison.task, attribute(comparison, "size"))
        self.dice.show_attribution(comparison.task, attribute(comparison, "dice"))
        self.checks["attribution"].setEnabled(comparison.complete)
        self.waiting.setText("" if comparison.complete else f"Needs every combination. {comparison.coverage}")
        self._sum_up()

    def _sum_up(self) -> None:
        """The sentence, on a thread; a newer snapshot's comes after."""
        comparison, region = self._comparison, self.region.currentText()
        if comparison is None or not comparison.predictions or self._summing:
            return

        def work() -> tuple[Comparison, str, Summary]:
            return comparison, region, Agreement(comparison).summary(region)

        self._summing = True
        BackgroundTask(work, done=self._summed, failed=self._broke, parent=self)

    def _summed(self, found: tuple[Comparison, str, Summary]) -> None:
        self._summing = False
        comparison, region, summary = found
        if self._comparison is not None and comparison.study is self._comparison.study:
            self.sentence.setText(summary.sentence)
            self.sentence.setToolTip(wrapped(summary.explanation))
        if comparison is not self._comparison or region != self.region.currentText():
            self._sum_up()

    def _broke(self, sentence: str) -> None:
        self._summing = False
        self.maps.failed.emit(sentence)

    def _check(self, kind: Kind, text: str) -> QCheckBox:
        check = QCheckBox(text)
        check.setToolTip(wrapped(MEANING[kind]))
        check.toggled.connect(partial(self._switched, kind))
        self.checks[kind] = check
        return check

    def _switched(self, kind: Kind, on: bool) -> None:
        if on:
            modality = self.modality.currentData() if kind == "attribution" else ""
            self.maps.show(Wanted(kind, self.region.currentText(), modality or ""))
        else:
            self.maps.hide(kind)

    def _chosen(self) -> None:
        for kind in list(self.maps.wanted):
            self._switched(kind, True)
        self._sum_up()

    def _show_checks(self) -> None:
        for kind, check in self.checks.items():
            with QSignalBlocker(check):
                check.setChecked(kind in self.maps.wanted)
        on = [MEANING[kind] for kind in self.maps.wanted]
        self.meaning.setText(("Computing … " if self.maps.working else "") + "\n".join(on[-1:]))


def _row(name: str, widget: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(QLabel(name))
    row.addWidget(widget, 1)
    return row
