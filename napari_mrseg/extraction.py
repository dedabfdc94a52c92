"""Where the brain is in scans of a head, and whether they show one at all: the bundled network's answer.

Facts for whoever cuts the brain out (:mod:`.io.brain`); the network: :mod:`.models.brain_network`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.resources import BRAIN_MODEL

if TYPE_CHECKING:
    from torch import Tensor

    from napari_mrseg.models.brain_network import BrainNet
    from napari_mrseg.models.store import Model
    from napari_mrseg.prepare import Frame

LOOKED_MM = 230.0  # from the top of the head downwards: what lies below is neck and trunk
TOP_CM2 = 4.0  # of tissue in the first slice that counts as head
TISSUE = 0.15  # of the level of tissue: what is darker is air
GREY = 0.25  # of the brightest tissue: air from here on is no noise
SURE_ENOUGH = 0.4  # probability from which on a voxel is kept: a tumour that is cut away cannot be found
LEAST_EXTENTS = (64, 72, 64)  # voxels (I, P, L) of what the network is shown, as in training
LEAST_ML = 100.0  # of brain; less is none
LEAST_THERE = 0.5  # probability that the scans show a brain at all
CUT_CM2 = 4.0  # of brain at a face of the field of view from which on it is cut off there
NEAR_MM = 8.0  # width over which it is averaged how unsure the border is
SIDES = (("top", "bottom"), ("front", "back"), ("right", "left"))  # of axes I, P, L

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Brain:
    """What was found.

    Attributes
    ----------
    mask
        (I, P, L) bool on the scans' grid; empty where nothing was.
    ml
        Its volume, mL.
    there
        The probability that the scans show a brain at all, as the network says it for the whole of them.
    sure
        The Dice with the truth that the network expects, from its probabilities: 1 if every voxel is certain.
    unsure_at
        The voxel at which the border is least sure.
    cut_at
        Sides on which the field of view ends within the brain, e.g. ("bottom",).
    """

    mask: Mask
    ml: float
    there: float
    sure: float
    unsure_at: tuple[int, int, int]
    cut_at: tuple[str, ...]

    @property
    def is_one(self) -> bool:
        """Whether there is a brain at all."""
        return self.ml >= LEAST_ML and self.there >= LEAST_THERE


@lru_cache(maxsize=1)
def network() -> Model:
    """The bundled network, ready to run, in bf16 where the processor has it. Raises ModelError if it is damaged."""
    from dataclasses import replace

    import torch

    from napari_mrseg.models.precision import has_bf16
    from napari_mrseg.models.store import load_model

    model = load_model(BRAIN_MODEL)
    kind = torch.bfloat16 if has_bf16(torch.device("cpu")) else torch.float32
    return replace(model, network=model.network.for_inference(kind))


def find_brain(scans: Sequence[Array], spacing: Sequence[float], model: Model | None = None) -> Brain:
    """The brain in ``scans``, (I, P, L) float32 on one grid with voxels of ``spacing`` mm; their logits are averaged.

    Where a scan covers only a part, it counts only there. A scan in which no brain is seen does not count beside one
    in which there is one. ``model``: another than the bundled network.
    """
    import torch

    from napari_mrseg.prepare import frame, measure, on_frame, resample

    model = model or network()
    asked = cast("BrainNet", model.network)
    wanted = model.card.validated[0].spacing_mm
    shape = scans[0].shape
    scans = [_magnitude(scan) for scan in scans]
    volumes = [torch.from_numpy(scan) for scan in scans]
    known = [measure(volume, method="level") for volume in volumes]
    boxes = [_shown(scan, TISSUE * float(k.spread), spacing) for scan, k in zip(scans, known, strict=True)]
    full = [box for box in boxes if box is not None]
    if not full:
        return _nothing(shape)
    bounds = [(min(b[a][0] for b in full), max(b[a][1] for b in full)) for a in range(3)]
    where = frame(bounds, spacing, wanted, strides=model.network.stride)
    total, weight = torch.zeros(where.size), torch.zeros(where.size)
    with torch.inference_mode():
        answers = []
        for volume, intensities, box in zip(volumes, known, boxes, strict=True):
            if box is not None:
                inputs = on_frame(volume[where.box], intensities, where)
                answers.append((_covered(box, where), *_answered(asked, inputs[None], model.card.mirrored)))
        seen = [answer for answer in answers if answer[2] > 0] or answers
        for covered, found, _ in seen:
            total[covered] += found[covered]
            weight[covered] += 1
        logits = torch.where(weight > 0, total / weight.clamp_min(1), -8.0)
        kept = _largest(logits - math.log(SURE_ENOUGH / (1 - SURE_ENOUGH)))
        start = [-begin / width for begin, width in zip(where.start, where.step, strict=True)]
        start = [s + side.start / w for s, side, w in zip(start, where.box, where.step, strict=True)]
        size = [side.stop - side.start for side in where.box]
        fine = resample(kept[None], start, [1 / width for width in where.step], size, extend=True)[0]
    mask = np.zeros(shape, bool)
    mask[where.box] = fine.numpy() > 0
    if not mask.any():
        return _nothing(shape)
    shows_one = float(torch.stack([there for _, _, there in seen]).mean().sigmoid())
    ml = float(mask.sum()) * float(np.prod(spacing)) / 1000
    sure, place = _doubts(logits.numpy(), kept.numpy() > 0, wanted)
    voxel = [b + (p + 0.5) * w for b, p, w in zip(where.start, place, where.step, strict=True)]
    at = tuple(int(np.clip(v, 0, n - 1)) for v, n in zip(voxel, shape, strict=True))
    return Brain(mask, ml, shows_one, sure, (at[0], at[1], at[2]), _cut_at(mask, bounds, spacing))


def _answered(network: BrainNet, inputs: Tensor, mirrored: bool) -> tuple[Tensor, Tensor]:
    """Logits (I, P, L) of ``inputs`` (1, 1, I, P, L), and that they show a brain; the mean with the mirror image's."""
    import torch

    # It has learnt from brains with room around them.
    short = [max(0, least - n) for least, n in zip(LEAST_EXTENTS, inputs.shape[2:], strict=True)]
    before = [s // 2 for s in short]
    sides = [side for b, s in zip(reversed(before), reversed(short), strict=True) for side in (b, s - b)]
    roomy = torch.nn.functional.pad(inputs, sides)
    inside = tuple(slice(b, b + n) for b, n in zip(before, inputs.shape[2:], strict=True))
    roomy = roomy.to(network.head.weight.dtype)
    found, there = (answer.float() for answer in network.found(roomy))
    if mirrored:
        other, too = (answer.float() for answer in network.found(roomy.flip(-1)))
        found, there = (found + other.flip(-1)) / 2, (there + too) / 2
    return found[0, 0][inside], there[0]


def _nothing(shape: Sequence[int]) -> Brain:
    return Brain(np.zeros(shape, bool), 0.0, 0.0, 0.0, (0, 0, 0), ())


def _magnitude(scan: Array) -> Array:
    """``scan`` without signs, as the network knows scans. Some inversion recovery images keep theirs, and have air in
    the middle of their values: grey at the sides of the volume, with tissue darker and brighter than it."""
    sides = np.concatenate([scan.take(end, axis).ravel() for axis in (1, 2) for end in (0, -1)])
    air, noise = float(np.median(sides)), 1.4826 * float(np.median(np.abs(sides - np.median(sides))))
    low, high = (float(value) for value in np.percentile(scan[::2, ::2, ::2], [0.5, 99.5]))
    signed = air > GREY * high and 6 * noise < min(air - low, high - air)
    shifted: Array = np.abs(scan - np.float32(air if signed else 0), dtype=np.float32)
    return shifted


def _shown(scan: Array, floor: float, spacing: Sequence[float]) -> list[tuple[int, int]] | None:
    """First and one past the last voxel of what a scan shows, per axis, its trunk left out; None if nothing."""
    steps = [max(1, round(2.0 / mm)) for mm in spacing]
    shown = np.abs(scan[tuple(slice(None, None, step) for step in steps)]) > floor
    area = spacing[1] * steps[1] * spacing[2] * steps[2] / 100
    rows = np.flatnonzero(shown.sum((1, 2)) * area >= TOP_CM2)
    if len(rows) == 0:
        return None
    high = min(
        scan.shape[0], (int(rows[-1]) + 1) * steps[0], round(rows[0] * steps[0] + LOOKED_MM / spacing[0])
    )
    found = [(int(rows[0]) * steps[0], high)]
    for axis in (1, 2):
        # A few bright voxels of noise are no head.
        line = shown[rows[0] : rows[-1] + 1].sum(tuple(a for a in range(3) if a != axis))
        places = np.flatnonzero(line > 0.02 * line.max())
        found.append(
            (int(places[0]) * steps[axis], min(scan.shape[axis], (int(places[-1]) + 1) * steps[axis]))
        )
    # Slices before the first that counts hold the top of the scalp.
    margin = [max(1, round(6.0 / mm)) for mm in spacing]
    return [
        (max(0, low - m), min(n, high + m))
        for (low, high), m, n in zip(found, margin, scan.shape, strict=True)
    ]


def _covered(box: Sequence[tuple[int, int]], where: Frame) -> tuple[slice, ...]:
    """The part of the frame in which a scan shows something."""
    sides = []
    for (low, high), start, step, size in zip(box, where.start, where.step, where.size, strict=True):
        first, last = int(np.floor((low - start) / step)), int(np.ceil((high - start) / step))
        sides.append(slice(max(0, first), min(size, last)))
    return tuple(sides)


def _largest(logits: Tensor) -> Tensor:
    """``logits`` with all but the largest part below 0, and no holes in that."""
    import torch

    inside = logits.numpy() > 0
    parts, count = ndimage.label(inside)
    kept = inside
    if count > 1:
        kept = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled = ndimage.binary_fill_holes(kept)
    found = torch.where(torch.from_numpy(inside & ~kept), -logits, logits)
    return torch.where(torch.from_numpy(filled & ~inside), -logits, found)


def _doubts(logits: Array, inside: Mask, mm: float) -> tuple[float, tuple[float, ...]]:
    """(expected Dice, the place on the border where it is least sure)."""
    p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    sure = 2 * float(p[inside].sum()) / max(1.0, float(p.sum()) + float(inside.sum()))
    doubt = ndimage.gaussian_filter(p * (1 - p), NEAR_MM / mm / 2)
    border = inside & ~ndimage.binary_erosion(inside)
    place = np.unravel_index(int(np.argmax(np.where(border, doubt, -1))), doubt.shape)
    return sure, tuple(float(v) for v in place)


def _cut_at(mask: Mask, bounds: Sequence[tuple[int, int]], spacing: Sequence[float]) -> tuple[str, ...]:
    """Sides on which the brain reaches the end of what the scans show."""
    found = []
    for axis in range(3):
        others = [spacing[a] for a in range(3) if a != axis]
        area = others[0] * others[1] / 100
        for side, (end, index) in enumerate(((0, 0), (mask.shape[axis], mask.shape[axis] - 1))):
            reached = bounds[axis][side] == end
            if reached and float(np.take(mask, index, axis).sum()) * area > CUT_CM2:
                found.append(SIDES[axis][side])
    return tuple(found)
