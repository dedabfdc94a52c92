"""Where the dock scrolls: what is shown anew comes into sight."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import QPoint, QTimer, Signal
from qtpy.QtWidgets import QScrollArea, QWidget


class Scroll(QScrollArea):
    """Tells how many pixels of what it holds can be seen."""

    seen = Signal(int)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.seen.emit(self.viewport().height())


def bring_into_sight(widget: QWidget, head: QWidget | None = None) -> None:
    """Scroll to ``widget``, once it is laid out; where not all of it has room, to ``head`` within it, or its top."""
    place = widget.parentWidget()
    while place is not None and not isinstance(place, QScrollArea):
        place = place.parentWidget()
    if not isinstance(place, QScrollArea):
        return
    area = place

    def scroll() -> None:
        with suppress(RuntimeError):  # the window was closed
            if widget.height() <= area.viewport().height():
                area.ensureWidgetVisible(widget, 0, 0)
            elif (inner := area.widget()) is not None:
                area.verticalScrollBar().setValue((head or widget).mapTo(inner, QPoint(0, 0)).y())

    QTimer.singleShot(0, scroll)
