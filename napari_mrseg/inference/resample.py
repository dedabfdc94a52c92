"""Moving between the scan's voxels and the network's, along axes, without rotation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
