"""The references of a folder: of subjects with scans, or label files alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mrseg_training.data.subjects import Files
from mrseg_training.evaluate import find_labelled
from napari_mrseg.errors import InputError
from napari_mrseg.io import formats
from napari_mrseg.io.folders import folders_below
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.io.result_names import ASIDE, label_files
from napari_mrseg.tasks import Task


def find_references(root: Path, task: Task, labels: str | None = None) -> Files:
    """The reference of each subject under ``root``: folders with scans as ``evaluate`` reads them, or label files.

    Without scans every file is a reference: its subject is its name less words such as ``seg``, or its folder's where
    it lies in one alone. Raises InputError if there is none, or one subject has two.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a folder of references.")
    by_folder = {folder: label_files(folder, task) for folder in folders_below(root)}
    every = [path for paths in by_folder.values() for path in paths]
    if any(task.knows(word) for path in every for word in _words(formats.stem(path))):
        return find_labelled(root, task, None, labels)
    found: dict[str, dict[str, Path]] = {}
    for folder, paths in by_folder.items():
        for path in paths:
            words = re.split(r"([_.\s-])", formats.stem(path))
            own = "".join(words[: _end(words)])
            subject = folder.name if len(paths) == 1 and folder != root else own or formats.stem(path)
            if subject in found:
                other = found[subject][REFERENCE].relative_to(root)
                raise InputError(
                    f"{other} and {path.relative_to(root)} are both the reference of {subject}; keep one there."
                )
            found[subject] = {REFERENCE: path}
    if not found:
        raise InputError(
            f"{root} holds no {formats.endings_text(task.ndim)} file; give a folder of references."
        )
    return Files(found, task, 1.0, labels=labels)


def _end(words: Sequence[str]) -> int:
    """How many of a name's words and separators are left once words such as ``seg`` at its end are taken off."""
    end = len(words)
    while end > 1 and words[end - 1].lower() in ASIDE:
        end -= 2
    return end


def _words(stem: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", stem.lower())
