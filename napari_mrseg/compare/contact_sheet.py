"""The contact sheet: one slice in every combination, as a grid of small images with coloured outlines.

Arrays are in I, P, L order, so a slice shows radiologically as it is: the patient's right is on the left.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.colours import rgb
from napari_mrseg.compare.columns import unseen
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.difference import BOTH, COLOURS, ONLY_A, ONLY_B, difference
from napari_mrseg.compare.drawing import Drawing, Pixels, fitted, text_width
from napari_mrseg.compare.metrics import bounding_box
from napari_mrseg.tasks import Combination

PLANES = ("axial", "coronal", "sagittal")
HEADER, GAP, CAPTION = 34, 8, 26  # pixels
_NAME = 11.0  # pixels of a modality's name over a tile
_GREY = np.array((200, 200, 200), dtype=np.uint8)  # hatching of what is only an estimate


class ContactSheet:
    """A grid of tiles, one per combination of the study, in the table's order; missing ones stay empty.

    Parameters
    ----------
    background
        Modality shown under the outlines; default: the first one that is there. It is the same in every tile.
    tile
        Longer side of a tile, pixels.
    dark
        White words on dark paper, for a dark window.
    difference
        A region whose difference to the second model's result is shown instead of the labels, in the colours of
        :mod:`.difference`; only combinations that both have get a picture.
    """

    def __init__(
        self,
        comparison: Comparison,
        *,
        background: str | None = None,
        tile: int = 200,
        columns: int = 5,
        dark: bool = False,
        difference: str | None = None,
    ) -> None:
        self.comparison = comparison
        self.difference = difference
        self.background = comparison.study.present[0] if background is None else background
        self._image = comparison.study.images[self.background].data
        self._tile = tile
        self._columns = min(columns, len(comparison.expected))
        self._paper, self._ink, self._faint = (
            ("#1b1f24", "#f0f0f0", "#a0a0a0") if dark else ("#ffffff", "#222222", "#707070")
        )
        self._templates: dict[int, Pixels] = {}
        self._samples: dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = {}

    # -- which slice --------------------------------------------------------------------------------------

    def best_slice(self, axis: int = 0) -> int:
        """Index of the largest cross-section of the full result along ``axis``; the middle if it is empty.

        Before the full result is there: of the largest combination computed.
        """
        n = self.comparison.study.grid.shape[axis]
        if not self.comparison.predictions:
            return n // 2
        labels = next(iter(self.comparison.predictions.values())).labels
        counts = np.count_nonzero(labels, axis=tuple(a for a in range(labels.ndim) if a != axis))
        return int(counts.argmax()) if counts.any() else n // 2

    def caption(self, axis: int = 0, index: int | None = None) -> str:
        """What the pictures show, in one line."""
        study = self.comparison.study
        index = self.best_slice(axis) if index is None else index
        title = study.task.modality(self.background).title
        simulated = f"{study.task.made_up} · " if study.simulated else ""
        if self.difference is not None:
            simulated = (
                f"{self.difference}, orange: only {self._first}, blue: only {self._second} · {simulated}"
            )
        if study.task.ndim == 2:
            return f"{simulated}{study.case} · on {title} · research use only"
        side = " · patient's right is on the left" if axis < 2 else " · anterior is on the left"
        return (
            f"{simulated}{study.case} · {PLANES[axis]} slice {index + 1} of {study.grid.shape[axis]}"
            f" · on {title}{side} · research use only"
        )

    # -- pictures -----------------------------------------------------------------------------------------

    def render(self, axis: int = 0, index: int | None = None) -> Pixels:
        """(h, w, 3) pixels of the sheet without its caption. ``index``: slice along ``axis``."""
        index = self.best_slice(axis) if index is None else index
        if axis not in self._templates:
            self._templates[axis] = self._frame(axis, 0).pixels()
        sheet = self._templates[axis].copy()
        height, width = self._extent(axis)
        for combination, tile in zip(self.shown, self.tiles(axis, index), strict=True):
            x, y = self._corner(self.comparison.expected.index(combination), axis)
            sheet[y : y + height, x : x + width] = tile
        return sheet

    def drawing(self, axis: int = 0, index: int | None = None) -> Drawing:
        """The sheet with caption and legend, for PNG or SVG."""
        index = self.best_slice(axis) if index is None else index
        drawing = self._frame(axis, CAPTION)
        caption, size = fitted(self.caption(axis, index), drawing.width - 2 * GAP, 12, 9)
        drawing.words(GAP, 17, caption, size=size, fill=self._ink)
        for combination, tile in zip(self.shown, self.tiles(axis, index), strict=True):
            x, y = self._corner(self.comparison.expected.index(combination), axis)
            drawing.picture(x, y + CAPTION, tile)
        self._legend(drawing)
        return drawing

    def combination_at(self, x: float, y: float, axis: int = 0) -> Combination | None:
        """The combination whose tile (header included) lies at a pixel of :meth:`render`, or None."""
        height, width = self._extent(axis)
        for number, combination in enumerate(self.comparison.expected):
            left, top = self._corner(number, axis)
            if left <= x < left + width and top - HEADER <= y < top + height:
                return combination
        return None

    def place(self, combination: Combination, axis: int = 0) -> tuple[int, int, int, int]:
        """(x, y, width, height) of a combination's picture in :meth:`render`. Raises ValueError if not expected."""
        height, width = self._extent(axis)
        return (*self._corner(self.comparison.expected.index(combination), axis), width, height)

    def tiles(self, axis: int, index: int) -> npt.NDArray[np.uint8]:
        """(n, h, w, 3) pixels, one tile per combination of :attr:`shown`."""
        rows, columns = self._places(axis)
        pick = np.ix_(rows, columns)
        plane = self._plane(self._image, axis, index)[pick]
        grey = self._grey(plane)
        stack = np.empty((len(self.shown), len(rows), len(columns)), dtype=np.uint8)
        for slot, combination in zip(stack, self.shown, strict=True):
            slot[:] = self._codes(combination, axis, index, pick)
        tiles = np.empty((*stack.shape, 3), dtype=np.uint8)
        tiles[:] = grey[..., None] if grey.ndim == 2 else grey
        self._overlay(tiles, stack)
        return tiles

    @property
    def _first(self) -> str:
        """What the first model is called."""
        return next((str(p.model["name"]) for p in self.comparison.predictions.values()), "the first")

    @property
    def _second(self) -> str:
        return self.comparison.second_name or "the second"

    @cached_property
    def shown(self) -> tuple[Combination, ...]:
        """The combinations that have a picture, in the table's order."""
        comparison = self.comparison
        if self.difference is None:
            return tuple(comparison.predictions)
        theirs = {} if comparison.second is None else comparison.second.predictions
        return tuple(c for c in comparison.predictions if c in theirs)

    def _codes(self, combination: Combination, axis: int, index: int, pick: Any) -> npt.NDArray[np.uint8]:
        labels = self.comparison.predictions[combination].labels
        own = self._plane(labels, axis, index)[pick].astype(np.uint8)
        if self.difference is None:
            result: npt.NDArray[np.uint8] = own
            return result
        assert self.comparison.second is not None
        theirs = self._plane(self.comparison.second.predictions[combination].labels, axis, index)[pick]
        return difference(own, theirs.astype(np.uint8), self.difference, self.comparison.task)

    def _overlay(self, tiles: npt.NDArray[np.uint8], stack: npt.NDArray[np.uint8]) -> None:
        """Draw the outlines and fills of ``stack`` (n, h, w) codes into ``tiles``."""
        box = bounding_box(np.asarray(stack.any(axis=0)))
        if box is None:
            return
        part = (slice(None), *box)
        codes_of, canvas = np.pad(stack[part], ((0, 0), (1, 1), (1, 1))), tiles[part]
        middle = codes_of[:, 1:-1, 1:-1]
        edge = (middle != codes_of[:, :-2, 1:-1]) | (middle != codes_of[:, 2:, 1:-1])
        edge |= (middle != codes_of[:, 1:-1, :-2]) | (middle != codes_of[:, 1:-1, 2:])
        where = np.nonzero(middle)
        codes, on_edge, pixels = middle[where], edge[where], canvas[where]
        colour = self._palette[codes]
        estimated = self._estimated[where[0], codes]
        diagonal = (where[1] + where[2]) % 6
        # An estimate: broken outline, grey hatching instead of a fill.
        solid = on_edge & (~estimated | (diagonal < 4))
        hatch = estimated & ~on_edge & (diagonal < 2)
        fill = ~on_edge & ~estimated
        pixels[fill] = pixels[fill] // 4 * 3 + colour[fill] // 4
        pixels[hatch] = _GREY
        pixels[solid] = colour[solid]
        canvas[where] = pixels

    # -- layout -------------------------------------------------------------------------------------------

    def spot(self, axis: int, place: tuple[float, float]) -> tuple[float, float]:
        """(x, y) pixel of a tile's picture where a place of the slice lies, in voxels along its rows and columns."""
        rows, columns = (a for a in range(3) if a != axis)
        step = max(self._length(rows), self._length(columns)) / self._tile
        y, x = (
            (voxel - self._view[a].start + 0.5) * self.comparison.spacing[a] / step
            for a, voxel in zip((rows, columns), place, strict=True)
        )
        return x, y

    def _plane(self, array: npt.NDArray[np.generic], axis: int, index: int) -> npt.NDArray[np.generic]:
        """One slice, (rows, columns); a 2-D array is its own slice, a last axis of colours stays."""
        return array if array.ndim == 2 else array[(slice(None),) * axis + (index,)]

    def _places(self, axis: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Source row of each tile row and source column of each tile column, pixels made square."""
        if axis not in self._samples:
            flat = len(self._shape) == 2
            rows, columns = (a for a in range(len(self._shape)) if flat or a != axis)
            step = max(self._length(rows), self._length(columns)) / self._tile
            self._samples[axis] = self._sample(rows, step), self._sample(columns, step)
        return self._samples[axis]

    def _length(self, axis: int) -> float:
        """Extent of the view along an axis, mm (or px)."""
        result: float = (self._view[axis].stop - self._view[axis].start) * self.comparison.spacing[axis]
        return result

    def _sample(self, axis: int, step: float) -> npt.NDArray[np.intp]:
        """Nearest voxel of each pixel along an axis, pixels ``step`` apart."""
        view = self._view[axis]
        n = max(1, round(self._length(axis) / step))
        places = ((np.arange(n) + 0.5) * step / self.comparison.spacing[axis]).astype(np.intp)
        result: npt.NDArray[np.intp] = np.minimum(view.start + places, view.stop - 1)
        return result

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return self.comparison.study.grid.shape

    @cached_property
    def _view(self) -> tuple[slice, ...]:
        """The part of the grid worth showing: around the brain, with a small margin."""
        grey = self._image.ndim == len(self._shape)
        box = bounding_box(self._image if grey else np.asarray(self._image.any(axis=-1))) or tuple(
            slice(0, n) for n in self._shape
        )
        return tuple(
            slice(max(0, s.start - 2), min(n, s.stop + 2)) for s, n in zip(box, self._shape, strict=True)
        )

    @cached_property
    def _levels(self) -> tuple[float, float]:
        """Black and white point: 1st and 99.5th percentile of the voxels that are not 0."""
        some = self._image.reshape(-1)[::7]
        some = some[some != 0]
        if some.size == 0:
            return 0.0, 1.0
        low, high = np.percentile(some, (1, 99.5))
        return float(low), float(max(high, low + 1e-6))

    def _grey(self, plane: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        low, high = self._levels
        scaled = (plane.astype(np.float32) - low) * (255 / (high - low))
        result: npt.NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
        return result

    @cached_property
    def _palette(self) -> npt.NDArray[np.uint8]:
        palette = np.zeros((256, 3), dtype=np.uint8)
        if self.difference is not None:
            for code, colour in COLOURS.items():
                palette[code] = rgb(colour)
            return palette
        for label in self.comparison.task.labels:
            palette[label.code] = rgb(label.colour)
        return palette

    @cached_property
    def _estimated(self) -> npt.NDArray[np.bool_]:
        """(predictions, 256): is that code only an estimate in that combination?"""
        table = np.zeros((len(self.shown), 256), dtype=bool)
        if self.difference is not None:
            return table
        for row, combination in zip(table, self.shown, strict=True):
            row[[label.code for label in self.comparison.task.estimated_labels(combination)]] = True
        return table

    def _extent(self, axis: int) -> tuple[int, int]:
        rows, columns = self._places(axis)
        return len(rows), len(columns)

    def _corner(self, number: int, axis: int) -> tuple[int, int]:
        """(x, y) of a tile's picture."""
        height, width = self._extent(axis)
        row, column = divmod(number, self._columns)
        return GAP + column * (width + GAP), row * (height + HEADER + GAP) + HEADER

    def _frame(self, axis: int, top: int) -> Drawing:
        """Everything but the pictures: dots and names over each tile. ``top``: room above."""
        expected = self.comparison.expected
        height, width = self._extent(axis)
        lines = -(-len(expected) // self._columns)
        drawing = Drawing(
            GAP + self._columns * (width + GAP),
            top + lines * (height + HEADER + GAP) + (28 if top else 0),
            self._paper,
        )
        for number, combination in enumerate(expected):
            x, y = self._corner(number, axis)
            y += top
            self._name(drawing, combination, x, y, width)
            remark, size = self._fitted(self._remark(combination), width)
            drawing.words(x, y - 5, remark, size=size, fill=self._faint)
            drawing.rect(x, y, width, height, "#000000")
        return drawing

    def _name(self, drawing: Drawing, combination: Combination, x: int, y: int, width: int) -> None:
        """A dot and a name for each modality; over a small tile the names of those in use, or the dots, alone."""
        modalities = self.comparison.task.modalities
        needed = [20 + text_width(m.title, _NAME) for m in modalities]
        title = self.comparison.title(combination)
        text, size = fitted(title, width, _NAME)
        named = sum(needed) <= width
        if not named and text == title:
            drawing.words(x, y - 19, text, size=size, fill=self._ink)
            return
        left = float(x)
        for modality, room in zip(modalities, needed if named else [12.0] * len(needed), strict=True):
            ink = self._ink if modality.name in combination else self._faint
            dot = self._ink if modality.name in combination else None
            drawing.circle(left + 5, y - 23, 4, dot, ink)
            if named:
                drawing.words(left + 12, y - 19, modality.title, size=_NAME, fill=ink)
            left += room

    def _fitted(self, remark: str, width: int) -> tuple[str, float]:
        """The remark, shortened until it fits over a tile, and its size."""
        regions, _, reason = remark.partition(": ")
        short = f"{regions}: {reason.rpartition(': ')[2]}"  # the reason is in the legend of the task
        for words in (remark, short) if reason else (remark,):
            text, size = fitted(words, width, 10.0)
            if text == words:
                return text, size
        return fitted(f"{regions} not seen" if reason else remark, width, 10.0)

    def _remark(self, combination: Combination) -> str:
        if combination not in self.shown:
            return "not computed yet" if self.difference is None else "not of both models"
        estimated = self.comparison.estimated(combination)
        if not estimated:
            return ""
        region = self.comparison.task.region(estimated[0])
        return f"{', '.join(estimated)}: {unseen(region)}"

    def _legend(self, drawing: Drawing) -> None:
        x, y = float(GAP), drawing.height - 12
        if self.difference is not None:
            names = {
                ONLY_A: f"only {self._first}",
                ONLY_B: f"only {self._second}",
                BOTH: "both",
            }
            for code, name in names.items():
                drawing.rect(x, y - 9, 11, 11, COLOURS[code], "#555555")
                drawing.words(x + 16, y, f"{self.difference}: {name}", size=11, fill=self._ink)
                x += 40 + 6.2 * len(f"{self.difference}: {name}")
            return
        for label in self.comparison.task.labels:
            drawing.rect(x, y - 9, 11, 11, label.colour, "#555555")
            drawing.words(x + 16, y, f"{label.name} {label.title}", size=11, fill=self._ink)
            x += 32 + 6.2 * len(f"{label.name} {label.title}")
        if any(self.comparison.estimated(c) for c in self.comparison.predictions):
            drawing.words(
                x, y, "broken outline, grey hatching: an estimate, not observable", size=11, fill=self._faint
            )
