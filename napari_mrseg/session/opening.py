"""Studies being read, on threads of their own, what they are called, and what unnamed scans and wrong folders hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Lock, Thread

from napari_mrseg.errors import Cancelled, MrsegError
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

    def reading(self, role: str, fraction: float) -> None:
        """Note that ``role`` is read now. Raises Cancelled once something else was asked for, or nothing any more."""
        if not self.newest:
            raise Cancelled("The opening was cancelled.")
        self.of.at(role, fraction)


class Openings:
    """Who is being read, and how far: ``role`` of the file that is read, ``fraction`` of all that is done.

    ``changed`` is called whenever these or ``busy`` change, on the thread that made them so. ``begun`` is called before
    a study is read in the background, and ``ended`` when the newest one is through, was refused or cancelled.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        begun: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.busy = False
        self.role, self.fraction = "", 0.0
        self.placed = False  # the newest is read and shown; it can no longer be cancelled
        self.last: Opening | None = None
        self._changed, self._begun, self._ended = changed, begun, ended
        self._lock = Lock()

    def at(self, role: str, fraction: float) -> None:
        """Note how far the newest opening is."""
        self.role, self.fraction = role, fraction
        self._changed()

    def cancel(self) -> bool:
        """Drop what is being read in the background. False if nothing is."""
        with self._lock:
            if not self.busy or self.placed:
                return False
            self.last, self.busy = None, False
        return True

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
        self.role, self.fraction = "", 0.0
        self._begun()
        self._changed()
        Thread(target=run, name="mrseg-open").start()

    def _begin(self) -> Opening:
        with self._lock:
            self.last, self.placed = Opening(self), False
            return self.last

    def _end(self, opening: Opening) -> None:
        if opening.newest:
            busy, self.busy = self.busy, False
            self._ended()
            if busy:
                self._changed()


def name_of(paths: Sequence[str]) -> str:
    """What a study is called before it is read: the folder, or the one in which its files lie."""
    first = Path(paths[0].rpartition("=")[2]).absolute()
    if first.is_dir() or first.suffix.lower() in (".zip", ".tar", ".tgz"):
        return first.name
    return first.name if len(paths) == 1 else first.parent.name


_MANY = 200  # entries of a folder that are looked into
_NAMED = 3


def held_by(paths: Sequence[str], task: Task) -> tuple[tuple[Path, str], ...]:
    """What could be opened instead of a folder without scans of its own: path and kind. Looks one level down."""
    from napari_mrseg.io.dicom.archive import is_archive
    from napari_mrseg.io.dicom.index import is_dicom
    from napari_mrseg.io.formats import formats_of, is_readable

    folder = Path(paths[0])
    if len(paths) != 1 or not folder.is_dir():
        return ()
    kind, found = f"folder with {formats_of(task)[0].title}s", []

    def files_of(inside: Path) -> list[Path]:
        try:
            entries = sorted(p for p in inside.iterdir() if not p.name.startswith("."))[:_MANY]
        except OSError:
            return []
        return [p for p in entries if p.is_file()]

    def is_export(inside: Path) -> bool:
        deep = (p for p in islice(inside.rglob("*"), _MANY) if p.is_file())
        return any(is_dicom(p) for p in islice(deep, _NAMED))

    if any(is_readable(path, task) for path in files_of(folder)):
        return ()
    try:
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))[:_MANY]
    except OSError:
        return ()
    for path in entries:
        if path.is_dir():
            if any(is_readable(p, task) for p in (*files_of(path), *files_of(path / "anat"))):
                found.append((path / "anat" if not files_of(path) else path, kind))
            elif task.ndim == 3 and is_export(path):
                found.append((path, "folder with DICOM files"))
        elif task.ndim == 3 and is_archive(path):
            found.append((path, "archive"))
    return tuple(found)


def held_in_words(found: Sequence[tuple[Path, str]]) -> str:
    """E.g. "It holds 2 folders with NIfTI files (a, b) and 1 archive (c.zip)."; nothing for nothing."""
    parts = []
    for kind in dict.fromkeys(kind for _, kind in found):
        names = [p.parent.name if p.name == "anat" else p.name for p, k in found if k == kind]
        first, _, rest = kind.partition(" ")
        several = f"{first}s{' ' if rest else ''}{rest}" if len(names) > 1 else kind
        shown = names[:_NAMED] + ([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])
        parts.append(f"{len(names)} {several} ({', '.join(shown)})")
    return f"It holds {' and '.join(parts)}." if parts else ""


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
    suggested = suggest(images, task, [name for name in taken if name])
    return {path: role for path, role in zip(names, suggested, strict=True) if role}
