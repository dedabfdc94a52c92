"""From a scan to what a network sees: crop, normalise, resample, pad. One home for viewer, files and generator.

:func:`measure` an image once, lay a :func:`frame` over the box of its foreground, then :func:`on_frame`; labels go the
same way by :func:`labels_on_frame`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_mrseg.foreground import FLOOR
from napari_mrseg.models.network import STRIDES

SAME_SPACING = 0.01  # relative difference below which voxels are taken as they are
NO_FLOOR = -1.0  # below every |intensity|
TAIL = 3.0  # robust standard deviations above which the scale turns logarithmic


class Intensities(NamedTuple):
    """What normalisation needs to know of one volume, all in the volume's own units; of frames a number for each."""

    floor: float | Tensor
    centre: float | Tensor
    spread: float | Tensor
    method: str = "robust"

    def of(self, rows: slice, device: torch.device) -> Intensities:
        """For these slices of the volume."""
        if not isinstance(self.floor, Tensor):
            return self
        floor, centre, spread = (value[rows].to(device) for value in self[:3] if isinstance(value, Tensor))
        return Intensities(floor, centre, spread, self.method)


def foreground_floor(volume: Tensor) -> float:
    """The |intensity| up to which a voxel of ``volume`` (I, P, L) is background."""
    sample = volume[::2, ::2, ::2].abs().reshape(-1)
    rank = max(1, int(0.99 * sample.numel()))
    return FLOOR * float(torch.kthvalue(sample, rank).values)


def foreground(volume: Tensor) -> Tensor:
    """The subject's voxels in one skull-stripped volume: (I, P, L) float → (I, P, L) bool.

    Background need not be exactly zero (resampling leaves small values of either sign); the threshold scales
    with the image, so units do not matter.
    """
    return volume.abs() > foreground_floor(volume)


def measure_frames(volume: Tensor, *, holes: bool = True, method: str = "robust") -> Intensities:
    """:func:`measure` of each slice of (I, P, L) or (I, P, L, 3) for itself: other frames change nothing."""
    each = [measure(frame[None], holes=holes, method=method) for frame in volume]
    shape = (len(volume), *[1] * (volume.ndim - 1))
    floor, centre, spread = (torch.tensor(values).view(shape) for values in list(zip(*each, strict=True))[:3])
    return Intensities(floor, centre, spread, method)


def measure(
    volume: Tensor, mask: Tensor | None = None, *, holes: bool = True, method: str = "robust"
) -> Intensities:
    """Median and robust spread over the subject's voxels (``mask``, by default :func:`foreground`).

    Without ``holes`` every voxel counts, the dark ones too: a colour image has no background. Several channels are
    measured as one, so that colours keep their proportions.

    The spread is 1.4826 × the median absolute deviation, or the standard deviation if that is zero. ``method``
    "z-score" and "z-score whole": mean and standard deviation instead; "level": centre 0, spread :func:`level`, of
    heads with their skull, in which background is dark but not 0, and stays so.
    """
    if method == "level":
        return Intensities(NO_FLOOR, 0.0, level(volume), method)
    floor = foreground_floor(volume) if holes else NO_FLOOR
    inside = volume[volume.abs() > floor if mask is None else mask]
    if inside.numel() == 0:
        return Intensities(floor, 0.0, 1.0, method)
    if method.startswith("z-score"):
        return Intensities(floor, float(inside.mean()), float(inside.std(unbiased=False)) or 1.0, method)
    if method == "min-max":  # centre: the 1st percentile, spread: from there to the 99th
        low, high = np.percentile(inside.numpy(force=True), (1, 99))
        return Intensities(floor, float(low), float(high - low) or 1.0, method)
    centre = inside.median()
    spread = 1.4826 * (inside - centre).abs().median()
    if spread <= 0:
        spread = inside.std(unbiased=False)
    return Intensities(floor, float(centre), float(spread) or 1.0)  # units do not matter, however small


def level(volume: Tensor) -> float:
    """How bright tissue is in a scan with air around it: the mean of what is brighter than the mean, or 1."""
    size = volume[::2, ::2, ::2].abs().reshape(-1).float()
    rank = max(1, int(0.995 * size.numel()))
    size = size.clamp_max(torch.kthvalue(size, rank).values)
    return float(size[size > size.mean()].mean().nan_to_num()) or 1.0


def scale(volume: Tensor, known: Intensities, mask: Tensor | None = None) -> Tensor:
    """``volume``, or a part of it, with zero median and unit spread; background 0.

    Values are cut at −5 and compressed logarithmically above 3, so that vessels and outliers do not drown the
    rest; z-scores and shares of a level stay as they are, and "z-score whole" shifts and scales the background, too.
    """
    if known.method == "z-score whole":
        return (volume - known.centre) / known.spread
    if known.method == "level":
        return volume / known.spread
    mask = volume.abs() > known.floor if mask is None else mask
    if known.method == "z-score":
        return ((volume - known.centre) / known.spread).mul_(mask)
    if known.method == "min-max":
        return ((volume - known.centre) / known.spread).clamp_(0.0, 1.0).mul_(mask)
    scaled = ((volume - known.centre) / known.spread).clamp_min_(-5.0)
    tail = (scaled - TAIL).clamp_min_(0.0)
    return (scaled - tail).add_(tail.log1p_()).mul_(mask)


def normalise(volume: Tensor, mask: Tensor | None = None) -> Tensor:
    """:func:`measure` and :func:`scale` of a whole volume: (I, P, L) float32 → the same shape."""
    return scale(volume, measure(volume, mask), mask)


def bounds(mask: Tensor) -> list[tuple[int, int]]:
    """First and one past the last True voxel of (I, P, L) or (I, P, L, 3), per axis. Raises ValueError for none."""
    sides = []
    for axis in range(3):
        line = torch.nonzero(mask.any(dim=[a for a in range(mask.ndim) if a != axis])).flatten()
        if len(line) == 0:
            raise ValueError("There is no foreground.")
        sides.append((int(line[0]), int(line[-1]) + 1))
    return sides


@dataclass(frozen=True)
class Frame:
    """The network's sampling of a box of scan voxels.

    ``box``: the scan's voxels covered, one slice an axis. Network voxel j of an axis begins at scan voxel
    ``start + j · step`` (its lower face), ``size`` of them, a multiple of the stride; what reaches beyond the
    scan is background.
    """

    box: tuple[slice, ...]
    start: tuple[int, ...]
    step: tuple[float, ...]
    size: tuple[int, ...]


def frame(
    bounds: Sequence[tuple[int, int]],
    spacing: Sequence[float],
    wanted: float,
    ndim: int = 3,
    strides: Sequence[int] | None = None,
    least: Sequence[int] | None = None,
) -> Frame:
    """The frame that covers ``bounds`` (first and one past the last scan voxel, per axis) at ``wanted`` mm.

    Its extents are multiples of ``strides`` (default: of what suits any network here), and no less than ``least``.
    ``ndim`` 2: the first axis is none of space and keeps its slices. Depends on nothing but these numbers: not on free
    memory, not on the view.
    """
    strides = strides or (STRIDES if ndim == 3 else (1, *STRIDES[1:]))
    start, step, size = [], [], []
    for axis, ((low, high), millimetres) in enumerate(zip(bounds, spacing, strict=True)):
        # A header's last bits must not move the frame.
        ratio = round(wanted / millimetres, 6) if axis >= 3 - ndim else 1.0
        width = 1.0 if abs(ratio - 1) < SAME_SPACING else ratio
        stride = strides[axis]
        count = stride * ceil(max(1, ceil((high - low) / width - 1e-6)) / stride)
        count = count if least is None else max(count, least[axis])
        spare = max(0.0, count * width - (high - low))  # rounding may leave it just below 0
        start.append(low - int(spare // 2))  # it goes to both sides
        step.append(width)
        size.append(count)
    return Frame(tuple(slice(a, b) for a, b in bounds), tuple(start), tuple(step), tuple(size))


def on_frame(boxed: Tensor, known: Intensities, where: Frame) -> Tensor:
    """The scan's voxels in ``where.box``, (i, p, l) or (i, p, l, 3), normalised and on the frame: (1 or 3, *size)."""
    scaled = scale(boxed, known.of(where.box[0], boxed.device))
    origin = [begin - side.start for begin, side in zip(where.start, where.box, strict=True)]
    channels = scaled[None] if scaled.ndim == 3 else scaled.movedim(-1, 0)
    if known.method == "z-score whole":  # what is beyond the scan is background, which is not 0 there
        empty = -known.centre / known.spread
        return resample(channels - empty, origin, where.step, where.size) + empty
    return resample(channels, origin, where.step, where.size)


def labels_on_frame(labels: Tensor, kinds: Sequence[int], where: Frame) -> Tensor:
    """(I, P, L) codes of the scan, of ``kinds`` and 0, -> (*size) uint8 on the frame."""
    return resample_labels(labels, kinds, where.start, where.step, where.size)


def resample_labels(
    labels: Tensor, kinds: Sequence[int], start: Sequence[float], step: Sequence[float], size: Sequence[int]
) -> Tensor:
    """:func:`resample` for codes of ``kinds`` and 0: the commonest kind where at least half of a voxel has one."""
    return most(resample(torch.stack([labels == code for code in kinds]).float(), start, step, size), kinds)


def most(shares: Tensor, kinds: Sequence[int]) -> Tensor:
    """(K, I, P, L) shares of each kind in a voxel -> (I, P, L) uint8: the commonest, 0 where together below a half."""
    codes = torch.tensor(kinds, dtype=torch.uint8, device=shares.device)[shares.argmax(0)]
    return torch.where(shares.sum(0) >= 0.5, codes, 0).to(torch.uint8)


def resample(
    volume: Tensor,
    start: Sequence[float],
    step: Sequence[float],
    size: Sequence[int],
    *,
    extend: bool = False,
) -> Tensor:
    """Sample ``volume`` (C, I, P, L) on another axis-aligned grid → (C, *size).

    Output voxel j of an axis covers the input indices from ``start + j·step − 0.5`` to one ``step`` further
    (all in input voxels). Linear interpolation; when ``step`` > 1 the triangle widens with it, which averages
    instead of skipping. Outside the input is 0, or with ``extend`` the value at its edge. With step 1 and a
    whole ``start`` it is an exact copy.
    """
    for axis, (begin, width, count) in enumerate(zip(start, step, size, strict=True), start=1):
        length = volume.shape[axis]
        if width == 1 and float(begin).is_integer():
            volume = _copy(volume, axis, int(begin), count)
            continue
        weights = _weights(length, begin, width, count, extend).to(volume)
        volume = torch.movedim(torch.matmul(torch.movedim(volume, axis, -1), weights.T), -1, axis)
    return volume.contiguous()


def _weights(length: int, start: float, step: float, count: int, extend: bool) -> Tensor:
    """(count, length) weights of input voxels for each output voxel."""
    centres = start + (torch.arange(count, dtype=torch.float64) + 0.5) * step - 0.5
    if extend:
        centres = centres.clamp(0, length - 1)
    reach = max(1.0, step)
    margin = int(reach) + 1
    index = torch.arange(-margin, length + margin, dtype=torch.float64)
    weights = (1 - (index[None] - centres[:, None]).abs() / reach).clamp_min(0)
    total = weights.sum(1, keepdim=True)
    # Centres beyond the margin see nothing; the rest sum to 1 over the (zero-padded) line.
    weights = torch.where(total > 0, weights / total.clamp_min(1e-12), weights)
    return weights[:, margin : margin + length]


def _copy(volume: Tensor, axis: int, start: int, count: int) -> Tensor:
    length = volume.shape[axis]
    low, high = max(start, 0), max(min(start + count, length), max(start, 0))
    inner = volume.narrow(axis, min(low, length), min(high, length) - min(low, length))
    before = min(max(-start, 0), count)
    after = count - before - inner.shape[axis]
    if before == 0 and after == 0:
        return inner
    pads = [[volume.shape[a] if a != axis else n for a in range(volume.ndim)] for n in (before, after)]
    return torch.cat([volume.new_zeros(pads[0]), inner, volume.new_zeros(pads[1])], dim=axis)
