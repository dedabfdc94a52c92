"""A session on disk: what is open, switched on and computed, to go on later. The format is :mod:`.saved`'s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mrseg.errors import InputError
from napari_mrseg.io.read_options import SAVED
from napari_mrseg.session.file import Saved, files_of, fits, read_saved, write_saved
from napari_mrseg.session.opened import Opened
from napari_mrseg.session.state import Session


def save_session(session: Session, path: Path, view: Mapping[str, Any] | None = None) -> None:
    """Write paths and hashes, model, combination, results, and the window's ``view``. Raises InputError."""
    from napari_mrseg.io.brain import drawn_by_hand

    if session.intact is None or session.model is None:
        raise InputError("There is no session to save; open a study first.")
    saved = Saved(
        task=session.task.name,
        files=files_of(session.intact),
        model=session.model.info,
        combination=session.combination,
        degradations=session.degradations,
        view=view or {},
        predictions=tuple(session.predictions.values()),
        options={k: v for k, v in session.opened.options.items() if k in SAVED and v},
        brain=drawn_by_hand(session.intact),
    )
    write_saved(path, saved)


def open_session(session: Session, path: Path) -> dict[str, Any]:
    """Open in ``session`` what :func:`save_session` wrote, and return its ``view``.

    Raises MrsegError if a scan or the model changed, or if something else was opened meanwhile; then everything
    stays as it was.
    """
    from napari_mrseg.degrade import degrade_study
    from napari_mrseg.io import open_study
    from napari_mrseg.io.brain import recut
    from napari_mrseg.models.store import load_model

    with session.openings.here() as opening:
        saved = read_saved(path)
        task = session.task
        if saved.task != task.name:
            raise InputError(f"{path.name} is of the task {saved.task}, not {task.name}; open it there.")
        known, other = session.model, None
        if known is None or known.sha256 != saved.model["sha256"]:
            known = other = load_model(saved.model["name"], task=task)
        if known.sha256 != saved.model["sha256"]:
            raise InputError(
                f"{path.name} was made with another version of the model {saved.model['name']} "
                f"({saved.model['version']}); install that one, or open the scans anew."
            )
        pairs = [f"{role}={file}" for role, (file, _) in saved.files.items()]
        options = {**saved.options, "reference": "reference" in saved.files}
        study = open_study(pairs, task=task, **options)
        if saved.brain is not None:
            if saved.brain.shape != study.grid.shape:
                raise InputError(f"The brain mask in {path.name} is of another grid; open the scans anew.")
            study = recut(study, saved.brain)
        shown = degrade_study(study, saved.degradations)
        combination = shown.only(saved.combination).present
        if not opening.newest:
            raise InputError(
                f"{path.name} was not opened, because something else was meanwhile; open it again."
            )
        if other is not None:
            session.set_model(other)
        for prediction in saved.predictions:
            if fits(prediction, shown, known.sha256):
                session.remember(prediction)
        opened = Opened(tuple(pairs), {}, options)
        session.set_study(study, combination=combination, degradations=saved.degradations, opened=opened)
    return dict(saved.view)
