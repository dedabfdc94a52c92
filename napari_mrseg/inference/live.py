"""The live runner: one background thread that serves the newest request, then fills in the other combinations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread, current_thread
from typing import TYPE_CHECKING, Literal

from napari_mrseg.at_exit import close_at_exit
from napari_mrseg.errors import Cancelled
from napari_mrseg.inference.allocator import release_freed_memory
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination

if TYPE_CHECKING:
    from napari_mrseg.inference.predictor import Predictor


@dataclass(frozen=True)
class Progress:
    """A run under way. ``fraction`` in [0, 1]; ``stage`` says whether someone waits for it."""

    combination: Combination
    fraction: float
    stage: Literal["asked", "background"]


@dataclass(frozen=True)
class _Request:
    number: int
    study: Study
    predictor: Predictor
    combination: Combination
    sweep: tuple[Combination, ...]


class Live:
    """Asks a predictor on a thread of its own. Callbacks are called from that thread.

    The newest request wins: the network asks between its blocks whether a newer one has come, and gives way by
    raising Cancelled. Results of an older request are dropped, never delivered.
    """

    def __init__(
        self,
        *,
        on_prediction: Callable[[Study, Prediction], None],
        on_progress: Callable[[Progress | None], None],
        on_error: Callable[[Exception], None],
        cache: PredictionCache | None = None,
    ) -> None:
        self.focus: tuple[int, ...] | None = None
        self.cache = PredictionCache() if cache is None else cache
        self._on_prediction, self._on_progress, self._on_error = on_prediction, on_progress, on_error
        self._predictor: Predictor | None = None
        self._wake = Condition()
        self._number = 0
        self._request: _Request | None = None
        self._asked_done = True
        self._all_done = True
        self._closed = False
        self._untidy = False
        self._thread: Thread | None = None

    # -- called by the session ----------------------------------------------------------------------------

    def set_predictor(self, predictor: Predictor) -> None:
        self.stop()
        self._predictor = predictor

    @property
    def busy(self) -> bool:
        """True while a request is being answered."""
        return self._request is not None

    def cached(self, study: Study, combination: Combination) -> Prediction | None:
        return None if self._predictor is None else self.cache.get(_key(self._predictor, study, combination))

    def remember(self, prediction: Prediction) -> None:
        """Keep a final, so that it need not be computed."""
        self.cache.put(_place(prediction), prediction)

    def made_by_present_predictor(self, prediction: Prediction) -> bool:
        predictor = self._predictor
        return predictor is not None and (
            prediction.model["sha256"],
            prediction.device,
            prediction.precision,
        ) == (predictor.model.sha256, predictor.device_name, predictor.precision)

    def request(self, study: Study, combination: Combination, sweep: Sequence[Combination] = ()) -> None:
        """Compute ``combination``, then what ``sweep`` lists; replaces any request before it."""
        if self._predictor is None:
            return
        with self._wake:
            self._number += 1
            self._request = _Request(self._number, study, self._predictor, combination, tuple(sweep))
            self._asked_done = self._all_done = False
            if self._thread is None:
                self._thread = Thread(target=self._serve, name="mrseg-live", daemon=True)
                self._thread.start()
                close_at_exit(self)
            self._wake.notify_all()

    def stop(self) -> None:
        """Drop the request; the run ends at its next check."""
        with self._wake:
            self._number += 1
            self._request = None
            self._asked_done = self._all_done = True
            self._wake.notify_all()

    def wait(self, timeout: float | None = None, sweep: bool = False) -> bool:
        """Block until the asked combination (or, with ``sweep``, all of them) is done or stopped."""
        with self._wake:
            return self._wake.wait_for(lambda: self._all_done if sweep else self._asked_done, timeout)

    def forget(self) -> None:
        """Let go, on the thread, what the predictor keeps of the studies it saw, and the memory they took."""
        with self._wake:
            self._untidy = True
            self._wake.notify_all()

    def close(self) -> None:
        self.stop()
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(timeout=30)
        self.cache.clear()
        if self._predictor is not None:
            self._predictor.forget()

    # -- on the thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._serve_next():
            pass  # between two requests nothing here holds the study and the predictor of the last one

    def _serve_next(self) -> bool:
        """Wait for a request and answer it; False if there will be none."""
        with self._wake:
            self._wake.wait_for(lambda: self._request is not None or self._untidy or self._closed)
            if self._closed:
                return False
            untidy, self._untidy = self._untidy, False
            request = self._request
        if untidy:
            self._tidy()
        if request is None:
            return True
        try:
            self._answer(request)
        except Cancelled:
            return True
        except Exception as error:
            # Everything, also RuntimeError from the network: an error that vanishes freezes the dock.
            if self._current(request):
                self._on_error(error)
        self._finish(request)
        return True

    def _tidy(self) -> None:
        if self._predictor is not None:
            self._predictor.forget()
        release_freed_memory()

    def _answer(self, request: _Request) -> None:
        self._answer_asked(request)
        with self._wake:
            if self._current(request):
                self._asked_done = True
                self._wake.notify_all()
        self._answer_rest(request)

    def _answer_asked(self, request: _Request) -> None:
        study, predictor, combination = request.study, request.predictor, request.combination
        ready = self.cache.recall(_key(predictor, study, combination))
        if ready is not None:
            self._deliver(request, ready)
            return
        progress = self._progress(request, "asked")
        progress(combination, 0.0)
        for prediction in predictor.run(
            study,
            combination,
            focus=self.focus,
            check=self._check(request),
            progress=lambda fraction: progress(combination, fraction),
        ):
            self._keep(request, prediction)

    def _answer_rest(self, request: _Request) -> None:
        study, predictor = request.study, request.predictor
        todo = []
        for combination in request.sweep:
            place = _key(predictor, study, combination)
            kept = self.cache.get(place) is None and self.cache.recall(place)
            if kept:
                self._deliver(request, kept)
            elif kept is None:
                todo.append(combination)
        for prediction in predictor.run_all(
            study, todo, check=self._check(request), progress=self._progress(request, "background")
        ):
            self._keep(request, prediction)

    def _check(self, request: _Request) -> Callable[[], None]:
        def check() -> None:
            if not self._current(request):
                raise Cancelled("Stopped on request.")

        return check

    def _progress(
        self, request: _Request, stage: Literal["asked", "background"]
    ) -> Callable[[Combination, float], None]:
        def progress(combination: Combination, fraction: float) -> None:
            if self._current(request):
                self._on_progress(Progress(combination, fraction, stage))

        return progress

    def _keep(self, request: _Request, prediction: Prediction) -> None:
        if not prediction.preview:
            self.remember(prediction)
        self._deliver(request, prediction)

    def _deliver(self, request: _Request, prediction: Prediction) -> None:
        if not self._current(request):
            raise Cancelled("A newer request took its place.")
        self._on_prediction(request.study, prediction)

    def _finish(self, request: _Request) -> None:
        with self._wake:
            if not self._current(request):
                return
            self._request = None
            self._asked_done = self._all_done = True
        self._on_progress(None)
        with self._wake:
            self._wake.notify_all()

    def _current(self, request: _Request) -> bool:
        return request.number == self._number


def _key(predictor: Predictor, study: Study, combination: Combination) -> Hashable:
    return study.only(combination).digest, predictor.model.sha256, predictor.device_name, predictor.precision


def _place(prediction: Prediction) -> Hashable:
    """The key that :func:`_key` gives for what ``prediction`` was made from."""
    return prediction.digest, prediction.model["sha256"], prediction.device, prediction.precision
