"""Which subjects a model is measured on, and how many of them it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrseg_training.data.splits import GROUPS, read_ids
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model

RUN, ALL = "run", "all"
"""Words for :func:`select_subjects`: the test list of the model's own run, and every subject."""


def split_of_run(model: Model) -> Mapping[str, Sequence[str]] | None:
    """Ids by group (train, validation, test) of the run that the model folder lies in; None if it lies in none.

    A run's folder holds ``split/`` and ``config.json``; its models are ``model/`` and ``1-reconstruct/model/`` ...
    """
    for folder in list(model.folder.resolve().parents)[:2]:
        if (folder / "split" / "train.txt").is_file() and (folder / "config.json").is_file():
            files = {group: folder / "split" / f"{group}.txt" for group in GROUPS}
            return {group: read_ids(path) if path.is_file() else [] for group, path in files.items()}
    return None


def select_subjects(
    models: Sequence[Model], there: Sequence[str], split: str | Path = RUN
) -> tuple[list[str], str]:
    """Ids to measure, of the labelled subjects ``there``, and one sentence that says which they are.

    ``split``: :data:`RUN`, :data:`ALL`, a text file of ids, or a folder with ``test.txt``. Of several models' runs the
    subjects that are in every test list. Raises InputError for a list without a subject that is there.
    """
    if str(split) == ALL:
        return list(there), f"All {len(there)} labelled subjects are measured."
    if str(split) != RUN:
        path = _list_of(Path(split).expanduser())
        wanted = read_ids(path)
        missing = [subject for subject in wanted if subject not in set(there)]
        if missing:
            raise InputError(
                f"{path.name} names {missing[0]}, which is not there or has no reference; take it out, or check --data."
            )
        if not wanted:
            raise InputError(f"{path.name} names no subject; write one id a line.")
        return wanted, f"{len(wanted)} subjects, those of {path.parent.name}/{path.name}, are measured."
    runs = [run for model in models if (run := split_of_run(model)) is not None]
    known = [set(run["test"]) for run in runs if run["test"]]
    if not any(ids & set(there) for ids in known):
        why = "None of the run's own test subjects is there: all" if known else "All"
        return list(there), f"{why} {len(there)} labelled subjects are measured."
    wanted = [subject for subject in there if all(subject in ids for ids in known)]
    if not wanted:
        raise InputError(
            "The test lists of the models' runs have no subject in common; say which to measure, e.g. --split FILE."
        )
    return wanted, (
        f"{len(wanted)} of {len(there)} labelled subjects, the test list of the model's own run, are measured "
        "(--split all: every one)."
    )


def _list_of(path: Path) -> Path:
    for candidate in (path / "test.txt", path / "split" / "test.txt"):
        if candidate.is_file():
            return candidate
    if not path.is_file():
        raise InputError(
            f"{path} is no list of ids; give a text file with one id a line, a folder with test.txt, or the word all."
        )
    return path


@dataclass(frozen=True)
class Seen:
    """How many of the measured subjects a model was trained or validated on; ``known`` False: nobody says."""

    known: bool
    train: int = 0
    validation: int = 0

    def sentence(self, measured: int) -> str:
        """For people, in the table and on the terminal."""
        if not self.known:
            return (
                "Which subjects the model was trained on is not written beside it (no split/ of its run): whether it "
                f"has seen these {measured} is not known."
            )
        chosen = f", and {self.validation} served to choose it" if self.validation else ""
        return f"{self.train} of these {measured} subjects are among those that the model was trained on{chosen}."


def seen_by(model: Model, subjects: Sequence[str]) -> Seen:
    """How many of ``subjects`` the run of ``model`` has trained and validated on."""
    split = split_of_run(model)
    if split is None:
        return Seen(False)
    own = set(subjects)
    return Seen(True, len(own & set(split["train"])), len(own & set(split["validation"])))
