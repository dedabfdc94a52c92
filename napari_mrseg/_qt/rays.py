"""How napari draws our layers in 3-D: rays go through the box that holds something, not through the air around it.

Without a GPU every sample along a ray is paid for. A head fills a third of its scan, a tumour a hundredth. And napari
looks for a label's surface with ten finer steps and shades it *within* its loop, which a processor
computes at every step, label or not; here that comes once, after the loop. The picture stays the same.

napari and vispy have no public way to this: what is used of them lies in this module alone, and
``tests/viewer/test_rays.py`` compares the pictures.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels
from vispy.visuals.shaders import Variable

from napari_mrseg._qt.label_quads import follow_content

_STEP = (
    1.5  # voxels between an image's samples, for napari's 0.8: the brightest one is refined afterwards anyway
)
_MARGIN = 1  # voxels: interpolation reaches that far beyond the last bright one

# The ray of a pixel ends on the far face that is drawn, v_position. It begins where it enters the box, or at the eye's
# near plane. Box: fractions of the volume, axes x, y, z; positions are voxels, start_loc and step parts of the texture.
_SETUP = """
    vec3 one_side = $box_low * u_shape - 0.5;
    vec3 other_side = $box_high * u_shape - 0.5;
    vec3 back = max((v_position - one_side) / view_ray, (v_position - other_side) / view_ray);
    float reach = min(min(back.x, back.y), min(back.z, dot(v_position - nearpos, view_ray)));
    int nsteps = int(reach / u_relative_step_size + 0.5);
    if (nsteps <= 0)
        discard;
    frag_depth_point = v_position - reach * view_ray;
    vec3 start_loc = (frag_depth_point + 0.5) / u_shape;
    vec3 step = view_ray * (reach / float(nsteps)) / u_shape;
"""

# napari's iso_categorical: the first label that is not transparent, found within a tenth of a step, and shaded.
_FIRST_LABEL = {
    "before_loop": """
        int hit = -1;
        vec3 dstep = 1.5 / u_shape;
        """,
    "in_loop": """
        if (floatNotEqual(val, categorical_bg_value) && floatNotEqual(sample_label_color(val).a, 0.0)) {
            hit = iter;
            iter = nsteps;
        }
        """,
    "after_loop": """
        if (hit < 0)
            discard;
        vec3 place = start_loc + step * (float(hit) - 1.0);
        vec4 found = vec4(0.0);
        for (int i = 0; i <= 10; i++) {
            found = sample_label_color($get_data(place).r);
            if (floatNotEqual(found.a, 0.0))
                break;
            place += step * 0.1;
        }
        gl_FragColor = calculateShadedCategoricalColor(found, place, dstep);
        frag_depth_point = place * u_shape;
        """,
}
_WHOLE = np.array([[0.0, 1.0]] * 3)  # fractions: (axis of the layer, low and high)


def draw_quickly(viewer: ViewerModel, layer: Image | Labels, canvas: Any = None) -> None:
    """Shorten ``layer``'s rays from now on. Its labels may be replaced, but not painted in and not of another type.

    ``canvas``: where ``viewer`` is drawn, if that is not its own window.
    """
    window = getattr(viewer, "window", None)  # a ViewerModel draws nothing
    if canvas is None and window is not None:
        canvas = window._qt_viewer.canvas
    if canvas is None or layer.ndim < 3:
        return
    visual = canvas.layer_to_visual[layer]
    if isinstance(layer, Labels):
        # napari would build the shader anew for every new array, in case its type had changed.
        layer.events.data.disconnect(visual._on_colormap_change)
        follow_content(visual, layer)
    node = visual._layer_node._volume_node
    if isinstance(layer, Image):
        node.relative_step_size = _STEP
    rays = _Rays(layer, node)
    layer.events.set_data.connect(rays.follow)
    layer.events.rendering.connect(rays.follow)
    rays.follow()


class _Rays:
    """Keeps one volume's box in step with its layer."""

    def __init__(self, layer: Image | Labels, node: Any) -> None:
        self._layer, self._node = layer, node
        self._known: Any = None
        self._box = _WHOLE
        self._low = Variable("uniform vec3 box_low", (0.0, 0.0, 0.0))
        self._high = Variable("uniform vec3 box_high", (1.0, 1.0, 1.0))
        node.unfreeze()
        node._raycasting_modes = {**node._raycasting_modes, "volume": _SETUP}
        node._rendering_methods = {**node._rendering_methods, "iso_categorical": _FIRST_LABEL}
        node._create_vertex_data()  # which corners make a face
        node._create_vertex_data = self._corners
        node.freeze()
        node.method = node.method  # puts the snippets in
        node.shared_program.frag["box_low"] = self._low
        node.shared_program.frag["box_high"] = self._high

    def follow(self, event: Any = None) -> None:
        """Look at the layer's data, if they are shown in 3-D, and at the order of its axes."""
        layer = self._layer
        if layer._slice_input.ndisplay != 3:
            return
        if self._known is not layer.data:
            self._known = layer.data
            self._box = content_box(layer.data)
        # Where only the brightest counts, air adds nothing; an average or a minimum is another one without it.
        box = self._box if isinstance(layer, Labels) or layer.rendering == "mip" else _WHOLE
        low, high = box[list(layer._slice_input.displayed)][::-1].T
        self._low.value, self._high.value = tuple(map(float, low)), tuple(map(float, high))
        self._node._need_vertex_update = True

    def _corners(self) -> None:
        """The cuboid that is drawn: its far faces are where the rays end."""
        size = np.array(self._node._vol_shape[::-1])
        low, high = (np.array(end.value) * size - 0.5 for end in (self._low, self._high))
        (x0, y0, z0), (x1, y1, z1) = low, high
        corners = [(x, y, z) for z, y, x in product((z0, z1), (y0, y1), (x0, x1))]
        self._node._vertices.set_data(np.array(corners, np.float32))


def content_box(data: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Where ``data`` rises above its lowest value, as fractions of its shape: (axis, low and high), with a margin.

    Nothing rises: a box without extent.
    """
    above = data > data.min() if data.dtype.kind == "f" else data != 0
    box = np.zeros((data.ndim, 2))
    for axis, size in enumerate(data.shape):
        (there,) = np.nonzero(above.any(axis=tuple(a for a in range(data.ndim) if a != axis)))
        if there.size:
            box[axis] = max(there[0] - _MARGIN, 0) / size, min(there[-1] + 1 + _MARGIN, size) / size
    return box
