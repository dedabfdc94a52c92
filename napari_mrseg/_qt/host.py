"""What the dock's helpers need of it, so that they need not know the dock itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from napari.components import ViewerModel

from napari_mrseg._qt.layers import StudyLayers
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.panel import Panel
from napari_mrseg._qt.result import Result
from napari_mrseg._qt.runbar import RunBar
from napari_mrseg.session.state import Session


class Host(Protocol):
    """A widget that shows a session in a viewer, and says what went wrong."""

    viewer: ViewerModel
    session: Session
    overlay_style: OverlayStyle
    panel: Panel
    runbar: RunBar
    layers: StudyLayers
    result: Result
    opener: Any  # Opener and Worklist know this protocol, so it cannot know them
    worklist: Any
    imagining: Any
    compare_asked: Any  # a Qt signal

    @property
    def closed(self) -> bool: ...

    def open(self, paths: Sequence[str | Path], **options: Any) -> None: ...

    def show_now(self) -> None: ...

    def attempt(self, request: Callable[[], Any]) -> None: ...

    def toggle(self, name: str) -> None: ...

    def edit(self) -> None: ...

    def jump(self) -> None: ...

    def next_window(self) -> None: ...

    def next_view(self) -> None: ...

    def say(self, sentence: str) -> None: ...

    def hush(self) -> None: ...

    def later(self, work: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None: ...
