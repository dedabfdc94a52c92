"""Places for labels beside what they name, so that none lies on another or on a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_GAP = 6.0  # pixels between a line's end and its label
_RING = 14.0  # pixels: how much further away each next try is
_RINGS = 40
_WAYS = 16  # directions that are tried around an end


@dataclass(frozen=True)
class Label:
    """``lines``: (n, 2, 2) ends in pixels of what is named; ``size``: (2,) of its box in pixels."""

    lines: npt.NDArray[np.float64]
    size: tuple[float, float]


def placed(
    labels: Sequence[Label],
    lines: npt.NDArray[np.float64],
    within: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> npt.NDArray[np.float64]:
    """(n, 2) centres of the labels' boxes, in pixels: as near to an end of their lines as is free.

    No box lies on another one, nor on any of ``lines``, (m, 2, 2). ``within``: (low, high) corners of what can be seen;
    places inside come first.
    """
    centres = np.zeros((len(labels), 2))
    halves = np.array([label.size for label in labels], dtype=float).reshape(-1, 2) / 2
    for number, label in enumerate(labels):
        tried = _places(label)
        free = _free(tried, halves[number], centres[:number], halves[:number], lines)
        if within is not None:
            low, high = (np.asarray(corner, dtype=float) for corner in within)
            seen = ((tried - halves[number] >= low) & (tried + halves[number] <= high)).all(1)
            both = np.asarray(free & seen, dtype=bool)
            free = both if both.any() else free
        centres[number] = tried[int(free.argmax())]  # the nearest; with none free, the first
    return centres


def _places(label: Label) -> npt.NDArray[np.float64]:
    """(k, 2) centres to try: beyond the ends of the lines first, then all around them, further and further away."""
    half = np.array(label.size) / 2
    ends = label.lines.reshape(-1, 2)
    outwards = (label.lines - label.lines[:, ::-1]).reshape(-1, 2)
    outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    turns = np.arange(_WAYS) * (2 * np.pi / _WAYS)
    around = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    found = []
    for ring in range(_RINGS):
        for end, outward in zip(ends, outwards, strict=True):
            ways = np.concatenate([outward[None], around])
            found.append(end + ways * (half + _GAP) + ways * ring * _RING)
    return np.concatenate(found)


def _free(
    tried: npt.NDArray[np.float64],
    half: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
    halves: npt.NDArray[np.float64],
    lines: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """(k,): does a box of ``half`` × 2 around each of ``tried`` (k, 2) lie on no other box and on no line?"""
    apart = (np.abs(tried[:, None] - others[None]) >= (half + halves)[None]).any(-1).all(-1)
    for start, end in lines:
        apart &= ~_cuts(tried - half, tried + half, start, end)
    return np.asarray(apart, dtype=bool)


def _cuts(
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """(k,): does the line from ``start`` to ``end`` pass through each box ``low`` … ``high``, (k, 2)?"""
    way = end - start
    first, last = np.zeros(len(low)), np.ones(len(low))
    for axis in (0, 1):
        if abs(way[axis]) < 1e-9:
            outside = (start[axis] <= low[:, axis]) | (start[axis] >= high[:, axis])
            last = np.where(outside, -1.0, last)
            continue
        one, other = ((edge[:, axis] - start[axis]) / way[axis] for edge in (low, high))
        first, last = np.maximum(first, np.minimum(one, other)), np.minimum(last, np.maximum(one, other))
    cut: npt.NDArray[np.bool_] = first < last
    return cut
