"""Copies of predictions that the user paints in: whose they are, whether they are saved, when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels


def is_edited(layer: Any) -> bool:
    """True for a layer of ours that is edited by hand."""
    return isinstance(layer, Labels) and bool(layer.metadata.get("mrseg", {}).get("edited"))


def copies_in(viewer: ViewerModel) -> list[Labels]:
    """All copies in ``viewer``, of whatever study, newest last."""
    return [layer for layer in viewer.layers if is_edited(layer)]


def is_unsaved(copy: Labels) -> bool:
    """True if it was painted in since it was made or saved."""
    about = copy.metadata["mrseg"]
    return bool(about["changes"] != about["saved"])


def mark_saved(copy: Labels, changes: int) -> None:
    """``changes``: those there were when its array was taken for the file."""
    copy.metadata["mrseg"]["saved"] = changes


class Edits:
    """Follows the painting in the copies of a viewer. ``changed(copy)`` is called after each stroke, undo or fill."""

    def __init__(self, viewer: ViewerModel, changed: Callable[[Labels], None]) -> None:
        self._viewer, self._changed = viewer, changed
        self._followed: dict[Labels, tuple[Any, Callable[[Any], None]]] = {}

    def follow(self, copy: Labels) -> None:
        about = copy.metadata["mrseg"]
        about.update(edited=True, changes=0, saved=0)
        steps = _steps(copy)

        def painted(event: Any) -> None:
            nonlocal steps
            before, steps = steps, _steps(copy)
            if event.type == "set_data" and steps == before:
                return  # another slice is shown; nothing was undone
            about["changes"] += 1
            self._changed(copy)

        events = copy.events
        sources = events.paint, events.labels_update, events.data, events.set_data
        for source in sources:
            source.connect(painted)
        self._followed[copy] = sources, painted

    def close(self) -> None:
        for sources, painted in self._followed.values():
            for source in sources:
                source.disconnect(painted)
        self._followed.clear()


def _steps(copy: Labels) -> tuple[int, int]:
    """Length of napari's undo and redo histories: an undo has no event of its own."""
    return len(copy._undo_history), len(copy._redo_history)
