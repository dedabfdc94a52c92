"""A folder of frames as one volume of time × height × width, and images of other sizes onto the same pixels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.format import MAX_VOXELS, Format, Volume
from napari_mrseg.io.keywords import words_of
from napari_mrseg.io.picture import PIXELS, Picture
from napari_mrseg.steps import Outcome, Step
from napari_mrseg.study import Grid, Image, Note, Source
from napari_mrseg.tasks import Task

_PICTURE = Picture()
_SAME_ASPECT = 0.01  # relative difference of the aspect ratios of frames that lie on each other
_SIDES = ("left", "right", "raw", "img", "image", "frame")


class Frames(Format):
    """A folder of pictures of one size, in the order of the numbers in their names."""

    title = "folder of frames"
    endings = ()
    ndim = 2

    def recognise(self, path: Path) -> bool:
        return path.is_dir()

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        files = frames_in(path)
        if not files:
            raise InputError(f"{path.name} holds no pictures; give the folder of the frames.")
        read: list[npt.NDArray[np.float32]] = []
        notes: dict[str, Note] = {}
        digest = hashlib.sha256()
        source: Source | None = None
        for file in files:
            values, own, message = _PICTURE.read(file, channels=channels, labels=labels)
            if read and values.shape[1:3] != read[0].shape[1:3]:
                one, other = (f"{v.shape[2]}×{v.shape[1]}" for v in (read[0], values))
                raise InputError(
                    f"{path.name} holds frames of different sizes ({files[0].name}: {one}, {file.name}: {other}); "
                    "open one of them alone, or measure them all with mrseg evaluate."
                )
            if values.size * len(files) > MAX_VOXELS:
                raise InputError(
                    f"{path.name} holds {len(files)} frames, more than fit into memory; open a part."
                )
            read.append(values)
            digest.update(own.sha256.encode())
            source = source or own
            for note in message:
                notes.setdefault(note.code, note)
        assert source is not None
        volume = np.concatenate(read)
        found = Source(path, Grid.of(volume.shape[:3], PIXELS), digest.hexdigest(), source.header)
        return volume, found, tuple(notes.values())

    def sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        for file in frames_in(path):
            digest.update(_PICTURE.sha256(file).encode())
        return digest.hexdigest()


def frames_in(folder: Path) -> list[Path]:
    """Its pictures, ordered by the numbers in their names. Raises InputError if it cannot be read."""
    try:
        files = [p for p in folder.iterdir() if _PICTURE.recognise(p) and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(
            f"{folder.name} cannot be opened ({error.strerror}); check its permissions."
        ) from None
    return sorted(files, key=lambda p: [(int(n) if n.isdigit() else n) for n in re.split(r"(\d+)", p.stem)])


def unpaired(folders: Mapping[str, Path], task: Task) -> str:
    """Why the frames of ``folders``, by role, do not belong together, or nothing.

    They do if their names are alike but for the words of their role, or if no two are and there are as many of each, as
    where a camera names them by the time: they then belong together in their order.
    """
    names = {role: [bare_name(p, task) for p in frames_in(folder)] for role, folder in folders.items()}
    first = next(iter(names), "")
    for role, own in names.items():
        if sorted(own) == sorted(names[first]):
            continue
        if len(own) == len(names[first]) and not set(own) & set(names[first]):
            continue
        lacking = next((n for n in names[first] if n not in set(own)), "")
        which = f", e.g. none for {lacking}" if lacking else ""
        return (
            f"{folders[role].name} holds {len(own)} frames and {folders[first].name} {len(names[first])}{which}; "
            "take out the frames that have no partner."
        )
    return ""


def paired(folders: Mapping[str, Path], task: Task) -> dict[str, dict[str, Path]]:
    """The files of each frame by role, by the frame's name. Raises InputError where :func:`unpaired` has a reason."""
    why = unpaired(folders, task)
    if why:
        raise InputError(why)
    files = {role: frames_in(folder) for role, folder in folders.items()}
    first = next(iter(files))
    found: dict[str, dict[str, Path]] = {bare_name(p, task) or p.stem: {first: p} for p in files[first]}
    for role, own in files.items():
        by_name = {bare_name(p, task) or p.stem: p for p in own}
        alike = by_name.keys() == found.keys()
        for place, name in enumerate(found):
            found[name][role] = by_name[name] if alike else own[place]
    return found


def bare_name(path: Path, task: Task) -> str:
    """The name without the words that say what it shows."""
    known = {word for m in task.modalities for word in (m.name, *m.names)}
    known |= {*task.reference_names, *_SIDES}
    return "_".join(word for word in words_of(path.stem) if word not in known)


@dataclass(frozen=True)
class OntoPixels(Step):
    """Images of the same view but another size onto the pixels of the first; others are refused, by name."""

    name = "onto one size"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        if task.ndim != 2 or len(images) < 2:
            return {}, ()
        first, fixed = next(iter(images.items()))
        changed: dict[str, Image] = {}
        notes = []
        for name, image in images.items():
            here, there = image.data.shape[:3], fixed.data.shape[:3]
            if here == there:
                continue
            who, whom = f"{image.source.path.name} ({name})", f"{fixed.source.path.name} ({first})"
            if here[0] != there[0]:
                raise InputError(
                    f"{who} has {here[0]} frames and {whom} {there[0]}; take out the frames that have no partner."
                )
            if abs((here[1] * there[2]) / (here[2] * there[1]) - 1) > _SAME_ASPECT:
                raise InputError(
                    f"{who} has {here[2]}×{here[1]} pixels and {whom} {there[2]}×{there[1]}, another shape of view: "
                    "they do not lie on each other; align them first."
                )
            data = _resized(image.data, there[1:], nearest=task.modality(name).channels == 1)
            source = replace(image.source, placed=fixed.source.ipl_grid, motion=_motion(image, fixed))
            changed[name] = self.changed(image, data, source, onto=first)
            text = f"{image.source.path.name} has {here[2]}×{here[1]} pixels: it was brought to {there[2]}×{there[1]}."
            notes.append(Note("resized", text, name))
        return changed, tuple(notes)


def _resized(data: npt.NDArray[np.float32], size: Sequence[int], *, nearest: bool) -> npt.NDArray[np.float32]:
    """(I, P, L) or (I, P, L, 3) at ``size``. A measurement takes the nearest: a mean with a hole is no distance."""
    if nearest:
        rows, columns = (
            ((np.arange(n) + 0.5) * old / n).astype(int) for n, old in zip(size, data.shape[1:3], strict=True)
        )
        return np.ascontiguousarray(data[:, rows[:, None], columns])
    import torch

    from napari_mrseg.prepare import resample

    channels = torch.from_numpy(data.copy()).movedim(-1, 0)
    step = [1.0, *(old / n for n, old in zip(size, data.shape[1:3], strict=True))]
    found = resample(channels, (0, 0, 0), step, [data.shape[0], *size], extend=True)
    return np.ascontiguousarray(found.movedim(0, -1).numpy())


def _motion(image: Image, fixed: Image) -> tuple[tuple[float, ...], ...]:
    """World of the shared pixels → world of the image's own: a pixel's centre lies half a pixel within it."""
    own, placed = image.source.own_grid.matrix, fixed.source.ipl_grid.matrix
    scale = np.eye(4)
    for axis in (1, 2):
        scale[axis, axis] = image.data.shape[axis] / fixed.data.shape[axis]
        scale[axis, 3] = 0.5 * scale[axis, axis] - 0.5
    return tuple(tuple(float(v) for v in row) for row in own @ scale @ np.linalg.inv(placed))
