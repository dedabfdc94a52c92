"""Where a viewer looks, as voxels and as places in mm."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer


def voxel_at(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Voxel of ``layer`` at the viewer's sliders."""
    world = np.asarray(viewer.dims.point)[-layer.ndim :]
    voxel = np.rint(layer.world_to_data(world)).astype(int)
    return tuple(int(v) for v in np.clip(voxel, 0, np.array(layer.data.shape) - 1))


def go_to(viewer: ViewerModel, world: Iterable[float]) -> None:
    """Put all planes through a place, in mm along the last axes."""
    point = list(world)
    first = viewer.dims.ndim - len(point)
    viewer.dims.set_point(range(first, viewer.dims.ndim), point)


def aim(viewer: ViewerModel) -> None:
    """Give the pointer a direction in 3-D: until it moves napari has none, and fails to name a label under it."""
    if viewer.dims.ndisplay == 3 and viewer.cursor._view_direction is None:
        viewer.cursor._view_direction = viewer.scene.camera.calculate_nd_view_direction(
            viewer.dims.ndim, viewer.dims.displayed
        )
