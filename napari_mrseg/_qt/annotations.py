"""What is on screen, written on the canvas itself, so that no picture of it is unlabelled."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay

from napari_mrseg._qt.style import GROUND
from napari_mrseg.session import Session

_FIRST = 10**5  # in napari's order of overlays at one place: above the letter, which has 10**6
_SPACER = "mrseg-spacer"
_FONT = 9
_CAPITAL, _DIGIT, _OTHER = 12.0, 8.4, 7.6  # pixels of a character at that size
_LINE = 19  # pixels
_MARGIN = 16  # pixels, at each side


class Annotation:
    """Keeps napari's text overlay in step: a strip across the top, which the camera leaves free (:mod:`fit`).

    ``words`` gives the parts of the line. While ``ready`` says no, the window does not yet show the session's study,
    and the line stays as it is.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        words: Callable[[], list[str]] = list,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._viewer, self._session, self._words, self._ready = viewer, session, words, ready
        self._overlay = viewer.canvas.overlays.text
        fields = "text", "visible", "position", "font_size", "color", "box_color"
        self._before = {name: getattr(self._overlay, name) for name in fields}
        self._shown: dict[str, object] = {}
        self._overlay.position = "top_left"
        self._overlay.font_size = _FONT
        self._overlay.box_color = GROUND
        # As high as the words and first at the middle of the top: the letter there lies below the words.
        self._spacer = TextOverlay(
            position="top_center", font_size=_FONT, order=_FIRST, box=False, visible=True
        )
        viewer.canvas.overlays[_SPACER] = self._spacer
        viewer.canvas.events.size.connect(self.refresh)

    @property
    def height(self) -> int:
        """Pixels that the words take, for the camera."""
        return _LINE * (1 + str(self._overlay.text).count("\n")) + _MARGIN if self._overlay.visible else 0

    def refresh(self, event: object = None, *, now: bool = False) -> None:
        """``now``: whether the window is ready or not."""
        if not now and not self._ready():
            return
        session, overlay, study = self._session, self._overlay, self._session.study
        width = float(self._viewer.canvas.size[1]) - 2 * _MARGIN
        parts = [*([] if study is None else [study.case]), *self._words()]
        looks: dict[str, object] = {
            "color": "#ffb74d" if session.stale else "#f2f5f7",
            "text": "\n".join(_lines(parts, width)),
            "visible": True,
        }
        changed = {name: value for name, value in looks.items() if self._shown.get(name) != value}
        rows = str(self._shown.get("text", "")).count("\n")
        now = str(looks["text"]).count("\n")
        same_room = bool(self._shown) and rows == now
        if not same_room:
            self._spacer.text = "\n".join([" "] * (now + 1))
        with self._places_kept() if same_room else nullcontext():
            for name, value in changed.items():  # each assignment redraws the canvas
                setattr(overlay, name, value)
        self._shown = looks

    def _places_kept(self) -> AbstractContextManager[Any]:
        """Within it napari does not place all overlays anew, which costs a second frame: ours keeps its corner."""
        return self._viewer.canvas.events._overlay_positions_changed.blocker()

    def close(self) -> None:
        self._viewer.canvas.events.size.disconnect(self.refresh)
        self._viewer.canvas.overlays.pop(_SPACER, None)
        for name, value in self._before.items():
            setattr(self._overlay, name, value)


def _pixels(text: str) -> float:
    return sum(_CAPITAL if c.isupper() else _DIGIT if c.isdigit() else _OTHER for c in text)


def _lines(parts: list[str], width: float) -> list[str]:
    """As few lines of ``width`` pixels as hold all parts, broken between parts where possible."""
    most = max(20, int(width / (_CAPITAL + _OTHER) * 2))
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if _pixels(joined) <= width:
            lines[-1] = joined
        else:
            lines += textwrap.wrap(part, most) or [""]
    return [line for line in lines if line]
