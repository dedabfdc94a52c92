"""napari's scale bar in a small canvas: short enough to lie beside the letter at the bottom."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel

_WIDE = 400  # pixels of a canvas in which napari's own length, up to 150 pixels, has room
_SHARE = 0.3  # of a narrower canvas
_STEPS = (1, 2, 5)  # times a power of ten


def short_length(most: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is at most ``most`` (> 0)."""
    power = 10.0**-9
    while power * 10 <= most:
        power *= 10
    return max(step * power for step in _STEPS if step * power <= most * 1.000001)


def show_scale(viewer: ViewerModel, on: bool) -> None:
    """Show the scale bar, or not: without a study it would have no unit."""
    bar = viewer.canvas.overlays.scale_bar
    if bar.visible != on:
        bar.visible = on


class ScaleBar:
    """Shows the scale bar, and keeps it short while its canvas is narrow."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._sources = viewer.canvas.events.size, viewer.scene.camera.events.zoom
        for source in self._sources:
            source.connect(self._fit)
        self._fit()

    def close(self) -> None:
        for source in self._sources:
            source.disconnect(self._fit)
        self._viewer.canvas.overlays.scale_bar.length = None

    def _fit(self, event: Any = None) -> None:
        width, zoom = float(self._viewer.canvas.size[1]), float(self._viewer.scene.camera.zoom)
        narrow = 0 < width < _WIDE and zoom > 0
        length = short_length(_SHARE * width / zoom) if narrow else None
        bar = self._viewer.canvas.overlays.scale_bar
        if bar.length != length:
            bar.length = length
            bar.events.font_size()  # else napari draws it so only when the zoom changes
