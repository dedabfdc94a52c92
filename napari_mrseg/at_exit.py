"""Threads that compute end before Python does: one that is cut off inside PyTorch aborts the whole process."""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet


class Closable(Protocol):
    def close(self) -> None: ...


_open: WeakSet[Closable] = WeakSet()


def close_at_exit(owner: Closable) -> None:
    """Close ``owner`` of a thread when the program ends, if nobody has until then."""
    _open.add(owner)


@atexit.register
def _close_all() -> None:
    for owner in list(_open):
        with suppress(Exception):  # the program has done its work: nothing is left to tell anybody
            owner.close()
