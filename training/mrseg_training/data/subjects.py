"""Where subjects come from: BraTS folders as distributed, any folder of subjects, or the generator."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from mrseg_training.data.official_split import distributed_split
from mrseg_training.settings import DataPart
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.io.folders import folders_below
from napari_mrseg.io.frames import frames_in, paired
from napari_mrseg.io.recognise import REFERENCE, recognise
from napari_mrseg.prepare import bounds, frame, labels_on_frame, measure, measure_frames, on_frame
from napari_mrseg.study import Study
from napari_mrseg.tasks import Task

PREPARATION = 2
"""Raised when :func:`prepare` gives other values, so that no older cache is used."""


@dataclass(frozen=True)
class Prepared:
    """One subject as the network sees it.

    ``images`` (C, I, P, L) float32, normalised, modalities that are not there 0; ``labels`` (I, P, L) uint8 codes, 0
    without a reference;
    ``available`` (M,) bool. Extents are multiples of 8, at the data set's spacing.
    """

    images: Tensor
    labels: Tensor
    available: Tensor


class Source(Protocol):
    """A set of subjects by id. ``split`` is a given division, if the source has one of its own."""

    ids: Sequence[str]
    spacing: float
    split: Mapping[str, Sequence[str]] | None

    def fingerprint(self, subject: str) -> str:
        """A hash that changes whenever :meth:`load` would give something else."""
        ...

    def load(self, subject: str) -> Prepared:
        """Raises InputError for a subject that cannot be used."""
        ...


class Files:
    """Subjects in files. ``found``: per subject, the file of each role (a modality's name, or reference).

    Not ``labelled``: references are not read, and all labels are 0. ``labels``: the scheme of their codes. Not
    ``needed``: a subject may come without a reference; its labels are 0.
    """

    split: Mapping[str, Sequence[str]] | None = None

    def __init__(
        self,
        found: Mapping[str, Mapping[str, Path]],
        task: Task,
        spacing: float,
        *,
        labelled: bool = True,
        labels: str | None = None,
        needed: bool = True,
    ) -> None:
        if not labelled:
            found = {
                subject: {r: f for r, f in roles.items() if r != REFERENCE}
                for subject, roles in found.items()
            }
        self.found, self.task, self.spacing = found, task, spacing
        self.labelled, self.labels, self.needed = labelled, labels, labelled and needed
        self.ids: Sequence[str] = tuple(found)

    def only(self, subjects: Sequence[str]) -> Files:
        """The same with some of its subjects, in their order."""
        some = {subject: self.found[subject] for subject in subjects}
        kinds = {"labelled": self.labelled, "needed": self.needed}
        return Files(some, self.task, self.spacing, labels=self.labels, **kinds)

    def fingerprint(self, subject: str) -> str:
        digest = hashlib.sha256(f"{PREPARATION} {self.task.name} {self.spacing}{self.labels or ''}".encode())
        for role, path in sorted(self.found[subject].items()):
            digest.update(f"|{role}:".encode())
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise InputError(
                    f"{subject}: {path.name} cannot be read ({error.strerror}); check it."
                ) from None
        return digest.hexdigest()[:32]

    def open(self, subject: str) -> Study:
        """The subject's study with its reference."""
        files = [f"{role}={path}" for role, path in self.found[subject].items()]
        study = open_study(files, task=self.task, labels=self.labels)
        if study.reference is None and self.needed:
            raise InputError(
                f"{subject} has no segmentation to learn from; add one, or leave the subject out."
            )
        return study

    def load(self, subject: str) -> Prepared:
        return prepare(self.open(subject), self.spacing)


def prepare(study: Study, spacing: float, strides: Sequence[int] | None = None) -> Prepared:
    """Crop to the head, normalise each modality over its own voxels and sample at ``spacing``, as the engine does.

    ``strides``: what the extents must be multiples of (default: of what suits any network for the task).
    """
    task, grid = study.task, study.grid
    volumes = {name: torch.tensor(image.data) for name, image in study.images.items()}
    by = measure if task.ndim == 3 else measure_frames
    known = {name: by(volume, holes=task.modality(name).holes) for name, volume in volumes.items()}
    masks = (volume.abs() > known[name].floor for name, volume in volumes.items())
    inside = torch.stack([m if m.ndim == 3 else m.any(-1) for m in masks]).any(0)
    where = frame(bounds(inside), grid.spacing, spacing, task.ndim, strides)
    images = torch.zeros(len(task.channels), *where.size)
    for name, volume in volumes.items():
        images[task.span(name)] = on_frame(volume[where.box], known[name], where)
    kinds = [label.code for label in task.labels]
    labels = torch.zeros(where.size, dtype=torch.uint8)
    if study.reference is not None:
        labels = labels_on_frame(torch.tensor(study.reference.labels), kinds, where)
    available = torch.tensor([name in volumes for name in task.names])
    return Prepared(images, labels, available)


BRATS_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "flair": ("flair", "t2f"),
    "t1": ("t1", "t1n"),
    "t1ce": ("t1ce", "t1c"),
    "t2": ("t2", "t2w"),
    REFERENCE: ("seg",),
}
_BRATS_FOLDER = re.compile(r"(?i)^brats")
_VIRTUAL_SKELETON = re.compile(r"\.(?:MR_(Flair|T1c|T1|T2)|OT)\.")


def find_brats(root: Path) -> dict[str, dict[str, Path]]:
    """Files of each subject of a BraTS data set as distributed: 2017–2021 (``_flair``), 2023 on (``-t2f``), and 2015.

    A subject is a folder whose name begins with BraTS and that holds ``<its name><_ or -><suffix>.nii[.gz]``,
    at any depth (2018 has HGG and LGG above them). BraTS 2020's one misnamed segmentation (subject 355, "…Segm")
    is taken for what it is.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in _folders(root):
        if not _BRATS_FOLDER.match(folder.name):
            continue
        roles = _of_2015(folder)
        for path in sorted(folder.iterdir()):
            stem = re.sub(r"(?i)\.nii(\.gz)?$", "", path.name)
            if stem == path.name or path.is_dir():  # a link whose file is gone is named when it is read
                continue
            suffix = stem.lower().removeprefix(folder.name.lower()).lstrip("_-")
            role = next((r for r, known in BRATS_SUFFIXES.items() if suffix in known), None)
            if role is None and stem.lower().endswith("segm"):
                role = REFERENCE
            if role is not None:
                roles.setdefault(role, path)
        if roles.keys() - {REFERENCE}:
            if folder.name in found:
                raise InputError(
                    f"{folder.name} is there twice under {root.name}; point data.path at one data set."
                )
            found[folder.name] = roles
    if not found:
        raise InputError(
            f"{root} holds no BraTS subject (folders BraTS… with …_flair.nii.gz or …-t2f.nii.gz); "
            "check data.path, or use data.source=folders."
        )
    return found


def _of_2015(folder: Path) -> dict[str, Path]:
    """BraTS 2015's own way: a folder for each image, ``VSD.Brain.XX.O.MR_T1c.54514/`` and the .mha of that name."""
    roles: dict[str, Path] = {}
    for path in sorted(folder.glob("VSD.Brain*/VSD.Brain*.mha")):
        kind = _VIRTUAL_SKELETON.search(path.name)
        if kind is not None:
            word = (kind[1] or "seg").lower()
            roles.setdefault(next(r for r, known in BRATS_SUFFIXES.items() if word in known), path)
    return roles


def _folders(root: Path) -> Iterable[Path]:
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; check data.path.")
    return sorted(folders_below(root))


def _matching(root: Path, pattern: str) -> list[Path]:
    """Folders under ``root`` that ``pattern`` matches, links to folders followed, each folder once."""
    if pattern.rstrip("/") == "**":
        return sorted(folders_below(root))
    found: dict[str, Path] = {}
    for name in sorted(glob(pattern, root_dir=root, recursive=True)):
        path = root / name
        if path.is_dir():
            found.setdefault(os.path.realpath(path), path)
    return sorted(found.values())


def find_folders(
    root: Path, pattern: str, task: Task, only: Sequence[str] | None = None
) -> dict[str, dict[str, Path]]:
    """Files of each folder under ``root`` that matches ``pattern`` and holds a recognised modality.

    Ids are the folders' names; where two are alike, their paths joined by two underscores; of a folder of frames (rgb/,
    depth/, GT/ ..), each with the frame's name behind it. With ``only``, folders of other ids are not looked into.
    Raises InputError that names every folder whose files cannot be told apart.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; check data.path.")
    named, root = root, Path(os.path.abspath(root))  # recognised files are named in full
    folders = _matching(root, pattern)
    names = [folder.name for folder in folders]
    found: dict[str, dict[str, Path]] = {}
    wrong: list[str] = []
    frames: set[Path] = set()  # folders that hold the images of one modality, and are no subjects
    for folder in folders:
        if folder in frames:
            continue
        alike = names.count(folder.name) > 1
        subject = "__".join(folder.relative_to(root).parts) if alike else folder.name
        asked = only is None or subject in only
        if not asked and not any(name.startswith(f"{subject}__") for name in only or ()):
            continue
        old = _of_2015(folder)
        if asked and old and set(old) <= {*task.names, REFERENCE}:
            found[subject] = old
            frames.update(path.parent for path in old.values())
            continue
        recognition = recognise(folder, task)
        roles = {name: files[0].path for name in task.names if (files := recognition.of(name))}
        if not roles or not (asked or all(path.is_dir() for path in roles.values())):
            continue
        wrong += [f"{folder.name}: {problem}" for problem in recognition.problems(task)]
        references = recognition.of(REFERENCE)
        if len(references) > 1:
            both = " and ".join(f.path.name for f in references)
            wrong.append(f"{folder.name}: {both} both look like a segmentation; keep one there.")
        if references:
            roles[REFERENCE] = references[0].path
        if not wrong and all(path.is_dir() for path in roles.values()):  # frames: each is a subject
            frames.update(roles.values())
            each = paired({role: roles[role] for role in (*task.names, REFERENCE) if role in roles}, task)
            ids = {f"{subject}__{name}": files for name, files in each.items()}
            found |= {name: files for name, files in ids.items() if asked or name in (only or ())}
            continue
        frames.update(path for path in roles.values() if path.is_dir())
        found[subject] = roles if wrong else {role: _single(subject, path) for role, path in roles.items()}
    if wrong:
        raise InputError(named_together(wrong))
    if not found and only is None:
        raise InputError(
            f"No folder {pattern} under {named} holds a recognised modality; check data.path and data.pattern."
        )
    return found


def _single(subject: str, path: Path) -> Path:
    """A file, or the only one of a folder of frames, as in a scene of SUN RGB-D. Raises InputError for more."""
    if not path.is_dir():
        return path
    files = frames_in(path)
    if len(files) != 1:
        raise InputError(
            f"{subject}: {path.name} holds {len(files)} frames beside labels of one; keep one there."
        )
    return files[0]


def named_together(wrong: Sequence[str], most: int = 5) -> str:
    """One sentence for what is wrong with several subjects."""
    more = f"; and {len(wrong) - most} more" if len(wrong) > most else ""
    return "; ".join(text.rstrip(".") for text in wrong[:most]) + more + "."


def open_source(part: DataPart, task: Task, report: Callable[[str], None] = lambda _: None) -> Source:
    """The source that the settings ask for. Raises InputError if there is nothing there."""
    if part.source == "simulated":
        from mrseg_training.data.scene_generator import Scenes
        from mrseg_training.data.simulated_subjects import Simulated

        if task.ndim == 2:
            return Scenes(part.simulate, task, part.spacing)
        return Simulated(part.simulate, task, part.spacing, part.path)
    assert part.path is not None
    root = part.path.expanduser()
    if part.source == "heads":
        from mrseg_training.data.heads import Heads

        return Heads(part.heads, task, part.spacing, root)
    found = find_brats(root) if part.source == "brats" else find_folders(root, part.pattern, task)
    report(f"{len(found)} subjects under {root.name}")
    files = Files(found, task, part.spacing, labels=part.labels, needed=part.references == "needed")
    files.split = distributed_split(found, root)
    return files
