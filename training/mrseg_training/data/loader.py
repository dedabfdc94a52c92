"""Batches: read on the CPU ahead of time, augmented on the device. What one holds depends on the step alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mrseg_training import perturb
from mrseg_training.augment import augment, regions_of, with_artefacts
from mrseg_training.data.prepared import Volumes
from mrseg_training.settings import Extents, StagePart
from mrseg_training.stages import Batch
from napari_mrseg.prepare import resample, resample_labels
from napari_mrseg.tasks import Task

_EXTENTS = 2**40  # a place in the global batch that no sample has
Raw = tuple[Tensor, Tensor, Tensor, list[Generator]]


class Loader:
    """Samples of one stage for one process.

    Sample i of the global batch of step s is number s · global batch + i of an endless row of shuffled epochs, so
    the position in the data is the step, and it does not matter how many processes share the work.
    """

    def __init__(
        self,
        volumes: Volumes,
        part: StagePart,
        task: Task,
        *,
        seed: int,
        stage: int,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
        prefetch: int = 2,
    ) -> None:
        self.volumes, self.part, self.device = volumes, part, device
        self.seed, self.stage, self.rank, self.processes = seed, stage, rank, processes
        self.codes = [region.codes for region in task.regions]
        self.kinds = [label.code for label in task.labels]
        self.ndim = task.ndim
        self.prefetch = prefetch
        self._order: tuple[int, list[str]] = (-1, [])

    def batches(self, first: int, last: int | None) -> Iterator[Batch]:
        """The batches of steps ``first`` .. ``last − 1``, or without end."""
        steps = count(first) if last is None else iter(range(first, last))
        if self.prefetch == 0:
            for step in steps:
                yield self._finish(self._read(step))
            return
        with ThreadPoolExecutor(1) as pool:
            ahead = deque(pool.submit(self._read, step) for step in islice(steps, self.prefetch + 1))
            while ahead:
                raw = ahead.popleft().result()
                ahead.extend(pool.submit(self._read, step) for step in islice(steps, 1))
                yield self._finish(raw)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        return self._finish(self._read(step))

    def _read(self, step: int) -> Raw:
        first = self.rank * self.part.batch
        draws = perturb.generators(self.seed, self.stage, step, first, self.part.batch)
        shared = perturb.generators(self.seed, self.stage, step, _EXTENTS, 1)[0]
        extents = self.part.extents[int(torch.randint(len(self.part.extents), (), generator=shared))]
        coarse = self.part.coarse > 0 and float(torch.rand((), generator=shared)) < self.part.coarse
        images, labels, available = [], [], []
        for place, draw in enumerate(draws):
            subject = self._subject(step * self.part.batch * self.processes + first + place)
            if coarse:
                wide = (2 * extents[0], 2 * extents[1], 2 * extents[2])
                image, label = halved(*self._crop(subject, wide, draw), self.kinds)
            else:
                image, label = self._crop(subject, extents, draw)
            images.append(with_artefacts(image, self.part.augment, draw))
            labels.append(label)
            available.append(self.volumes.available(subject))
        return torch.stack(images), torch.stack(labels), torch.stack(available), draws

    def _subject(self, position: int) -> str:
        epoch, place = self.volumes.place(position)
        if self._order[0] != epoch:
            subjects = self.volumes.epoch(epoch)
            generator = torch.Generator().manual_seed(perturb.mix(self.seed, self.stage, epoch, _EXTENTS + 1))
            order = torch.randperm(len(subjects), generator=generator).tolist()
            self._order = epoch, [subjects[i] for i in order]
        return self._order[1][place]

    def _crop(self, subject: str, extents: Extents, draw: Generator) -> tuple[Tensor, Tensor]:
        """(M, *extents) float32 and (*extents) uint8 of one subject, padded with background where it is smaller."""
        labels = self.volumes.labels(subject)
        numbers = torch.rand(5, generator=draw).tolist()
        centre: Sequence[float] | None = None
        if numbers[0] < self.part.augment.centred:
            places = torch.nonzero(labels)
            if len(places):
                centre = places[int(numbers[1] * len(places))].tolist()
        box, padding = [], []
        for axis, (whole, wanted) in enumerate(zip(labels.shape, extents, strict=True)):
            room = whole - wanted
            if room <= 0:
                box.append(slice(0, whole))
                padding.append((-room // 2, -room - (-room // 2)))
                continue
            # A crop around a tumour voxel has it anywhere in its middle half.
            if centre is None:
                start = int(numbers[2 + axis] * (room + 1))
            else:
                start = round(centre[axis] - wanted * (0.25 + 0.5 * numbers[2 + axis]))
            start = min(max(start, 0), room)
            box.append(slice(start, start + wanted))
            padding.append((0, 0))
        where = (box[0], box[1], box[2])
        pads = [n for pair in reversed(padding) for n in pair]
        image = F.pad(self.volumes.piece(subject, where).float(), pads)
        return image, F.pad(labels[where], pads)

    def _finish(self, raw: Raw) -> Batch:
        images, labels, available, draws = raw
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        images, labels = augment(images, labels, self.part.augment, draws, self.ndim)
        images = images.contiguous(memory_format=torch.channels_last_3d)
        return Batch(images, regions_of(labels, self.codes), available, draws)


def halved(image: Tensor, label: Tensor, kinds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """A crop at twice its spacing, sampled as :func:`~.subjects.prepare` does it.

    (M, I, P, L) and (I, P, L) uint8 of ``kinds`` and 0 -> half the extents.
    """
    where = ((0, 0, 0), (2, 2, 2), [n // 2 for n in label.shape])
    return resample(image, *where), resample_labels(label, kinds, *where)
