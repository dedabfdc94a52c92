"""Looks of the dock: large type, high contrast, on napari's own theme."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

STYLE = """
#MrsegDock QLabel, #MrsegDock QCheckBox, #MrsegDock QRadioButton, #MrsegDock QComboBox,
#MrsegDock QPushButton, #MrsegDock QToolButton, #MrsegDock QProgressBar { font-size: 14px; }
#MrsegDock QLabel[role="title"] { font-size: 13px; font-weight: 700; color: #9fb4c7; }
#MrsegDock QLabel[role="quiet"] { font-size: 12px; color: #9aa5ad; }
#MrsegDock QLabel[role="case"] { font-size: 16px; font-weight: 600; }
#MrsegDock QLabel[role="size"] { font-size: 16px; font-weight: 600; }
#MrsegDock QLabel[role="region"] { font-size: 13px; }
#MrsegDock QLabel[role="size"][estimated="true"], #MrsegDock QLabel[role="region"][estimated="true"] {
    color: #8b949b; font-style: italic; }
#MrsegDock QLabel[role="banner"] { font-size: 13px; padding: 7px 9px; border-radius: 5px;
    background: #1d3b2c; color: #d9f2e3; }
#MrsegDock QLabel[role="banner"][state="preview"] { background: #243b53; color: #d9e9fb; }
#MrsegDock QLabel[role="banner"][state="none"] { background: #343b45; color: #e4e8ec; }
#MrsegDock QLabel[role="banner"][state="stale"] { background: #7a4a00; color: #fff2da; font-weight: 600; }
#MrsegDock QLabel[role="error"] { padding: 7px 9px; border-radius: 5px; background: #7d1f2a; color: #ffe9ec; }
#MrsegDock QLabel[role="note"] { font-size: 12px; color: #e2c488; }
#MrsegDock QPushButton, #MrsegDock QToolButton {
    padding: 6px 7px; border-radius: 4px; background: #414b57; color: #f0f2f4; }
#MrsegDock QToolButton#save { padding-right: 24px; }
#MrsegDock QToolButton#save::menu-button { width: 20px; border-left: 1px solid #2a313a; }
#MrsegDock QPushButton:hover, #MrsegDock QToolButton:hover { background: #52606f; }
#MrsegDock QPushButton:disabled, #MrsegDock QToolButton:disabled { color: #7d868e; background: #333a43; }
#MrsegDock QPushButton#run { font-weight: 700; background: #1f6feb; color: white; }
#MrsegDock QPushButton#run:disabled { background: #3a4048; color: #8b949b; }
#MrsegDock QPushButton#run[running="true"] { background: #b3421f; }
#MrsegDock QCheckBox { spacing: 8px; }
#MrsegDock QCheckBox[role="modality"] { font-size: 15px; font-weight: 600; }
#MrsegDock QCheckBox[role="modality"]:disabled { color: #6b747c; font-weight: 400; }
#MrsegDock QProgressBar { min-height: 20px; max-height: 20px; text-align: center; border-radius: 4px; }
#MrsegDock QProgressBar::chunk { background: #1f6feb; border-radius: 4px; }
#MrsegDock QFrame[role="line"] { background: #4a5561; max-height: 1px; border: none; }
"""


def restyle(widget: QWidget, name: str, value: str) -> None:
    """Set a property that STYLE selects by. Qt looks at it again only when told to."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
