"""When the window takes over what the session says: the canvas at once, all else a frame or two later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from qtpy.QtCore import QObject, QTimer

from napari_mrseg._qt.bridge import TOPICS

OVERLAY = frozenset({"combination", "shown", "model"})  # topics that change what the overlay is
_PAUSE = 32  # ms, two frames: the canvas comes first
_TURN = 10  # ms between two layers, in which the window answers and draws


class Updates(QObject):
    """Orders the work of a change in the session.

    ``study``: a generator that makes a new study's layers, one a turn of the event loop; ``canvas``: the overlay and
    its words; ``images``: what lies behind it; ``rest``: all other widgets.
    """

    def __init__(
        self,
        *,
        study: Callable[[], Iterator[None]],
        canvas: Callable[[frozenset[str]], None],
        images: Callable[[], None],
        rest: Callable[[frozenset[str]], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._study, self._canvas, self._images, self._rest = study, canvas, images, rest
        self._steps: Iterator[None] | None = None
        self._pending: frozenset[str] = frozenset()
        self._stepper = QTimer(self)
        self._stepper.setSingleShot(True)
        self._stepper.setInterval(_TURN)
        self._stepper.timeout.connect(self._step)
        self._behind: frozenset[str] = frozenset()  # topics that the widgets do not show yet
        self._images_there = False  # the images behind the overlay are ahead of the widgets
        self._follower = QTimer(self)
        self._follower.setSingleShot(True)
        self._follower.setInterval(_PAUSE)
        self._follower.timeout.connect(self._follow)

    @property
    def opening(self) -> bool:
        """True while a new study's layers are being made."""
        return self._steps is not None

    @property
    def settled(self) -> bool:
        """True while the widgets show all that was heard."""
        return self._steps is None and not self._follower.isActive()

    def changed(self, topics: frozenset[str]) -> None:
        if "study" in topics:
            self._steps = self._study()
            self._pending = frozenset(TOPICS) - {"study"}
            self._follower.stop()  # what was left to show is of the old study
            self._behind = frozenset()
            self._step()  # the first at once: from now on nothing of the old study is seen
        elif self._steps is not None:
            self._pending |= topics
        else:
            self._refresh(topics)

    def catch_up(self) -> None:
        """Show all that was heard, now; while a study's layers are being made it waits for them."""
        if self._steps is None:
            self._follower.stop()
            self._catch_up()

    def close(self) -> None:
        with suppress(RuntimeError):  # it goes with its parent
            self._follower.stop()
            self._stepper.stop()

    def _step(self) -> None:
        """One layer of a new study a turn of the event loop; then everything else is brought up to date."""
        if self._steps is not None and next(self._steps, self) is not self:
            self._stepper.start()  # after each, so that what came meanwhile is answered between two of them
            return
        self._stepper.stop()
        self._steps = None
        self._refresh(self._pending)

    def _refresh(self, topics: frozenset[str]) -> None:
        self._canvas(topics)
        self._behind |= topics
        if "combination" in topics:
            self._images_there = False
        if not self._follower.isActive():
            self._follower.start()

    def _follow(self) -> None:
        """What :meth:`_refresh` left, in two turns of the event loop: images behind the overlay, then all else."""
        if "combination" in self._behind and not self._images_there:
            self._images_there = True
            self._images()
            self._follower.start()
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        topics, self._behind = self._behind, frozenset()
        self._images_there = False
        self._rest(topics)
