"""What the camera shows of a study: the head as large as the canvas allows, below the words on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QTimer

from napari_mrseg._qt.orientation import letter_room
from napari_mrseg._qt.rays import content_box

_ROOM = 0.94  # of the space there is


class CameraFit:
    """Fits the camera to what the images hold, and again when canvas or plane change, until the user moves it.

    ``words``, ``below``: height in pixels that words take at the top of the canvas and at its bottom.
    """

    def __init__(
        self, viewer: ViewerModel, words: Callable[[], int], below: Callable[[], int] = lambda: 0
    ) -> None:
        self._viewer, self._words, self._below = viewer, words, below
        self._box: np.ndarray[Any, Any] | None = None  # world: (axis, low and high)
        self._moved_by_user = False  # the user moved the camera
        self.beside: tuple[CameraFit, ...] = ()  # other planes of the same study, which are shown as large
        self._busy = False
        viewer.mouse_drag_callbacks.append(self._dragged)
        viewer.mouse_wheel_callbacks.append(self._zoomed)
        self._sources = viewer.canvas.events.size, viewer.dims.events.ndisplay
        for source in self._sources:
            source.connect(self._again)
        self._order, self._last_zoom = tuple(viewer.dims.order), float(viewer.scene.camera.zoom)
        self._turning = False  # until napari is through with it
        viewer.dims.events.order.connect(self._turned)
        viewer.scene.camera.events.zoom.connect(self._zooms)

    def follow(self, layer: Layer) -> None:
        """Show all of ``layer`` that rises above its background."""
        data = np.asarray(layer.data)
        if data.ndim > len(layer.scale):  # colour
            data = data.max(-1)
        box = content_box(data) * np.array(data.shape)[:, None]
        box = (box - 0.5) * np.array(layer.scale)[:, None]
        if not (box[:, 1] > box[:, 0]).all():
            box = np.asarray(layer.extent.world).T
        self._box, self._moved_by_user = box, False
        self.apply()

    def apply(self) -> None:
        """Fit this one and those beside it, all at the zoom at which each of them has room."""
        together = (self, *self.beside)
        zooms = [zoom for zoom in (fit._zoom() for fit in together) if zoom > 0]
        for fit in together:
            if zooms and not fit._moved_by_user:
                fit._aim(min(zooms))

    @property
    def busy(self) -> bool:
        """True while the camera moves by itself."""
        return self._busy

    def again(self) -> None:
        """Fit all of them anew, wherever the user had moved the camera."""
        for fit in (self, *self.beside):
            fit._moved_by_user = False
        self.apply()

    def take(self) -> None:
        """The user moved the camera, here or in a plane beside: it stays where it is."""
        for fit in (self, *self.beside):
            fit._moved_by_user = True

    def _zoom(self) -> float:
        """The largest zoom that shows all; 0 while there is nothing to show, or no room."""
        viewer, box = self._viewer, self._box
        height, width = (float(v) for v in viewer.canvas.size)
        if box is None or viewer.dims.ndim != len(box) or height < 60:
            return 0.0
        size = box[:, 1] - box[:, 0]
        shown = list(viewer.dims.displayed)
        letters = 2 * letter_room(height)
        if viewer.dims.ndisplay == 3:
            return (min(height, width) - letters) / float(size[shown].max()) * _ROOM
        row, column = shown
        room = height - self._words() - self._below() - letters
        return float(min(room / size[row], (width - letters) / size[column])) * _ROOM

    def _aim(self, zoom: float) -> None:
        viewer, box = self._viewer, self._box
        if box is None or self._zoom() <= 0:
            return
        middle = box.mean(axis=1)
        shown = list(viewer.dims.displayed)
        centre: tuple[float, ...] = tuple(middle[shown])
        if viewer.dims.ndisplay == 2:
            row, column = shown
            centre = (0.0, middle[row] - (self._words() - self._below()) / 2 / zoom, middle[column])
        self._busy = True
        try:
            viewer.scene.camera.zoom, viewer.scene.camera.center = zoom, centre
        finally:
            self._busy = False

    def close(self) -> None:
        for source in self._sources:
            source.disconnect(self._again)
        self._viewer.dims.events.order.disconnect(self._turned)
        self._viewer.scene.camera.events.zoom.disconnect(self._zooms)
        self._viewer.mouse_drag_callbacks.remove(self._dragged)
        self._viewer.mouse_wheel_callbacks.remove(self._zoomed)

    def _zooms(self, event: Any = None) -> None:
        """Take note of the zoom, unless napari set it because another plane is shown."""
        if not self._turning and tuple(self._viewer.dims.order) == self._order:
            self._last_zoom = float(self._viewer.scene.camera.zoom)

    def _turned(self, event: Any = None) -> None:
        """Another plane, of which napari shows all, before or after this: a zoom of the user's stays."""
        self._order = tuple(self._viewer.dims.order)
        if not self._moved_by_user:
            self.apply()
            return
        self._zoom_back()
        if not self._turning:
            self._turning = True
            QTimer.singleShot(0, self._end_turn)

    def _end_turn(self) -> None:
        self._zoom_back()
        self._turning = False

    def _zoom_back(self) -> None:
        """The zoom that the user had, about the place that is looked at."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        if dims.ndisplay == 3 or not self._moved_by_user:
            return
        self._busy = True
        try:
            camera.zoom = self._last_zoom
            camera.center = (0.0, *(dims.point[axis] for axis in dims.displayed))
        finally:
            self._busy = False

    def _again(self, event: Any = None) -> None:
        if not self._moved_by_user:
            self.apply()

    def _zoomed(self, viewer: Any, event: Any) -> None:
        self.take()

    def _dragged(self, viewer: Any, event: Any) -> Iterator[None]:
        """A click moves nothing, and a stroke of the brush is no move of the camera."""
        yield
        active = viewer.layers.selection.active
        while event.type == "mouse_move":
            free = active is None or str(active.mode) == "pan_zoom"
            if free and viewer.scene.camera.mouse_pan:  # else the drag windows or measures
                self.take()
            yield
