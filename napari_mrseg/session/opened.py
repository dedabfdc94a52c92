"""How the open study came to be open, what was open before, and how a study is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.opening import Opening, settled
from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Combination, Task

if TYPE_CHECKING:
    from napari_mrseg.inference.predictor import Predictor


@dataclass(frozen=True)
class Opened:
    """How a study was opened: the paths that were given, corrected roles by file, and :func:`open_study`'s options."""

    paths: tuple[str, ...] = ()
    assigned: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Before:
    """What was open when another study was asked for: it comes back if that one is refused or cancelled."""

    study: Study
    intact: Study | None
    degradations: dict[str, tuple[str, float]]
    combination: Combination
    shown: Prediction | None
    predictor: Predictor | None
    going: bool  # a run, or the sweep


def read_study(opening: Opening, asked: Opened, task: Task) -> tuple[Study, Opened]:
    """The study of ``asked``, and how it was opened: with the roles that its files were given before, if any were.

    Raises MrsegError for files that cannot be used.
    """
    from napari_mrseg.io import open_study
    from napari_mrseg.session.memory import recall, remember

    again = {} if asked.assigned else recall(asked.paths, task)
    roles = asked.assigned or again
    study = settled(
        open_study(asked.paths, task=task, assign=roles, reading=opening.reading, **asked.options)
    )
    if asked.assigned:
        remember(asked.paths, asked.assigned, task)
    if again:
        message = "The files have the roles that you gave them before; choose others beside the modalities."
        study = replace(study, notes=(*study.notes, Note("roles_remembered", message)))
        asked = replace(asked, assigned=again)
    return study, asked


def corrected(opened: Opened, study: Study | None, corrections: Mapping[str, str | None]) -> Opened:
    """How to open ``study`` again with corrected roles.

    A reference that they choose or leave out is no longer the one of the options.
    """
    options = dict(opened.options)
    used = None if study is None or study.reference is None else study.reference.source.path
    if "reference" in corrections.values() or (used and {str(used), used.name} & set(corrections)):
        options.pop("reference", None)
    return replace(opened, assigned={**opened.assigned, **corrections}, options=options)
