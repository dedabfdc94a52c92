"""The one mutable object: what is open, what is switched on, what is shown. No Qt; widgets show it and ask it.

Every request returns at once; work runs on one background thread (:mod:`napari_mrseg.inference.live`) and its
results arrive as signals *from that thread*. A Qt program connects with ``thread="main"``; a script may instead
call :meth:`Session.wait`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mrseg.errors import DeviceError, InputError, MrsegError
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.inference.live import Live, Progress
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.facts import SessionFacts
from napari_mrseg.session.opened import Before, Opened, corrected, read_study
from napari_mrseg.session.opening import Opening, Openings
from napari_mrseg.study import Study
from napari_mrseg.tasks import DEFAULT, Combination, Task, key

if TYPE_CHECKING:
    from napari_mrseg.inference.predictor import Predictor
    from napari_mrseg.models.store import Model


class Session(SessionFacts):
    """One study under one predictor, by default the engine with a model of this computer.

    ``cache`` holds finished predictions, by default 2 GB of them in memory; ``PredictionCache(budget, folder)``
    sets another budget in bytes, and a folder to keep them in from one session to the next.

    Signals carry nothing but ``failed`` (the sentence for the user); listeners read the attributes.

    Attributes
    ----------
    study, predictor
        What is open, and what answers, or None. ``intact``: the study before anything was made worse on purpose.
        While another study is being read in the background (``opening``), none is open; the old one comes back if
        that is refused or cancelled.
    opened
        How the study was opened, to open it again.
    combination
        Modalities switched on, in the task's order; () if none is, or while no study is open.
    shown
        The prediction on screen, or None. While ``stale``, it belongs to an earlier combination, model or
        device, and its replacement is being computed or was cancelled.
    running
        The run in progress (combination, stage, fraction), or None.
    degradations
        What is made worse on purpose, ``{modality: (kind, strength)}``; ``study`` is then the degraded one, and
        ``images_changed`` says that voxels changed while the study stayed.
    predictions
        Finals of this study, model and device that are in memory, by combination.
    """

    study_changed = Signal()
    images_changed = Signal()
    model_changed = Signal()
    combination_changed = Signal()
    shown_changed = Signal()
    running_changed = Signal()
    predictions_changed = Signal()
    opening_changed = Signal()
    failed = Signal(str)

    def __init__(
        self,
        *,
        task: Task = DEFAULT,
        device: str = "auto",
        precision: str = "auto",
        sweep: bool = True,
        cache: PredictionCache | None = None,
    ) -> None:
        self.task = task
        self.device = device
        self.precision = precision
        self.sweep = sweep
        self.study: Study | None = None
        self.degradations: dict[str, tuple[str, float]] = {}
        self.intact: Study | None = None
        self.opened = Opened()
        self.predictor: Predictor | None = None
        self.combination: Combination = ()
        self.shown: Prediction | None = None
        self.running: Progress | None = None
        self.error: str | None = None
        self.openings = Openings(self.opening_changed.emit, self._set_aside, self._bring_back)
        self._before: Before | None = None
        self._closed = False
        self.cause: MrsegError | None = None  # of ``error``
        self._lock = RLock()
        self._live = Live(
            on_prediction=self._arrived,
            on_progress=self._progressed,
            on_error=self._broke,
            cache=cache,
        )

    # -- what is open -------------------------------------------------------------------------------------

    def open(
        self,
        paths: Sequence[str | Path],
        *,
        assign: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> None:
        """Read a study and show it. Raises MrsegError, and then everything stays as it was.

        ``options`` are :func:`open_study`'s. Of several at once the one asked for last is shown.
        """
        with self.openings.here() as opening:
            self._open(opening, Opened(tuple(map(str, paths)), dict(assign or {}), options))

    def open_later(self, paths: Sequence[str | Path], **options: Any) -> None:
        """:meth:`open` on a thread of its own; an error arrives by ``failed``, when the old study is back."""
        asked = Opened(tuple(map(str, paths)), dict(options.pop("assign", None) or {}), options)
        self.openings.later(lambda opening: self._open(opening, asked), self._broke)

    def cancel_opening(self) -> bool:
        """Stop reading in the background; what was open before is open again. False if nothing was being read."""
        with self._lock:  # a study that is put in place at this moment wins
            cancelled = self.openings.cancel()
        if cancelled:
            self._bring_back()
            self.opening_changed.emit()
        return cancelled

    def _set_aside(self) -> None:
        """Close the open study for the time in which another one is read."""
        with self._lock:
            study = self.study
            if study is None or self._before is not None:
                return
            self._before = Before(
                study,
                self.intact,
                self.degradations,
                self.combination,
                self.shown,
                self.predictor,
                self._live.busy,
            )
            self._live.stop()
            self.study = self.intact = self.shown = self.running = self.error = None
            self.degradations, self.combination = {}, ()
        self._tell()

    def _bring_back(self) -> None:
        """Open again what was set aside, if no other study took its place."""
        with self._lock:
            before, self._before = self._before, None
            if before is None or self._closed:
                return
            self.study, self.intact, self.degradations = before.study, before.intact, before.degradations
            self.combination, self.shown = before.combination, before.shown
        self._tell()
        if before.going or before.predictor is not self.predictor:
            self.run()

    def _open(self, opening: Opening, asked: Opened) -> None:
        study, asked = read_study(opening, asked, self.task)
        with self._lock:
            if not opening.newest or self._closed:
                return
            self.opened = asked
            self._put(study, study, None, {})
            self.openings.placed = True
        self._announce()

    def set_study(
        self,
        study: Study | None,
        *,
        combination: Combination | None = None,
        degradations: Mapping[str, tuple[str, float]] | None = None,
        opened: Opened | None = None,
    ) -> None:
        """Show a study that is already read, by default with all its modalities on; None closes.

        ``opened``: how it was read, so that it can be read again.
        """
        from napari_mrseg.degrade import degrade_study

        shown = degrade_study(study, degradations) if study and degradations else study
        with self._lock:
            self.opened = opened or self.opened
            self._put(study, shown, combination, dict(degradations or {}))
        self._announce()

    def _put(
        self,
        intact: Study | None,
        study: Study | None,
        combination: Combination | None,
        degradations: dict[str, tuple[str, float]],
    ) -> None:
        self._live.stop()
        self._live.forget()
        self._before = None
        self.study, self.intact, self.degradations = study, intact, degradations
        self.combination = combination or (study.present if study else ())
        self.shown = self.running = self.error = None

    def _announce(self) -> None:
        self._tell()
        self.run()

    def _tell(self) -> None:
        for signal in (
            self.study_changed,
            self.combination_changed,
            self.shown_changed,
            self.running_changed,
            self.predictions_changed,
        ):
            signal.emit()

    def degrade(self, modality: str, kind: str, strength: float) -> None:
        """Make one modality worse by ``strength`` in [0, 1] (0: as it was) and run again. Takes up to a second.

        ``kind`` is one of :data:`napari_mrseg.degrade.DEGRADATIONS`. Of several calls at once the last one wins.
        """
        from napari_mrseg.degrade import degrade_study

        with self._lock:
            intact = self.intact
            if intact is None:
                raise InputError("Open a study first; there is no image to degrade.")
            before = self.degradations
            wanted = {**before, modality: (kind, strength)}
            if strength == 0:
                del wanted[modality]
            self.degradations = wanted
        try:
            study = degrade_study(intact, wanted)
        except MrsegError:
            with self._lock:
                if self.degradations is wanted:
                    self.degradations = before
            raise
        with self._lock:
            if self.intact is not intact or self.degradations is not wanted:
                return
            self._live.stop()
            self.study = study
        self.images_changed.emit()
        self.predictions_changed.emit()
        self.run()

    def assign(self, corrections: Mapping[str, str | None]) -> None:
        """Correct what files were taken for (a modality, ``reference``, or None for neither) and reopen."""
        asked = self.corrected(corrections)
        self.open_later(asked.paths, assign=asked.assigned, **asked.options)

    def corrected(self, corrections: Mapping[str, str | None]) -> Opened:
        """How to open the same with corrected roles."""
        return corrected(self.opened, self.study, corrections)

    def load_model(self, name: str | Path | None = None) -> None:
        """Take another model (None: the bundled one). Raises MrsegError; then the old one stays."""
        from napari_mrseg.models.store import load_model

        self.set_model(load_model(name, task=self.task))

    def set_model(self, model: Model) -> None:
        self._compute(model, self.device, self.precision)

    def set_device(self, device: str, precision: str = "auto") -> None:
        """Run elsewhere from now on. Raises DeviceError if there is no such device; then the old one stays.

        After an engine of another computer: here again, with the model of that name if it is installed, else the
        bundled one.
        """
        from napari_mrseg.models.store import Model
        from napari_mrseg.session.engines import model_here

        model = self.model
        if model is not None and not isinstance(model, Model):
            self._compute(model_here(model), device, precision)  # back from another computer
            return
        self._compute(model, device, precision)

    def set_predictor(self, predictor: Predictor) -> None:
        """Ask something else than an engine of this computer from now on."""
        with self._lock:
            self.predictor = predictor
            self._live.set_predictor(predictor)
        self._renewed()

    def _compute(self, model: Model | None, device: str, precision: str) -> None:
        from napari_mrseg.inference.engine import Engine

        # Takes seconds, so without the lock: a toggle need not wait.
        engine = None if model is None else Engine(model, device=device, precision=precision)
        with self._lock:
            self.device, self.precision = device, precision
            if engine is not None:
                self.predictor = engine
                self._live.set_predictor(engine)
        self._renewed()

    def _renewed(self) -> None:
        self.model_changed.emit()
        self.shown_changed.emit()
        self.predictions_changed.emit()
        self.run()

    # -- what is switched on ------------------------------------------------------------------------------

    def use(self, names: Iterable[str]) -> None:
        """Switch to a combination; with none on there is nothing to segment, and nothing is shown.

        Raises InputError if it holds a modality that is not there.
        """
        if self.study is None:
            raise InputError("Open a study first; there are no modalities to switch.")
        wanted = tuple(names)
        combination = self.task.combination(wanted) if wanted else ()
        if combination:
            self.study.only(combination)
        with self._lock:
            if combination == self.combination:
                return
            self.combination = combination
        self.combination_changed.emit()
        self.run()

    def toggle(self, name: str) -> None:
        """Switch one modality on or off."""
        self.use(set(self.combination) ^ {name})

    def look_at(self, index: tuple[int, ...] | None) -> None:
        """Tell the engine where the user looks (voxel of the study's grid), to begin there."""
        self._live.focus = index

    # -- runs ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Show the present combination: from memory at once, else computed. A newer request replaces it."""
        with self._lock:
            study, combination = self.study, self.combination
            if study is None or self.model is None:
                return
            self.error = None
            asked = bool(combination) and self.refusal is None
            if asked:
                self.shown = self._live.cached(study, combination) or self.shown
                self._live.request(study, combination, self.combinations if self.sweep else ())
            else:
                self._live.stop()
                self.shown = self.running = None
        if not asked:
            self.running_changed.emit()
        self.shown_changed.emit()

    def cancel(self) -> None:
        """Stop the run and the sweep. What is on screen stays, marked stale if it is."""
        self._live.stop()
        with self._lock:
            self.running = None
        self.running_changed.emit()
        self.shown_changed.emit()

    def wait(self, timeout: float | None = None) -> Prediction:
        """Block until the present combination's final is shown, and return it. Raises what stopped it."""
        self._live.wait(timeout)
        with self._lock:
            if self.error is not None:
                raise self.cause or MrsegError(self.error)
            if self.shown is None or self.stale or self.shown.preview:
                raise MrsegError("There is no finished prediction; it was cancelled or is still running.")
            return self.shown

    def wait_for_sweep(self, timeout: float | None = None) -> None:
        """Block until every combination is computed, or the sweep was stopped."""
        self._live.wait(timeout, sweep=True)

    def close(self) -> None:
        """Stop all work, end the thread, and let the arrays go."""
        self._closed = True
        self._live.close()
        with self._lock:
            self.study, self.intact, self.shown, self.combination = None, None, None, ()
            self._before = None

    # -- results ------------------------------------------------------------------------------------------

    def remember(self, prediction: Prediction) -> None:
        """Keep a final that was computed before."""
        self._live.remember(prediction)

    def save(
        self, out: Path, predictions: Iterable[Prediction] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Write predictions (default: the one shown) as label files and result.json into ``out``."""
        from napari_mrseg.session.save_results import save_results

        with self._lock:
            study, model, shown = self.study, self.model, self.shown
            if study is None or model is None:
                raise InputError("There is nothing to save; open a study first.")
            if predictions is None:
                if shown is None or self.stale or shown.preview:
                    raise InputError(
                        f"{key(self.combination)} is not finished; wait for the final result, then save."
                    )
                predictions = (shown,)
        return save_results(study, model, tuple(predictions), out, **options)

    # -- arrivals from the worker thread --------------------------------------------------------------------

    def _arrived(self, study: Study, prediction: Prediction) -> None:
        with self._lock:
            if study is not self.study:
                return
            on_screen = prediction.combination == self.combination
            # Where a GPU's memory ended, the engine goes on on the CPU: so must what is on screen.
            moved = not on_screen and self.shown is not None and self.shown.device != prediction.device
            if on_screen:
                self.shown = prediction
        if on_screen:
            self.shown_changed.emit()
        if not prediction.preview:
            self.predictions_changed.emit()
        if moved:
            self.run()

    def _progressed(self, progress: Progress | None) -> None:
        with self._lock:
            if progress is not None and not self._live.busy:
                return
            self.running = progress
        self.running_changed.emit()

    def _broke(self, error: Exception) -> None:
        if isinstance(error, MemoryError):
            error = DeviceError("The memory of this computer ran out; close other programs.")
        elif not isinstance(error, MrsegError):
            error = MrsegError(f"Unexpected {type(error).__name__}: {error}")
        with self._lock:
            self.cause, self.error = error, str(error)
            self.running = None
        self.running_changed.emit()
        self.failed.emit(str(error))
