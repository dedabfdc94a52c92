"""Shorter rays, the same picture: each is held against napari's own drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari import Viewer
from napari.layers import Image, Labels
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from napari_mrseg._qt.layer_making import label_colours
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg.tasks import BRATS

SHAPE = (30, 44, 52)
Picture = np.ndarray[Any, Any]


def ball(centre: tuple[float, float, float], radius: float) -> Picture:
    """Voxels within ``radius`` of ``centre``."""
    away = [(np.arange(n) - c) ** 2 for n, c in zip(SHAPE, centre, strict=True)]
    i, p, l = np.meshgrid(*away, indexing="ij")  # noqa: E741
    return np.sqrt(i + p + l) < radius


def head() -> Picture:
    """A head off the middle, on air; brighter to one side, which also tells which way round it lies."""
    bright = np.linspace(50, 100, SHAPE[2], dtype=np.float32)
    return (ball((12, 18, 24), 11) * bright).astype(np.float32)


def tumour(centre: tuple[float, float, float] = (10, 12, 20)) -> Picture:
    return np.where(ball(centre, 3), 1, 2 * ball(centre, 5)).astype(np.uint8)


class Shown:
    """A viewer in 3-D with nothing but a head and a tumour, drawn napari's way or ours."""

    def __init__(self, viewer: Viewer, quickly: bool) -> None:
        viewer.layers.clear()
        viewer.dims.ndisplay = 2
        viewer.dims.order = (0, 1, 2)
        self.viewer = viewer
        self.image = viewer.add_layer(Image(head(), contrast_limits=(0, 110)))
        self.labels = viewer.add_layer(Labels(tumour(), colormap=label_colours(BRATS)))
        if quickly:
            draw_quickly(viewer, self.image)
            draw_quickly(viewer, self.labels)
        viewer.dims.ndisplay = 3
        viewer.reset_view()
        viewer.scene.camera.angles = (20, 30, 60)

    def picture(self) -> Picture:
        QApplication.processEvents()
        return self.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


Change = Callable[[Shown], object]


def new_labels(shown: Shown) -> None:
    shown.picture()
    shown.labels.data = tumour((18, 24, 30))


def there_and_back(shown: Shown) -> None:
    shown.picture()
    shown.viewer.dims.ndisplay = 2
    shown.picture()
    shown.viewer.dims.ndisplay = 3


CHANGES: dict[str, Change] = {
    "as opened": lambda shown: None,
    "axes in another order": lambda shown: setattr(shown.viewer.dims, "order", (2, 0, 1)),
    "other labels": new_labels,
    "other labels in 2-D": lambda shown: (setattr(shown.viewer.dims, "ndisplay", 2), new_labels(shown),
                                          setattr(shown.viewer.dims, "ndisplay", 3)),
    "to 2-D and back": there_and_back,
    "a label hidden": lambda shown: setattr(shown.labels, "colormap", label_colours(BRATS, hidden=(2,))),
    "no labels": lambda shown: setattr(shown.labels, "data", np.zeros(SHAPE, np.uint8)),
    "other colours": lambda shown: setattr(shown.labels, "colormap", label_colours(BRATS, estimated=(1, 2))),
    "labels translucent": lambda shown: setattr(shown.labels, "rendering", "translucent"),
    "smooth surface": lambda shown: setattr(shown.labels, "iso_gradient_mode", "smooth"),
    "mean of the image": lambda shown: setattr(shown.image, "rendering", "average"),
    "labels alone": lambda shown: setattr(shown.image, "visible", False),
    "from within": lambda shown: setattr(shown.viewer.scene.camera, "zoom", 60),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_picture_is_naparis_own(one_viewer: Viewer, qtbot: QtBot, change: str) -> None:
    """Whatever is changed, our picture is the one napari draws, but for single pixels along edges."""
    viewer = one_viewer
    if viewer.window._qt_window.width() != 700:
        viewer.window.resize(700, 600)
        qtbot.wait(300)  # for its new size
    pictures = []
    for quickly in (False, True):
        shown = Shown(viewer, quickly)
        CHANGES[change](shown)
        pictures.append(shown.picture())
    theirs, ours = pictures
    assert theirs.max() > 60 or change == "from within"
    differ = np.abs(theirs - ours).max(axis=-1)
    assert differ.mean() < 1
    assert (differ > 30).mean() < 0.01
