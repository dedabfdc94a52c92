"""Orientation letters at the four sides of the canvas, from where a voxel step really goes on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.layers import Layer

from napari_mrseg._qt.style import GROUND

Vector = npt.NDArray[np.float64]

SIDES = ("top", "bottom", "left", "right")
_POSITIONS = {"top": "top_center", "bottom": "bottom_center", "left": "middle_left", "right": "middle_right"}
_OPPOSITE = dict(zip("RASLPI", "LPIRAS", strict=True))
_SECOND = 0.5  # a second letter from 30° off the axis on, as in "PL"
_TINY = 0.02
_COLOUR = "#ffd54a"
_POINTS = ((300, 12), (420, 15))  # of a letter, in canvases lower than so many pixels
_USUAL = 20
_PADDING = (10, 4)  # pixels between what stands at a side of the canvas and that side


def letters(codes: Sequence[str], steps: Sequence[float]) -> str:
    """The letters of a direction.

    ``codes``: letter that each voxel axis grows towards, e.g. ("I", "P", "L"). ``steps``: the direction along
    those axes, in mm. The strongest axis comes first, a second one is added if the direction is oblique.
    """
    v = np.asarray(steps, dtype=float)
    length = float(np.linalg.norm(v))
    if not np.isfinite(length) or length == 0:
        return "?"
    v = v / length
    found = ""
    for axis in sorted(range(len(v)), key=lambda a: -round(abs(float(v[a])), 6)):
        if not found or abs(v[axis]) >= _SECOND - _TINY:
            found += codes[axis] if v[axis] > 0 else _OPPOSITE[codes[axis]]
    return found[:2]


def letter_points(height: float) -> int:
    """The size of a letter, in points, on a canvas of ``height`` pixels."""
    return next((points for low, points in _POINTS if height < low), _USUAL)


def letter_room(height: float) -> int:
    """Pixels that a letter takes above or below the head, with its ground and the space round it."""
    return round(2.1 * letter_points(height) + 1.5 * _PADDING[1])


def canvas_directions(viewer: ViewerModel) -> tuple[Vector, Vector] | None:
    """World directions, (ndim,) each, that point to the right and up on the canvas; or None."""
    dims, camera = viewer.dims, viewer.scene.camera
    right, up = np.zeros(dims.ndim), np.zeros(dims.ndim)
    shown = list(dims.displayed)
    if dims.ndisplay == 2:
        vertical, horizontal = camera.orientation2d
        up[shown[0]] = -1.0 if str(vertical) == "down" else 1.0
        right[shown[1]] = 1.0 if str(horizontal) == "right" else -1.0
        return right, up
    if len(shown) < 3:
        return None
    view, above = np.array(camera.view_direction, float), np.array(camera.up_direction, float)
    aside = np.cross(view, above)
    up[shown] = above
    right[shown] = aside if str(camera.handedness) == "right" else -aside
    return right, up


def side_letters(viewer: ViewerModel, layer: Layer, codes: Sequence[str]) -> dict[str, str]:
    """Letters by side of the canvas, for the voxel axes of ``layer`` that grow towards ``codes``.

    Everything that moves voxels on the screen is followed: order of axes, the camera's orientation and
    angles, the layer's scale, rotation and shear. A side that cannot be named says "?".
    """
    unknown = dict.fromkeys(SIDES, "?")
    directions = canvas_directions(viewer)
    if directions is None:
        return unknown
    matrix = np.asarray(layer._data_to_world.linear_matrix, dtype=float)
    first = viewer.dims.ndim - layer.ndim  # napari lines up the last axes
    if first < 0 or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        return unknown
    size = np.linalg.norm(matrix, axis=0)
    found = dict(unknown)
    for (ahead, behind), world in zip((("right", "left"), ("top", "bottom")), directions, strict=True):
        steps = np.linalg.solve(matrix, world[first:]) * size
        if np.abs(world[:first]).any() or not np.abs(steps).any():
            continue
        found[ahead], found[behind] = letters(codes, steps), letters(codes, -steps)
    return found


class OrientationLetters:
    """Keeps four canvas overlays in step with what is displayed. Hidden while there is no study."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: tuple[Layer, ...] = ()
        self._codes: tuple[str, ...] = ()
        self._padding = viewer.canvas.overlay_tiling.padding
        viewer.canvas.overlay_tiling.padding = _PADDING
        self._overlays = {
            side: TextOverlay(
                text="?",
                position=_POSITIONS[side],
                font_size=_USUAL,
                color=_COLOUR,
                box_color=GROUND,
                visible=False,
            )
            for side in SIDES
        }
        for side, overlay in self._overlays.items():
            viewer.canvas.overlays[f"mrseg_{side}"] = overlay
        camera, dims = viewer.scene.camera, viewer.dims
        self._sources = (dims.events.order, dims.events.ndisplay, dims.events.ndim,
                         camera.events.angles, camera.events.orientation, viewer.canvas.events.size)  # fmt: skip
        for source in self._sources:
            source.connect(self.refresh)

    @property
    def shown(self) -> dict[str, str]:
        """Letters on the canvas by side; empty while hidden."""
        return {side: o.text for side, o in self._overlays.items() if o.visible}

    def follow(self, layers: Iterable[Layer], codes: Sequence[str] = ()) -> None:
        """Name the sides for ``layers``, whose voxel axes grow towards ``codes``; none hides the letters.

        A side about which they disagree, because one was turned by hand, says "?".
        """
        for event in self._layer_events():
            event.disconnect(self.refresh)
        self._layers, self._codes = tuple(layers), tuple(codes)
        for event in self._layer_events():
            event.connect(self.refresh)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        there = [layer for layer in self._layers if layer in self._viewer.layers]
        named = [side_letters(self._viewer, layer, self._codes) for layer in there]
        points = letter_points(float(self._viewer.canvas.size[0]))
        for side, overlay in self._overlays.items():
            if overlay.font_size != points:
                overlay.font_size = points
            texts = {letters_[side] for letters_ in named}
            overlay.text = texts.pop() if len(texts) == 1 else "?"
            overlay.visible = bool(there)

    def close(self) -> None:
        for source in self._sources:
            source.disconnect(self.refresh)
        self.follow(())
        for side in SIDES:
            self._viewer.canvas.overlays.pop(f"mrseg_{side}", None)
        self._viewer.canvas.overlay_tiling.padding = self._padding

    def _layer_events(self) -> tuple[Any, ...]:
        each = [layer.events for layer in self._layers]
        return tuple(source for e in each for source in (e.scale, e.rotate, e.shear, e.affine))
