"""The three planes: their names on the slice slider, and rolling from one to the next without turning the head."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_mrseg.tasks import Task

# Of arrays in the order I, P, L: the plane that the slider of each axis goes through.
NAMES = ("axial", "coronal", "sagittal")
FRAMES = ("frame", "row", "column")  # of images
_NEXT = {0: 2, 2: 1, 1: 0}  # napari's own direction: axial, sagittal, coronal


class Planes:
    """While it is there, rolled axes keep rows running down and columns to the left of the patient."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._order = tuple(viewer.dims.order)
        viewer.dims.events.order.connect(self._turned)

    def name(self, task: Task) -> None:
        """Label the sliders, once a study's layers are there."""
        labels = list(self._viewer.dims.axis_labels)
        if len(labels) >= len(NAMES):
            names = NAMES if task.ndim == 3 else FRAMES
            self._viewer.dims.axis_labels = (*labels[: -len(NAMES)], *names)

    def close(self) -> None:
        self._viewer.dims.events.order.disconnect(self._turned)

    def _turned(self, event: Any = None) -> None:
        """napari rolls the axes one by one, which would lay every second coronal plane on its side."""
        before, order = self._order, tuple(self._viewer.dims.order)
        self._order = order
        rolled = tuple(int(axis) for axis in np.roll(before, 1))
        if len(order) != 3 or len(before) != 3 or order != rolled:
            return  # transposed, or set otherwise: as the user wants it
        first = _NEXT[before[0]]
        upright = (first, *sorted({0, 1, 2} - {first}))
        if upright != order:
            self._viewer.dims.order = upright
