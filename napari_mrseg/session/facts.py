"""What a session holds, and what follows from it: what there is to show. :class:`.state.Session` adds the requests."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import TYPE_CHECKING

from napari_mrseg.display import titles, words_of
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.inference.live import Live, Progress
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.opening import Openings
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task

if TYPE_CHECKING:
    from napari_mrseg.inference.predictor import Predictor
    from napari_mrseg.models.store import About


class SessionFacts:
    """The attributes are described at :class:`.state.Session`, which sets them."""

    task: Task
    study: Study | None
    intact: Study | None
    predictor: Predictor | None
    combination: Combination
    shown: Prediction | None
    running: Progress | None
    openings: Openings
    _lock: RLock
    _live: Live

    @property
    def opening(self) -> bool:
        """True while a study is being read in the background."""
        return self.openings.busy

    @property
    def elsewhere(self) -> str:
        """What computes on another computer, such as "cuda:0 on gpubox"; "" if it is this one."""
        from napari_mrseg.models.store import Model

        predictor = self.predictor
        if predictor is None or isinstance(predictor.model, Model):
            return ""
        return predictor.device_name

    @property
    def model(self) -> About | None:
        """Whose results they are: name, version, card."""
        return None if self.predictor is None else self.predictor.model

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """What can be asked of this study and this model."""
        study, model = self.study, self.model
        if study is None:
            return ()
        return (
            study.task.combinations(study.present)
            if model is None
            else model.card.combinations(study.present)
        )

    @property
    def refusal(self) -> str | None:
        """Why what is switched on has no answer of this model: a sentence, or None if it has one."""
        combination, model = self.combination, self.model
        if not combination or model is None or model.card.can_do(combination):
            return None
        return model.card.refusal(combination)

    @property
    def stale(self) -> bool:
        """True if what is shown is not what is switched on, of this model, on this device."""
        with self._lock:
            shown, study, combination = self.shown, self.study, self.combination
        return shown is not None and (
            study is None
            or shown.combination != combination
            or shown.digest != study.only(combination).digest
            or not self._live.made_by_present_predictor(shown)
        )

    @property
    def cache(self) -> PredictionCache:
        """Finished predictions, kept within a budget."""
        return self._live.cache

    @property
    def subject(self) -> str:
        """Identity of the files that are open, degraded or not; "" if there are none."""
        intact = self.intact
        return "" if intact is None else intact.digest

    @property
    def predictions(self) -> dict[Combination, Prediction]:
        study = self.study
        return {} if study is None else self.predictions_of(study)

    def predictions_of(self, study: Study) -> dict[Combination, Prediction]:
        """Finals of ``study`` in memory: for work on another thread, which must not mix two studies' results."""
        found = {c: self._live.cached(study, c) for c in self.task.combinations(study.present)}
        return {c: p for c, p in found.items() if p is not None}

    def describe(self) -> str:
        """The line that says what is on screen. Nothing shown is ever unlabelled."""
        with self._lock:
            study, combination, shown, stale, running = (
                self.study,
                self.combination,
                self.shown,
                self.stale,
                self.running is not None,
            )
            refusal = self.refusal
        words = words_of(self.task, study, combination, shown, stale=stale, running=running, refusal=refusal)
        return " · ".join(words)

    def titles(self, combination: Iterable[str]) -> str:
        return titles(self.task, combination)
