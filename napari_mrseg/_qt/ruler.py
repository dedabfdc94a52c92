"""Distances: dragging with Ctrl held draws a line with its length, in a layer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes

from napari_mrseg._qt.about import STUDYS

DISTANCES = "Distances"
_LEAST = 4.0  # pixels of dragging; less is a click
_COLOUR = "#7cfc00"  # of no region, and apart from grey


class Ruler:
    """In any slice. ``unit``: of the world's axes, "mm" or "px". Lines stay until the user deletes them."""

    def __init__(self, viewer: ViewerModel, unit: Callable[[], str]) -> None:
        self._viewer, self._unit = viewer, unit
        viewer.mouse_drag_callbacks.append(self._drag)

    def close(self) -> None:
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        held = set(event.modifiers) == {"Control"}
        if event.button != 1 or not held or viewer.dims.ndisplay != 2 or not viewer.layers:
            return
        start, pixel = np.array(event.position, dtype=float), np.array(event.pos, dtype=float)
        pans, layer, before = viewer.scene.camera.mouse_pan, None, 0
        viewer.scene.camera.mouse_pan = False
        yield
        try:
            while True:
                if layer is None and np.linalg.norm(np.array(event.pos) - pixel) >= _LEAST:
                    layer = self._layer(len(start))
                    before = layer.nshapes
                if layer is not None:
                    self._draw(layer, before, np.stack([start, np.array(event.position, dtype=float)]))
                if (
                    event.type != "mouse_move"
                ):  # let go: moves are passed on at a limited rate, this one always
                    break
                yield
        finally:
            viewer.scene.camera.mouse_pan = pans

    def _draw(self, layer: Shapes, before: int, line: np.ndarray[Any, Any]) -> None:
        """``line``: (2, ndim), in place of all lines from the one numbered ``before`` on."""
        said = f"{np.linalg.norm(line[1] - line[0]):.1f} {self._unit()}"
        if layer.nshapes > before:
            layer.selected_data = set(range(before, layer.nshapes))
            layer.remove_selected()
        layer.feature_defaults["length"] = said
        layer.add(line, shape_type="line")
        layer.selected_data = set()
        self._viewer.status = f"Distance: {said}"

    def _layer(self, ndim: int) -> Shapes:
        viewer = self._viewer
        for layer in viewer.layers:
            if layer.name == DISTANCES and isinstance(layer, Shapes) and layer.ndim == ndim:
                return layer
        active = viewer.layers.selection.active
        made = Shapes(
            ndim=ndim,
            name=DISTANCES,
            edge_color=_COLOUR,
            edge_width=1.0,
            units=None if active is None else active.units[-ndim:],
            features={"length": np.zeros(0, dtype=object)},
            text={"string": "{length}", "color": _COLOUR, "size": 14, "anchor": "upper_left"},
            metadata={"mrseg": {"study": STUDYS}},  # it goes with the study
        )
        viewer.add_layer(made)
        if active is not None:
            viewer.layers.selection.active = active  # what was painted in or measured before still is
        return made
