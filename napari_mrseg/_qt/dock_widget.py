"""The dock widget that napari puts around a widget of ours, and the window it is docked in."""

from __future__ import annotations

from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


def dock_widget_of(widget: QWidget) -> tuple[QDockWidget | None, QMainWindow | None]:
    """Both None while ``widget`` stands alone."""
    holder = widget.parentWidget()
    while holder is not None and not isinstance(holder, QDockWidget):
        holder = holder.parentWidget()
    window = None if holder is None else holder.parentWidget()
    return holder, window if isinstance(window, QMainWindow) else None
