"""All keys in one window: ours, and those of napari's that one needs to look around and to paint, as they are set."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QWidget

from napari_mrseg._qt.key_names import key_text
from napari_mrseg._qt.keys import Shortcut
from napari_mrseg._qt.text_window import text_window

_SIZE = (520, 640)
_MOUSE = (
    ("Shift + drag", "Window (sideways) and level (up and down)"),
    ("Ctrl + drag", "Distance, listed under Measure"),
    ("Drag an end", "Correct a diameter or a distance"),
    ("Wheel", "Zoom"),
    ("Drag", "Move the picture; turn it in 3-D"),
    ("Ctrl + wheel", "Through the slices"),
)
_LOOKING = {
    "napari:increment_dims_left": "Previous slice",
    "napari:increment_dims_right": "Next slice",
    "napari:roll_axes": "Next plane",
    "napari:toggle_ndisplay": "3-D or slices",
    "napari:reset_view": "Whole picture",
    "napari:toggle_selected_visibility": "Layer shown or hidden",
}
_PAINTING = {
    "napari:activate_labels_paint_mode": "Brush",
    "napari:activate_labels_erase_mode": "Eraser",
    "napari:decrease_brush_size": "Smaller brush",
    "napari:increase_brush_size": "Larger brush",
}
_FIXED = (("Ctrl+Z", "Undo a stroke"), ("Ctrl+Shift+Z", "Redo it"))


def keys_window(parent: QWidget | None, ours: Sequence[Shortcut]) -> QDialog:
    """The window, not yet shown; it may stay open beside the viewer."""
    dialog = text_window(parent, "All keys", keys_text(ours), _SIZE)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    return dialog


def keys_text(ours: Sequence[Shortcut]) -> str:
    """HTML: one table for each group of keys."""
    groups = {
        "MRSeg": [(key_text(row.key), row.words) for row in ours],
        "Mouse": list(_MOUSE),
        "Looking around (napari)": _of_napari(_LOOKING),
        "Painting in a copy (napari)": [*_of_napari(_PAINTING), *_FIXED],
    }
    tables = "".join(
        f"<h3>{escape(title)}</h3><table cellspacing='0' cellpadding='3'>{_rows(rows)}</table>"
        for title, rows in groups.items()
    )
    return f"{tables}<p>napari's own keys are changed in File → Preferences → Shortcuts; ours under MRSeg there.</p>"


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"<tr><td width='150'><b>{escape(key)}</b></td><td>{escape(words)}</td></tr>" for key, words in rows
    )


def _of_napari(actions: dict[str, str]) -> list[tuple[str, str]]:
    """The keys that the user has set for them; an action without a key is left out."""
    set_keys = get_settings().shortcuts.shortcuts
    return [
        (" or ".join(str(key) for key in set_keys[action]), words)
        for action, words in actions.items()
        if set_keys.get(action)
    ]
