"""Colours that people with colour vision deficiency can tell apart, and that survive a grey printer."""

from __future__ import annotations

RGB = tuple[int, int, int]

# Nine anchors of cividis (Nuñez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239), dark to light.
_CIVIDIS: tuple[RGB, ...] = (
    (0, 34, 78),
    (28, 53, 111),
    (66, 78, 108),
    (95, 102, 111),
    (124, 123, 120),
    (156, 147, 119),
    (188, 174, 108),
    (221, 201, 89),
    (254, 232, 56),
)


def cividis(value: float) -> RGB:
    """Colour of a value in 0 … 1 (clipped), dark to light."""
    place = min(max(value, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    low = min(int(place), len(_CIVIDIS) - 2)
    part = place - low
    first, second = _CIVIDIS[low], _CIVIDIS[low + 1]
    return (
        round(first[0] + part * (second[0] - first[0])),
        round(first[1] + part * (second[1] - first[1])),
        round(first[2] + part * (second[2] - first[2])),
    )


def ink_on(paper: RGB) -> str:
    """Black or white text, whichever reads better on ``paper``."""
    red, green, blue = ((c / 255) ** 2.2 for c in paper)
    return "#111111" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else "#ffffff"


def hexed(rgb: RGB) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def rgb(colour: str) -> RGB:
    """From ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
