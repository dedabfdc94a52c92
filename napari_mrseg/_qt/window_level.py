"""Window and level of the scan on screen: by dragging with Shift held, by presets, and as numbers; kept by contrast."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import exp, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QSettings, QTimer

from napari_mrseg.display import contrast_limits

PIXELS = 250.0  # of dragging that make the window e times as wide, or move its middle by its own width
PRESETS = ("usual", "wide", "bright parts")
"""In turn: as a scan opens; all there is; the upper half of what is above the background."""
OWN = "as set"
"""What a window is called that is none of :data:`PRESETS`."""
UPPER = (50.0, 99.95)  # percentiles


class WindowLevel:
    """Left and right: the window's width; up and down: its middle. ``images``: those it may change, top first.

    ``remember``: a window that the user sets comes back with the next scan of that contrast, also after a restart. It
    is kept in parts of the usual window, because intensities of MRI have no unit.
    """

    def __init__(
        self, viewer: ViewerModel, images: Callable[[], Iterable[Image]], *, remember: bool = False
    ) -> None:
        self._viewer, self._images, self._remember = viewer, images, remember
        self._preset = "usual"
        self.on_changed: Callable[[], None] = lambda: (
            None
        )  # called when another window or another scan is shown
        viewer.mouse_drag_callbacks.append(self._drag)
        if remember:
            viewer.layers.events.inserted.connect(self._inserted)
            viewer.layers.events.removed.connect(self._changed)

    def close(self) -> None:
        self.on_changed = lambda: None
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        if self._remember:
            self._viewer.layers.events.inserted.disconnect(self._inserted)
            self._viewer.layers.events.removed.disconnect(self._changed)

    @property
    def image(self) -> Image | None:
        """The scan on top of those that can be seen: what a drag changes."""
        return next((one for one in self._images() if one.visible), None)

    @property
    def numbers(self) -> tuple[float, float] | None:
        """(window, level), its width and middle, of the scan on top; None if none can be seen."""
        image = self.image
        if image is None:
            return None
        low, high = (float(v) for v in image.contrast_limits)
        return high - low, (high + low) / 2

    @property
    def preset(self) -> str:
        """Which of :data:`PRESETS` the scan on top has, or :data:`OWN`."""
        image = self.image
        if image is None:
            return OWN
        data, now = np.asarray(image.data), image.contrast_limits
        close = (high - low) * 1e-3 if (low := now[0]) < (high := now[1]) else 1e-6
        return next((p for p in PRESETS if np.allclose(_limits(data, p), now, atol=close)), OWN)

    def set_numbers(self, window: float, level: float) -> None:
        """Set width and middle of the scan on top. Raises ValueError for what is no window."""
        if not (isfinite(window) and isfinite(level)) or window <= 0:
            raise ValueError(f"{window} is no width of a window")
        image = self.image
        if image is not None:
            self._set(image, level - window / 2, level + window / 2)

    def next_preset(self) -> str:
        """Go to the next preset in all images; its name."""
        self.set_preset(PRESETS[(PRESETS.index(self._preset) + 1) % len(PRESETS)])
        return self._preset

    def set_preset(self, name: str) -> None:
        """Set a preset in all images."""
        self._preset = name if name in PRESETS else PRESETS[0]
        for image in self._images():
            self._set(image, *_limits(np.asarray(image.data), self._preset))

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        image = self.image
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
                self._set(image, middle - width / 2, middle + width / 2)
                yield
        finally:
            viewer.scene.camera.mouse_pan = pans

    def _set(self, image: Image, low: float, high: float) -> None:
        _set(image, low, high)
        contrast = _contrast(image)
        if self._remember and contrast:
            usual, width = _usual(image)
            QSettings("napari-mrseg", "dock").setValue(
                f"window/{contrast}", f"{(low - usual) / width:.4f} {(high - usual) / width:.4f}"
            )

    def _changed(self, event: Any = None) -> None:
        self.on_changed()

    def _inserted(self, event: Any) -> None:
        """A scan comes: its window is as the user last set it for this contrast."""
        image = event.value
        contrast = _contrast(image) if isinstance(image, Image) else ""
        if not contrast:
            return
        try:
            stored = str(QSettings("napari-mrseg", "dock").value(f"window/{contrast}", "0 1"))
            low, high = (float(part) for part in stored.split())
        except ValueError:
            low, high = 0.0, 1.0
        if isfinite(low) and isfinite(high) and low < high and (low, high) != (0.0, 1.0):
            usual, width = _usual(image)
            _set(image, usual + low * width, usual + high * width)
        for source in (image.events.contrast_limits, image.events.visible):
            source.connect(self._changed)
        QTimer.singleShot(0, self._changed)  # it is among the images only once this event is over


def _contrast(image: Image) -> str:
    return str(image.metadata.get("mrseg", {}).get("modality", ""))


def _usual(image: Image) -> tuple[float, float]:
    """Lower end and width of the window that a scan opens with."""
    low, high = contrast_limits(np.asarray(image.data))
    return low, high - low


def _limits(data: npt.NDArray[Any], preset: str) -> tuple[float, float]:
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
