"""From scans to the network's channels, and from its frame back to the scan's voxels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_mrseg.inference.normalise import Intensities, measure, scale
from napari_mrseg.inference.resample import resample
from napari_mrseg.inference.windows import Frame, frame
from napari_mrseg.study import Image, Study

KNOWN_IMAGES = 16  # images whose intensities stay measured


@dataclass(frozen=True)
class _Known:
    """What is learnt once per image: its intensities, and the box of its foreground."""

    intensities: Intensities
    bounds: tuple[tuple[int, int], ...]


class Scans:
    """Prepares studies for a network, and remembers what it measured of each image."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def frame(self, study: Study, spacing: float) -> Frame:
        """The box around the foreground of the study's modalities, at the network's ``spacing`` (mm)."""
        known = [self._look_at(image) for image in study.images.values()]
        bounds = [
            (min(k.bounds[axis][0] for k in known), max(k.bounds[axis][1] for k in known))
            for axis in range(len(study.grid.shape))
        ]
        return frame(bounds, study.grid.spacing, spacing)

    def channels(self, study: Study, where: Frame, device: torch.device, check: Callable[[], None]) -> Tensor:
        """(M, i, p, l) normalised float32 in the task's order; a missing modality filled as the task says."""
        found: dict[str, Tensor] = {}
        origin = [begin - box.start for begin, box in zip(where.start, where.box, strict=True)]
        for name, image in study.images.items():
            check()
            part = torch.from_numpy(image.data[where.box].copy()).to(device)
            scaled = scale(part, self._look_at(image).intensities)
            found[name] = resample(scaled[None], origin, where.step, where.size)[0]
        first = next(iter(found.values()))
        missing = torch.zeros_like(first) if study.task.fill == "zero" else first
        return torch.stack([found.get(name, missing) for name in study.task.names])

    def _look_at(self, image: Image) -> _Known:
        """Measure an image once; it is recognised by the hash of its file."""
        name = image.source.sha256
        if name not in self._known:
            volume = torch.from_numpy(image.data.copy())  # PyTorch wants arrays it may write to
            intensities = measure(volume)
            self._known[name] = _Known(intensities, _bounds(image.data, intensities.floor))
            if len(self._known) > KNOWN_IMAGES:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return self._known[name]


def to_frame(voxel: tuple[int, ...], where: Frame) -> tuple[float, ...]:
    """A voxel of the scan in voxels of the frame."""
    return tuple((v - s) / w for v, s, w in zip(voxel, where.start, where.step, strict=True))


def to_scan(found: Tensor, where: Frame) -> Tensor:
    """Probabilities of the frame (R, i, p, l) on the scan's voxels of its box."""
    start = [
        (box.start - begin) / width
        for box, begin, width in zip(where.box, where.start, where.step, strict=True)
    ]
    size = [box.stop - box.start for box in where.box]
    return resample(found, start, [1 / width for width in where.step], size, extend=True)


def _bounds(data: npt.NDArray[np.float32], floor: float) -> tuple[tuple[int, int], ...]:
    """First and one past the last voxel of the foreground, per axis."""
    mask = np.abs(data) > floor
    bounds = []
    for axis in range(data.ndim):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(data.ndim) if a != axis)))
        bounds.append((int(line[0]), int(line[-1]) + 1))
    return tuple(bounds)
