"""Every key is in one window, and every control of the dock names its own."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from napari.settings import get_plugin_settings, get_settings
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QTextBrowser
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.key_names import LETTERS, NUMBERED, key, key_text, label_key
from napari_mrseg._qt.keys import Keys
from napari_mrseg._qt.keys_window import keys_text
from napari_mrseg.tasks import TASKS


def test_the_window_lists_every_bound_key(dock: MrsegDock) -> None:
    """Alt+K's window names each key that the dock binds, and the brush and the slices of napari."""
    dialog = dock.show_keys()
    text = dialog.findChild(QTextBrowser).toPlainText()
    dialog.close()
    assert len(dock.viewer.keymap) == len(dock.keys.rows) >= 15
    for row in dock.keys.rows:
        assert key_text(row.key) in text
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


def test_what_is_held_is_set_in_preferences(dock: MrsegDock) -> None:
    """Ctrl+Alt on napari's page: a window opened from then on binds, lists and names its keys so."""
    page = get_plugin_settings("napari-mrseg").keys
    before = page.modifier
    dock.keys.close()
    try:
        page.modifier = "Ctrl+Alt"
        dock.keys = Keys(dock)
        assert key("jump") == "Control-Alt-J"
        assert {row.key for row in dock.keys.rows} >= {"Control-Alt-1", "Control-Alt-J"}
        assert "<b>Ctrl+Alt+J</b>" in keys_text(dock.keys.rows)
        assert len(dock.viewer.keymap) == len(dock.keys.rows)
    finally:
        page.modifier = before


def test_no_two_actions_share_a_letter() -> None:
    """Each letter stands for one action; no task has so many modalities that they reach the lists' digits."""
    assert len(set(LETTERS.values())) == len(LETTERS)
    assert max(len(task.modalities) for task in TASKS.values()) <= NUMBERED
    assert str(NUMBERED + 1) in LETTERS.values()


def test_the_next_view_goes_round(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Alt+A's action puts one scan in use after the other behind the segmentation; one that is off is passed over."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    seen = []
    for _ in range(4):
        dock.next_view()
        seen.append(dock.layers.visible_images())
    assert seen == [("t1",), ("t2",), ("flair",), ("t1",)]


def test_keys_of_buttons_that_are_not_there_do_nothing(dock: MrsegDock) -> None:
    """“Which file” and the brain mask have keys; without their buttons these say and change nothing."""
    for row in dock.keys.rows:
        if row.key in (key("which"), key("brain")):
            row.act()
    assert dock.error.text() == ""


def test_what_is_ticked_or_chosen_has_a_key(dock: MrsegDock) -> None:
    """Ticks of the labels, the opacity and both lists, too: the tooltip names a key that the dock binds."""
    legend, runbar = dock.legend, dock.runbar
    bound = {key_text(row.key) for row in dock.keys.rows}
    for widget in (*legend.labels.values(), legend.opacity, runbar.models, runbar.devices):
        named = re.findall(r"Alt\+\w+", widget.toolTip())
        assert named, widget.toolTip()
        assert set(named) <= bound


def test_the_keys_of_legend_and_opacity_do_what_they_say(dock: MrsegDock) -> None:
    """Alt+5 hides the first label beside four modalities, and shows it again; comma and period fade."""
    acts = {row.key: row.act for row in dock.keys.rows}
    first = dock.session.task.labels[0]
    number = len(dock.session.task.modalities) + 1
    acts[key(str(number))]()
    assert dock.overlay_style.hidden == {first.code}
    acts[key(str(number))]()
    assert dock.overlay_style.hidden == frozenset()
    before = dock.overlay_style.opacity
    acts[key("fainter")]()
    assert dock.overlay_style.opacity == pytest.approx(before - 0.1)
    assert dock.legend.opacity.value() == round(100 * (before - 0.1))
    for _ in range(12):
        acts[key("stronger")]()
    assert dock.overlay_style.opacity == 1
    for _ in range(12):
        acts[key("fainter")]()
    assert dock.overlay_style.opacity == 0


def test_a_task_of_many_labels_has_keys_for_the_first(dock: MrsegDock) -> None:
    """37 classes: the digits end at seven; those of model and device stay theirs."""
    task = TASKS["sunrgbd"]
    numbers = [label_key(task, label) for label in task.labels]
    assert numbers[:5] == ["3", "4", "5", "6", "7"]
    assert set(numbers[5:]) == {None}


def test_tab_goes_through_the_dock_in_the_order_in_which_it_is_read(qtbot: QtBot, dock: MrsegDock) -> None:
    """From the first button down to Run, row by row, and each control that Tab reaches is in the dock."""
    dock.resize(384, 760)
    dock.show()
    first = dock.panel.folder_button
    seen, widget = [first], first.nextInFocusChain()
    while widget is not first and len(seen) < 500:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisibleTo(dock) and widget.isEnabled():
            seen.append(widget)
        widget = widget.nextInFocusChain()
    places = [w.mapTo(dock, QPoint(0, w.height() // 2)) for w in seen]
    rows = [p.y() // 18 for p in places]
    inside = [w for w in seen if dock.panel.isAncestorOf(w)]
    assert inside == seen
    assert all(a <= b + 1 for a, b in pairwise(rows)), [w.accessibleName() for w in seen]
    for name in ("folder_button", "planes_button", "reading_button", "compare_button", "beside_button"):
        assert getattr(dock.panel, name) in seen


def test_the_control_that_has_the_keys_is_seen(qtbot: QtBot, dock: MrsegDock) -> None:
    """A frame in the colour of nothing else appears around each kind of control when it is focused."""
    dock.resize(384, 760)
    dock.show()
    dock.activateWindow()
    for widget in (
        dock.panel.folder_button,
        dock.panel.keys_button,
        dock.modalities.combos["reference"]
        if dock.modalities.combos["reference"].isEnabled()
        else dock.runbar.models,
        dock.legend.outline,
        dock.legend.opacity,
        dock.runbar.devices,
    ):
        dock.setFocus()
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        qtbot.waitUntil(widget.hasFocus, timeout=PATIENCE)
        picture = widget.grab().toImage()
        edge = {picture.pixelColor(x, 0).name() for x in range(4, picture.width() - 4)}
        assert "#ffd54a" in edge, (widget, edge)
