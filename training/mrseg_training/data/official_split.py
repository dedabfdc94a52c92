"""The split that a data set comes with: folders named train and test, or the list of SUN RGB-D's toolbox."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mrseg_training.data.splits import GROUPS
from napari_mrseg.errors import InputError
from napari_mrseg.io.folders import folders_below

SUN_LIST = "allsplit.mat"
_WORDS = {"train": ("train", "training"), "validation": ("val", "validation"), "test": ("test", "testing")}


def distributed_split(
    found: Mapping[str, Mapping[str, Path]], root: Path
) -> Mapping[str, Sequence[str]] | None:
    """Subjects by group as the data set has them, or None if it does not say for each.

    ``found``: files of each subject under ``root``. Folders are VT5000's ``Train`` and ``Test``, NJU2K's
    ``NJU2K_TRAIN`` and ``NJU2K_TEST`` or DUT-RGBD's ``train_data`` and ``test_data``. Raises InputError for a list that
    cannot be read.
    """
    listed = [path for folder in folders_below(root) if (path := folder / SUN_LIST).is_file()]
    groups = _of_sun(listed[0]) if listed else {}
    split: dict[str, list[str]] = {group: [] for group in GROUPS}
    for subject, files in found.items():
        # Files and folders may be links to anywhere: the names under ``root`` count, not where they lead.
        path = _below(next(iter(files.values())), root)
        group = _listed(path, groups) if listed else _named(path.parts[:-1])
        if group is None:
            if not listed:
                return None
            continue  # the toolbox leaves out what the benchmark does
        split[group].append(subject)
    return split if split["train"] and (split["test"] or split["validation"]) else None


def _below(path: Path, root: Path) -> Path:
    """``path`` from ``root`` on. Recognised files are named in full; ``root`` may come with ".."."""
    own, top = (Path(os.path.abspath(p)) for p in (path, root))
    return own.relative_to(top) if own.is_relative_to(top) else Path(own.name)


def _named(folders: Iterable[str]) -> str | None:
    for folder in folders:
        parts = folder.lower().replace("-", "_").split("_")
        for group, words in _WORDS.items():
            if parts[0] in words or parts[-1] in words:
                return group
    return None


def _listed(path: Path, groups: Mapping[tuple[str, ...], str]) -> str | None:
    """The group of the scene that the file lies in: its folder is the end of a path in the list."""
    parts = path.parts
    for last in range(len(parts) - 1, 0, -1):
        for first in range(last):
            group = groups.get(parts[first:last])
            if group is not None:
                return group
    return None


def _of_sun(path: Path) -> dict[tuple[str, ...], str]:
    """Scenes of ``alltrain`` and ``alltest``, as the parts of their paths below the data set's own folder."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=("alltrain", "alltest"))
        lists = {"train": content["alltrain"].ravel(), "test": content["alltest"].ravel()}
    except Exception:  # a damaged file makes the reader raise whatever it stumbles over
        raise InputError(
            f"{path.name} is not the list of SUN RGB-D (alltrain, alltest); take it away, or give data.split."
        ) from None
    found = {}
    for group, scenes in lists.items():
        for scene in scenes:
            parts = Path(str(scene.squeeze() if hasattr(scene, "squeeze") else scene)).parts
            below = parts[parts.index("SUNRGBD") + 1 :] if "SUNRGBD" in parts else parts
            found[tuple(below)] = group
    return found
