"""The box that rays are cast through holds everything that can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_mrseg._qt.rays import content_box, draw_quickly


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_box_holds_what_rises_above_the_background(dtype: type) -> None:
    """One voxel more on each side, as far as there is one; fractions of the shape, axis by axis."""
    data = np.zeros((10, 20, 40), dtype)
    if dtype is np.float32:
        data -= 5
    data[3:6, 0, 39] = 1
    assert content_box(data) == pytest.approx(np.array([[2 / 10, 7 / 10], [0, 2 / 20], [38 / 40, 1]]))


def test_nothing_to_see_is_an_empty_box() -> None:
    """An empty label map, or an image of one value, has no extent."""
    assert not content_box(np.zeros((4, 5, 6), np.uint8)).any()
    assert not content_box(np.full((4, 5, 6), 7, np.float32)).any()


def test_without_a_window_nothing_is_done() -> None:
    """A viewer model draws nothing, so there is nothing to quicken: nobody listens to the layer who did not before."""
    viewer = ViewerModel()
    layer = viewer.add_layer(Labels(np.ones((4, 5, 6), np.uint8)))
    events = (layer.events.data, layer.events.set_data, layer.events.rendering)
    before = [tuple(event.callbacks) for event in events]
    draw_quickly(viewer, layer)
    assert [tuple(event.callbacks) for event in events] == before
