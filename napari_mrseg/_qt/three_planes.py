"""Four panes: three linked planes with a crosshair, upright, lettered, picked by a click, and 3-D.

The planes are by napari-orthogonal-views (an extra), which shows copies of the layers, over the same voxels, in two
canvases of their own and keeps them in step. Position and zoom are one for all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any
from weakref import ref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer

from napari_mrseg._qt.camera import CameraFit
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.reading_volume import Shown, VolumePane
from napari_mrseg._qt.scale_bar import ScaleBar
from napari_mrseg._qt.watermark import Watermark
from napari_mrseg._qt.window_level import WindowLevel
from napari_mrseg.errors import InputError

MISSING = (
    "Three planes need one more package: pip install napari-orthogonal-views, and start again. "
    "Until then Ctrl+E shows one plane after the other."
)
# Of the main view's axes: head up, front to the left; the plugin's own order lays it on its side.
_SAGITTAL = (-1, -3, -2)
_NAMED = 400  # pixels of a slider whose name is written in full
_NARROWEST = 120  # pixels of a pane: its slider would ask for more than half of a small window
_SHARE = 0.5  # of the window for the panes on the right, and for those below


class ThreePlanes:
    """Opens and closes the two other planes beside ``viewer``'s own.

    ``follow`` names the sides for a study's images, which may come one by one. ``changed`` is called with whether they
    are shown. ``fit``: the main view's. ``result``: the scan and the result on screen, for 3-D.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        changed: Callable[[bool], None] = lambda _: None,
        *,
        fit: CameraFit | None = None,
        result: Shown = lambda: (None, None),
    ) -> None:
        self._viewer, self._changed, self._fit, self._result = viewer, changed, fit, result
        self.volume: VolumePane | None = None
        self._manager: Callable[[], Any] = lambda: None  # weak: the plugin lets it go when the window closes
        self._images: tuple[Image, ...] = ()
        self._codes: tuple[str, ...] = ()
        self._planes: tuple[_Plane, ...] = ()
        self._zooming = False
        self._links: list[tuple[Any, Any]] = []
        self._pick = partial(_pick, viewer)

    @property
    def shown(self) -> bool:
        return bool(self._planes)

    @property
    def letters(self) -> tuple[dict[str, str], ...]:
        """Letters by side, of each of the other planes: sagittal and coronal, while the main view is axial."""
        return tuple(plane.letters.shown for plane in self._planes)

    def toggle(self) -> None:
        """Show or hide them. Raises InputError if the plugin is not installed, or nothing is open."""
        if self.shown:
            self.close()
            return
        if find_spec("napari_orthogonal_views") is None:
            raise InputError(MISSING)
        if not self._images:
            raise InputError("There are no planes to show yet; open a study first.")
        self._show()
        self._changed(True)

    def follow(self, images: Sequence[Image], codes: Sequence[str] = ()) -> None:
        """Name the sides for ``images``, whose voxel axes grow towards ``codes``; none: there is no study."""
        first = not self._images
        self._images, self._codes = tuple(images), tuple(codes)
        for plane in self._planes:
            plane.follow([image.name for image in images], codes, fit=first)
        if self.volume is not None and (first or not images):
            self.volume.follow(codes)

    def refresh(self) -> None:
        """The result on screen changed: 3-D follows."""
        if self.volume is not None:
            self.volume.refresh()

    def close(self) -> None:
        """One plane again, as before."""
        if not self.shown:
            return
        viewer, manager = self._viewer, self._manager()
        point, order = viewer.dims.point, viewer.dims.order
        self._gone()
        if manager is not None:
            with suppress(RuntimeError), spared():  # the window closed, and Qt has taken its parts away
                manager.cleanup()
        viewer.dims.order, viewer.dims.point = order, point

    def _gone(self, *_: Any) -> None:
        """The plugin took its planes away, or is about to."""
        planes, self._planes = self._planes, ()
        volume, self.volume = self.volume, None
        if volume is not None:
            with suppress(RuntimeError):
                volume.close()
                volume.setParent(None)
                volume.deleteLater()
        if self._fit is not None:
            self._fit.beside = ()
        for source, listener in self._links:
            source.disconnect(listener)
        self._links = []
        if not planes:
            return
        if self._pick in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._pick)
        for plane in planes:
            plane.close()
        with suppress(RuntimeError):  # with the window, the dock's button may be gone before the planes are
            self._changed(False)

    def _show(self) -> None:
        # Its public function only asks for the planes to come later, and gives no hold of them.
        from napari_orthogonal_views.ortho_view_manager import _get_manager

        viewer = self._viewer
        point = viewer.dims.point
        viewer.dims.ndisplay, viewer.dims.order = 2, (0, 1, 2)
        manager = _get_manager(viewer)
        self._manager = ref(manager)
        manager.register_layer_hook(Labels, _not_editable)
        manager.show()
        manager.right_widget.order = _SAGITTAL
        manager.update_dims_order()
        manager.set_axes(False)
        manager.set_cross_hairs(True)
        manager.set_splitter_sizes(_SHARE, _SHARE)
        manager.controls_tab.hide()  # the dock's button opens and closes, and the fourth pane is for a picture
        self.volume = VolumePane(self._result)
        manager.h_splitter_bottom.addWidget(self.volume)
        for splitter in (manager.h_splitter_top, manager.h_splitter_bottom, manager.v_splitter):
            for place in range(splitter.count()):
                splitter.setStretchFactor(place, 1)
        _halve(manager)
        viewer.dims.point = point
        viewer.mouse_drag_callbacks.append(self._pick)
        both = manager.right_widget, manager.bottom_widget
        for pane in both:
            _name_in_full(pane.qt_viewer)
            pane.setMinimumWidth(_NARROWEST)
        self._planes = tuple(_Plane(viewer, widget.qt_viewer.viewer, self._pick) for widget in both)
        manager.right_widget.destroyed.connect(self._gone)
        for plane in self._planes:
            plane.follow([image.name for image in self._images], self._codes, fit=True)
        self._link()
        self.volume.follow(self._codes)
        QTimer.singleShot(0, self._halve)  # the dock beside may have taken or given room

    def _halve(self) -> None:
        manager = self._manager()
        if self.shown and manager is not None:
            with suppress(RuntimeError):  # the window was closed
                _halve(manager)

    def _link(self) -> None:
        """One zoom for all planes: as large as fits in each, and what the user does in one is done in all."""
        fits = [fit for fit in (self._fit, *(plane.fit for plane in self._planes)) if fit is not None]
        for fit in fits:
            fit.beside = tuple(other for other in fits if other is not fit)
        if fits:
            fits[0].again()
        for model in (self._viewer, *(plane.model for plane in self._planes)):
            listener = partial(self._zoomed, model)
            model.scene.camera.events.zoom.connect(listener)
            self._links.append((model.scene.camera.events.zoom, listener))
        for what in ("begin_batch", "end_batch"):
            source, follow = self._viewer.layers.events[what], partial(self._batched, what)
            source.connect(follow)
            self._links.append((source, follow))

    def _batched(self, what: str, event: Any = None) -> None:
        """Layers that go together go together here too: else all that is left is drawn anew after each of them."""
        for plane in self._planes:
            plane.model.layers.events[what]()

    def _zoomed(self, source: ViewerModel, event: Any = None) -> None:
        """Zoom the other planes as much, about the crosshair."""
        models = [self._viewer, *(plane.model for plane in self._planes)]
        fits = [self._fit, *(plane.fit for plane in self._planes)]
        if self._zooming or any(fit is not None and fit.busy for fit in fits):
            return
        self._zooming = True
        try:
            zoom = source.scene.camera.zoom
            for model in models:
                camera = model.scene.camera
                if model is source or camera.zoom == zoom:
                    continue
                point = np.array(model.dims.point)[list(model.dims.displayed)]
                centre = np.array(camera.center)[-2:]
                moved = point + (centre - point) * (camera.zoom / zoom)
                camera.zoom, camera.center = zoom, (0.0, *moved)
        finally:
            self._zooming = False


def _name_in_full(view: Any) -> None:
    """napari cuts a slider's name by the width of its first slider, which is hidden here and has none."""
    slider = view.dims.slider_widgets[0]
    slider.resize(_NAMED, slider.height())
    slider.size_changed.emit()


def _halve(manager: Any) -> None:
    """All four panes the same size. The splitters know theirs; the window's centre also holds the slider."""
    for splitter in (manager.h_splitter_top, manager.h_splitter_bottom):
        half = max(1, splitter.width() // 2)
        sizes = [half, half] if splitter.count() == 2 else [half, 0, half]
        splitter.setSizes(sizes)
    half = max(1, manager.v_splitter.height() // 2)
    manager.v_splitter.setSizes([half, half])


class _Plane:
    """What the main view has beyond napari's own means, for one of the others."""

    def __init__(self, main: ViewerModel, model: ViewerModel, pick: Callable[..., Any]) -> None:
        self.model, self._main = model, main
        self._images: list[Image] = []
        self.letters, self.watermark = (
            OrientationLetters(self.model),
            Watermark(self.model, lambda: self.fit.apply()),
        )
        self.fit = CameraFit(self.model, lambda: 0, lambda: self.watermark.height)
        self.scale_bar = ScaleBar(self.model)
        self.window_level = WindowLevel(self.model, lambda: reversed(self._images))
        self.model.canvas.overlays.scale_bar.visible = True
        self.model.keymap.update(main.keymap)  # the canvas under the pointer has the keys
        self.model.mouse_drag_callbacks.append(pick)
        self.model.mouse_move_callbacks.append(self._say)

    def follow(self, names: Sequence[str], codes: Sequence[str], *, fit: bool) -> None:
        self._images = [self.model.layers[name] for name in names if name in self.model.layers]
        self.letters.follow(self._images, codes)
        if fit and self._images:
            self.fit.follow(self._images[0])

    def close(self) -> None:
        for part in (self.letters, self.watermark, self.fit, self.scale_bar, self.window_level):
            with suppress(RuntimeError, ValueError):  # its canvas went with the window
                part.close()

    def _say(self, model: ViewerModel, event: Any) -> None:
        """What lies under the pointer, in the one status bar."""
        self._main.cursor.position = tuple(event.position)
        self._main.update_status_from_cursor()


def _not_editable(layer: Labels, copied: Labels) -> list[Any]:
    """A prediction is not edited in the other planes either: napari allows it again with each new array."""

    def lock(event: Any = None) -> None:
        if copied.editable and not layer.editable:
            copied.editable = False

    lock()
    sources = copied.events.data, copied.events.editable
    for source in sources:
        source.connect(lock)
    return [(source, lock) for source in sources]


def _pick(viewer: ViewerModel, clicked: ViewerModel, event: Any) -> Iterator[None]:
    """A click puts all planes through that place; a drag pans, and a brush paints, as everywhere."""
    active: Layer | None = clicked.layers.selection.active
    if event.button != 1 or event.modifiers or clicked.dims.ndisplay == 3:
        return
    if active is not None and str(active.mode) != "pan_zoom":
        return
    yield
    if event.type == "mouse_move":
        return
    viewer.dims.point = tuple(float(v) for v in np.asarray(event.position)[-viewer.dims.ndim :])
