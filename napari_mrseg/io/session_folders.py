"""Where below a subject's folder its scans lie: in sessions and ``anat`` folders, as BIDS nests them, or deeper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

SESSION = re.compile(r"anat|ses-[a-z0-9]+", re.IGNORECASE)
DEEPEST = 4  # folders below the one that was given
MOST = 500  # folders that are looked into

HoldsScans = Callable[[Path], bool]


def sessions_of(folder: Path, holds_scans: HoldsScans) -> tuple[Path, ...]:
    """The folders with scans that are reached from ``folder`` through folders of sessions and ``anat`` alone."""
    return _below(folder, holds_scans, lambda inside: SESSION.fullmatch(inside.name) is not None)


def folders_with_scans(folder: Path, holds_scans: HoldsScans) -> tuple[Path, ...]:
    """The nearest folders below ``folder`` that hold scans, whatever their names."""
    return _below(folder, holds_scans, lambda inside: not inside.name.startswith("."))


def _below(folder: Path, holds_scans: HoldsScans, enters: Callable[[Path], bool]) -> tuple[Path, ...]:
    found: list[Path] = []
    level, looked = [folder], 0
    for _ in range(DEEPEST):
        inside = [path for parent in level for path in _folders(parent) if enters(path)]
        inside = inside[: max(0, MOST - looked)]
        looked += len(inside)
        holding = [path for path in inside if holds_scans(path)]
        found += holding
        level = [path for path in inside if path not in holding]
    return tuple(found)


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []
