"""Looks of our windows: large type, high contrast, on napari's dark and light themes."""

from __future__ import annotations

from collections.abc import Callable
from string import Template

from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QWidget

# What stands on napari's own background, by the type of its theme.
_INKS = {
    "dark": {
        "title": "#9fb4c7", "quiet": "#aab4bc", "faint": "#8b949b", "off": "#6b747c", "note": "#e2c488",
        "button": "#414b57", "on_button": "#f0f2f4", "hover": "#52606f",
        "disabled": "#333a43", "on_disabled": "#7d868e", "edge": "#2a313a", "line": "#4a5561", "focus": "#ffd54a",
    },
    "light": {
        "title": "#2b4a66", "quiet": "#4a545c", "faint": "#5a646b", "off": "#7b848b", "note": "#6b4700",
        "button": "#c9d1d9", "on_button": "#14181c", "hover": "#b8c3cd",
        "disabled": "#dfe3e7", "on_disabled": "#767f86", "edge": "#9aa5ad", "line": "#a9b3bb", "focus": "#b34700",
    },
}  # fmt: skip

# Words and letters on the canvas bring their own dark ground: the theme may make the canvas white, scans are black.
GROUND = "#000000b3"

DOCK = """
#MrsegDock QLabel, #MrsegDock QCheckBox, #MrsegDock QRadioButton, #MrsegDock QComboBox,
#MrsegDock QPushButton, #MrsegDock QToolButton, #MrsegDock QProgressBar { font-size: 14px; }
#MrsegDock QLabel[role="title"] { font-size: 13px; font-weight: 700; color: $title; }
#MrsegDock QLabel[role="quiet"] { font-size: 12px; color: $quiet; }
#MrsegDock QLabel[role="case"] { font-size: 16px; font-weight: 600; }
#MrsegDock QLabel[role="size"] { font-size: 16px; font-weight: 600; }
#MrsegDock QLabel[role="region"] { font-size: 12px; }
#MrsegDock QLabel[role="size"][estimated="true"], #MrsegDock QLabel[role="region"][estimated="true"],
#MrsegDock QLabel[role="dice"][estimated="true"] {
    color: $faint; font-style: italic; }
#MrsegDock QLabel[role="banner"] { font-size: 13px; padding: 7px 9px; border-radius: 5px;
    background: #1d3b2c; color: #d9f2e3; }
#MrsegDock QLabel[role="banner"][trust="amber"] { background: #8a5a00; color: #fff6e5; }
#MrsegDock QLabel[role="banner"][trust="red"] { background: #8e1020; color: #ffffff; font-weight: 600; }
#MrsegDock QLabel[role="banner"][state="preview"][trust="green"] { background: #243b53; color: #d9e9fb; }
#MrsegDock QLabel[role="banner"][state="none"] { background: #343b45; color: #e4e8ec; }
#MrsegDock QLabel[role="banner"][state="stale"] { background: #7a4a00; color: #fff2da; }
#MrsegDock QLabel[role="banner"][state="edited"] { background: #4b2e63; color: #f3e6ff; }
#MrsegDock QLabel[role="error"] { padding: 7px 9px; border-radius: 5px; background: #7d1f2a; color: #ffe9ec; }
#MrsegDock QLabel[role="imagined"] { font-size: 12px; padding: 3px 7px; border-radius: 5px;
    background: #c2157c; color: #ffffff; }
#MrsegDock QPushButton[role="imagine"] { font-size: 12px; padding: 2px 0px; }
#MrsegDock QPushButton[role="imagine"]:checked { background: #c2157c; }
#MrsegDock QLabel[role="note"] { font-size: 11px; color: $note; }
#MrsegDock QPushButton, #MrsegDock QToolButton {
    padding: 5px 5px; border-radius: 4px; background: $button; color: $on_button; }
#MrsegDock QToolButton#save { padding-right: 24px; }
#MrsegDock QToolButton#save::menu-button { width: 20px; border-left: 1px solid $edge; }
#MrsegDock QPushButton:hover, #MrsegDock QToolButton:hover { background: $hover; }
#MrsegDock QPushButton:disabled, #MrsegDock QToolButton:disabled { color: $on_disabled; background: $disabled; }
#MrsegDock QPushButton:checked, #MrsegDock QToolButton:checked { background: #1f6feb; color: white; }
#MrsegDock QPushButton#run { font-weight: 700; background: #1f6feb; color: white; }
#MrsegDock QPushButton#run:disabled { background: $disabled; color: $on_disabled; }
#MrsegDock QPushButton#run[running="true"] { background: #b3421f; }
#MrsegDock QCheckBox { spacing: 8px; }
#MrsegDock QCheckBox[role="modality"] { font-size: 15px; font-weight: 600; }
#MrsegDock QCheckBox[role="modality"]:disabled { color: $off; font-weight: 400; }
#MrsegDock QProgressBar { min-height: 14px; max-height: 14px; text-align: center; border-radius: 4px; }
#MrsegDock QProgressBar::chunk { background: #1f6feb; border-radius: 4px; }
#MrsegDock QPushButton#notes { text-align: left; padding: 2px 6px; background: transparent; color: $note; }
#MrsegDock QPushButton#notes:hover { background: $hover; }
#MrsegDock QFrame[role="line"] { background: $line; max-height: 1px; border: none; }
"""


_CONTROLS = (
    "QPushButton",
    "QToolButton",
    "QComboBox",
    "QSlider",
    "QCheckBox",
    "QRadioButton",
    "QAbstractSpinBox",
)


def _focus(name: str) -> str:
    """Which control the keys go to: a frame, in a colour that nothing else has. Without it the frame is clear."""
    plain = ", ".join(f"#{name} {kind}" for kind in _CONTROLS)
    there = ", ".join(f"#{name} {kind}:focus" for kind in (*_CONTROLS, "QTableView", "QTabBar"))
    return f"{plain} {{ border: 2px solid transparent; }}\n{there} {{ border: 2px solid $focus; }}\n"


def follow_theme(widget: QWidget, viewer: ViewerModel, style: str) -> Callable[[], None]:
    """Style ``widget`` for the viewer's theme, now and when it changes. Returns what ends that."""

    def apply(event: object = None) -> None:
        inks = _INKS[get_theme(viewer.theme).type]
        focus = Template(_focus(widget.objectName())).substitute(inks)
        widget.setStyleSheet(focus + Template(style).substitute(inks))

    viewer.events.theme.connect(apply)
    apply()
    return lambda: viewer.events.theme.disconnect(apply)


def restyle(widget: QWidget, name: str, value: str) -> None:
    """Set a property that a style selects by. Qt looks at it again only when told to."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
