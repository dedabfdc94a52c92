"""In a napari window without our dock: the letters and a hint beside what the reader opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QObject

from napari_mrseg._qt.about import about_of, paths_of
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.style import GROUND
from napari_mrseg.display import RESEARCH_USE

_HINT = "To segment this study: Plugins → MRSeg → MRSeg"


class ReaderHints(QObject):
    """Lives as long as the window, or until the dock opens and says more."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer.window._qt_window)
        self._viewer = viewer
        self._letters = OrientationLetters(viewer)
        self._text = viewer.canvas.overlays.text
        viewer.layers.events.inserted.connect(self._follow)
        viewer.layers.events.removed.connect(self._follow)

    def _follow(self, event: Any = None) -> None:
        ours = [la for la in self._viewer.layers if isinstance(la, Image) and _about(la).get("axes")]
        axes = {tuple(_about(layer)["axes"]) for layer in ours}
        self._letters.follow(ours if len(axes) == 1 else (), next(iter(axes), ()))
        if ours:
            self._text.position, self._text.font_size, self._text.box_color = "top_left", 9, GROUND
            self._text.color = "#f2f5f7"
            self._text.text = f"{_about(ours[-1])['case']}\n{_HINT}\n{RESEARCH_USE}"
        self._text.visible = bool(ours)

    def close(self) -> None:
        self._viewer.layers.events.inserted.disconnect(self._follow)
        self._viewer.layers.events.removed.disconnect(self._follow)
        self._letters.close()
        self._text.visible = False
        self.setParent(None)
        self.deleteLater()


def accompany(viewer: Viewer) -> None:
    """Have one in ``viewer``."""
    if _there(viewer) is None:
        ReaderHints(viewer)


def dismiss(viewer: Any) -> None:
    """Take it away, if it is there: the dock says more."""
    found = _there(viewer)
    if found is not None:
        found.close()


def _there(viewer: Any) -> ReaderHints | None:
    window = getattr(viewer, "window", None)  # a ViewerModel has none
    found: Sequence[ReaderHints] = () if window is None else window._qt_window.findChildren(ReaderHints)
    return next(iter(found), None)


def _about(layer: Any) -> dict[str, Any]:
    """What our reader wrote; nothing of a layer that uses our name for something else."""
    about = about_of(layer)
    return dict(about) if paths_of(layer) and "case" in about else {}
