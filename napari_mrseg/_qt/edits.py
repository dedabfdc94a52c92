"""Labels that the user may paint in: whose they are, and whether what was painted is saved.

Each layer has a state of its own, kept here and not in its metadata, which napari's duplicates share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_mrseg._qt.about import about_of, belongs
from napari_mrseg.io.export import in_file_name

Array = npt.NDArray[Any]


@dataclass
class _Edit:
    """``origin``: as it was before the first stroke; ``saved``: as it last was in a file, or as it was made."""

    about: Mapping[str, Any]
    origin: Array
    saved: Array
    changes: int = 0  # strokes, undos and fills


_edits: WeakKeyDictionary[Layer, _Edit] = WeakKeyDictionary()


def about_edit(layer: Layer) -> Mapping[str, Any]:
    """Whose labels the user paints in here: case, combination, model, source; empty for any other layer."""
    edit = _edits.get(layer)
    return {} if edit is None else edit.about


def copies_in(viewer: ViewerModel) -> list[Labels]:
    """All copies of predictions in ``viewer``, of whatever study, newest last."""
    return [la for la in viewer.layers if isinstance(la, Labels) and "combination" in about_edit(la)]


def edits_in(layers: Iterable[Layer]) -> list[Labels]:
    """Those of ``layers`` that hold work of the user's which is not saved."""
    return [layer for layer in layers if isinstance(layer, Labels) and is_unsaved(layer)]


def is_edited(layer: Layer) -> bool:
    """True if it is not as it was before the first stroke: after an undo of all strokes it is again."""
    edit = _edits.get(layer)
    return edit is not None and not np.array_equal(layer.data, edit.origin)


def is_unsaved(layer: Layer) -> bool:
    """True if it is not as it was made or saved."""
    edit = _edits.get(layer)
    return edit is not None and not np.array_equal(layer.data, edit.saved)


def changes_of(layer: Layer) -> int:
    """A number that each stroke changes."""
    edit = _edits.get(layer)
    return 0 if edit is None else edit.changes


def mark_saved(layer: Layer, labels: Array) -> None:
    """``labels``: what is in the file; painting may have gone on while it was written."""
    edit = _edits.get(layer)
    if edit is not None:
        edit.saved = labels


def edited_name(layer: Layer) -> str:
    """The name of the file for it, without the ending."""
    about = about_edit(layer)
    return f"{in_file_name(str(about['case']))}_{about['key']}_edited"


class Edits:
    """Follows the painting in a viewer. ``changed(layer)`` is called after each stroke, undo or fill."""

    def __init__(self, changed: Callable[[Labels], None]) -> None:
        self._changed = changed
        self._followed: WeakKeyDictionary[Labels, tuple[Any, Callable[[Any], None]]] = WeakKeyDictionary()

    def follow(self, layer: Labels, about: Mapping[str, Any], origin: Array | None = None) -> None:
        """Take note of what is painted in ``layer``. ``origin``: an array like its own that nobody changes."""
        if layer not in _edits:
            start = np.array(layer.data) if origin is None else origin
            _edits[layer] = _Edit(dict(about), start, start)
        if layer in self._followed:
            return
        edit, steps = _edits[layer], _steps(layer)
        changed = self._changed

        def painted(event: Any) -> None:
            nonlocal steps
            before, steps = steps, _steps(event.source)
            if event.type == "set_data" and steps == before:
                return  # another slice is shown; nothing was undone
            edit.changes += 1
            changed(event.source)

        events = layer.events
        sources = events.paint, events.labels_update, events.data, events.set_data
        for source in sources:
            source.connect(painted)
        self._followed[layer] = sources, painted

    def adopt(self, layer: Layer) -> bool:
        """Follow ``layer`` if it is the user's duplicate of labels of ours, which is free to be painted in."""
        if not isinstance(layer, Labels) or layer in _edits or not belongs(layer):
            return False
        about = about_of(layer)
        if about.get("source") is None or "key" not in about:
            return False
        made_from: Any = layer.source.parent  # napari keeps a weak reference
        parent = None if made_from is None else _edits.get(made_from())
        if parent is not None:
            _edits[layer] = _Edit(parent.about, parent.origin, parent.saved)
        self.follow(layer, about)
        return True

    def close(self) -> None:
        for sources, painted in self._followed.values():
            for source in sources:
                source.disconnect(painted)
        self._followed.clear()


def _steps(layer: Labels) -> tuple[int, int]:
    """Length of napari's undo and redo histories: an undo has no event of its own."""
    return len(layer._undo_history), len(layer._redo_history)
