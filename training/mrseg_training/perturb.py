"""What is done to a complete subject to make it incomplete, masked or out of order.

Pure functions: the same generators give the same result. One ``torch.Generator`` per sample, seeded by the run's
seed, the step and the sample's place in the global batch, so that neither the number of processes nor an
interruption changes what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, compress

import torch
from torch import Generator, Tensor

from napari_mrseg.tasks import Task, key


def generators(seed: int, stage: int, step: int, first: int, count: int) -> list[Generator]:
    """One generator for each of the samples ``first`` .. ``first + count − 1`` of the global batch."""
    made = []
    for sample in range(first, first + count):
        generator = torch.Generator()
        generator.manual_seed(mix(seed, stage, step, sample))
        made.append(generator)
    return made


def mix(*numbers: int) -> int:
    """A 63-bit seed from several numbers (splitmix64), so that neighbouring numbers give unrelated draws."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


def drop(available: Tensor, p: float, draws: Sequence[Generator], *, by: str = "modality") -> Tensor:
    """Modalities kept, (B, M) bool, of those there, ``available`` (B, M) bool; at least one is.

    ``by`` "modality": each is dropped with probability ``p``. "sample", as in the published code: with
    probability ``p`` the sample keeps a uniformly drawn number of modalities, else all.
    """
    fewer = available.clone()
    for row, draw in enumerate(draws):
        there = torch.nonzero(available[row]).flatten()
        order = torch.randperm(len(there), generator=draw)
        if by == "sample":
            number = int(torch.randint(1, len(there) + 1, (), generator=draw))
            if float(torch.rand((), generator=draw)) >= p:
                continue
            fewer[row, there[order[number:]]] = False
        else:
            off = torch.rand(len(there), generator=draw) < p
            off[order[0]] = False  # one is always left, each with the same chance
            fewer[row, there[off]] = False
    return fewer


def incomplete(
    available: Tensor, draws: Sequence[Generator], sampling_weights: Tensor | None = None
) -> Tensor:
    """One random incomplete version per sample, (B, M) bool: 1 .. n−1 of the n modalities there, uniform in number.

    ``sampling_weights``: how often each of :func:`incomplete_combinations` comes instead, for samples that have all
    modalities. A sample with a single modality keeps it.
    """
    fewer = torch.zeros_like(available)
    for row, draw in enumerate(draws):
        if sampling_weights is not None and bool(available[row].all()):
            table = incomplete_combinations(available.shape[1])
            fewer[row] = table[torch.multinomial(sampling_weights, 1, generator=draw)[0]]
            continue
        there = torch.nonzero(available[row]).flatten()
        order = torch.randperm(len(there), generator=draw)
        number = int(torch.randint(1, max(2, len(there)), (), generator=draw))
        fewer[row, there[order[:number]]] = True
    return fewer


def incomplete_combinations(modalities: int) -> Tensor:
    """(2^M − 2, M) bool: every combination but none and all, smallest first."""
    rows = [c for size in range(1, modalities) for c in combinations(range(modalities), size)]
    table = torch.zeros(len(rows), modalities, dtype=torch.bool)
    for row, chosen in enumerate(rows):
        table[row, list(chosen)] = True
    return table


def draw_combinations(
    modalities: int, count: int, draws: Sequence[Generator], sampling_weights: Tensor | None = None
) -> Tensor:
    """(count, B, M) bool: ``count`` different incomplete combinations for each sample.

    ``sampling_weights``: how often each of :func:`incomplete_combinations` comes; all alike without it.
    """
    table = incomplete_combinations(modalities)
    if sampling_weights is None:
        chosen = [table[torch.randperm(len(table), generator=draw)[:count]] for draw in draws]
    else:
        chosen = [table[torch.multinomial(sampling_weights, count, generator=draw)] for draw in draws]
    return torch.stack(chosen, 1)


def sampling_weights_of(task: Task, given: Mapping[str, float]) -> Tensor | None:
    """Odds of each of :func:`incomplete_combinations` for the names ``given``, e.g. {"t1": 3}; the others have 1.

    None where none are given.
    """
    if not given:
        return None
    names = (
        key(tuple(compress(task.names, row))) for row in incomplete_combinations(len(task.names)).tolist()
    )
    return torch.tensor([given.get(name, 1.0) for name in names])


def shuffle(images: Tensor, available: Tensor, draws: Sequence[Generator]) -> Tensor:
    """The kept modalities of each sample in random order among their channels; (B, M, ...) -> same shape.

    Where a modality has several channels, all keep their places: a depth image does not fit a colour's.
    """
    if images.shape[1] != available.shape[1]:
        return images
    rows = []
    for image, keep, draw in zip(images, available, draws, strict=True):
        there = torch.nonzero(keep).flatten()
        order = torch.arange(len(keep))
        order[there] = there[torch.randperm(len(there), generator=draw)]
        rows.append(image[order.to(image.device)])
    return torch.stack(rows)


def mask_regions(images: Tensor, ratio: float, size: int, draws: Sequence[Generator]) -> Tensor:
    """Boxes of ``size``³ voxels set to zero in all modalities, about ``ratio`` of the volume; (B, M, I, P, L).

    The number of boxes is what covers ``ratio`` on average, overlaps counted. Boxes may reach over the border, so
    that every voxel is masked equally often. An extent below 2 · ``size`` is masked over its half.
    """
    extents = images.shape[2:]
    edges = [min(size, max(1, n // 2)) for n in extents]
    share = math.prod(e / (n + e - 1) for e, n in zip(edges, extents, strict=True))
    count = round(math.log1p(-ratio) / math.log1p(-share))
    images = images.clone()
    for image, draw in zip(images, draws, strict=True):
        for _ in range(count):
            box = []
            for n, e in zip(extents, edges, strict=True):
                start = int(torch.randint(1 - e, n, (), generator=draw))
                box.append(slice(max(start, 0), start + e))
            image[(slice(None), *box)] = 0
    return images


def mask_voxels(images: Tensor, ratio: float, draws: Sequence[Generator]) -> Tensor:
    """Single voxels set to zero, as in the published code, the same in all modalities; (B, M, I, P, L)."""
    masks = []
    for draw in draws:
        # On the images' own device: a whole volume of random numbers is slow to draw and to move.
        local = torch.Generator(images.device)
        local.manual_seed(int(torch.randint(0, 2**62, (), generator=draw)))
        masks.append(torch.rand(images.shape[2:], generator=local, device=images.device) >= ratio)
    return images * torch.stack(masks)[:, None]
