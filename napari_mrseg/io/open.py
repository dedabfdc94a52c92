"""Files → :class:`~napari_mrseg.study.Study`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from napari_mrseg.errors import InputError, LabelCodesError
from napari_mrseg.io import formats
from napari_mrseg.io.align import Align, sample
from napari_mrseg.io.background import ZeroBackground
from napari_mrseg.io.brain import BrainMask, How
from napari_mrseg.io.depth import parse as depth_step
from napari_mrseg.io.format import Volume
from napari_mrseg.io.frames import OntoPixels
from napari_mrseg.io.in_memory import recognise_given
from napari_mrseg.io.labels import CODES_OPTION, codes_in, scheme_note, task_codes
from napari_mrseg.io.mirrored import mirrored
from napari_mrseg.io.recognise import (
    REFERENCE,
    Found,
    Recognition,
    is_computed,
    recognise,
    split_pair,
    with_roles,
)
from napari_mrseg.steps import Step, apply_steps
from napari_mrseg.study import Image, Note, Reference, Study
from napari_mrseg.tasks import DEFAULT, TASKS, Task

Paths = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]
Given = Paths | Mapping[str, Any]
"""A folder, files, ``modality=file`` strings, or files, images and arrays by modality."""
Reader = Callable[[Path, str], Volume]

SIMULATED = "simulated.json"


def steps_of(onto: str = "", brain: How = "auto", depth: str = "auto") -> tuple[Step, ...]:
    """What is done to scans once they are read: ``onto`` whose grid, and how the brain is cut out of a head; what
    ``depth`` is measured in.
    """
    return OntoPixels(), depth_step(depth), ZeroBackground(), Align(onto), BrainMask(brain)


STEPS = steps_of()


def open_study(
    paths: Given,
    *,
    task: Task = DEFAULT,
    assign: Mapping[str, str | None] | None = None,
    reference: bool | str | os.PathLike[str] = True,
    assume_ras: bool = False,
    use: str | Iterable[str] | None = None,
    onto: str = "",
    brain: How = "auto",
    depth: str = "auto",
    steps: Sequence[Step] | None = None,
    labels: str | None = None,
    reading: Callable[[str, float], None] | None = None,
) -> Study:
    """Open one subject. Raises InputError, one sentence, for what cannot be used.

    Parameters
    ----------
    paths
        A folder, files, ``modality=file`` strings, or a mapping of modality to scan: a file's path, a nibabel image, or
        (array, affine), the affine from voxel index to RAS+ mm; a picture may be an array, (height, width) or
        (height, width, 3). The key "reference" is a segmentation to compare with.
    task
        What will be asked; default: glioma on MRI.
    assign
        Roles by a file's name or path, instead of what its name says; None leaves the file out.
    reference
        True: use a segmentation that was found; False: ignore it; a path: use that file. One that was merely found and
        does not fit is left out with a note in ``study.notes``.
    assume_ras
        Take the axes as right, anterior, superior where a file does not say.
    use
        Open only these modalities; the files of others are not read, whatever is wrong with them.
    onto
        The modality on whose grid scans of different grids come; default: the finest.
    brain
        How the brain is cut out where there is a skull (:class:`~.brain.BrainMask`).
    depth
        What depth files say: far or near is bright, and a unit, such as "near" or "far,0.1mm"; default: guessed.
    steps
        Replaces all that is done to the scans once they are read.
    labels
        The scheme of the reference's codes, one of ``task.schemes``.
    reading
        Called before each file is read, with its role and the fraction that is done; what it raises ends the opening.
    """
    held: Mapping[Path, bytes] = {}
    if isinstance(paths, Mapping):
        found, held = recognise_given(paths, task)
    else:
        found = recognise(paths, task)
    recognition = corrected(found, task, assign, reference)
    if use is not None:
        recognition = _restrict(recognition, task.combination(use), task)

    wanted, begun = sum(found.role is not None for found in recognition.files), count()

    def reader(path: Path, role: str) -> Volume:
        if reading is not None:
            reading(role, next(begun) / (wanted + 1))  # the last part is for the steps
        return formats.read(path, task, role, assume_ras=assume_ras, raw=held.get(path))

    return build(recognition, task, reader, steps_of(onto, brain, depth) if steps is None else steps, labels)


def task_of(paths: Paths) -> Task:
    """The task that has all the modalities which ``modality=file`` strings name; the default one if none says more."""
    items = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    roles = [role for _, role in map(split_pair, items) if role not in (None, REFERENCE)]
    fitting = [task for task in TASKS.values() if all(task.knows(str(role)) for role in roles)]
    return fitting[0] if fitting else DEFAULT


def settle(
    paths: Paths,
    *,
    task: Task,
    assign: Mapping[str, str | None] | None = None,
    reference: bool | str | os.PathLike[str] = True,
) -> Recognition:
    """What the files are taken for, after the user's corrections."""
    return corrected(recognise(paths, task), task, assign, reference)


def corrected(
    found: Recognition,
    task: Task,
    assign: Mapping[str, str | None] | None = None,
    reference: bool | str | os.PathLike[str] = True,
) -> Recognition:
    """``found`` after the user's corrections, as :func:`open_study` takes them. Raises InputError."""
    if assign:
        found = with_roles(found, assign, task)
    if reference is False:
        files = tuple(
            replace(f, role=None, reason=f"{f.reason}, but no reference is wanted")
            if f.role == REFERENCE
            else f
            for f in found.files
        )
        return replace(found, files=files)
    if reference is True:
        return found
    path = Path(reference).expanduser()
    if not path.is_file():
        raise InputError(f"The reference {path} does not exist; check the path.")
    if not any(os.path.abspath(path) == os.path.abspath(f.path) for f in found.files):
        found = replace(found, files=(*found.files, Found(path, None, "")))
    return with_roles(found, {os.path.abspath(path): REFERENCE}, task)


def _restrict(recognition: Recognition, use: Sequence[str], task: Task) -> Recognition:
    """``recognition`` as if the files of other modalities had never been there."""
    missing = [name for name in use if not recognition.of(name) and not _in_doubt(recognition, name)]
    if missing:
        there = ", ".join(name for name in task.names if recognition.of(name)) or "none"
        raise InputError(
            f"{recognition.case} has no {' and no '.join(missing)}; choose among what is there ({there})."
        )
    wanted = {*use, REFERENCE, None}
    files = tuple(
        f
        for f in recognition.files
        if f.role in wanted and (not (f.doubt or f.near) or {*f.doubt, *f.near} & set(use))
    )
    folder = Path(os.path.abspath(files[0].path)).parent
    case = recognition.case if recognition.private or folder == recognition.folder else folder.name
    return replace(recognition, case=case, files=files, folder=folder)


def _in_doubt(recognition: Recognition, name: str) -> bool:
    return any(name in f.doubt for f in recognition.files)


def build(
    recognition: Recognition,
    task: Task,
    reader: Reader,
    steps: Sequence[Step] = STEPS,
    labels: str | None = None,
) -> Study:
    """Read the files through ``reader(path, role)`` and put the study together. Raises InputError."""
    problems = recognition.problems(task)
    if problems:
        raise InputError(problems[0])
    images: dict[str, Image] = {}
    several = recognition.several(task)
    notes = [] if several is None else [Note("several_subjects", several.note)]
    for name in task.names:
        for found in recognition.of(name):
            data, source, doubts = reader(found.path, name)
            ipl = np.ascontiguousarray(source.to_ipl(data), dtype=np.float32)
            images[name] = Image(ipl, replace(source, reason=found.reason))
            notes += [replace(note, modality=name, file=_file(found.path, note)) for note in doubts]
    done, notes_found = apply_steps(images, steps, task)
    notes += mirrored(done, task)
    simulated = (recognition.folder / SIMULATED).is_file()
    study = Study(
        task,
        recognition.case,
        done,
        notes=(*recognition.notes(task), *notes, *notes_found),
        simulated=simulated,
    )
    return _with_reference(study, recognition.of(REFERENCE), reader, labels)


def _file(path: Path, note: Note) -> str:
    return path.name if note.message.startswith(path.name) else ""


def _with_reference(study: Study, found: Sequence[Found], reader: Reader, scheme: str | None) -> Study:
    explicit = [f for f in found if f.explicit]
    if len(explicit) > 1:
        names = " and ".join(f.path.name for f in explicit)
        raise InputError(f"{names} are both given as reference; give one.")
    if not explicit and len(found) > 1:
        names = " and ".join(f.path.name for f in found)
        return _noted(
            study,
            "reference_ambiguous",
            f"{names} both look like a reference: none is used; choose one by --reference.",
        )
    for candidate in explicit or found:
        try:
            data, source, doubts = reader(candidate.path, REFERENCE)
            codes = task_codes(candidate.path, data, study.task, scheme)
            labels = np.ascontiguousarray(source.to_ipl(codes), dtype=np.uint8)
            labels.setflags(write=False)
            reference = Reference(labels, replace(source, reason=candidate.reason), codes_in(data))
            notes_found = scheme_note(candidate.path, reference, study.task, scheme)
            reference, moved = _on_grid(reference, study)
            doubts = (*doubts, *moved)
            study = replace(
                study,
                reference=reference,
                notes=(*study.notes, *doubts, *([notes_found] if notes_found else [])),
            )
        except InputError as error:
            if candidate.explicit:
                raise
            option = CODES_OPTION if isinstance(error, LabelCodesError) and study.task.schemes else ""
            return _noted(study, "reference_unusable", f"The reference is left out: {error}", option)
        if is_computed(candidate.path):
            study = _noted(
                study,
                "reference_computed",
                f"{candidate.path.name} is named as computed by a program, not drawn: read its Dice so.",
            )
    return study


def _on_grid(reference: Reference, study: Study) -> tuple[Reference, tuple[Note, ...]]:
    """The reference on the study's grid, the way the scan came that it was drawn on; as it is where it does not fit."""
    own = reference.source.ipl_grid
    if study.task.ndim != 3 or own.same_as(study.grid):
        return reference, ()
    drawn_on = [i.source for i in study.images.values() if i.source.own_grid.same_as(own) and i.source.motion]
    motion = np.array(drawn_on[0].motion) if drawn_on else np.eye(4)
    there = np.argwhere(reference.labels > 0)
    world = np.linalg.inv(motion) @ own.matrix @ np.vstack([there.T, np.ones(len(there))])
    place = (np.linalg.inv(study.grid.matrix) @ world)[:3].T
    inside = ((place > -1) & (place < np.array(study.grid.shape))).all(1)
    if len(there) == 0 or inside.mean() < 0.99:
        return reference, ()
    labels = sample(reference.labels, own, study.grid, motion, order=0)
    labels.setflags(write=False)
    name = reference.source.path.name
    notes_found = (
        f"{name} was drawn on another grid and was resampled (nearest voxel): Dice is a little lower for it."
    )
    source = replace(reference.source, placed=study.grid)
    return replace(reference, labels=labels, source=source), (Note("reference_resampled", notes_found),)


def _noted(study: Study, code: str, message: str, mend: str = "") -> Study:
    return replace(study, notes=(*study.notes, Note(code, message, mend=mend)))
