"""What is on screen, written on the canvas itself, so that no picture of it is unlabelled.

Where a canvas is small (four panes, side by side, beside the comparison) it has a part of it, and a strip across the
window all: no word lies on the anatomy.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMainWindow, QSizePolicy, QToolBar

from napari_mrseg._qt.reading import window_of
from napari_mrseg._qt.result import UNCHANGED
from napari_mrseg._qt.style import GROUND
from napari_mrseg._qt.text_labels import ElidedLabel
from napari_mrseg._qt.word_box import keep_shader
from napari_mrseg.compare.trust import MARKS
from napari_mrseg.session.state import Session

_FIRST = 10**5  # in napari's order of overlays at one place: above the letter, which has 10**6
_SPACER = "mrseg-spacer"
_FONT = 9  # points
# In a canvas lower than so many pixels the words stand in the corner, beside the letter, in so many points.
_CORNERS = ((240, 6), (300, 7), (360, 8))
_CAPITAL, _DIGIT, _OTHER = 12.0, 8.4, 7.6  # pixels of a character at the usual size
_LINE = 19  # pixels of a line at that size
_MARGIN = 16  # pixels, at each side
_ABOVE = 10  # pixels above and below the words
_CORNER = 0.4  # of the width of such a canvas
_NARROW = 420  # pixels of a canvas in which all words would take many lines
_LOW = 480  # pixels of a canvas in which more than a line would lie on the head, or make it small
# What a short line leaves to the strip.
_IN_STRIP = ("model ", "final at ")
_TIMED = re.compile(r", \d+\.\d s$")
_MARKED = tuple(MARKS.values())


class Annotation:
    """Keeps napari's text overlay in step: a strip across the top, which the camera leaves free (:mod:`.camera`).

    ``words`` gives the parts of the line. While ``ready`` says no, the window does not yet show the session's study,
    and the line stays as it is. ``brief``: reasons for which the canvas has little room, by name.
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
        self.brief: set[str] = set()
        self._said, self._stripped, self._closed = "", False, False
        self._in_corner = self._shader_kept = False
        self._strip: _Strip | None = None
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
        lines = 1 + str(self._overlay.text).count("\n")
        if self._in_corner or not self._overlay.visible:
            return 0
        return _LINE * lines + _ABOVE

    def refresh(self, event: object = None, *, now: bool = False) -> None:
        """``now``: whether the window is ready or not."""
        if not now and not self._ready():
            return
        session, overlay, study = self._session, self._overlay, self._session.study
        height = float(self._viewer.canvas.size[0])
        if height < _LOW:
            self.brief.add("low")
        elif height > _LOW + 2 * _LINE + _MARGIN:  # the strip itself takes some of it
            self.brief.discard("low")
        width = float(self._viewer.canvas.size[1])
        (self.brief.add if width < _NARROW else self.brief.discard)("narrow")
        points = next((small for low, small in _CORNERS if 0 < height < low), _FONT)
        self._in_corner = points != _FONT
        self._size_words(points)
        parts = [*([] if study is None else [study.case]), *self._words()]
        self._show_strip(parts)
        if self._in_corner:
            parts = [p.removeprefix(f"{UNCHANGED}: ").replace(" + ", "+") for p in brief(parts)]
            lines = in_lines(parts, _CORNER * width * _FONT / points)
        else:
            lines = in_lines(brief(parts) if self.brief else parts, width - 2 * _MARGIN)
        style: dict[str, object] = {
            "color": "#ffb74d" if session.stale else "#f2f5f7",
            "text": "\n".join(lines),
            "visible": True,
        }
        changed = {name: value for name, value in style.items() if self._shown.get(name) != value}
        before = str(self._shown.get("text", "")).count("\n")
        breaks = str(style["text"]).count("\n")
        same_room = bool(self._shown) and before == breaks
        if not same_room:
            self._spacer.text = "\n".join([" "] * (breaks + 1))
        if self._spacer.visible == self._in_corner:
            self._spacer.visible = not self._in_corner
        with self._places_kept() if same_room else nullcontext():
            for name, value in changed.items():  # each assignment redraws the canvas
                setattr(overlay, name, value)
        self._shown = style
        self._shader_kept = self._shader_kept or keep_shader(self._viewer, overlay)

    def _size_words(self, points: int) -> None:
        for overlay in (self._overlay, self._spacer):
            if overlay.font_size != points:
                overlay.font_size = points

    def _places_kept(self) -> AbstractContextManager[Any]:
        """Within it napari does not place all overlays anew, which costs a second frame: ours keeps its corner."""
        return self._viewer.canvas.events._overlay_positions_changed.blocker()

    def make_brief(self, why: str, on: bool) -> None:
        """The least on the canvas, and a strip with all, while there is any reason for it."""
        (self.brief.add if on else self.brief.discard)(why)
        self.refresh()

    def _show_strip(self, parts: list[str]) -> None:
        self._said = " · ".join(parts)
        if self._strip is not None:
            with suppress(RuntimeError):  # the window was closed
                self._strip.words.setText(self._said)
        if bool(self.brief) != self._stripped:
            self._stripped = bool(self.brief)
            # Later: it changes the canvas's size, of which we may just be hearing.
            QTimer.singleShot(0, self._place_strip)

    def _place_strip(self) -> None:
        with suppress(RuntimeError):  # the window was closed
            if self.brief and self._strip is None and not self._closed:
                self._strip = _strip_in(self._viewer)
            if self._strip is not None:
                self._strip.words.setText(self._said)
                self._strip.setVisible(bool(self.brief))

    def close(self) -> None:
        self._closed = True
        self.brief.clear()
        if self._strip is not None:
            with suppress(RuntimeError):
                self._strip.deleteLater()
            self._strip = None
        self._viewer.canvas.events.size.disconnect(self.refresh)
        self._viewer.canvas.overlays.pop(_SPACER, None)
        for name, value in self._before.items():
            setattr(self._overlay, name, value)


class _Strip(QToolBar):
    """A line across the window, above canvases and docks."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__("MRSeg: what is on screen", window)
        self.setObjectName("MrsegStrip")
        self.setMovable(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.setStyleSheet("QToolBar { border: none; padding: 0; spacing: 0; background: #000000; }")
        self.words = ElidedLabel("strip")
        self.words.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.words.setMinimumWidth(100)
        self.words.setStyleSheet("font-size: 12px; color: #f2f5f7; background: #000000; padding: 3px 10px;")
        self.addWidget(self.words)
        window.addToolBar(Qt.ToolBarArea.TopToolBarArea, self)


def _strip_in(viewer: Any) -> _Strip | None:
    """In the viewer's window; None without one."""
    window = window_of(viewer)
    return None if window is None else _Strip(window)


def shortened(parts: list[str]) -> list[str]:
    """Without the model, the seconds, and the number of the combination."""
    kept = [p for p in parts if not p.startswith(_IN_STRIP) and not _TIMED.search(p)]
    kept = [p.partition(": ")[2] if p.startswith("combination ") else p for p in kept]
    return [p for p in kept if p]


def brief(parts: list[str]) -> list[str]:
    """The parts that a picture must not go without: whose it is (the first), its marks, its scans, its use."""
    kept = [p.removesuffix(f" of {parts[0]}") for p in shortened(parts)]
    return [p.partition(":")[0] if p.startswith(_MARKED) else p for p in kept]


def _pixels(text: str) -> float:
    return sum(_CAPITAL if c.isupper() else _DIGIT if c.isdigit() else _OTHER for c in text)


def in_lines(parts: list[str], width: float) -> list[str]:
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
