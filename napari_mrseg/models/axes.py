"""Arrays whose axes point elsewhere than ours, which run to inferior, posterior and left (I, P, L)."""

from __future__ import annotations

from torch import Tensor

FORWARD = {"I": "S", "P": "A", "L": "R"}  # our axes and their opposites
PATTERN = r"^[RLAPSI]{3}$"


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
