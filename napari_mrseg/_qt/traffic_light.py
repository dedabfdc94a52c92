"""The traffic light of the result on screen: judged at once by its warnings, and again as other combinations come."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.trust import Trust, judge
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.state import Session

_PAUSE = 400  # ms after the last change before combinations are compared: a toggle comes first


class TrafficLight(QObject):
    """What :mod:`napari_mrseg.compare.trust` says of the session's result. ``changed``: it says something else."""

    changed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._comparison: Comparison | None = None
        self._likeness: WeakKeyDictionary[Prediction, float | None] = WeakKeyDictionary()
        self._judged: tuple[Prediction, float | None, Trust] | None = None
        self._busy = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._compare)

    @property
    def trust(self) -> Trust | None:
        """Of what the session shows; None while it shows nothing."""
        shown = self._session.shown
        if shown is None:
            return None
        likeness = self._likeness.get(shown)
        if self._judged is None or self._judged[0] is not shown or self._judged[1] != likeness:
            self._judged = shown, likeness, judge(shown, likeness)
        return self._judged[2]

    def refresh(self) -> None:
        """Compare again, in a moment."""
        if not self._timer.isActive():
            self._timer.start()

    def _compare(self) -> None:
        study, shown, old = self._session.study, self._session.shown, self._comparison
        if study is None:
            self._comparison = None
        if self._busy:
            self.refresh()  # what is under way does not know yet what came since
            return
        if study is None or shown is None or shown.preview:
            return

        def work() -> tuple[Comparison, Prediction, float | None]:
            found = self._session.predictions_of(study)
            same = old is not None and old.study is study
            new = old.updated(found) if same and old is not None else Comparison(study, found)
            there = new.predictions.get(shown.combination) is shown
            return new, shown, new.likeness(shown.combination) if there else None

        self._busy = True
        BackgroundTask(work, done=self._compared, failed=lambda _: self._compared(None), parent=self)

    def _compared(self, found: tuple[Comparison, Prediction, float | None] | None) -> None:
        self._busy = False
        if found is None or found[0].study is not self._session.study:
            return  # another study came meanwhile, and asks by itself
        self._comparison, shown, likeness = found
        before = self.trust
        self._likeness[shown] = likeness
        if self.trust != before:
            self.changed.emit()
        if self._session.shown is not shown:
            self.refresh()
