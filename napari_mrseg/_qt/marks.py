"""Lines on the picture, with their ends to take hold of and labels that never lie on each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer

from napari_mrseg._qt.about import STUDYS
from napari_mrseg.compare.label_placement import Label, placed

DISTANCES = "Distances"
"""Name of the layer that the lines are drawn in."""
_WIDE, _END, _NEAR = (
    2.0,
    4.0,
    9.0,
)  # pixels: of a line, of the ring around its end, and how near an end is taken hold of
_FONT = 11
_LETTER, _HIGH = 9.2, 24.0  # pixels of a label at that size
_PAUSE = 60  # ms after the last move of the camera
_GROUND = "#000000b0"
_CLEAR = "#00000000"


@dataclass(frozen=True, eq=False)
class Mark:
    """``key``: whose it is; ``lines``: (n, 2, 3) ends in world coordinates; ``text``: its label, or none."""

    key: Hashable
    lines: npt.NDArray[np.float64]
    text: str
    colour: str

    def same_as(self, other: Mark) -> bool:
        """True if it looks the same."""
        same_text = (self.key, self.text, self.colour) == (other.key, other.text, other.colour)
        return same_text and np.array_equal(self.lines, other.lines)


class Marks(QObject):
    """Draws those marks that lie in the slice on screen, in a layer of its own that napari does not edit."""

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._all: tuple[Mark, ...] = ()
        self._layer: Shapes | None = None
        self.centres: dict[Hashable, tuple[float, float]] = {}
        """Where each label's box is, in pixels from the world's origin, and :attr:`boxes` how large, (row, column)."""
        self.boxes: dict[Hashable, tuple[float, float]] = {}
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._drawing = False
        self._soon.setInterval(_PAUSE)
        self._soon.timeout.connect(self._draw)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._sources = (
            (camera.zoom, self._draw_soon),
            (camera.center, self._draw_soon),
            (dims.current_step, self._draw),
            (dims.order, self._draw),
            (dims.ndisplay, self._draw),
        )
        for source, slot in self._sources:
            source.connect(slot)

    def close(self) -> None:
        for source, slot in self._sources:
            source.disconnect(slot)
        self._soon.stop()
        self.show(())

    def show(self, marks: Sequence[Mark]) -> None:
        """Draw these and no others."""
        before, self._all = self._all, tuple(marks)
        same = len(before) == len(self._all) and all(map(Mark.same_as, before, self._all))
        if not same:
            if self._layer not in self._viewer.layers:
                self._layer = None
            self._draw()

    @property
    def seen(self) -> list[Mark]:
        """The marks that lie in the slice on screen."""
        dims = self._viewer.dims
        if dims.ndisplay != 2 or dims.ndim < 3:
            return []
        axis = int(dims.order[-3]) - (dims.ndim - 3)
        here = float(dims.point[dims.order[-3]])
        half = float(dims.range[dims.order[-3]].step) / 2 + 1e-6
        return [mark for mark in self._all if (np.abs(mark.lines[..., axis] - here) <= half).all()]

    def end_near(self, position: Sequence[float]) -> tuple[Hashable, int, int] | None:
        """(key, line, end) of the end of a line nearest to a place of the world, if the pointer is on it."""
        shown, zoom = self._shown, self._viewer.scene.camera.zoom
        place = np.asarray(position[-3:])[shown]
        best: tuple[float, tuple[Hashable, int, int]] | None = None
        for mark in self.seen:
            far = np.linalg.norm(mark.lines[..., shown] - place, axis=-1) * zoom
            line, end = (int(i) for i in np.unravel_index(int(far.argmin()), far.shape))
            if far[line, end] <= _NEAR and (best is None or far[line, end] < best[0]):
                best = float(far[line, end]), (mark.key, line, end)
        return None if best is None else best[1]

    @property
    def _shown(self) -> list[int]:
        """The two axes of the last three that are displayed, rows first."""
        dims = self._viewer.dims
        return [int(axis) - (dims.ndim - 3) for axis in dims.displayed]

    def _draw_soon(self, event: Any = None) -> None:
        if self._all:
            self._soon.start()

    def _draw(self, event: Any = None) -> None:
        if self._drawing:  # napari moved a slider or the camera because of the layer that we are adding
            self._draw_soon()
            return
        self._drawing = True
        try:
            self._draw_now()
        finally:
            self._drawing = False

    def _draw_now(self) -> None:
        if self._layer is not None and self._layer not in self._viewer.layers:
            return  # taken away, perhaps with the window: a layer that comes back would keep it from emptying its list
        seen = self.seen
        self.centres, self.boxes = {}, {}
        layer = self._layer
        if not seen:
            _empty(layer)
            if layer is not None and not self._all:
                self._viewer.layers.remove(layer)
                self._layer = None
            return
        shapes, kinds, edges, faces, lengths = self._shapes(seen)
        zoom = self._viewer.scene.camera.zoom
        if layer is None:
            layer = self._made()
        else:
            _empty(layer)
        layer.feature_defaults["length"] = ""
        layer.add(
            shapes,
            shape_type=kinds,
            edge_color=edges,
            face_color=faces,
            edge_width=_WIDE / zoom,
        )
        layer.features = {"length": np.array(lengths, dtype=object)}
        layer.text.size = _FONT
        layer.selected_data = set()
        layer.editable = False

    def _shapes(self, seen: Sequence[Mark]) -> tuple[list[Any], list[str], list[str], list[str], list[str]]:
        """Lines, rings around their ends, labels: (vertices, kind, edge, face, text) of each."""
        viewer, shown = self._viewer, self._shown
        zoom = viewer.scene.camera.zoom
        named = [mark for mark in seen if mark.text]
        sizes = [(_HIGH, 14 + _LETTER * len(mark.text)) for mark in named]
        lines = np.concatenate([mark.lines[..., shown] for mark in seen]) * zoom
        labels = [Label(mark.lines[..., shown] * zoom, size) for mark, size in zip(named, sizes, strict=True)]
        middle = np.asarray(viewer.scene.camera.center[-2:]) * zoom
        half = np.asarray(viewer.canvas.size, dtype=float) / 2
        centres = placed(labels, lines, (tuple(middle - half), tuple(middle + half)))
        found: list[tuple[Any, str, str, str, str]] = []
        for mark in seen:
            for line in mark.lines:
                found.append((line, "line", mark.colour, _CLEAR, ""))
                found += [
                    (_box(end, shown, (_END / zoom,) * 2), "ellipse", mark.colour, _CLEAR, "") for end in line
                ]
        for mark, centre, size in zip(named, centres, sizes, strict=True):
            self.centres[mark.key], self.boxes[mark.key] = (float(centre[0]), float(centre[1])), size
            place = mark.lines[0, 0].copy()
            place[shown] = centre / zoom
            box = _box(place, shown, (size[0] / 2 / zoom, size[1] / 2 / zoom))
            found.append((box, "rectangle", _CLEAR, _GROUND, mark.text))
        shapes, kinds, edges, faces, lengths = (list(part) for part in zip(*found, strict=True))
        return shapes, kinds, edges, faces, lengths

    def _made(self) -> Shapes:
        viewer = self._viewer
        active = viewer.layers.selection.active
        made = Shapes(
            ndim=viewer.dims.ndim,
            name=DISTANCES,
            units=None if active is None else active.units[-viewer.dims.ndim :],
            opacity=1.0,
            features={"length": np.zeros(0, dtype=object)},
            text={"string": "{length}", "color": "#ffffff", "size": _FONT, "anchor": "center"},
            metadata={"mrseg": {"study": STUDYS}},  # it goes with the study
        )
        viewer.add_layer(made)
        self._layer = made
        if active is not None:
            viewer.layers.selection.active = active  # what was painted in or measured before still is
        return made


def _empty(layer: Shapes | None) -> None:
    if layer is not None and layer.nshapes:
        layer.selected_data = set(range(layer.nshapes))
        layer.remove_selected()


def _box(
    centre: npt.NDArray[np.float64], shown: Sequence[int], half: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """(4, 3) corners of a rectangle of ``half`` × 2 around ``centre``, in the plane of the axes ``shown``."""
    corners = np.repeat(centre[None], 4, axis=0)
    for corner, (row, column) in zip(corners, ((-1, -1), (-1, 1), (1, 1), (1, -1)), strict=True):
        corner[shown[0]] += row * half[0]
        corner[shown[1]] += column * half[1]
    return corners
