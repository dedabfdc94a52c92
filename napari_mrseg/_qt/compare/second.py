"""Another model's answers to the same study, computed while nothing else is: the second one of a comparison."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_mrseg._qt.bridge import BackgroundTask, SessionBridge
from napari_mrseg.compare.comparison import Second
from napari_mrseg.compare.made_elsewhere import MadeElsewhere, holds_results
from napari_mrseg.compare.write import called
from napari_mrseg.errors import Cancelled
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination

if TYPE_CHECKING:
    from napari_mrseg.inference.engine import Engine


class SecondModel(QObject):
    """Computes a combination at a time, on the session's device, and stops as soon as the session wants to compute."""

    changed = Signal()
    failed = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.asked: str | Path | None = None
        self.name: str | None = None
        self._engine: Engine | MadeElsewhere | None = None
        self._study: Study | None = None
        self._found: dict[Combination, Prediction] = {}
        self._every: tuple[Combination, ...] | None = (
            None  # that it can answer of the study; None: not known yet
        )
        self._turn = 0  # of what is asked for: what comes from an earlier one is dropped
        self._busy = False
        self._bridge = SessionBridge(session, self)
        self._bridge.changed.connect(lambda _: self._go_on())

    def close(self) -> None:
        self._turn += 1
        self._bridge.close()

    def choose(self, asked: str | Path | None) -> None:
        """An installed model's name, a model folder, or None for no second model."""
        self._turn += 1
        self.asked = asked
        self.name, self._engine, self._found, self._every = None, None, {}, None
        self.changed.emit()
        if asked is not None:
            work = partial(_load, asked, self.session)
            BackgroundTask(work, done=partial(self._loaded, self._turn), failed=self._broke, parent=self)

    def second(self, study: Study) -> Second | None:
        """What is there of ``study``; None without a second model."""
        if self.name is None:
            return None
        return Second(self.name, dict(self._found) if study is self._study else {})

    @property
    def waiting(self) -> int:
        """How many combinations are still to come."""
        return 0 if self._every is None or self.session.study is not self._study else len(self._todo)

    @property
    def _todo(self) -> list[Combination]:
        return [c for c in self._every or () if c not in self._found]

    def _loaded(self, turn: int, engine: Engine | MadeElsewhere) -> None:
        if turn == self._turn:
            first = self.session.model
            models = [engine.model.info] if first is None else [first.info, engine.model.info]
            self.name, self._engine = called(models)[-1], engine
            self.changed.emit()
            self._go_on()

    def _go_on(self) -> None:
        study, engine = self.session.study, self._engine
        if study is not self._study:
            self._study, self._found, self._every = study, {}, None
        if self._busy or study is None or engine is None or self.session.running is not None:
            return
        if self._every is None:
            self._busy = True
            # On a thread: a folder of another program's files is searched, which may be large and on a network.
            looking = partial(engine.combinations, study)
            BackgroundTask(
                looking, done=partial(self._listed, self._turn, study), failed=self._broke, parent=self
            )
            return
        todo = self._todo
        if not todo:
            return
        first = self.session.combination
        combination = first if first in todo else todo[0]
        self._busy = True
        work = partial(self._compute, self._turn, engine, study, combination)
        BackgroundTask(work, done=partial(self._made, self._turn, study), failed=self._broke, parent=self)

    def _listed(self, turn: int, study: Study, every: tuple[Combination, ...]) -> None:
        self._busy = False
        if turn == self._turn and study is self._study:
            self._every = every
            self.changed.emit()
        self._go_on()

    def _compute(
        self, turn: int, engine: Engine | MadeElsewhere, study: Study, combination: Combination
    ) -> Prediction | None:
        def check() -> None:
            if turn != self._turn or self.session.study is not study or self.session.running is not None:
                raise Cancelled("something else is wanted")

        try:
            return list(engine.run(study, combination, preview=False, check=check))[-1]
        except Cancelled:
            return None

    def _made(self, turn: int, study: Study, prediction: Any) -> None:
        self._busy = False
        if prediction is not None and turn == self._turn and study is self._study:
            self._found[prediction.combination] = prediction
            self.changed.emit()
        self._go_on()

    def _broke(self, sentence: str) -> None:
        self._busy = False
        self.choose(None)
        self.failed.emit(sentence)


def _load(asked: str | Path, session: Session) -> Engine | MadeElsewhere:
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.models.store import load_model

    if holds_results(Path(asked), session.task):
        found = MadeElsewhere(asked, session.task)
        if session.study is not None:
            found.find(session.study)
        return found
    return Engine(load_model(asked, task=session.task), device=session.device)
