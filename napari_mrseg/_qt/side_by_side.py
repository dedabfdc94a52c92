"""Side by side: beside the picture a second one of the same place, of another result or another scan, in step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.layers import Image, Labels
from napari.qt import QtViewer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from napari_mrseg._qt.annotations import in_lines
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.reading import keep_depth, window_of
from napari_mrseg._qt.style import GROUND
from napari_mrseg._qt.window_level import WindowLevel
from napari_mrseg.compare.trust import judge
from napari_mrseg.display import RESEARCH_USE, estimated_codes, image_title, titles
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Combination

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

REFERENCE: Literal["reference"] = "reference"
Result = Combination | Literal["reference", ""]  # "": the scan alone


class SideBySide:
    """Puts a second canvas on the right of the first, and takes it away. ``changed``: called with whether it is there.

    Both show the same plane at the same place and zoom, whichever of them is moved.
    """

    def __init__(self, dock: Host, changed: Callable[[bool], None] = lambda _: None) -> None:
        self._dock, self._changed = dock, changed
        self._pane: _Pane | None = None
        self._splitter: QSplitter | None = None

    @property
    def shown(self) -> bool:
        return self._pane is not None

    @property
    def pane(self) -> _Pane | None:
        return self._pane

    def toggle(self) -> None:
        """Show or hide it. Raises InputError while nothing is open."""
        if self.shown:
            self.close()
            return
        window = window_of(self._dock.viewer)
        if self._dock.session.study is None or window is None:
            raise InputError("There is nothing to show side by side yet; open a study first.")
        layout = window.centralWidget().layout()
        canvas = self._canvas(window)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        place = layout.indexOf(canvas)
        layout.insertWidget(place, splitter)  # in the window first: the canvas must not leave it
        splitter.addWidget(canvas)
        self._splitter = splitter
        self._pane = _Pane(self._dock)
        splitter.addWidget(self._pane)
        splitter.setChildrenCollapsible(False)
        for at in (0, 1):
            splitter.setStretchFactor(at, 1)
        half = max(1, splitter.width() // 2)
        splitter.setSizes([half, half])
        self._changed(True)

    def refresh(self) -> None:
        """The session shows something else."""
        if self._pane is not None:
            self._pane.refresh()

    def close(self) -> None:
        pane, self._pane = self._pane, None
        splitter, self._splitter = self._splitter, None
        if pane is None or splitter is None:
            return
        with suppress(RuntimeError):  # the window closed, and Qt has taken its parts away
            pane.close()
            layout = splitter.parentWidget().layout()
            layout.insertWidget(layout.indexOf(splitter), splitter.widget(0))
            splitter.setParent(None)
            splitter.deleteLater()
        self._changed(False)

    @staticmethod
    def _canvas(window: Any) -> QWidget:
        """What lies in the middle of the window: napari's canvas, or the planes around it."""
        found: QWidget = window._qt_viewer
        while found.parentWidget() is not window.centralWidget():
            found = found.parentWidget()
        return found


class _Pane(QWidget):
    """A canvas with its own choice of scan and result below it, in step with the viewer's."""

    def __init__(self, dock: Host) -> None:
        super().__init__()
        self._dock, self._main = dock, dock.viewer
        self._study = ""  # whose choices are offered
        self._drawn = ""  # whose layers these are
        self._linking = False
        self.scan, self.result = QComboBox(), QComboBox()
        self.scan.setAccessibleName("Scan on the right")
        self.result.setAccessibleName("Result on the right")
        self.scan.setToolTip("The scan on the right")
        self.result.setToolTip("The result on the right: another combination's, or the reference")
        row = QHBoxLayout()
        row.setContentsMargins(4, 0, 4, 0)
        for widget, stretch in ((QLabel("right:"), 0), (self.scan, 1), (self.result, 2)):
            row.addWidget(widget, stretch)
        for combo in (self.scan, self.result):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(4)
            combo.setFixedHeight(max(20, dock.viewer.window._qt_viewer.dims.height()))
            combo.activated.connect(lambda _: self.refresh())
        self.model = ViewerModel(title="side by side")
        self.view = QtViewer(self.model)
        self.view.setAcceptDrops(False)
        for canvas in (self.view.canvas, dock.viewer.window._qt_viewer.canvas):
            keep_depth(canvas)
        self.view.dims.hide()  # the one slider moves both
        self.letters = OrientationLetters(self.model)
        self.window_level = WindowLevel(
            self.model, lambda: [la for la in self.model.layers if isinstance(la, Image)]
        )
        self.words = self.model.canvas.overlays.text
        self.words.position, self.words.font_size, self.words.box_color = "top_left", 9, GROUND
        self.words.color, self.words.visible = "#f2f5f7", True
        self._spacer = TextOverlay(position="top_center", font_size=9, order=10**5, box=False, visible=True)
        self.model.canvas.overlays["mrseg-spacer"] = self._spacer  # the letter there lies below the words
        self.model.keymap.update(dock.viewer.keymap)  # the canvas under the pointer has the keys
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view, 1)
        column.addLayout(row)  # as high as the slider under the other: both pictures are as high
        self._links = self._link()
        self.model.canvas.events.size.connect(self._resized)
        self.refresh()

    def refresh(self) -> None:
        """Offer what there is, and show what is chosen of it."""
        session = self._dock.session
        study, task = session.study, session.task
        if study is None:
            self._clear()
            self.words.text, self._study, self._drawn = "", "", ""
            return
        results: list[tuple[str, Result]] = [("scan alone", "")]
        if study.reference is not None:
            results.append(("reference", REFERENCE))
        done = session.predictions
        results += [(titles(task, c), c) for c in session.combinations]
        another = session.subject != self._study
        self._study = session.subject
        _offer(self.scan, [(image_title(study, name), name) for name in study.present])
        _offer(self.result, results)
        if another:
            first = next((c for c in session.combinations if c != session.combination), session.combination)
            chosen: Result = REFERENCE if study.reference is not None else first
            self.result.setCurrentIndex(next(i for i, (_, data) in enumerate(results) if data == chosen))
        scan, result = str(self.scan.currentData()), self.result.currentData()
        result = tuple(result) if isinstance(result, list | tuple) else result
        prediction = done.get(result) if isinstance(result, tuple) else None
        labels = prediction.labels if prediction is not None else None
        if result == REFERENCE and study.reference is not None:
            labels = study.reference.labels
        waiting = isinstance(result, tuple) and prediction is None
        grey = frozenset() if prediction is None else estimated_codes(prediction)
        self._draw(scan, labels, grey)
        parts = [study.case, image_title(study, scan)]
        parts += [self.result.currentText()] if result else []
        parts += ["not computed yet"] if waiting else []
        parts += [] if self.model.layers else ["opening …"]
        if prediction is not None and (trust := judge(prediction)).level != "green":
            parts.insert(1, trust.headline.partition(":")[0])
        lines = in_lines([*parts, RESEARCH_USE], float(self.model.canvas.size[1]) - 32)
        self.words.text, self._spacer.text = "\n".join(lines), "\n".join([" "] * len(lines))

    def choose(self, scan: str, result: Result) -> None:
        """Show ``scan`` and ``result``, of those that are offered."""
        self.scan.setCurrentIndex(self.scan.findData(scan))
        self.result.setCurrentIndex(
            next(i for i in range(self.result.count()) if self.result.itemData(i) == result)
        )
        self.refresh()

    def _clear(self) -> None:
        if self.model.layers:
            with spared():
                self.model.layers.clear()

    def _resized(self, event: Any = None) -> None:
        self.refresh()

    def close(self) -> bool:
        self.model.canvas.events.size.disconnect(self._resized)
        for source, listener in self._links:
            with suppress(Exception):
                source.disconnect(listener)
        for part in (self.letters, self.window_level):
            part.close()
        self.view.close()
        return bool(super().close())

    def _draw(self, scan: str, labels: Any, grey: frozenset[int]) -> None:
        dock = self._dock
        study, overlay_style, shown = dock.session.study, dock.overlay_style, dock.layers.image(scan)
        if self._drawn != dock.session.subject:
            self._drawn = dock.session.subject
            self._clear()
        if study is None or shown is None:
            return  # its layers are still to come
        common: dict[str, Any] = {"scale": study.grid.spacing, "units": study.task.world_unit}
        empty = np.zeros(study.grid.shape, np.uint8) if labels is None else labels
        colours = dock.layers.colours(overlay_style.hidden, grey)
        if not self.model.layers:
            image = Image(
                shown.data, colormap=shown.colormap, contrast_limits=shown.contrast_limits, **common
            )
            over = Labels(empty, name="result", colormap=colours, **common)
            self._linking = True  # its own middle must not take the viewer there
            try:
                self.model.add_layer(image)
                self.model.add_layer(over)
            finally:
                self._linking = False
            self.letters.follow([image], study.grid.axis_codes if study.task.ndim == 3 else ())
            self._follow_order()
            self._follow_point()
            self._follow_camera(self._main, self.model)
        image, over = self.model.layers
        if image.data is not shown.data:
            image.data = shown.data
            image.contrast_limits = shown.contrast_limits
        if over.data is not empty and (labels is not None or over.data.any()):
            over.data = empty
        over.editable = False
        over.colormap, over.opacity, over.contour = colours, overlay_style.opacity, overlay_style.contour
        over.visible = overlay_style.visible and labels is not None

    # -- in step ------------------------------------------------------------------------------------------

    def _link(self) -> list[tuple[Any, Callable[..., None]]]:
        main, own = self._main, self.model
        links: list[tuple[Any, Callable[..., None]]] = [
            (main.dims.events.order, self._follow_order),
            (main.dims.events.current_step, self._follow_point),
            (own.dims.events.current_step, partial(self._follow_point, back=True)),
        ]
        for source, target in ((main, own), (own, main)):
            follow = partial(self._follow_camera, source, target)
            links += [(source.scene.camera.events.zoom, follow), (source.scene.camera.events.center, follow)]
        for source, listener in links:
            source.connect(listener)
        return links

    def _follow_order(self, event: Any = None) -> None:
        if self.model.dims.ndim == self._main.dims.ndim:
            self.model.dims.order = self._main.dims.order
            self._follow_camera(self._main, self.model)

    def _follow_point(self, event: Any = None, *, back: bool = False) -> None:
        source, target = (self.model, self._main) if back else (self._main, self.model)
        if self._linking or source.dims.ndim != target.dims.ndim or source.dims.point == target.dims.point:
            return
        self._linking = True
        try:
            target.dims.point = source.dims.point
        finally:
            self._linking = False

    def _follow_camera(self, source: ViewerModel, target: ViewerModel, event: Any = None) -> None:
        if self._linking or not self.model.layers or source.dims.ndisplay != target.dims.ndisplay:
            return
        self._linking = True
        try:
            target.scene.camera.zoom = source.scene.camera.zoom
            target.scene.camera.center = source.scene.camera.center
        finally:
            self._linking = False


def _offer(combo: QComboBox, choices: list[tuple[str, Any]]) -> None:
    """List ``choices`` (text, data); what was chosen stays chosen where it is still there."""
    if [combo.itemText(i) for i in range(combo.count())] == [text for text, _ in choices]:
        return
    before = combo.currentText()
    with QSignalBlocker(combo):
        combo.clear()
        for text, data in choices:
            combo.addItem(text, data)
        combo.setCurrentIndex(max(0, combo.findText(before)))
