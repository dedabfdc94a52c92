"""What is wrong with a data set, by subject, before any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrseg_training.data.subjects import Files
from mrseg_training.log import Count, Say, silent
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.io.background import ZeroBackground
from napari_mrseg.io.labels import SCHEME, mixed_note
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.study import Study

# What is to be learnt from is neither moved nor cut here: a data set is prepared once, and looked at.
AS_THEY_ARE = (ZeroBackground(),)


@dataclass(frozen=True)
class Problem:
    """``serious``: the subject cannot be used. Otherwise it can, with less. ``code``: the note's, if it is one."""

    subject: str
    message: str
    serious: bool
    code: str = ""


def check(source: Files, say: Say = silent) -> list[Problem]:
    """Problems of every subject; each file of a bad subject is looked at on its own."""
    problems: list[Problem] = []
    for number, subject in enumerate(source.ids, start=1):
        problems += check_subject(source, subject)
        say(Count("checked", number, len(source.ids)))
    return problems


def check_subject(source: Files, subject: str) -> list[Problem]:
    """Problems of one subject: missing files, unreadable ones, grids, label codes, NaN, no tumour at all."""
    return examine(source, subject)[0]


def examine(source: Files, subject: str) -> tuple[list[Problem], Study | None]:
    """The problems of one subject, and its study if it can be opened, so that nobody needs to read it twice."""
    roles, task = source.found[subject], source.task
    problems = [
        Problem(subject, f"has no {name}: it is used without", False)
        for name in task.names
        if name not in roles
    ]
    if REFERENCE not in roles and source.needed:
        problems.append(Problem(subject, "has no segmentation", True))
    try:
        study = open_study(
            [f"{role}={path}" for role, path in roles.items()],
            task=task,
            labels=source.labels,
            steps=AS_THEY_ARE,
        )
        return problems + _doubts(subject, study), study
    except InputError as error:
        together = str(error)
    alone: list[Problem] = []
    first = next(name for name in task.names if name in roles)
    for role, path in roles.items():
        try:
            if role != REFERENCE:
                open_study([f"{role}={path}"], task=task, reference=False, steps=AS_THEY_ARE)
            elif not alone:
                open_study(
                    [f"{first}={roles[first]}", f"{REFERENCE}={path}"],
                    task=task,
                    labels=source.labels,
                    steps=AS_THEY_ARE,
                )
        except InputError as error:
            alone.append(Problem(subject, str(error), True))
    return problems + (alone or [Problem(subject, together, True)]), None


def _doubts(subject: str, study: Study) -> list[Problem]:
    problems = [Problem(subject, note.message, False, note.code) for note in study.notes]
    if study.reference is not None and not study.reference.labels.any():
        problems.append(Problem(subject, f"has an empty segmentation, without {study.task.finding}", False))
    return problems


class Survey:
    """What the subjects of a data set say together about their labels."""

    def __init__(self, source: Files) -> None:
        self.source = source
        self.codes: dict[str, frozenset[int]] = {}
        self.odd: list[Problem] = []

    def add(self, subject: str, problems: Sequence[Problem], codes: frozenset[int]) -> None:
        if codes:
            self.codes[subject] = codes
        self.odd += [problem for problem in problems if problem.code == SCHEME]

    def check(self, say: Callable[[str], None]) -> None:
        """Raises InputError if most subjects look labelled in another scheme; says what is odd in others."""
        if self.codes and 2 * len(self.odd) > len(self.codes) and self.source.labels is None:
            first = self.odd[0]
            raise InputError(
                f"{len(self.odd)} of {len(self.codes)} subjects look labelled in another scheme, such as "
                f"{first.subject}: {first.message.rstrip('.')}; if the codes are those of {self.source.task.name} all "
                f"the same, say --labels {self.source.task.name} (data.labels in settings)."
            )
        for problem in self.odd:
            say(f"{problem.subject}: {problem.message}")
        mixed = mixed_note(self.codes, self.source.task) if self.source.labels is None else None
        if mixed is not None:
            say(mixed.message)


def write_report(problems: Sequence[Problem], subjects: int, path: Path) -> None:
    """A text file: what cannot be used first, then what is merely noted."""
    serious = [p for p in problems if p.serious]
    lines = [f"{subjects} subjects, {len({p.subject for p in serious})} that cannot be used"]
    for title, some in (
        ("cannot be used", serious),
        ("to be noted", [p for p in problems if not p.serious]),
    ):
        if some:
            lines += ["", f"{title}:", *(f"  {p.subject}: {p.message}" for p in some)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
