"""A pool of generated subjects that grows while a network learns from it: another process draws the next ones."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from itertools import count
from pathlib import Path

from mrseg_training.data.prepared import Cached, Volumes, begin_filling, fill_there, is_sound
from mrseg_training.data.subjects import Source
from napari_mrseg.errors import InputError

POLL = 0.2  # seconds between two looks for a subject that another process draws


class GrowingPool(Volumes):
    """Subjects of which each epoch has ``grow`` more than the one before.

    Subject k of a seed is always the same, and epoch e has the first N + e · grow, so that a run that was stopped goes
    on with the same data, however quickly they were drawn. One process, the one that ``draws``, keeps an epoch ahead;
    a loader that is quicker waits for it.
    """

    def __init__(
        self,
        cached: Sequence[Cached],
        source: Source,
        folder: Path,
        grow: int,
        in_memory: str = "auto",
        processes: int = 1,
        *,
        draws: bool = True,
    ) -> None:
        super().__init__(cached, in_memory, processes)
        self.source, self.folder, self.grow, self.draws = source, folder, grow, draws
        self._first = len(self.subjects)
        self._kind = self.subjects[0].rpartition("-")[0]
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False
        self._drawn: dict[str, Future[object]] = {}

    def place(self, position: int) -> tuple[int, int]:
        for epoch in count():
            size = self._first + epoch * self.grow
            if position < size:
                return epoch, position
            position -= size
        raise AssertionError

    def samples(self, epochs: int) -> int:
        return epochs * self._first + self.grow * epochs * (epochs - 1) // 2

    def epoch(self, number: int) -> Sequence[str]:
        wanted = self._first + number * self.grow
        if self.draws:
            self._ask(wanted + self.grow)
        for subject in map(self._name, range(len(self.subjects), wanted)):
            self._await(subject)
            self._open(Cached(subject, self.folder / f"{subject}.safetensors"))
            self.subjects.append(subject)
        return self.subjects[:wanted]

    def close(self) -> None:
        """Stop drawing; what is half drawn is drawn again another time."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _name(self, k: int) -> str:
        return f"{self._kind}-{k:04d}"

    def _ask(self, until: int) -> None:
        """Have the subjects before number ``until`` drawn, once."""
        for subject in map(self._name, range(len(self.subjects), until)):
            if subject in self._drawn:
                continue
            if self._closed:
                return  # a loader that reads ahead does not begin it again
            if self._pool is None:
                context = multiprocessing.get_context("spawn")  # forked threads of PyTorch would hang
                self._pool = ProcessPoolExecutor(1, context, begin_filling, (self.source, self.folder))
            self._drawn[subject] = self._pool.submit(fill_there, subject)

    def _await(self, subject: str) -> None:
        """Until the subject is there. Raises InputError if it cannot be drawn."""
        if self.draws:
            try:
                self._drawn.pop(subject).result()
            except BrokenExecutor:
                raise InputError(
                    f"{subject} cannot be drawn: the process that draws has died; resume, perhaps with more memory."
                ) from None
            return
        # The process that draws ends the whole run if it cannot: nothing waits here for ever.
        while not is_sound(self.folder / f"{subject}.safetensors", self.source.fingerprint(subject)):
            time.sleep(POLL)
