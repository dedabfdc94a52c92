"""The fourth pane: the finding in 3-D within a faint head, in a canvas of its own beside the three planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt import QtViewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mrseg._qt.camera import CameraFit
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg._qt.reading import keep_depth

STEP_MM = (
    2.0  # between the voxels that are drawn: a pane needs no more, and without a GPU each of them counts
)
_PAUSE = 300  # ms after a change: planes and legend come first
_ANGLES = (-75.0, 25.0, 55.0)  # degrees of napari's camera: from the front, the right and above
Shown = Callable[[], tuple[Image | None, Labels | None]]
"""The scan and the result on screen."""


class VolumePane(QWidget):
    """Follows what ``shown`` gives, a moment later, on a coarser grid. Nothing can be painted here."""

    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self._shown = shown
        self._key: object = None
        self._kept: object = None
        self._scan: object = None  # whose voxels the head is made of
        self.model = ViewerModel(title="3-D", ndisplay=3)
        self.view = QtViewer(self.model)
        self.view.setAcceptDrops(False)
        keep_depth(self.view.canvas)
        self.letters, self.fit = OrientationLetters(self.model), CameraFit(self.model, lambda: 0)
        self._codes: tuple[str, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._draw)

    def follow(self, codes: Sequence[str]) -> None:
        """Another study, whose voxel axes grow towards ``codes``; none: nothing is shown."""
        self._codes, self._key, self._kept = tuple(codes), None, None
        if self.model.layers:
            with spared():
                self.model.layers.clear()
        self.letters.follow(())
        self.refresh()

    def refresh(self) -> None:
        """Look again at what is shown, in a moment."""
        if not self._timer.isActive():  # else what comes again and again would put it off for good
            self._timer.start()

    def close(self) -> bool:
        self._timer.stop()
        self.letters.close()
        self.fit.close()
        self.view.close()
        return bool(super().close())

    def _draw(self) -> None:
        scan, result = self._shown()
        if scan is None or result is None or not self._codes:
            return
        changes = result.metadata.get("mrseg", {}).get("changes")  # of a copy, whose array stays the same
        kept = scan.data, result.data, result.colormap
        key = (*map(id, kept), changes)
        if key == self._key:
            return
        self._key, self._kept = key, kept  # kept, so that no other object gets one of these ids
        steps = [max(1, round(STEP_MM / mm)) for mm in scan.scale]
        every = tuple(slice(None, None, step) for step in steps)
        scale = tuple(mm * step for mm, step in zip(scan.scale, steps, strict=True))
        labels = np.ascontiguousarray(np.asarray(result.data)[every])
        if not self.model.layers:
            self._scan = scan.data
            self._build(scan, np.ascontiguousarray(np.asarray(scan.data)[every]), labels, scale)
        head, found = self.model.layers
        found.data, found.colormap = labels, result.colormap
        if self._scan is not scan.data:
            self._scan = scan.data
            head.data = np.ascontiguousarray(np.asarray(scan.data)[every])
            head.contrast_limits = scan.contrast_limits

    def _build(self, scan: Image, data: Any, labels: Any, scale: tuple[float, ...]) -> None:
        common: dict[str, Any] = {"scale": scale, "units": scan.units}
        head = Image(
            data,
            name=scan.name,
            colormap="gray",
            contrast_limits=scan.contrast_limits,
            opacity=0.35,
            **common,
        )
        found = Labels(labels, name="finding", **common)
        for layer in (head, found):
            self.model.add_layer(layer)
            draw_quickly(self.model, layer, self.view.canvas)
        found.editable = False
        self.letters.follow([head], self._codes)
        self.model.scene.camera.angles = _ANGLES
        self.fit.follow(head)
