"""What is on screen, written on the canvas itself, so that no picture of it is unlabelled."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from napari.components import ViewerModel

from napari_mrseg._qt.style import GROUND
from napari_mrseg.session import Session

_FONT = 9
_WIDTH = 0.44  # of the canvas; the letter at the top stays free
_CHARACTER = 8.6  # pixels, of the mean one


class Annotation:
    """Keeps napari's text overlay in step with the session; ``marks`` says what only the canvas knows."""

    def __init__(self, viewer: ViewerModel, session: Session, marks: Callable[[], list[str]] = list) -> None:
        self._viewer, self._session, self._marks = viewer, session, marks
        self._overlay = viewer.canvas.overlays.text
        fields = "text", "visible", "position", "font_size", "color", "box_color"
        self._before = {name: getattr(self._overlay, name) for name in fields}
        self._shown: dict[str, object] = {}
        self._overlay.position = "top_left"
        self._overlay.font_size = _FONT
        self._overlay.box_color = GROUND
        viewer.canvas.events.size.connect(self.refresh)

    def refresh(self, event: object = None) -> None:
        session, overlay, study = self._session, self._overlay, self._session.study
        width = max(24, int(float(self._viewer.canvas.size[1]) * _WIDTH / _CHARACTER))
        lines: list[str] = [] if study is None else [study.case]
        for part in [*self._marks(), *session.describe().split(" · ")]:
            lines += textwrap.wrap(part, width, subsequent_indent="   ") or [""]
        looks: dict[str, object] = {
            "color": "#ffb74d" if session.stale else "#f2f5f7",
            "text": "\n".join(lines),
            "visible": True,
        }
        changed = {name: value for name, value in looks.items() if self._shown.get(name) != value}
        with self._places_kept() if self._shown else nullcontext():
            for name, value in changed.items():  # each assignment redraws the canvas
                setattr(overlay, name, value)
        self._shown = looks

    def _places_kept(self) -> AbstractContextManager[Any]:
        """Within it napari does not place all overlays anew, which costs a second frame: ours keeps its corner."""
        return self._viewer.canvas.events._overlay_positions_changed.blocker()

    def close(self) -> None:
        self._viewer.canvas.events.size.disconnect(self.refresh)
        for name, value in self._before.items():
            setattr(self._overlay, name, value)
