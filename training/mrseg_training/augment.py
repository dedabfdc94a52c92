"""Mirroring, turning, another size and other intensities, on the device.

Drawn per sample, so that it is the same on any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mrseg_training.data.anatomy import MEDIAN
from mrseg_training.data.simulate import ARTEFACTS
from mrseg_training.data.tumour import chance, pick, uniform
from mrseg_training.settings import AugmentPart

TURNED = 0.5
"""Share of samples that are turned; the others keep their voxels as they are."""


def augment(
    images: Tensor, labels: Tensor, part: AugmentPart, draws: Sequence[Generator], ndim: int = 3
) -> tuple[Tensor, Tensor]:
    """``images`` (B, C, I, P, L) float, ``labels`` (B, I, P, L) integer codes -> the same, mirrored, turned and scaled.

    ``ndim`` 2: only within slices. Images are interpolated linearly, labels by the nearest voxel; what comes from
    outside is 0.
    """
    flips, angles, factors = [], [], []
    mirrors = {True: (True, True, True), False: (False, False, False), "left-right": (False, False, True)}
    for draw in draws:
        numbers = torch.rand(
            7, generator=draw
        ).tolist()  # always seven, so that a switch changes nothing else
        flip = [may and n < 0.5 for may, n in zip(mirrors[part.flip], numbers[:3], strict=True)]
        turned = (part.rotate > 0 or part.scale > 0) and numbers[3] < TURNED
        turn = [math.radians(part.rotate) * (2 * n - 1) if turned else 0.0 for n in numbers[4:]]
        if ndim == 2:
            flip[0], turn[1:] = False, [0.0, 0.0]
        flips.append(flip)
        angles.append(turn)
        factors.append((1 + part.scale) ** uniform(-1, 1, draw) if part.scale and turned else 1.0)
    out_images, out_labels = [], []
    for image, label, flip, angle, factor, draw in zip(
        images, labels, flips, angles, factors, draws, strict=True
    ):
        axes = [axis for axis, mirrored in enumerate(flip) if mirrored]
        if axes:
            image, label = image.flip([a + 1 for a in axes]), label.flip(axes)
        if any(angle) or factor != 1:
            within = (1.0, factor, factor) if ndim == 2 else (factor,) * 3
            image, label = _turned(image, label, angle, within)
        out_images.append(_recoloured(image, part, draw))
        out_labels.append(label)
    return torch.stack(out_images), torch.stack(out_labels)


def with_artefacts(image: Tensor, part: AugmentPart, draw: Generator) -> Tensor:
    """(C, I, P, L) normalised, on the CPU, a share ``part.faults`` of its channels with one fault of a scanner.

    Background stays 0 and the median what it was: normalising a whole scan with that fault would bring it back.
    """
    if not part.faults:
        return image
    out = []
    for channel in image:
        inside = channel != 0
        if chance(part.faults, draw) and bool(inside.any()):
            artefact = ARTEFACTS[pick([weight for _, weight in ARTEFACTS], draw)][0]
            lifted = torch.where(inside, (channel + MEDIAN).clamp_min(0.1), 0.0)
            worse = artefact(lifted, uniform(0, 1, draw) ** 1.5, draw)
            moved = channel[inside].median() - worse[inside].median()
            channel = torch.where(inside, worse + moved, 0.0)
        out.append(channel)
    return torch.stack(out)


def _recoloured(image: Tensor, part: AugmentPart, draw: Generator) -> Tensor:
    """(M, I, P, L) with each modality's intensities stretched and moved; background stays 0."""
    if not (part.gain or part.shift):
        return image
    numbers = torch.randn(2, len(image), 1, 1, 1, generator=draw).to(image.device)
    return (image * (part.gain * numbers[0]).exp() + part.shift * numbers[1]) * (image != 0)


def _turned(
    image: Tensor, label: Tensor, angles: Sequence[float], factors: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """(M, I, P, L) and (I, P, L), ``factors`` times as large, turned about their centre by ``angles``, in radians."""
    extents = torch.tensor(image.shape[1:], dtype=torch.float32)
    # Sampling positions are in units of half an extent: a turn must act on voxels.
    scale = torch.diag(extents)
    turn = torch.linalg.inv(scale) @ rotation(angles) @ torch.diag(1 / torch.tensor(factors)) @ scale
    order = [2, 1, 0]  # grid_sample wants L, P, I
    theta = torch.zeros(1, 3, 4)
    theta[0, :, :3] = turn[order][:, order]
    grid = F.affine_grid(theta.to(image.device), [1, 1, *image.shape[1:]], align_corners=False)
    turned = F.grid_sample(image[None].float(), grid, mode="bilinear", align_corners=False)[0]
    codes = F.grid_sample(label[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0]
    return turned.to(image.dtype), codes.round().to(label.dtype)


def rotation(angles: Sequence[float]) -> Tensor:
    """(3, 3): turns about axes 0, 1 and 2 one after the other, radians."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        step = torch.eye(3)
        step[a, a] = step[b, b] = math.cos(angle)
        step[a, b], step[b, a] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ step
    return matrix


def regions_of(labels: Tensor, codes: Sequence[Sequence[int]]) -> Tensor:
    """(B, I, P, L) label codes -> (B, R, I, P, L) float, 1 where the code belongs to the region."""
    table = torch.zeros(len(codes), 256, device=labels.device)
    for row, members in enumerate(codes):
        table[row, list(members)] = 1.0
    return table[:, labels.long()].transpose(0, 1)
