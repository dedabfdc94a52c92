"""One writer for each output folder. A lock ends with its process, however that ends, on a shared disk too."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from napari_mrseg.errors import InputError

PATIENCE = 0.2  # seconds that a lock is asked for again: another run may just be ending


@contextmanager
def only_writer(out: str | os.PathLike[str]) -> Iterator[None]:
    """Hold ``out`` for one run. Raises InputError if another run is writing there.

    The lock file lies in ``out``, or in the nearest folder above it that is there, and is gone afterwards.
    """
    target = Path(os.path.realpath(out))
    base = target
    while not base.is_dir():
        base = base.parent
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:12]
    lock = acquire(base / f".mrseg-{name}.lock", Path(out).name)
    if lock is None:
        raise InputError(
            f"{Path(out).name} is being written by another run; wait until that has ended, or use another folder."
        )
    try:
        yield
    finally:
        release(lock)


def acquire(path: Path, who: str) -> FileLock | None:
    """The lock at ``path``, or None if another run holds it. ``who``: the folder that an error names."""
    lock = FileLock(path, timeout=PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise InputError(f"{who} cannot be written ({error.strerror}); choose another folder.") from None
    return lock


def release(lock: FileLock) -> None:
    """End ``lock`` and take its file away, while it is held where that can be: no other run's file is ever taken."""
    path, soft = lock.lock_file, isinstance(lock, SoftFileLock)
    if not soft:
        with suppress(OSError):  # Windows keeps a file that is open
            os.unlink(path)
    lock.release()
    if not soft and os.name == "nt":
        with suppress(OSError):
            os.unlink(path)
