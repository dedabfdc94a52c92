"""Changes of layers for which napari draws no more than it must: each frame of the window is paid for without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_mrseg._qt.reading import window_of


@contextmanager
def drawn_once(viewer: ViewerModel, layer: Labels, shape: tuple[int, ...]) -> Iterator[None]:
    """While ``layer`` takes another array of ``shape`` and other colours: napari draws it once, afterwards.

    It stays not editable, of which napari's controls hear nothing: they would be disabled and faded anew. On the
    same grid napari need not measure all layers and set all sliders.
    """
    before, same_grid = (layer.data, layer.colormap, layer.contour), layer.data.shape == shape
    moved = layer.events.data.blocker(viewer._on_layers_change) if same_grid else nullcontext()
    with layer.events.editable.blocker(), layer._block_refresh(), moved:
        yield
    if any(
        now is not old for now, old in zip((layer.data, layer.colormap, layer.contour), before, strict=True)
    ):
        layer.refresh(extent=not same_grid)


@contextmanager
def undrawn(viewer: ViewerModel) -> Iterator[None]:
    """While layers are added that are not seen yet: the canvas stays as it is, and is drawn once, afterwards."""
    window = window_of(viewer)
    canvas = None if window is None else viewer.window._qt_viewer.canvas.native
    if canvas is not None:
        canvas.setUpdatesEnabled(False)
    try:
        yield
    finally:
        if canvas is not None:
            with suppress(RuntimeError):  # the window was closed
                canvas.setUpdatesEnabled(True)


def set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide. Each assignment, also of what is so already, makes napari build its scene anew."""
    if layer.visible != visible:
        layer.visible = visible
