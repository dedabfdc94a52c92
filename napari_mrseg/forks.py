"""Child processes made by ``fork``: PyTorch's threads stay behind in the parent, and waiting for them never ends."""

from __future__ import annotations

import os
import sys

_forked_with_torch = False


def forked_with_torch() -> bool:
    """True in a child made by ``fork`` from a process that had PyTorch: it can compute on one core alone."""
    return _forked_with_torch


def _after_fork() -> None:
    global _forked_with_torch
    torch = sys.modules.get("torch")
    if torch is not None:
        _forked_with_torch = True
        torch.set_num_threads(1)


def watch_forks() -> None:
    """Let children made from now on compute on one core, where they would wait for ever on more."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=_after_fork)
