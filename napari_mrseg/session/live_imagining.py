"""What is imagined of the open study: one modality at a time, from those in use, on a thread of its own. No Qt."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Condition, Thread, current_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_mrseg.at_exit import close_at_exit
from napari_mrseg.errors import Cancelled, DeviceError, InputError, MrsegError
from napari_mrseg.tasks import DEFAULT, Combination

if TYPE_CHECKING:
    from napari_mrseg.compare.likeness import Likeness
    from napari_mrseg.inference.imagining import Curves, Imagined, Imaginer
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.session.state import Session
    from napari_mrseg.study import Study

LIMITS = (-2.5, 3.5)  # spreads of the brain's intensities: the window of every imagined picture
MOST = 2.0  # spreads: the ends of the window of a difference
_MARGIN = 2  # voxels around the brain
_STILL = 1.0  # seconds without a change before the network runs ahead: toggles must not wait for it
_KEPT = 3  # imagined scans of a study in memory, each 13 bytes a voxel

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pictures:
    """An imagined scan, cut out around the brain, to draw. Arrays are (i, p, l), read-only and all of one shape.

    Attributes
    ----------
    study, imagined
        Whose it is, and all that was imagined.
    start
        Voxel of the study's grid at which the arrays begin.
    middle
        What is likeliest, in spreads of the brain's intensities; the window's lower end outside the brain.
    unsure
        uint8: 1 where the network cannot know.
    real, difference
        The scan that was taken, in the same units, and imagined minus real; None if there is none, or not yet.
    likeness
        Of imagined and real, over the "brain", and the "tumour" if one is found; None if there is no real scan, or not
        yet.
    """

    study: Study
    imagined: Imagined
    start: tuple[int, ...]
    middle: Array
    unsure: npt.NDArray[np.uint8]
    real: Array | None = None
    difference: Array | None = None
    likeness: Mapping[str, Likeness] | None = None

    def __post_init__(self) -> None:
        for array in (self.middle, self.unsure, self.real, self.difference):
            if array is not None:
                array.setflags(write=False)

    @property
    def unsure_share(self) -> float:
        """Part of the brain in which the network cannot know."""
        return float(self.unsure.sum()) / max(1, int(self.imagined.inside.sum()))


@dataclass(frozen=True, eq=False)
class _Request:
    number: int
    study: Study
    target: str
    given: Combination
    final: Prediction | None  # the segmentation on screen: where the tumour is

    def same_as(self, other: _Request | None) -> bool:
        return other is not None and (self.study, self.target, self.given, self.final) == (
            other.study,
            other.target,
            other.given,
            other.final,
        )


class Imagining:
    """Follows a session: ``target`` is imagined from what is switched on, anew whenever that changes.

    Nothing here changes the session, and nothing imagined becomes an image of its study. Signals come from any thread
    and carry nothing, but ``failed`` a sentence.

    Attributes
    ----------
    target
        The modality that is to be imagined, or None. It goes when the modality is switched on, and with the study.
    shown
        What was imagined last, of this study; until the next is there, that of another target or combination.
    busy
        True while something is imagined or compared.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, session: Session, make: Callable[..., Imaginer] | None = None) -> None:
        """``make``: called with ``device`` and ``precision`` when first needed; default: the bundled network."""
        self.session = session
        self.target: str | None = None
        self.shown: Pictures | None = None
        self._make = make
        self._imaginer: tuple[tuple[str, str], Imaginer] | None = None
        self._wake = Condition()
        self._subject = session.subject
        self._number = 0
        self._request: _Request | None = None
        self._answered: _Request | None = None
        self._kept: OrderedDict[tuple[str, str, tuple[str, str]], Imagined] = OrderedDict()
        self._curves: tuple[tuple[str, tuple[str, str]], Curves] | None = None  # of the scans used last
        self._ahead: tuple[Study, Combination] | None = None  # on what to run before it is asked for
        self._thread: Thread | None = None
        self._closed = False
        for signal in self._signals:
            signal.connect(self._follow)

    @property
    def _signals(self) -> tuple[Any, ...]:
        session = self.session
        return (
            session.study_changed,
            session.images_changed,
            session.combination_changed,
            session.shown_changed,
            session.model_changed,
            session.running_changed,
        )

    @property
    def subject(self) -> str:
        """Whose target and pictures these are, as the session names them."""
        return self._subject

    @property
    def busy(self) -> bool:
        return self._request is not None

    @property
    def choices(self) -> Combination:
        """What can be imagined: modalities that are off or absent, of a study of the bundled network's task."""
        study, used = self.session.study, self.session.combination
        if study is None or study.task.name != DEFAULT.name:
            return ()
        return tuple(name for name in study.task.names if name not in used)

    # -- requests -----------------------------------------------------------------------------------------

    def choose(self, target: str | None) -> None:
        """Imagine ``target``, or nothing any more. Raises InputError for a modality that is in use, or while none is
        from which it could be imagined."""
        if target is not None:
            if target not in self.choices:
                title = self.session.task.modality(target).title
                raise InputError(
                    f"{title} cannot be imagined now; open a study and switch {title} off, if it is there."
                )
            if not self.session.combination:
                raise InputError("All modalities are off; switch one on, from which another can be imagined.")
        with self._wake:
            self.target = target
        self._ask()

    def next(self) -> None:
        """The next that can be imagined; after the last, none."""
        choices = self.choices
        if not choices or not self.session.combination:
            self.choose(None)
            return
        at = choices.index(self.target) + 1 if self.target in choices else 0
        self.choose(choices[at] if at < len(choices) else None)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until what was asked for is there, or given up."""
        with self._wake:
            return self._wake.wait_for(lambda: self._request is None, timeout)

    def close(self) -> None:
        """End the thread and let the arrays go."""
        for signal in self._signals:
            with suppress(ValueError):
                signal.disconnect(self._follow)
        with self._wake:
            self._closed = True
            self._number += 1
            self.target = self.shown = self._request = self._answered = self._curves = self._ahead = None
            self._kept.clear()
            self._wake.notify_all()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(timeout=30)
        self._imaginer = None

    # -- following the session ----------------------------------------------------------------------------

    def _follow(self) -> None:
        session = self.session
        with self._wake:
            if self._closed:
                return
            subject, before = session.subject, self.target
            if subject != self._subject:
                self._subject = subject
                self.target = self.shown = self._curves = self._ahead = None
                self._kept.clear()
            if self.target is not None and self.target in session.combination:
                self.target = None
            idle = before is None and self.shown is None and self._request is None
            if self.choices and session.shown is not None and session.running is None:
                self._look_ahead()
        if not idle:
            self._ask()

    def _look_ahead(self) -> None:
        """While nothing else is computed: load the network and run it on what is switched on, once for each study, and
        after the first request for each combination."""
        study, given = self.session.study, self._given
        if study is not None and given and (self._curves is None or self._kept):
            self._ahead = study, given
            self._begin()
            self._wake.notify_all()

    @property
    def _given(self) -> Combination:
        """The modalities from which others would be imagined now."""
        study = self.session.study
        return () if study is None else tuple(n for n in self.session.combination if n in study.images)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="mrseg-imagine", daemon=True)
            self._thread.start()
            close_at_exit(self)

    def _ask(self) -> None:
        """Take up what is to be imagined now, unless that is done or under way."""
        session = self.session
        with self._wake:
            study, given, shown = session.study, self._given, session.shown
            target = self.target
            if study is None or target is None or not given:
                self.shown = self._request = self._answered = None
                self._number += 1
                self._wake.notify_all()
            else:
                final = None if shown is None or shown.preview or session.stale else shown
                request = _Request(self._number + 1, study, target, given, final)
                if request.same_as(self._request) or (
                    self._request is None and request.same_as(self._answered)
                ):
                    return
                self._number, self._request = request.number, request
                self._begin()
                self._wake.notify_all()
        self.changed.emit()

    # -- on the thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._serve_next():
            pass  # between two requests nothing here holds the study of the last one

    def _serve_next(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._request is not None or self._ahead is not None or self._closed)
            ahead = None
            while self._request is None and not self._closed and ahead is not self._ahead:
                ahead = self._ahead
                self._wake.wait(_STILL)
            request, ahead, self._ahead = self._request, self._ahead, None
            if self._closed:
                return False
        if request is None:
            if ahead is not None:
                with suppress(Exception):  # it is said when something is asked for
                    self._run(*ahead)
            return True
        try:
            self._answer(request)
        except Cancelled:
            return True
        except Exception as error:  # everything: an error that vanishes leaves the window waiting
            self._fail(request, error)
            return True
        with self._wake:
            if self._current(request):
                self._request, self._answered = None, request
                self._wake.notify_all()
        self.changed.emit()
        return True

    def _answer(self, request: _Request) -> None:
        imaginer = self._ready()
        study, target = request.study, request.target

        def check() -> None:
            if not self._current(request):
                raise Cancelled("A newer request took its place.")

        check()
        at = study.only(request.given).digest, target, (imaginer.model.sha256, imaginer.precision)
        with self._wake:
            imagined = self._kept.get(at)
        if imagined is None:
            curves = self._run(study, request.given)
            check()
            imagined = imaginer.imagine(study, target, request.given, curves=curves)
        with self._wake:
            if not self._closed and self.session.study is study:  # the newer request may need it, too
                self._kept[at] = imagined
                self._kept.move_to_end(at)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            check()
            before = self.shown
        if before is None or before.imagined is not imagined or before.study is not study:
            before = None
        pictures = before or _pictures(study, imagined)
        self._deliver(request, pictures)
        if target not in study.images:
            return
        real, taken = imaginer.real(study, target), imaginer.shown(study, target)
        check()
        if pictures.real is None:
            pictures = _with_real(pictures, real, taken)
            self._deliver(request, pictures)
        self._deliver(request, replace(pictures, likeness=_likeness(request, imagined, real, taken)))

    def _run(self, study: Study, given: Combination) -> Curves:
        """The network's answer to ``given``, for any target. Raises Cancelled once something else is asked for."""
        imaginer = self._ready()
        at = study.only(given).digest, (imaginer.model.sha256, imaginer.precision)
        with self._wake:
            if self._curves is not None and self._curves[0] == at:
                return self._curves[1]

        def check() -> None:
            with self._wake:
                request = self._request
                other = request is not None and (request.study, request.given) != (study, given)
                if self._closed or other or self.session.study is not study:
                    raise Cancelled("A newer request took its place.")

        curves = imaginer.curves(study, given, check=check)
        with self._wake:
            check()
            self._curves = at, curves
        return curves

    def _ready(self) -> Imaginer:
        """The network, where the session computes; here, if that is another computer."""
        session = self.session
        wanted = ("auto", "auto") if session.elsewhere else (session.device, session.precision)
        if self._imaginer is None or self._imaginer[0] != wanted:
            from napari_mrseg.inference.imagining import Imaginer

            self._imaginer = wanted, (self._make or Imaginer)(device=wanted[0], precision=wanted[1])
        return self._imaginer[1]

    def _deliver(self, request: _Request, pictures: Pictures) -> None:
        with self._wake:
            if not self._current(request):
                raise Cancelled("A newer request took its place.")
            if self.shown is pictures:
                return
            self.shown = pictures
        self.changed.emit()

    def _fail(self, request: _Request, error: Exception) -> None:
        if isinstance(error, MemoryError):
            error = DeviceError("The memory of this computer ran out; close other programs.")
        elif not isinstance(error, MrsegError):
            error = MrsegError(f"Unexpected {type(error).__name__}: {error}")
        with self._wake:
            if not self._current(request):
                return
            self.target = self.shown = self._request = self._answered = None
            self._wake.notify_all()
        self.changed.emit()
        self.failed.emit(str(error))

    def _current(self, request: _Request) -> bool:
        return request.number == self._number


def _pictures(study: Study, imagined: Imagined) -> Pictures:
    from napari_mrseg.compare.metrics import bounding_box

    box = bounding_box(imagined.inside) or tuple(slice(0, n) for n in imagined.inside.shape)
    wide = tuple(
        slice(max(0, one.start - _MARGIN), min(n, one.stop + _MARGIN))
        for one, n in zip(box, imagined.inside.shape, strict=True)
    )
    return Pictures(
        study,
        imagined,
        tuple(one.start for one in wide),
        _drawn(imagined.middle[wide], imagined.inside[wide]),
        (imagined.unsure & imagined.inside)[wide].astype(np.uint8),
    )


def _with_real(pictures: Pictures, real: Array, taken: Mask) -> Pictures:
    start, size = pictures.start, pictures.middle.shape
    here = tuple(slice(first, first + n) for first, n in zip(start, size, strict=True))
    cut, inside = real[here], taken[here]
    both = inside & pictures.imagined.inside[here]
    difference = np.where(both, pictures.imagined.middle[here] - cut, 0).astype(np.float32)
    return replace(pictures, real=_drawn(cut, inside), difference=difference)


def _drawn(array: Array, inside: Mask) -> Array:
    """As it is drawn: what is outside is black, and nothing is darker."""
    return np.where(inside, np.maximum(array, LIMITS[0]), LIMITS[0]).astype(np.float32)


def _likeness(request: _Request, imagined: Imagined, real: Array, taken: Mask) -> Mapping[str, Likeness]:
    from napari_mrseg.compare.likeness import likeness
    from napari_mrseg.compare.metrics import region_mask

    brain = imagined.inside & taken
    parts = {"brain": brain}
    if request.final is not None:
        parts["tumour"] = brain & region_mask(request.final.labels, request.study.task.regions[0])
    return likeness(imagined.middle, real, brain, parts)
