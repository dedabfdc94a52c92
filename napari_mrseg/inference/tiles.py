"""Windows over a frame that is larger than the network was validated at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import ceil

import torch
from torch import Tensor

from napari_mrseg.models.axes import Place
from napari_mrseg.models.network import STRIDES
from napari_mrseg.prepare import Frame

OVERLAP = 0.25  # of a window's extent, where windows meet


def tile(
    size: Sequence[int], largest: Sequence[int], strides: Sequence[int] = STRIDES, *, fixed: bool = False
) -> list[tuple[slice, ...]]:
    """Windows of at most ``largest`` voxels that cover ``size``; one if it fits.

    Extents are multiples of ``strides``. Of a 2-D task ``largest`` has two extents: the first axis then takes the
    stride at a time.

    As few as that takes, and no larger than their overlap takes: two windows of the largest extent over little more
    than one of it would compute almost everything twice. ``fixed``: all of ``largest`` all the same, for networks whose
    answer depends on their windows' extents.
    """
    axes = []
    largest = (*strides[: len(size) - len(largest)], *largest)
    for whole, limit, stride in zip(size, largest, strides, strict=True):
        extent = min(whole, max(stride, limit - limit % stride))
        count = 1 if extent == whole else 1 + ceil((whole - extent) / (extent * (1 - OVERLAP)))
        needed = whole / (1 + (count - 1) * (1 - OVERLAP))
        extent = extent if fixed else min(extent, stride * ceil(needed / stride))
        starts = [round(i * (whole - extent) / max(1, count - 1)) for i in range(count)]
        axes.append([slice(s, s + extent) for s in starts])
    return list(product(*axes))


def place_of(window: Sequence[slice], where: Frame) -> Place:
    """Where a window of the frame lies in the foreground that the frame was laid over."""
    before, after = [], []
    for side, box, start, step in zip(window, where.box, where.start, where.step, strict=True):
        first = side.start - round((box.start - start) / step)
        before.append(first)
        after.append(round((box.stop - box.start) / step) - first - (side.stop - side.start))
    return Place(tuple(before), tuple(after))


def nearest_first(windows: Sequence[tuple[slice, ...]], focus: Sequence[float] | None) -> list[int]:
    """Order in which to compute windows: those nearest to ``focus`` (network voxels) first."""
    if focus is None:
        return list(range(len(windows)))

    def distance(i: int) -> float:
        result: float = sum(
            max(w.start - f, f - w.stop, 0) ** 2 for w, f in zip(windows[i], focus, strict=True)
        )
        return result

    return sorted(range(len(windows)), key=lambda i: (distance(i), i))


def blend(
    outputs: Sequence[Tensor],
    windows: Sequence[tuple[slice, ...]],
    size: Sequence[int],
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Windows' outputs (B, R, i, p, l) joined to (B, R, *size), summed in the order of ``windows``.

    Weights fall linearly towards a window's faces, so that they matter only where windows meet.
    """
    if len(windows) == 1:
        return outputs[0]
    total = outputs[0].new_zeros((*outputs[0].shape[:2], *size))
    weight = outputs[0].new_zeros(tuple(size))
    for output, window in zip(outputs, windows, strict=True):
        check()
        ramp = output.new_ones(())
        for extent in output.shape[2:]:
            line = torch.arange(1, extent + 1, dtype=output.dtype, device=output.device)
            ramp = ramp[..., None] * torch.minimum(line, line.flip(0)).clamp_max(max(1, extent * OVERLAP))
        total[(slice(None), slice(None), *window)] += output * ramp
        weight[window] += ramp
    return total / weight
