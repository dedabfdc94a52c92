"""The ground behind words on the canvas: vispy would build its shader anew whenever the words change their width.

That takes longer than drawing them. vispy has no public way to this: what is used of it lies in this module alone, and
``tests/viewer/test_word_box.py`` looks at the pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay

_BY_CORNER = 2  # dimensions of an array of colours; a colour for the whole has one


def keep_shader(viewer: ViewerModel, overlay: TextOverlay) -> bool:
    """Keep the shader of ``overlay``'s box from now on. False while napari has not drawn the overlay yet."""
    window = getattr(viewer, "window", None)  # a ViewerModel draws nothing
    drawn = [] if window is None else window._qt_viewer.canvas._viewer_overlay_to_visual.get(overlay, [])
    for visual in drawn:
        _keep(visual.box._mesh)
    return bool(drawn)


def _keep(mesh: Any) -> None:
    build = mesh._build_color_transform
    kept = build(np.zeros(4, np.float32))

    def same(colours: np.ndarray[Any, Any]) -> Any:
        return kept if colours.ndim < _BY_CORNER else build(colours)

    mesh._build_color_transform = same
