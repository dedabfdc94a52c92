"""Looks and small parts that the workbench's widgets share."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from qtpy.QtWidgets import QLabel, QPushButton

from napari_mrseg.compare.colours import cividis, hexed

# For style.follow_theme. The table keeps its dark paper in either theme: the colours of its cells are made for it.
PAPER = "#20252b"
WORKBENCH = """
#MrsegWorkbench QLabel, #MrsegWorkbench QCheckBox, #MrsegWorkbench QComboBox, #MrsegWorkbench QPushButton,
#MrsegWorkbench QToolButton, #MrsegWorkbench QDoubleSpinBox, #MrsegWorkbench QTableView,
#MrsegWorkbench QRadioButton { font-size: 13px; }
#MrsegWorkbench QTabBar::tab { font-size: 13px; padding: 5px 8px; }
#MrsegWorkbench QTabWidget::pane { border: none; }
#MrsegWorkbench QLabel[role="title"] { font-size: 12px; font-weight: 700; color: $title; }
#MrsegWorkbench QLabel[role="quiet"] { font-size: 12px; color: $quiet; }
#MrsegWorkbench QLabel[role="small"] { font-size: 12px; }
#MrsegWorkbench QLabel[role="warn"] { font-size: 13px; padding: 4px 7px; border-radius: 4px;
    background: #7a4a00; color: #fff2da; font-weight: 600; }
#MrsegWorkbench QTableView { background: #20252b; gridline-color: transparent; border: none;
    selection-background-color: transparent; outline: none; }
#MrsegWorkbench QTableView::item { border: none; padding: 0; }
#MrsegWorkbench QHeaderView { background: #20252b; border: none; }
#MrsegWorkbench QHeaderView::section { background: #2b3138; color: #dfe5ea; border: none; font-size: 12px;
    padding: 2px 1px; margin: 0 1px; }
#MrsegWorkbench QHeaderView[narrow="true"]::section { font-size: 10px; padding: 2px 0; }
#MrsegWorkbench QHeaderView::section:hover { background: #3b444e; }
#MrsegWorkbench QPushButton, #MrsegWorkbench QToolButton {
    padding: 4px 7px; border-radius: 4px; background: $button; color: $on_button; }
#MrsegWorkbench QPushButton:hover, #MrsegWorkbench QToolButton:hover { background: $hover; }
#MrsegWorkbench QPushButton:checked, #MrsegWorkbench QToolButton:checked { background: #1f6feb; color: white; }
#MrsegWorkbench QPushButton[with="yes"] { background: #1f6feb; color: white; }
#MrsegWorkbench QPushButton[with="no"] { background: #7a4a00; color: #fff2da; }
#MrsegWorkbench QPushButton:disabled, #MrsegWorkbench QToolButton:disabled {
    color: $on_disabled; background: $disabled; }
"""


def titled(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "title")
    return label


def quiet(text: str = "", wrap: bool = True) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "quiet")
    label.setWordWrap(wrap)
    return label


def button(text: str, tip: str, slot: Callable[[], None]) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda _=False: slot())
    return made


def wrapped(text: str) -> str:
    """A tooltip that breaks its lines."""
    return f"<qt>{escape(text)}</qt>".replace("\n", "<br>")


def scale_style() -> str:
    """Stylesheet background: the table's colour scale from 0 to 1."""
    stops = ", ".join(f"stop:{i / 8:g} {hexed(cividis(i / 8))}" for i in range(9))
    return f"background: qlineargradient(x1:0, y1:0, x2:1, y2:0, {stops}); border-radius: 2px;"
