"""Lines drawn and corrected on the picture: a drag with Ctrl held makes one, a drag at an end moves that end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from napari.components import ViewerModel

from napari_mrseg._qt.marks import DISTANCES

__all__ = ["DISTANCES", "Held", "Ruler"]

_LEAST = 4.0  # pixels of dragging; less is a click
Held = tuple[Hashable, int, int]
"""The end that the pointer is on: whose mark, which line of it, which end."""


class Board(Protocol):
    """Who keeps the lines. Places are in the world's last three axes; ``done``: the button was let go."""

    def end_near(self, position: Sequence[float]) -> Held | None: ...

    def draw(self, start: Sequence[float], end: Sequence[float], *, done: bool) -> None: ...

    def move(self, held: Held, to: Sequence[float], *, done: bool) -> None: ...


class Ruler:
    """Turns the mouse's drags into lines, in slices; a brush in hand paints as ever."""

    def __init__(self, viewer: ViewerModel, board: Callable[[], Board]) -> None:
        self._viewer, self._board = viewer, board
        viewer.mouse_drag_callbacks.append(self._drag)

    def close(self) -> None:
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        modifiers = set(event.modifiers)
        if event.button != 1 or viewer.dims.ndisplay != 2 or not viewer.layers or modifiers - {"Control"}:
            return
        board = self._board()
        active = viewer.layers.selection.active
        held = None
        if not modifiers:
            if active is not None and str(active.mode) != "pan_zoom":
                return
            held = board.end_near(event.position)
            if held is None:
                return
        start, pixel = tuple(event.position)[-3:], np.array(event.pos, dtype=float)
        pans, moved = viewer.scene.camera.mouse_pan, False
        viewer.scene.camera.mouse_pan = False
        yield
        try:
            while True:
                moved = moved or float(np.linalg.norm(np.array(event.pos) - pixel)) >= _LEAST
                # Let go: moves are passed on at a limited rate, this one always.
                done, here = event.type != "mouse_move", tuple(event.position)[-3:]
                if moved and held is None:
                    board.draw(start, here, done=done)
                elif moved and held is not None:
                    board.move(held, here, done=done)
                if done:
                    break
                yield
        finally:
            viewer.scene.camera.mouse_pan = pans
