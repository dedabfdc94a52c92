"""The comparison of what the session holds, kept up to date on a thread. The workbench's widgets read it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_mrseg._qt.bridge import BackgroundTask, SessionBridge
from napari_mrseg._qt.compare.second import SecondModel
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination

_OTHER_RESULTS = frozenset({"study", "images", "model", "predictions"})


class LiveComparison(QObject):
    """Snapshots of a session's predictions.

    Whatever the table, the line of the smallest set and the pair need is measured on the thread that makes the
    snapshot, so that reading it costs the window nothing. HD95 and other metrics follow only when asked for by
    :meth:`want_metrics`.
    """

    changed = Signal()  # another snapshot, or more of it is measured
    moved = Signal(object)  # topics of the session other than its results, a frozenset
    failed = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.comparison: Comparison | None = None
        self._against: Combination | None = None
        self._metrics = False
        self._busy = self._again = self._measuring = self._closed = False
        self._bridge = SessionBridge(session, self)
        self._bridge.changed.connect(self._heard)
        self.second = SecondModel(session, self)
        self.second.changed.connect(self._refresh)
        self.second.failed.connect(self.failed)
        self._heard(_OTHER_RESULTS)

    def close(self) -> None:
        self._closed = True
        self.second.close()
        self._bridge.close()

    # -- requests -----------------------------------------------------------------------------------------

    def compare_with(self, combination: Combination | None) -> None:
        """The combination whose result the others are compared with; None: all modalities that are there."""
        if combination != self._against:
            self._against = combination
            self._refresh()

    def want_metrics(self, wanted: bool) -> None:
        """Measure HD95 of every row, one after the other (up to half a second each)."""
        self._metrics = wanted
        self._measure_next()

    @property
    def against(self) -> Combination | None:
        return None if self.comparison is None else self.comparison.against

    # -- within -------------------------------------------------------------------------------------------

    def _heard(self, topics: frozenset[str]) -> None:
        if topics & {"study"}:
            self._against = None
        if topics & _OTHER_RESULTS:
            if self.comparison is not None and self.comparison.study is not self.session.study:
                self._take(None)  # rows of another study, or of other voxels, must not stay
            self._refresh()
        rest = topics - {"predictions"}
        if rest:
            self.moved.emit(frozenset(rest))

    def _refresh(self) -> None:
        if self._busy:
            self._again = True
            return
        study = self.session.study
        if study is None:
            self._take(None)
            return
        self._busy = True
        BackgroundTask(lambda: self._make(study), done=self._made, failed=self._broke, parent=self)

    def _make(self, study: Study) -> Comparison:
        against = self._against
        if against is not None and not set(against) <= set(study.present):
            against = None
        old = self.comparison
        found = self.session.predictions_of(study)
        card = self.session.model.card if self.session.model else None
        same = old is not None and old.study is study and old.card is card
        if old is not None and same and old.expected == self.session.combinations:
            new = old.updated(found)
            if new.against != (against or study.present):
                new = new.versus(against or study.present)
        else:
            expected = self.session.combinations
            new = Comparison(study, found, against=against, expected=expected, card=card)
        second = self.second.second(study)
        new = new if second is None and new.second is None else new.beside(second)
        for combination in new.predictions:
            new.row(combination)
            new.trust(combination)
            if second is not None and combination in second.predictions:
                new.between_models(combination)
                new.dice_of_second(combination)
            if new.full is not None:
                new.between(combination, study.present)
        return new

    def _made(self, comparison: Comparison) -> None:
        self._busy = False
        if self._closed:
            return
        if comparison.study is self.session.study:
            self._take(comparison)
        else:
            self._again = True
        self._refresh_again()

    def _refresh_again(self) -> None:
        """What was asked for while a snapshot was being made."""
        if self._again:
            self._again = False
            self._refresh()

    def _take(self, comparison: Comparison | None) -> None:
        if comparison is None and self.comparison is None:
            return
        self.comparison = comparison
        self.changed.emit()
        self._measure_next()

    def _measure_next(self) -> None:
        comparison = self.comparison
        if not self._metrics or self._measuring or comparison is None or comparison.study.reference is None:
            return
        todo = next((c for c in comparison.predictions if not comparison.is_measured(c)), None)
        if todo is not None:
            self._measuring = True
            BackgroundTask(
                lambda: comparison.measure(todo), done=self._measured, failed=self._broke, parent=self
            )

    def _measured(self, found: Any) -> None:
        self._measuring = False
        if not self._closed:
            self.changed.emit()
            self._measure_next()

    def _broke(self, sentence: str) -> None:
        self._busy = self._measuring = False
        if not self._closed:
            self.failed.emit(sentence)
            self._refresh_again()
