"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import argparse
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from napari_mrseg.errors import InputError


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, which may be given several times; see :func:`one_folder`."""
    parser.add_argument(
        "--data", type=Path, action="append", help="folder of subjects; may be given several times"
    )


def one_folder(folders: Sequence[Path] | None, links: Path) -> Path:
    """The folder that holds every subject of ``folders`` (default: ``MRSEG_DATA``).

    One folder is used as it is; of several, ``links`` gets a link to each of their subjects. Raises InputError for a
    folder that is not there or a name that two of them hold.
    """
    given = [*(folders or [Path(os.environ.get("MRSEG_DATA", "../shared/data"))])]
    for folder in given:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; check --data.")
    if len(given) == 1:
        return given[0]
    links.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    for folder in given:
        for subject in sorted(path for path in folder.iterdir() if path.is_dir()):
            if subject.name in made:
                raise InputError(
                    f"{subject.name} is in {made[subject.name].name} and in {folder.name}; give one of them."
                )
            made[subject.name] = folder
            link = links / subject.name
            if link.is_symlink():
                link.unlink()
            link.symlink_to(subject.resolve(), target_is_directory=True)
    return links


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a neighbour, flush to the disk, rename. Raises InputError if the disk is full or read-only."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.fchmod(handle, 0o644)  # a temporary file is the owner's alone
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or "no reason given")
        raise InputError(
            f"{path.name} cannot be written ({reason}); make room or choose another folder."
        ) from None
