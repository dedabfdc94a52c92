"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from napari_mrseg.errors import InputError


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
