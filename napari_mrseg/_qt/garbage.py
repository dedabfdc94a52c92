"""Looking through all objects for garbage takes half a second with napari's and torch's modules: how that is spared."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

_MANY = 100_000  # objects: the modules of napari and torch are more


@contextmanager
def spared() -> Iterator[None]:
    """While layers go: nothing is looked through. What became garbage meanwhile is found later."""
    from napari._vispy import canvas  # it comes with the first window

    napari: Any = canvas
    before, napari.gc = napari.gc, SimpleNamespace(collect=lambda: 0)
    try:
        yield
    finally:
        napari.gc = before


@contextmanager
def modules_kept(*ready: Any) -> Iterator[None]:
    """While a window of ours is open: modules, and what there is now, are looked through no more.

    ``ready``: signals, the first of which says that torch is loaded too. Nothing is looked through before.
    """
    if gc.get_freeze_count() > _MANY:
        yield
        return

    def begin(*_: Any) -> None:
        gc.freeze()
        gc.enable()
        for signal in ready:
            signal.disconnect(begin, missing_ok=True)

    for signal in ready:
        signal.connect(begin, priority=1)  # before there is a layer, which must be found when it is garbage
    try:
        yield
    finally:
        begin()
        gc.unfreeze()
