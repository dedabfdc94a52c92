"""What a study's result was made from, so that it is made again when that changes, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_mrseg.cohort.find import Listed
from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom import names_series, names_study
from napari_mrseg.io.formats import format_of, stem
from napari_mrseg.io.recognise import recognise, split_pair
from napari_mrseg.tasks import Task

SETTLED = 2.0  # seconds after which a file that changes again gets another time, on any file system
_DETACHED = (".mhd", ".nhdr", ".hdr")  # headers whose voxels are in a file of another name
_SIMULATED = "simulated.json"  # beside scans that the generator made


@dataclass(frozen=True)
class Sources:
    """``digest``: of the files in use, their names and roles. ``stamps``: of sizes and times of all that lies there.

    Equal stamps save reading the files again; they are empty where they may miss a change.
    """

    digest: str
    stamps: str

    @classmethod
    def of(cls, listed: Listed, task: Task) -> Sources:
        stamps, sure = stamps_of(listed)
        return cls(digest_of(listed, task), stamps if sure else "")

    def record(self) -> dict[str, str]:
        return asdict(self)


def is_current(document: Mapping[str, Any] | None, listed: Listed, task: Task) -> bool:
    """True if ``document``, a ``study.json``, is of the files that ``listed`` names as they are now."""
    known = (document or {}).get("sources")
    if not isinstance(known, dict):
        return False
    stamps, sure = stamps_of(listed)
    return (sure and known.get("stamps") == stamps) or known.get("digest") == digest_of(listed, task)


def digest_of(listed: Listed, task: Task) -> str:
    """SHA-256 over role, name and content of each file that the study is read from."""
    try:
        found = recognise(list(listed.sources), task)
    except (InputError, OSError) as error:  # it has no files in use: whatever changes there may fix it
        return _hash([str(error), stamps_of(listed)[0]])
    parts = [
        [f.role or "", *f.doubt, f.path.name, *_contents(f.path, task)]
        for f in found.files
        if f.role or f.doubt
    ]
    simulated = (found.folder / _SIMULATED).is_file()
    return _hash([found.case, found.refusal, simulated, sorted(parts)])


def _contents(path: Path, task: Task) -> Iterator[str]:
    """Hashes of a file and of what is said of it beside it; of a folder of frames, names and hashes of all."""
    if path.is_dir():
        for file in _files(path):
            yield file.relative_to(path).as_posix()
            yield _hash_of(file)
        return
    kind = format_of(path)
    try:
        yield _hash_of(path) if kind is None else kind.sha256(path)
    except (InputError, OSError) as error:
        yield f"unreadable: {error}"
        yield _hash_of(path)
    sidecar = path.parent / f"{stem(path)}.json"
    if sidecar.is_file():
        yield _hash_of(sidecar)


def _hash_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def stamps_of(listed: Listed) -> tuple[str, bool]:
    """A hash over name, size, times and number of each file there; True if a change cannot go unseen."""
    found: list[list[Any]] = []
    newest, sure = 0.0, True
    for source in listed.sources:
        path, role = split_pair(source)
        found.append([role or "", str(path)])
        for file in _around(path):
            sure = sure and file.suffix.lower() not in _DETACHED
            try:
                known = file.stat()
            except OSError as error:
                found.append([str(file), error.strerror])
                continue
            found.append([str(file), known.st_size, known.st_mtime_ns, known.st_ctime_ns, known.st_ino])
            newest = max(newest, known.st_mtime, known.st_ctime)
    return _hash(found), sure and newest < time.time() - SETTLED


def _around(path: Path) -> Iterator[Path]:
    """All files that decide what ``path`` shows: itself and what is said of it, or all below it."""
    while names_series(path) or names_study(path):  # no file on disk: the export that it is in
        path = path.parent
    if path.is_dir():
        yield from _files(path)
        return
    yield path
    for beside in (path.parent / f"{stem(path)}.json", path.parent / _SIMULATED, path.parent / "result.json"):
        if beside.is_file():
            yield beside


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(here) / name


def _hash(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, ensure_ascii=True, default=str).encode()).hexdigest()
