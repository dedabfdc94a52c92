"""What the camera shows of a study: the head as large as the canvas allows, below the words on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_mrseg._qt.rays import content_box

_ROOM = 0.94  # of the space there is
_SIDE, _LOW = 30, 400  # pixels for a letter, which in a canvas lower than that may lie on the head


class Fit:
    """Fits the camera to what the images hold, and again when canvas or plane change, until the user moves it.

    ``words``: height in pixels that the words at the top of the canvas take.
    """

    def __init__(self, viewer: ViewerModel, words: Callable[[], int]) -> None:
        self._viewer, self._words = viewer, words
        self._box: np.ndarray[Any, Any] | None = None  # world: (axis, low and high)
        self._taken = False  # the user moved the camera
        viewer.mouse_drag_callbacks.append(self._dragged)
        viewer.mouse_wheel_callbacks.append(self._zoomed)
        self._sources = viewer.canvas.events.size, viewer.dims.events.order, viewer.dims.events.ndisplay
        for source in self._sources:
            source.connect(self._again)

    def follow(self, layer: Layer) -> None:
        """Show all of ``layer`` that rises above its background."""
        data = np.asarray(layer.data)
        box = content_box(data) * np.array(data.shape)[:, None]
        box = (box - 0.5) * np.array(layer.scale)[:, None]
        if not (box[:, 1] > box[:, 0]).all():
            box = np.asarray(layer.extent.world).T
        self._box, self._taken = box, False
        self.apply()

    def apply(self) -> None:
        viewer, box = self._viewer, self._box
        height, width = (float(v) for v in viewer.canvas.size)
        if box is None or viewer.dims.ndim != len(box) or height < 60:
            return
        camera = viewer.scene.camera
        top = self._words()
        middle = box.mean(axis=1)
        size = box[:, 1] - box[:, 0]
        shown = list(viewer.dims.displayed)
        above = _SIDE if height > _LOW else _SIDE / 4
        if viewer.dims.ndisplay == 2:
            row, column = shown
            zoom = min((height - top - 2 * above) / size[row], (width - 2 * _SIDE) / size[column]) * _ROOM
            if zoom <= 0:
                return
            centre = (0.0, middle[row] - top / 2 / zoom, middle[column])
        else:
            zoom = min(height, width) / float(size[shown].max()) * _ROOM
            centre = tuple(middle[shown])
        camera.zoom, camera.center = zoom, centre

    def close(self) -> None:
        for source in self._sources:
            source.disconnect(self._again)
        self._viewer.mouse_drag_callbacks.remove(self._dragged)
        self._viewer.mouse_wheel_callbacks.remove(self._zoomed)

    def _again(self, event: Any = None) -> None:
        if not self._taken:
            self.apply()

    def _zoomed(self, viewer: Any, event: Any) -> None:
        self._taken = True

    def _dragged(self, viewer: Any, event: Any) -> Iterator[None]:
        """A click moves nothing, and a stroke of the brush is no move of the camera."""
        yield
        active = viewer.layers.selection.active
        while event.type == "mouse_move":
            free = active is None or str(active.mode) == "pan_zoom"
            if free and viewer.scene.camera.mouse_pan:  # else the drag windows or measures
                self._taken = True
            yield
