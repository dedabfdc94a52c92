"""napari looks through all objects for garbage whenever layers go, for up to half a second: what keeps that short."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 100_000  # objects: the modules of napari and torch are more


@contextmanager
def spared() -> Iterator[None]:
    """While layers go: nothing is looked through. What became garbage meanwhile is found later."""
    if gc.get_freeze_count() > _MANY:  # the modules are out of sight for good
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def modules_kept() -> Iterator[None]:
    """While a window of ours is open: modules, and what there is now, are looked through no more."""
    ours = gc.get_freeze_count() <= _MANY
    if ours:
        gc.collect()
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
