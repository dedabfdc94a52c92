"""How napari draws our labels in 2-D: the part of the slice that holds some, not the air around it.

Without a GPU every pixel is paid for, also where nothing is drawn. The picture stays the same. What is used of napari
and vispy without a public way lies in this module alone; ``tests/viewer/test_label_quads.py`` compares the pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]])  # of two triangles


def follow_content(visual: Any, layer: Labels) -> None:
    """Draw no more of ``layer`` than holds labels. They may be replaced, but not painted in."""
    node = visual._layer_node._image_node

    def build() -> None:
        part = content_part(node._data)
        node._subdiv_position.set_data((part * node.size).astype(np.float32))
        node._subdiv_texcoord.set_data(part.astype(np.float32))
        node._need_vertex_update = False

    def follow(event: Any = None) -> None:
        node._need_vertex_update = True

    node.unfreeze()
    node._build_vertex_data = build
    node.freeze()
    layer.events.set_data.connect(follow)
    follow()


def content_part(labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Corners of the rectangle that holds all of ``labels`` (row, column), as fractions of (width, height): (6, 2)."""
    low, high = np.zeros(2), np.zeros(2)
    for axis, size in enumerate(labels.shape[1::-1]):
        (there,) = np.nonzero((labels != 0).any(axis=axis))
        if there.size:
            low[axis], high[axis] = there[0] / size, (there[-1] + 1) / size
    return low + _CORNERS * (high - low)
