"""The background of a scan, found as what it is: the level outside the head, 0 or not.

Everything behind takes 0 for background. Scans come with others: z-scored over the whole volume, shifted, scaled to
−1..1, or with a floor of noise. What is told here is told from the faces of the volume and what is connected to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.steps import Outcome, Step
from napari_mrseg.study import Image, Note
from napari_mrseg.tasks import Task

LOW = 0.01  # of the volume's 99th percentile: a median of the faces below it is a background of 0
SAME = 1e-3  # of the range: within it two voxels have the same level
CONSTANT = 0.5  # share of the faces that must be at one level
NOISE = 0.15  # of the range: noise outside the head stays below it
SPECK = 1e-3  # of the largest part: smaller ones that stick out of the background are noise
WIDE = 6.0  # robust standard deviations of the noise that still are background

Volume = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Background:
    """``level``: what is subtracted; ``reach``: how far from it a voxel connected to the faces is background still."""

    level: float
    reach: float


@dataclass(frozen=True)
class ZeroBackground(Step):
    """What lies outside the head becomes 0, where it is something else and can be told."""

    name = "background to 0"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        changed, notes = {}, []
        for name, image in images.items():
            outside = None
            if task.modality(name).holes and image.data.ndim == 3:
                outside = find_background(image.data)
            if outside is None:
                continue
            what = f"background is {outside.level:g}" if outside.level else "background is not empty"
            message = (
                f"{image.source.path.name}: its {what}; what is connected to the border was taken for 0."
            )
            notes.append(Note("background", message, name, image.source.path.name))
            changed[name] = self.changed(image, without_background(image.data, outside), **asdict(outside))
        return changed, tuple(notes)


def find_background(volume: Volume) -> Background | None:
    """What lies outside the head in (I, P, L), or None: it is 0, or the faces do not tell."""
    faces = _faces(volume)
    inner = volume[::2, ::2, ::2]
    level, high = float(np.median(faces)), float(np.percentile(inner, 99.5))
    span = high - level
    if abs(level) <= LOW * float(np.percentile(np.abs(inner), 99)) or span <= 0:
        return None
    if np.mean(np.abs(faces - level) <= SAME * span) >= CONSTANT:
        return Background(level, SAME * span)
    wide = WIDE * 1.4826 * float(np.median(np.abs(faces - level)))
    if wide >= NOISE * span:
        return None
    # A floor of noise above 0 moves nothing in the head; noise about another level does.
    return Background(0.0, level + wide) if 0 < level < NOISE * high else Background(level, wide)


def without_background(volume: Volume, found: Background) -> Volume:
    """(I, P, L) with the level subtracted, and 0 where the background is connected to the faces."""
    moved = volume - np.float32(found.level)
    moved[connected_to_faces(np.abs(moved) <= found.reach)] = 0
    # Single voxels of noise that stick out would widen the box that is looked at.
    parts, count = ndimage.label(moved != 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    moved[(sizes < SPECK * sizes.max())[parts]] = 0
    return moved


def connected_to_faces(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The parts of (I, P, L) ``mask`` that reach a face of the volume."""
    parts, _ = ndimage.label(mask)
    outside = np.unique(_faces(parts))
    return np.isin(parts, outside[outside > 0])


def _faces(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([volume.take(end, axis).ravel() for axis in range(3) for end in (0, -1)])
