"""What was in the window while another study is read, to come back as it was if that one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Layer

from napari_mrseg.study import Study


@dataclass(frozen=True)
class Away:
    """What was in the window when another study was asked for, and how it was looked at."""

    study: Study | None
    layers: tuple[tuple[int, Layer], ...]  # place in napari's list
    active: Layer | None
    dims: tuple[tuple[int, ...], tuple[float, ...], int, tuple[str, ...]]  # order, point, ndisplay, labels
    camera: tuple[float, tuple[float, ...], tuple[float, ...]]  # zoom, centre, angles


def put_away(viewer: ViewerModel, layers: Sequence[Layer], study: Study | None) -> Away:
    """What of ``viewer`` comes back with ``layers``, which are not taken out here."""
    dims, camera = viewer.dims, viewer.scene.camera
    return Away(
        study,
        tuple((at, layer) for at, layer in enumerate(viewer.layers) if layer in layers),
        viewer.layers.selection.active,
        (tuple(dims.order), tuple(dims.point), dims.ndisplay, tuple(dims.axis_labels)),
        (camera.zoom, tuple(camera.center), tuple(camera.angles)),
    )


def look_as_before(viewer: ViewerModel, away: Away) -> None:
    """Sliders and camera as they were; the layers are there again."""
    order, point, ndisplay, labels = away.dims
    viewer.dims.ndisplay = ndisplay
    if viewer.dims.ndim == len(order):
        viewer.dims.order, viewer.dims.axis_labels, viewer.dims.point = order, labels, point
    viewer.scene.camera.zoom, viewer.scene.camera.center, viewer.scene.camera.angles = away.camera
