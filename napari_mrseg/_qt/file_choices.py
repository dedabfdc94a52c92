"""Files in dialogs and lists: which kinds can be opened, and those of the open study as choices for a modality."""

from __future__ import annotations

from napari_mrseg._qt.modalities import REFERENCE, FileChoice
from napari_mrseg.errors import MrsegError
from napari_mrseg.io.formats import scan_endings
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Task


def file_kinds(task: Task) -> str:
    """The file dialog's filter for scans or images of ``task``, as Qt writes it."""
    title = "Scans" if task.ndim == 3 else "Images"
    return f"{title} ({' '.join(f'*{ending}' for ending in scan_endings(task))});;All files (*)"


def files_of(session: Session) -> tuple[FileChoice, ...]:
    """What is in use comes from the study itself; files left aside are listed too, to be chosen."""
    from napari_mrseg.io.recognise import UNSURE

    study = session.study
    if study is None:
        return ()
    sources = {name: image.source for name, image in study.images.items()}
    if study.reference is not None:
        sources[REFERENCE] = study.reference.source
    asked = {note.modality: note.message for note in study.notes if note.code == UNSURE}
    used = tuple(
        FileChoice(str(s.path), s.path.name, role, s.reason, asked.get(role, ""))
        for role, s in sources.items()
    )
    there = {choice.path for choice in used}
    return used + tuple(f for f in _aside(session) if f.path not in there)


def _aside(session: Session) -> tuple[FileChoice, ...]:
    from napari_mrseg.io import recognise

    if not session.opened.paths:
        return ()
    try:
        found = recognise(session.opened.paths, session.task).files
    except (MrsegError, OSError):
        return ()  # moved or unmounted since it was opened: what is open stays listed
    return tuple(FileChoice(str(f.path), f.path.name, None, f.reason or "not used") for f in found)
