"""Keys, bound in code on the viewer: napari ignores a manifest's. None of them is one of napari's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host


class Keys:
    """Alt+1..n switch modalities, Alt+0 the overlay; Alt+O outline or fill, Alt+J largest finding, Alt+R window and
    level, Alt+M comparison."""

    def __init__(self, dock: Host) -> None:
        self._viewer = dock.viewer
        self._bound: list[str] = []
        for number, modality in enumerate(dock.session.task.modalities, start=1):
            self._bind(f"Alt-{number}", partial(dock.toggle, modality.name))
        look = dock.look
        self._bind("Alt-0", lambda: setattr(look, "visible", not look.visible))
        self._bind("Alt-O", lambda: setattr(look, "outline", not look.outline))
        self._bind("Alt-J", dock.jump)
        self._bind("Alt-R", dock.next_window)
        self._bind("Alt-M", dock.compare_asked.emit)

    def close(self) -> None:
        for key in self._bound:
            self._viewer.bind_key(key, None)
        self._bound.clear()

    def _bind(self, key: str, act: Callable[[], Any]) -> None:
        def pressed(viewer: Any) -> None:
            act()

        self._viewer.bind_key(key, pressed, overwrite=True)
        self._bound.append(key)
