"""The palette in use: which of a label's colours is shown, in overlay, legend, contact sheet, report and DICOM SEG."""

from __future__ import annotations

PALETTES = ("colour-blind safe", "red green yellow")
"""Okabe and Ito's colours, apart in grey print too; those of most BraTS papers."""
_palette = PALETTES[0]


def use_palette(name: str) -> None:
    """Take another of :data:`PALETTES` for the whole process, before anything is drawn."""
    global _palette
    _palette = PALETTES[PALETTES.index(name)]


def colour_of(colours: tuple[str, ...]) -> str:
    """The one of a label's ``colours`` (``#rrggbb`` by palette) for the palette in use; the first where it has none."""
    return colours[min(PALETTES.index(_palette), len(colours) - 1)]
