"""Subjects prepared once, one safetensors file each, checked by hash; an interrupted preparation goes on."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mrseg_training.atomic import write_atomically
from mrseg_training.data.audit import Problem, Survey, examine, write_report
from mrseg_training.data.subjects import Files, Prepared, Source, prepare
from mrseg_training.log import Count, Say, silent
from napari_mrseg.errors import InputError


@dataclass(frozen=True)
class Cached:
    """One prepared subject on disk."""

    subject: str
    path: Path


Filled = tuple[Cached | None, list[Problem], frozenset[int]]


def fill_cache(
    source: Source,
    subjects: Iterable[str],
    folder: Path,
    *,
    skip_bad: bool = False,
    workers: int = 1,
    say: Say = silent,
) -> list[Cached]:
    """Prepare what is not there yet and check the rest. Returns the subjects that can be used.

    ``workers``: processes that do it. A report of what was found goes to ``problems.txt`` in ``folder``. Raises
    InputError that names the bad subjects, unless ``skip_bad``.
    """
    wanted = list(subjects)
    folder.mkdir(parents=True, exist_ok=True)
    cached: list[Cached] = []
    problems: list[Problem] = []
    survey = Survey(source) if isinstance(source, Files) and source.needed else None
    for number, (one, found, codes) in enumerate(_each(source, wanted, folder, workers), start=1):
        problems += found
        if survey is not None:
            survey.add(wanted[number - 1], found, codes)
        if one is not None:
            cached.append(one)
        say(Count("prepared", number, len(wanted)))
    if problems:
        write_report(problems, len(wanted), folder / "problems.txt")
    bad = [problem for problem in problems if problem.serious]
    if bad and not skip_bad:
        raise InputError(_sentence(bad, folder))
    if survey is not None:
        survey.check(say)
    if not cached:
        raise InputError(f"None of the {len(wanted)} subjects can be used; see {folder / 'problems.txt'}.")
    return cached


def _each(source: Source, subjects: Sequence[str], folder: Path, workers: int) -> Iterator[Filled]:
    """:func:`_fill` of each subject, in order."""
    if workers == 1 or len(subjects) < 2:
        yield from (_fill(source, folder, subject) for subject in subjects)
        return
    context = multiprocessing.get_context("spawn")  # forked threads of PyTorch would hang
    with ProcessPoolExecutor(workers, context, begin_filling, (source, folder)) as pool:
        yield from pool.map(fill_there, subjects)


_there: tuple[Source, Path]


def begin_filling(source: Source, folder: Path) -> None:
    """In each worker, once: a source may take long to get ready."""
    global _there
    _there = source, folder
    torch.set_num_threads(1)


def fill_there(subject: str) -> Filled:
    """Prepare one subject in a process that began with :func:`begin_filling`."""
    return _fill(*_there, subject)


def _fill(source: Source, folder: Path, subject: str) -> Filled:
    """Prepare one subject unless it is there; None if it cannot be used. The codes: of its file, if it was read now."""
    path = folder / f"{subject}.safetensors"
    fingerprint = source.fingerprint(subject)
    problems: list[Problem] = []
    codes: frozenset[int] = frozenset()
    if not is_sound(path, fingerprint):
        study = None
        if isinstance(source, Files):
            problems, study = examine(source, subject)
            if any(problem.serious for problem in problems):
                return None, problems, codes
        if study is not None and study.reference is not None:
            codes = study.reference.codes
        prepared = prepare(study, source.spacing) if study is not None else source.load(subject)
        _write(path, prepared, fingerprint)
    return Cached(subject, path), problems, codes


def _sentence(bad: Sequence[Problem], folder: Path) -> str:
    names = list(dict.fromkeys(problem.subject for problem in bad))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"{shown} cannot be used ({bad[0].message.rstrip('.')}); fix them or set data.skip_bad=true, "
        f"all is listed in {folder / 'problems.txt'}."
    )


def _write(path: Path, prepared: Prepared, fingerprint: str) -> None:
    tensors = {
        "images": prepared.images.to(torch.float16).contiguous(),
        "labels": prepared.labels.contiguous(),
        "has": prepared.available,
    }
    metadata = {"fingerprint": fingerprint, "content": _content(tensors)}
    write_atomically(path, save(tensors, metadata))


def _content(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def is_sound(path: Path, fingerprint: str) -> bool:
    """Whether ``path`` holds what was prepared from the same source, undamaged."""
    try:
        with safe_open(path, "pt") as file:
            known = file.metadata() or {}
            if known.get("fingerprint") != fingerprint:
                return False
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return known.get("content") == _content(tensors)
    except (OSError, SafetensorError, ValueError):
        return False


class Volumes:
    """Cached subjects, in memory or read piece by piece from the mapped files.

    ``in_memory`` "auto": if they take less than two fifths of the free memory, shared by ``processes``. Not
    ``labelled``: all labels are 0, whatever the files hold.
    """

    def __init__(
        self,
        cached: Sequence[Cached],
        in_memory: str = "auto",
        processes: int = 1,
        *,
        labelled: bool = True,
    ) -> None:
        self.labelled = labelled
        self.subjects = [c.subject for c in cached]
        self._paths: dict[str, Path] = {}
        size = sum(c.path.stat().st_size for c in cached)
        self.held = in_memory == "yes" or (in_memory == "auto" and size * processes < 0.4 * _free_memory())
        self._memory: dict[str, dict[str, Tensor]] = {}
        self._has: dict[str, Tensor] = {}
        for one in cached:
            self._open(one, hold=self.held)

    def _open(self, one: Cached, *, hold: bool = False) -> None:
        self._paths[one.subject] = one.path
        with _opened(one.path) as file:
            self._has[one.subject] = file.get_tensor("has")
            if hold:
                self._memory[one.subject] = {name: file.get_tensor(name) for name in ("images", "labels")}

    def place(self, position: int) -> tuple[int, int]:
        """Which epoch the sample at ``position`` of the endless row is in, and where in it."""
        return divmod(position, len(self.subjects))

    def samples(self, epochs: int) -> int:
        """How many there are in so many epochs."""
        return epochs * len(self.subjects)

    def epoch(self, number: int) -> Sequence[str]:
        """The subjects of an epoch."""
        return self.subjects

    def close(self) -> None:
        """Nothing more is wanted of it."""

    def available(self, subject: str) -> Tensor:
        """(M,) bool: the modalities there."""
        return self._has[subject]

    def labels(self, subject: str) -> Tensor:
        """(I, P, L) uint8 codes."""
        labels = self._whole(subject, "labels")
        return labels if self.labelled else torch.zeros_like(labels)

    def images(self, subject: str) -> Tensor:
        """(M, I, P, L) float16."""
        return self._whole(subject, "images")

    def piece(self, subject: str, box: tuple[slice, slice, slice]) -> Tensor:
        """(M, i, p, l) float16, the part of the images in ``box``."""
        if subject in self._memory:
            return self._memory[subject]["images"][(slice(None), *box)]
        with _opened(self._paths[subject]) as file:
            result: Tensor = file.get_slice("images")[(slice(None), *box)]
            return result

    def _whole(self, subject: str, name: str) -> Tensor:
        if subject in self._memory:
            return self._memory[subject][name]
        with _opened(self._paths[subject]) as file:
            result: Tensor = file.get_tensor(name)
            return result


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The mapped file. Raises InputError if it was lost or damaged since it was checked."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError):
        raise InputError(f"{path.name} can no longer be read; resume, and it is prepared again.") from None


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30
