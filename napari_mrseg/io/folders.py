"""Walking through folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path


def _everything(_: Path) -> bool:
    return True


def _nothing(_: str) -> None:
    return None


def folders_below(
    root: Path, *, wanted: Callable[[Path], bool] = _everything, say: Callable[[str], None] = _nothing
) -> Iterator[Path]:
    """``root`` and all folders below it, parents first, in order; each folder once, under its own name.

    Links to other folders are followed and told to ``say`` where they lead out of ``root``; a link to a folder that
    the link itself or ``root`` lies in is told and left. ``wanted``: False for a folder to be left out with all below
    it. Hidden folders, and those that cannot be read, are left out.
    """
    top = root.resolve()
    seen: set[Path] = set()

    def linked(path: Path) -> bool:
        """Whether to follow ``path``, which is a link."""
        real = path.resolve()
        name = path.relative_to(root).as_posix()
        if any(real == here or real in here.parents for here in (top, path.parent.resolve())):
            say(f"{name} is a link to a folder that it lies in ({real.name or real}): it was not followed.")
            return False
        if real.is_relative_to(top):
            # It is met under its own name, unless that is hidden.
            return any(part.startswith(".") for part in real.relative_to(top).parts)
        say(f"{name} is a link out of {root.name}: what lies there is taken in.")
        return True

    def walk(folder: Path) -> Iterator[Path]:
        real = folder.resolve()
        if real in seen:
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
            if wanted(path) and (not path.is_symlink() or linked(path)):
                yield from walk(path)

    yield from walk(root)
