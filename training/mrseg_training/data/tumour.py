"""Shapes of painted tumours: smooth random blobs with oedema along the white matter, core and enhancing rim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

KINDS = {"ring": 0.36, "solid": 0.15, "patchy": 0.14, "none": 0.35}
"""How a core enhances, and how often: a rim around necrosis, all of it, in spots, not at all (low grade)."""


SMOOTHED = (81 / 19) ** 1.5  # undoes what two averages over 3³ do to the spread of white noise


@dataclass
class Shapes:
    """One tumour: soft masks (I, P, L) in [0, 1], ``whole`` ≥ ``core`` ≥ ``enhancing``, and how its core enhances.

    ``depth`` (I, P, L) is mm inside the core's border (negative outside).
    """

    whole: Tensor
    core: Tensor
    enhancing: Tensor
    depth: Tensor
    kind: str


def uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def chance(probability: float, generator: Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def pick(weights: Sequence[float], generator: Generator) -> int:
    return int(torch.multinomial(torch.tensor(weights, dtype=torch.float64), 1, generator=generator))


def smooth_noise(shape: Sequence[int], scale: float, generator: Generator) -> Tensor:
    """(I, P, L) noise of about unit spread that changes over ``scale`` voxels."""
    fine = (
        scale >= 6
    )  # enough room for knots three times as dense, smoothed: no trace of the knots' lattice is left
    knots = [max(2, math.ceil(n / (scale / 3 if fine else scale)) + 1) for n in shape]
    field = torch.randn(1, 1, *[n + 4 * fine for n in knots], generator=generator)
    if fine:
        field = F.avg_pool3d(F.avg_pool3d(field, 3, 1), 3, 1) * SMOOTHED
    field = F.interpolate(field, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]
    return field if fine else field * 1.5  # interpolation averages: back to about unit spread


def offsets(shape: Sequence[int], centre: Sequence[float], spacing: float) -> Tensor:
    """(3, I, P, L) mm from ``centre`` (voxels)."""
    axes = [(torch.arange(n, dtype=torch.float32) - c) * spacing for n, c in zip(shape, centre, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def look_up(volumes: Tensor, where: Tensor) -> Tensor:
    """(C, I, P, L) sampled linearly at ``where`` (3, i, p, l) voxels → (C, i, p, l); outside is 0."""
    size = torch.tensor(volumes.shape[1:]).view(3, 1, 1, 1)
    unit = (2 * where / (size - 1) - 1).flip(0).movedim(0, -1)
    return F.grid_sample(volumes[None], unit[None], align_corners=True)[0]


def rotation(degrees: float, generator: Generator) -> Tensor:
    """(3, 3) rotation by normally distributed angles of that spread about each axis."""
    angles = torch.randn(3, generator=generator) * math.radians(degrees)
    x, y, z = (torch.eye(3) for _ in range(3))
    for matrix, angle, (i, j) in zip((x, y, z), angles.tolist(), ((1, 2), (0, 2), (0, 1)), strict=True):
        matrix[i, i] = matrix[j, j] = math.cos(angle)
        matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return x @ y @ z


def draw(
    brain: Tensor,
    white: Tensor,
    fluid: Tensor,
    centre: Sequence[float],
    radius: float,
    spacing: float,
    generator: Generator,
    kind: str | None = None,
    reach: float | None = None,
    rim: float | None = None,
) -> Shapes:
    """One tumour around ``centre`` (voxels) with a core of about ``radius`` mm and oedema ``reach`` mm beyond.

    ``rim`` is the thickness in mm of an enhancing rim. ``kind``, ``reach`` and ``rim`` are random unless given.
    ``brain``, ``white``, ``fluid``: (I, P, L) in [0, 1]. The oedema reaches further in white matter than in grey and
    stays out of fluid; the core displaces everything.
    """
    kind = kind or list(KINDS)[pick(list(KINDS.values()), generator)]
    shape = brain.shape
    mm = offsets(shape, centre, spacing)
    stretch = torch.exp(0.22 * torch.randn(3, generator=generator))
    mm = torch.einsum("ab,bipl->aipl", stretch[:, None] * rotation(60, generator), mm)
    distance = mm.square().sum(0).sqrt()
    for share, size in ((0.22, 0.9), (0.13, 0.4)):
        amount = share * uniform(0.4, 1.4, generator)
        distance = distance + radius * amount * smooth_noise(
            shape, max(2.0, radius * size / spacing), generator
        )
    depth = radius - distance
    edge = uniform(0.5, 1.2, generator)
    core = torch.sigmoid(depth / edge) * brain

    enhancing = _enhancement(kind, depth, core, radius, rim, spacing, generator)

    low, high = (1.5, 9.0) if kind == "none" and chance(0.6, generator) else (3.0, 26.0)
    drawn = low * (high / low) ** uniform(0, 1, generator)
    reach = drawn if reach is None else reach
    follow = uniform(0.3, 1.0, generator)
    # White matter over a few mm: oedema fingers along it, and does not break up in every gyrus.
    if chance(0.8, generator):
        white = F.avg_pool3d(F.avg_pool3d(white[None, None], 3, 1, 1), 3, 1, 1)[0, 0]
    along = (1 - follow) + follow * (0.15 + 1.25 * white)
    ragged = smooth_noise(shape, max(2.0, uniform(8, 20, generator) / spacing), generator)
    ragged = (0.8 + 0.35 * ragged).clamp(0.1, 2.0)
    extent = reach * ragged * along
    oedema = torch.sigmoid((extent + depth) / uniform(0.6, 3.0, generator)) * brain * (1 - fluid)
    return Shapes(torch.maximum(oedema, core), core, enhancing, depth, kind)


def _enhancement(
    kind: str,
    depth: Tensor,
    core: Tensor,
    radius: float,
    rim: float | None,
    spacing: float,
    generator: Generator,
) -> Tensor:
    """Soft mask of what enhances within ``core``."""
    if kind == "none":
        return torch.zeros_like(core)
    varied = smooth_noise(core.shape, max(2.0, 0.5 * radius / spacing), generator)
    sharp = 0.25 * spacing + 0.3
    if kind == "ring":
        thickness = rim or uniform(2.0, min(7.0, 2.5 + 0.4 * radius), generator)
        extent = thickness * (1 + uniform(0.1, 0.55, generator) * varied).clamp_min(0.15)
        gaps = torch.sigmoid(
            (uniform(1.0, 2.6, generator) - smooth_noise(core.shape, 12 / spacing, generator)) / 0.15
        )
        return core * torch.sigmoid((extent - depth) / sharp) * gaps
    if kind == "solid":
        holes = torch.sigmoid((varied - uniform(0.7, 2.0, generator)) / 0.15)
        return core * (1 - holes * torch.sigmoid((depth - 2.0) / sharp))
    spots = smooth_noise(core.shape, max(2.0, uniform(4, 10, generator) / spacing), generator)
    return core * torch.sigmoid((spots - uniform(0.7, 1.6, generator)) / 0.15)


def label_map(tumours: Sequence[Shapes], like: Tensor) -> Tensor:
    """(I, P, L) uint8 codes: 1 necrotic or non-enhancing core, 2 oedema, 3 enhancing."""
    labels = torch.zeros(like.shape, dtype=torch.uint8)
    for t in tumours:
        labels[(t.whole >= 0.5) & (labels == 0)] = 2
    for t in tumours:
        labels[t.core >= 0.5] = 1
        # Relative to the core, whose border is soft: a thin rim lies in it, and shines.
        labels[(t.core >= 0.5) & (t.enhancing >= 0.5 * t.core)] = 3
    return labels
