"""Walking through folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def folders_below(root: Path) -> Iterator[Path]:
    """``root`` and all folders below it, parents first, in order; links are followed, each folder once.

    Hidden ones, and those that cannot be read, are left out.
    """
    seen: set[Path] = set()

    def walk(folder: Path) -> Iterator[Path]:
        real = folder.resolve()
        if real in seen:  # a link to a folder above would never end
            return
        seen.add(real)
        try:
            inside = sorted(
                path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
            )
        except OSError:
            return
        yield folder
        for path in inside:
            yield from walk(path)

    yield from walk(root)
