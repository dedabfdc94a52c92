"""Roles that a user gave to files by hand, for the next time the same files are opened. Holds hashes, no name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from napari_mrseg.errors import MrsegError
from napari_mrseg.io import Recognition, recognise
from napari_mrseg.tasks import Task

MOST = 1000  # sets of files; the oldest are forgotten


def recall(paths: Sequence[str], task: Task) -> dict[str, str | None]:
    """Path → role, None for "not used", as these files were assigned before; empty if they never were."""
    try:
        found = recognise(paths, task)
    except (MrsegError, OSError):
        return {}
    known = _read().get(_key(found, task), {})
    by_hash = {_hash(f.path.name): str(f.path) for f in found.files}
    return {by_hash[name]: role for name, role in known.items() if name in by_hash}


def remember(paths: Sequence[str], assigned: Mapping[str, str | None], task: Task) -> None:
    """Keep what was assigned. A home that cannot be written is not worth an error: nothing is kept then."""
    try:
        found = recognise(paths, task)
    except (MrsegError, OSError):
        return
    names = {str(f.path): f.path.name for f in found.files} | {f.path.name: f.path.name for f in found.files}
    roles = {_hash(names[path]): role for path, role in assigned.items() if path in names}
    if not roles:
        return
    every = _read()
    every.pop(_key(found, task), None)
    every[_key(found, task)] = roles
    kept = dict(list(every.items())[-MOST:])
    path = _file()
    part = path.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(part, path)


def _file() -> Path:
    return Path(platformdirs.user_data_dir("napari-mrseg")) / "roles.json"


def _read() -> dict[str, dict[str, str | None]]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return {}


def _key(found: Recognition, task: Task) -> str:
    where = found.case if found.private else os.path.abspath(found.folder)
    return _hash("\n".join([task.name, where, *sorted(f.path.name for f in found.files)]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
