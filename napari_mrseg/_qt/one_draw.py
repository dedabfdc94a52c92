"""Changes of layers for which napari draws no more than it must: each frame of the window is paid for without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from napari.components import ViewerModel
from napari.layers import Labels, Layer


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


def set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide. Each assignment, also of what is so already, makes napari build its scene anew."""
    if layer.visible != visible:
        layer.visible = visible
