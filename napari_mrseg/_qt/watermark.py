"""The mark on every picture in which something imagined can be seen: words on the canvas, and a frame round the image.

It follows the layers' own metadata, so that a duplicate, or a copy in another plane, carries it as well.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.layers import Layer

from napari_mrseg._qt.about import about_of

COLOUR = "#c2157c"
"""The ground of the words and the frame: of no region, of nothing else on the canvas."""
_INK = "#ffffff"
_NAME = "mrseg-watermark"
_POINTS = ((240, 6), (300, 7), (420, 9))  # in canvases lower or narrower than so many pixels
_USUAL = 12
_LINE, _LETTER = 1.75, 1.05  # pixels of a line's height, and of a letter's width, for each point
_FREE, _SHARE = 340, 0.62  # pixels beside the words, for the scale bar; part of a small canvas that they take
_FRAME = 4.0  # pixels


def mark_of(layer: Layer) -> str:
    """What must be written where ``layer`` can be seen; nothing for what is not imagined."""
    mark = about_of(layer).get("mark")
    return mark if isinstance(mark, str) else ""


class Watermark:
    """Writes the marks of all visible layers of ``viewer`` at the bottom of its canvas, and frames the layers.

    ``changed``: called when it takes more room, or less.
    """

    def __init__(self, viewer: ViewerModel, changed: Callable[[], None] = lambda: None) -> None:
        self._viewer = viewer
        self._changed: Callable[[], None] = lambda: None
        self._layers: list[Layer] = []
        self._overlay = TextOverlay(
            position="bottom_center",
            font_size=_USUAL,
            color=_INK,
            box_color=COLOUR,
            visible=False,
        )
        viewer.canvas.overlays[_NAME] = self._overlay
        viewer.layers.events.inserted.connect(self._came)
        viewer.layers.events.removed.connect(self._gone)
        viewer.canvas.events.size.connect(self.refresh)
        for layer in viewer.layers:
            self._follow(layer)
        self.refresh()
        self._changed = changed  # from now on

    @property
    def text(self) -> str:
        """What stands on the canvas; nothing while nothing imagined can be seen."""
        return " ".join(self._overlay.text.split()) if self._overlay.visible else ""

    @property
    def height(self) -> int:
        """Pixels that it takes, for the camera."""
        if not self._overlay.visible:
            return 0
        return round(_LINE * self._overlay.font_size * (1 + self._overlay.text.count("\n"))) + 6

    def refresh(self, event: object = None) -> None:
        marks = list(dict.fromkeys(mark_of(layer) for layer in self._layers if layer.visible))
        height, width = (float(v) for v in self._viewer.canvas.size)
        small = min(height, width)
        points = next((size for low, size in _POINTS if 0 < small < low), _USUAL)
        most = max(16, int(max(width - _FREE, _SHARE * width) / (_LETTER * points)))
        text = "\n".join(line for mark in marks for line in textwrap.wrap(mark, most))
        overlay, before = self._overlay, self.height
        if overlay.font_size != points:
            overlay.font_size = points
        if text and overlay.text != text:
            overlay.text = text
        if overlay.visible != bool(text):
            overlay.visible = bool(text)
        if self.height != before:
            self._changed()

    def close(self) -> None:
        viewer = self._viewer
        viewer.layers.events.inserted.disconnect(self._came)
        viewer.layers.events.removed.disconnect(self._gone)
        viewer.canvas.events.size.disconnect(self.refresh)
        for layer in list(self._layers):
            self._leave(layer)
        viewer.canvas.overlays.pop(_NAME, None)

    def _came(self, event: Any) -> None:
        self._follow(event.value)
        self.refresh()

    def _gone(self, event: Any) -> None:
        if event.value in self._layers:
            self._leave(event.value)
            self.refresh()

    def _follow(self, layer: Layer) -> None:
        if not mark_of(layer):
            return
        self._layers.append(layer)
        frame = layer.bounding_box
        frame.points, frame.line_color, frame.line_thickness = False, COLOUR, _FRAME
        frame.visible = True
        for source in (layer.events.visible, layer.events.name):
            source.connect(self.refresh)

    def _leave(self, layer: Layer) -> None:
        self._layers.remove(layer)
        for source in (layer.events.visible, layer.events.name):
            source.disconnect(self.refresh)
