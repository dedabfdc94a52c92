"""Every key is in one window, and every control of the dock names its own."""

from __future__ import annotations

from napari.settings import get_settings
from qtpy.QtWidgets import QAbstractButton, QTextBrowser

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.keys_window import keys_text


def test_the_window_lists_every_bound_key(dock: MrsegDock) -> None:
    """Alt+K's window names each key that the dock binds, and the brush and the slices of napari."""
    dialog = dock.show_keys()
    text = dialog.findChild(QTextBrowser).toPlainText()
    dialog.close()
    assert len(dock.viewer.keymap) == len(dock.keys.rows) >= 15
    for row in dock.keys.rows:
        assert row.key.replace("-", "+") in text
        assert row.words in text
    for words in ("Brush", "Next slice", "Undo"):
        assert words in text


def test_keys_that_the_user_changed_are_listed_as_they_are(dock: MrsegDock) -> None:
    """A key set in napari's Preferences stands in the window instead of the default."""
    shortcuts = get_settings().shortcuts
    before = dict(shortcuts.shortcuts)
    try:
        shortcuts.shortcuts = {**before, "napari:reset_view": ["F9"]}
        assert "<b>F9</b></td><td>Whole picture" in keys_text(dock.keys.rows)
    finally:
        shortcuts.shortcuts = before


def test_every_button_says_what_it_does(dock: MrsegDock) -> None:
    """No button of the dock is without a tooltip, before anything is open."""
    silent = [
        button.text()
        for button in dock.panel.findChildren(QAbstractButton)
        if not button.toolTip() and button.text() and not button.inherits("QCheckBox")
    ]
    assert silent == []
