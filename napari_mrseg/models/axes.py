"""Arrays whose axes point elsewhere than ours, which run to inferior, posterior and left (I, P, L)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

FORWARD = {"I": "S", "P": "A", "L": "R"}  # our axes and their opposites
PATTERN = r"^[RLAPSI]{3}$"


class Place(NamedTuple):
    """Where a window lies in what the scan shows: voxels between it and the ends of the foreground, an entry an axis.

    ``before``: from the first voxel of the foreground to the first of the window; ``after``: from the last of the
    window to the last of the foreground. Negative where the window reaches beyond.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    def turned(self, axes: Iterable[int]) -> Place:
        """Of the same window when these axes run the other way."""
        pairs = list(zip(self.before, self.after, strict=True))
        for axis in axes:
            pairs[axis] = pairs[axis][::-1]
        return Place(*(tuple(side) for side in zip(*pairs, strict=True)))

    def in_axes(self, axes: str) -> Place:
        """Of the same window in arrays with ``axes``, see :func:`to_axes`."""
        order, seen = order_of(axes), self.turned(turned_in(axes))
        return Place(*(tuple(side[axis] for axis in order) for side in seen))


def check_axes(axes: str) -> None:
    """Raises ValueError unless ``axes`` names three directions, one of each pair."""
    if {FORWARD.get(letter, letter) for letter in axes} != {"R", "A", "S"}:
        raise ValueError("axes must name three directions, one of R and L, of A and P, of S and I")


def order_of(axes: str) -> tuple[int, ...]:
    """For each axis of such arrays the axis of ours, 0 to 2."""
    return tuple("SAR".index(FORWARD.get(letter, letter)) for letter in axes)


def turned_in(axes: str) -> tuple[int, ...]:
    """Our axes that run the other way in such arrays."""
    return tuple("SAR".index(letter) for letter in axes if letter not in FORWARD)


def to_axes(x: Tensor, axes: str) -> Tensor:
    """(B, C, I, P, L) -> the same with ``axes``."""
    turned = [axis + 2 for axis in turned_in(axes)]
    return x.flip(turned).permute(0, 1, *(axis + 2 for axis in order_of(axes)))


def from_axes(x: Tensor, axes: str) -> Tensor:
    """The inverse of :func:`to_axes`."""
    order = [0, 1, *(axis + 2 for axis in order_of(axes))]
    turned = [axis + 2 for axis in turned_in(axes)]
    return x.permute([order.index(axis) for axis in range(5)]).flip(turned)
