"""Studies being read, on threads of their own, and what scans look like whose names leave something open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread

from napari_mrseg.errors import MrsegError
from napari_mrseg.study import Study
from napari_mrseg.tasks import Task


@dataclass(frozen=True, eq=False)
class Opening:
    """One study being read."""

    of: Openings

    @property
    def newest(self) -> bool:
        """Whether nothing else was asked for since."""
        return self.of.last is self


class Openings:
    """Who is being read. ``changed`` is called whenever ``busy`` does, on the thread that made it so."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.busy = False
        self.last: Opening | None = None
        self._changed = changed
        self._lock = Lock()

    @contextmanager
    def here(self) -> Iterator[Opening]:
        """Read on this thread."""
        opening = self._begin()
        try:
            yield opening
        finally:
            self._end(opening)

    def later(self, work: Callable[[Opening], None], failed: Callable[[Exception], None]) -> None:
        """Do ``work`` on a thread; ``failed`` hears of its error, unless something else was asked for since."""
        opening = self._begin()

        def run() -> None:
            try:
                work(opening)
            except Exception as error:
                newest = opening.newest
                self._end(opening)  # first: who hears of the error must not find it still being read
                if newest:
                    failed(error)
            else:
                self._end(opening)

        self.busy = True
        self._changed()
        Thread(target=run, name="mrseg-open").start()

    def _begin(self) -> Opening:
        with self._lock:
            self.last = Opening(self)
            return self.last

    def _end(self, opening: Opening) -> None:
        if opening.newest and self.busy:
            self.busy = False
            self._changed()


def settled(study: Study) -> Study:
    """``study`` without the question whether an agent was given, where the images themselves answer it.

    The look is one source more: with an agent, vessels are brighter than in the scan without one. Looks at the images
    only if there is a question.
    """
    from napari_mrseg.inference.suggest import enhanced
    from napari_mrseg.io.recognise import UNSURE

    asked = {note.modality for note in study.notes if note.code == UNSURE}
    answered = {
        name
        for pair in study.task.enhanced
        if asked & set(pair) and set(pair) <= set(study.images)
        if enhanced(study.images[pair[0]], study.images[pair[1]])
        for name in pair
    }
    notes = tuple(n for n in study.notes if n.code != UNSURE or n.modality not in answered)
    return study if len(notes) == len(study.notes) else replace(study, notes=notes)


def suggested_roles(paths: Sequence[str | Path], task: Task) -> dict[str, str]:
    """What the scans at ``paths`` look like whose names leave it open: path → modality. Reads them; seconds."""
    from napari_mrseg.inference.suggest import suggest
    from napari_mrseg.io import open_study, recognise

    found = recognise([str(path) for path in paths], task)
    taken = [f.role for f in found.files if f.role in task.names]
    images, names = [], []
    for file in found.files:
        if not file.undecided:
            continue
        try:
            study = open_study([f"{task.names[0]}={file.path}"], task=task, reference=False)
        except (MrsegError, OSError):
            continue  # whatever it is, it is no scan that could be opened
        images.append(next(iter(study.images.values())))
        names.append(str(file.path))
    told = suggest(images, task, [name for name in taken if name])
    return {path: role for path, role in zip(names, told, strict=True) if role}
