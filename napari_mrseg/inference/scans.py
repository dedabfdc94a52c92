"""From scans to the network's channels, and from its frame back to the scan's voxels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.plausibility import ImageStatistics, image_statistics
from napari_mrseg.models.network import STRIDES
from napari_mrseg.prepare import (
    Frame,
    Intensities,
    bounds,
    frame,
    measure,
    measure_frames,
    on_frame,
    resample,
    scale,
)
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import Modality, Task

KNOWN_IMAGES = 16  # images whose intensities stay measured
PREPARED = 128 * 10**6  # bytes of images kept ready for the network; a brain's at 1 mm and 2 mm take 33 MB
ROWS = 8  # labelled at a time on a CPU, whose cache holds them


@dataclass
class _Known:
    """What is learnt once per image: its intensities, the box of its foreground, and, once asked, how it looks."""

    intensities: Intensities
    bounds: list[tuple[int, int]]
    stats: ImageStatistics | None = None


class Scans:
    """Prepares studies for a network, and remembers what it measured of each image.

    ``method`` of normalisation, what extents must be multiples of, and their ``least``; ``frames``: each slice is an
    image of its own.
    """

    def __init__(
        self,
        method: str = "robust",
        strides: Sequence[int] = STRIDES,
        *,
        least: Sequence[int] | None = None,
        frames: bool = False,
    ) -> None:
        self._method, self._strides, self._least = method, strides, least
        self._measure = measure_frames if frames else measure
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._prepared: OrderedDict[Hashable, Tensor] = OrderedDict()

    def forget(self) -> None:
        """Let the images go that are kept ready."""
        self._prepared = OrderedDict()

    def frame(self, study: Study, spacing: float) -> Frame:
        """The box around the foreground of the study's modalities, at the network's ``spacing`` (mm)."""
        known = [self._known_image(image, study.task.modality(name)) for name, image in study.images.items()]
        box = [
            (min(k.bounds[axis][0] for k in known), max(k.bounds[axis][1] for k in known))
            for axis in range(3)
        ]
        return frame(box, study.grid.spacing, spacing, study.task.ndim, self._strides, self._least)

    def statistics(self, study: Study) -> dict[str, ImageStatistics]:
        """How each of the study's images looks, by modality."""
        statistics = {}
        for name, image in study.images.items():
            known = self._known_image(image, study.task.modality(name))
            known.stats = statistics[name] = known.stats or image_statistics(image, known.intensities)
        return statistics

    def inputs(
        self,
        group: Sequence[Study],
        where: Frame,
        device: torch.device,
        dtype: torch.dtype,
        check: Callable[[], None],
    ) -> Tensor:
        """(B, C, i, p, l) normalised, channels last, in the task's order; a missing modality filled as it says."""
        task = group[0].task
        shape = (len(group), len(task.channels), *where.size)
        found = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last_3d)
        for sample, study in zip(found, group, strict=True):
            for modality in task.modalities:
                rows = sample[task.span(modality.name)]
                if modality.name in study.images:
                    check()
                    rows.copy_(self._prepare(study.images[modality.name], modality, where, device, dtype))
                else:
                    rows.zero_()
        if task.fill == "zero":
            return found
        kept = torch.tensor([[name in study.images for name in task.names] for study in group])
        return fill(found, kept, task)

    def normalised(self, study: Study, where: Frame) -> Tensor:
        """(C, i, p, l) float32: the scans' own voxels in ``where.box``, normalised; missing modalities 0."""
        task = study.task
        size = [side.stop - side.start for side in where.box]
        found = torch.zeros(len(task.channels), *size)
        for name, image in study.images.items():
            known = self._known_image(image, task.modality(name)).intensities
            found[task.span(name)] = scale(torch.from_numpy(image.data[where.box].copy()), known)
        return found

    def shown(self, study: Study, where: Frame) -> Tensor:
        """(i, p, l) bool: the voxels of ``where.box`` at which any of the scans shows something."""
        found = torch.zeros([side.stop - side.start for side in where.box], dtype=torch.bool)
        for name, image in study.images.items():
            floor = self._known_image(image, study.task.modality(name)).intensities.floor
            found |= torch.from_numpy(image.data[where.box].copy()).abs() > floor
        return found

    def _prepare(
        self, image: Image, modality: Modality, where: Frame, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """(k, i, p, l): one image normalised and on the frame; kept, since most combinations share frame and image."""
        sides = tuple((side.start, side.stop) for side in where.box)
        name = (
            image.identity,
            modality.holes,
            sides,
            where.start,
            where.step,
            where.size,
            device,
            dtype,
        )
        kept = self._prepared  # another thread may have it forgotten meanwhile
        found = kept.pop(name, None)
        if found is None:
            known = self._known_image(image, modality).intensities
            volume = torch.from_numpy(image.data[where.box].copy()).to(device)
            found = on_frame(volume, known, where).to(dtype)
        kept[name] = found
        while len(kept) > 1 and sum(t.nbytes for t in kept.values()) > PREPARED:
            kept.popitem(last=False)
        return found

    def _known_image(self, image: Image, modality: Modality) -> _Known:
        """Measure an image once; it is recognised by its file's hash and the steps since."""
        name = (image.identity, modality.holes)
        if name not in self._known:
            volume = torch.from_numpy(image.data.copy())  # PyTorch wants arrays it may write to
            intensities = self._measure(volume, holes=modality.holes, method=self._method)
            self._known[name] = _Known(intensities, bounds(volume.abs() > intensities.floor))
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


def to_labels(
    task: Task,
    found: Tensor,
    where: Frame,
    shape: Sequence[int],
    check: Callable[[], None],
    thresholds: Sequence[float] = (),
) -> npt.NDArray[np.uint8]:
    """Label codes (I, P, L) of the whole scan from probabilities (R, i, p, l) of its box."""
    whole = np.zeros(shape, dtype=np.uint8)
    box = whole[where.box]
    rows = ROWS if found.device.type == "cpu" else len(box)
    for first in range(0, len(box), rows):
        check()
        labels = task.label_map(found[:, first : first + rows], thresholds)
        box[first : first + rows] = labels.to(torch.uint8).cpu().numpy()
    return whole
