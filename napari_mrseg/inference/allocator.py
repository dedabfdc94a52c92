"""Keeping freed memory instead of handing it back to the system between two tensors."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # of glibc's malloc.h


def release_freed_memory() -> None:
    """Hand freed memory back after all; takes a moment. Kept for ever, it would grow with every kind of study."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@cache
def reuse_freed_memory() -> bool:
    """Tell glibc to reuse large blocks. Once a process; False where there is no glibc.

    By default every tensor above 128 kB is fresh memory that the system clears page by page, a fifth of the time
    of a run on the CPU. One arena, since a thread's own could not hold blocks of this size.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        tune = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))
    return all([tune(option, value) for option, value in wanted])
