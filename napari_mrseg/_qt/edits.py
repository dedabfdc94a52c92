"""Copies of predictions that the user paints in: whose they are, whether they are saved, when they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels

from napari_mrseg.io.export import in_file_name


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


def about_edit(copy: Labels) -> Mapping[str, Any]:
    """Whose labels the user paints in here: case, combination, model, source."""
    about: Mapping[str, Any] = copy.metadata["mrseg"]
    return about


def changes_of(copy: Labels) -> int:
    """A number that each stroke changes."""
    return int(copy.metadata["mrseg"]["changes"])


def mark_saved(copy: Labels, labels: npt.NDArray[Any]) -> None:
    """``labels``: what is in the file; painting may have gone on while it was written."""
    about = copy.metadata["mrseg"]
    if np.array_equal(labels, copy.data):
        about["saved"] = about["changes"]


def edited_name(copy: Labels) -> str:
    """The name of the file for it, without the ending."""
    about = about_edit(copy)
    return f"{in_file_name(str(about['case']))}_{about['key']}_edited"


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
