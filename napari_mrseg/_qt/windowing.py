"""Window and level of the scan on screen: dragging with Shift held, and presets by a key, as radiologists know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import exp
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_mrseg.display import contrast_limits

PIXELS = 250.0  # of dragging that make the window e times as wide, or move its middle by its own width
PRESETS = ("usual", "wide", "bright parts")
"""In turn: as a scan opens; all there is; the upper half of what is above the background."""
UPPER = (50.0, 99.95)  # percentiles


class Windowing:
    """Left and right: the window's width; up and down: its middle. ``images``: those it may change, top first."""

    def __init__(self, viewer: ViewerModel, images: Callable[[], Iterable[Image]]) -> None:
        self._viewer, self._images = viewer, images
        self._preset = "usual"
        viewer.mouse_drag_callbacks.append(self._drag)

    def close(self) -> None:
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)

    def next_preset(self) -> str:
        """Go to the next preset in all images; its name."""
        self.use(PRESETS[(PRESETS.index(self._preset) + 1) % len(PRESETS)])
        return self._preset

    def use(self, preset: str) -> None:
        """Take one of :data:`PRESETS` for all images."""
        self._preset = preset if preset in PRESETS else PRESETS[0]
        for image in self._images():
            _set(image, *_limits(np.asarray(image.data), self._preset))

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        image = next((one for one in self._images() if one.visible), None)
        if image is None or event.button != 1 or "Shift" not in event.modifiers or viewer.dims.ndisplay != 2:
            return
        low, high = image.contrast_limits
        start, pans = np.array(event.pos, dtype=float), viewer.scene.camera.mouse_pan
        viewer.scene.camera.mouse_pan = False
        yield
        try:
            while event.type == "mouse_move":
                right, down = np.array(event.pos, dtype=float) - start
                width = (high - low) * exp(float(right) / PIXELS)
                middle = (high + low) / 2 + (high - low) * float(down) / PIXELS
                _set(image, middle - width / 2, middle + width / 2)
                yield
        finally:
            viewer.scene.camera.mouse_pan = pans


def _limits(data: np.ndarray, preset: str) -> tuple[float, float]:
    if preset == "usual":
        return contrast_limits(data)
    low, high = float(data.min()), float(data.max())
    if preset == "bright parts":
        some = data[::3, ::3, ::3]
        some = some[some > some.min()]
        low, high = (float(v) for v in np.percentile(some, UPPER)) if some.size else (low, high)
    return low, max(high, low + 1e-6)


def _set(image: Image, low: float, high: float) -> None:
    """Within a range that holds both, so that napari's own slider does not cut them."""
    least, most = image.contrast_limits_range
    if low < least or high > most:
        image.contrast_limits_range = (min(low, least), max(high, most))
    image.contrast_limits = (low, high)
