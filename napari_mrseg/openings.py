"""Studies being read, on threads of their own. Of several asked for, the one asked for last counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Thread


@dataclass(frozen=True, eq=False)
class Opening:
    """One study being read."""

    of: Openings

    @property
    def newest(self) -> bool:
        """Whether nothing else was asked for since."""
        return self.of.last is self


class Openings:
    """Who is being read. ``changed`` is called whenever ``busy`` does, on the thread that made it so."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.busy = False
        self.last: Opening | None = None
        self._changed = changed
        self._lock = Lock()

    @contextmanager
    def here(self) -> Iterator[Opening]:
        """Read on this thread."""
        opening = self._begin()
        try:
            yield opening
        finally:
            self._end(opening)

    def later(self, work: Callable[[Opening], None], failed: Callable[[Exception], None]) -> None:
        """Do ``work`` on a thread; ``failed`` hears of its error, unless something else was asked for since."""
        opening = self._begin()

        def run() -> None:
            try:
                work(opening)
            except Exception as error:
                newest = opening.newest
                self._end(opening)  # first: who hears of the error must not find it still being read
                if newest:
                    failed(error)
            else:
                self._end(opening)

        self.busy = True
        self._changed()
        Thread(target=run, name="mrseg-open").start()

    def _begin(self) -> Opening:
        with self._lock:
            self.last = Opening(self)
            return self.last

    def _end(self, opening: Opening) -> None:
        if opening.newest and self.busy:
            self.busy = False
            self._changed()
