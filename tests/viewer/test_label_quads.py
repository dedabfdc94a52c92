"""Labels drawn only where there are some, the same picture: each is held against napari's own drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari import Viewer
from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication

from napari_mrseg._qt.label_quads import content_part
from napari_mrseg._qt.layer_making import label_colours
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg.tasks import BRATS

SHAPE = (12, 40, 60)
Picture = np.ndarray[Any, Any]


def tumour(start: int) -> Picture:
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, start : start + 9, start + 3 : start + 20] = 2
    labels[4:8, start + 2 : start + 5, start + 6 : start + 12] = 3
    return labels


CHANGES: dict[str, Callable[[Viewer, Labels], object]] = {
    "as opened": lambda viewer, labels: None,
    "other labels": lambda viewer, labels: setattr(labels, "data", tumour(25)),
    "no labels": lambda viewer, labels: setattr(labels, "data", np.zeros(SHAPE, np.uint8)),
    "labels up to the border": lambda viewer, labels: setattr(labels, "data", np.full(SHAPE, 1, np.uint8)),
    "another slice": lambda viewer, labels: viewer.dims.set_point(0, 4),
    "a slice without labels": lambda viewer, labels: viewer.dims.set_point(0, 0),
    "another plane": lambda viewer, labels: viewer.dims.roll(),
    "an outline": lambda viewer, labels: setattr(labels, "contour", 1),
    "a label hidden": lambda viewer, labels: setattr(labels, "colormap", label_colours(BRATS, hidden=(2,))),
    "an outline of what is left": lambda viewer, labels: (
        setattr(labels, "colormap", label_colours(BRATS, hidden=(2,))), setattr(labels, "contour", 2)),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_picture_is_naparis_own(one_viewer: Viewer, change: str) -> None:
    """Whatever is changed, every pixel is the one that napari draws."""
    viewer, pictures = one_viewer, []
    for quickly in (False, True):
        viewer.layers.clear()
        viewer.dims.order = (0, 1, 2)
        grey = np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32), SHAPE).copy()
        viewer.add_layer(Image(grey, contrast_limits=(0, 80)))
        labels = viewer.add_layer(Labels(tumour(5), colormap=label_colours(BRATS)))
        if quickly:
            draw_quickly(viewer, labels)
        viewer.dims.set_point(0, 6)
        viewer.reset_view()
        viewer.screenshot(flash=False)
        CHANGES[change](viewer, labels)
        QApplication.processEvents()
        pictures.append(viewer.screenshot(flash=False))
    assert pictures[0].std() > 0
    np.testing.assert_array_equal(*pictures)


def test_the_part_holds_every_label_and_no_more() -> None:
    """Corners are fractions of width and height; without labels the part has no extent."""
    labels = np.zeros((10, 20), np.uint8)
    assert not content_part(labels).any()
    labels[2, 4] = labels[5, 9] = 1
    part = content_part(labels)
    assert part.shape == (6, 2)
    np.testing.assert_allclose([part.min(axis=0), part.max(axis=0)], [(4 / 20, 2 / 10), (10 / 20, 6 / 10)])
