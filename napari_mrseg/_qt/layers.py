"""The session's study as napari layers: an image per modality, one overlay, the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from napari_mrseg._qt.finding import largest_finding
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg.errors import InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import Task, key

STALE_OPACITY = 0.4  # of the chosen opacity
_OUTLINE = 2  # voxels
_ROOM = 0.9  # of napari's own zoom; letters and text need a margin


class StudyLayers:
    """Shows a session's study in a viewer. Only layers made here are ever changed or removed.

    The overlay is not editable: its array is the cached prediction itself. :meth:`edit_copy` gives the user a
    layer of their own, which belongs to its subject: over another one it is hidden, but kept.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.images: dict[str, Image] = {}
        self.prediction: Labels | None = None
        self.reference: Labels | None = None
        self.opacity = 0.6
        self.outline = False
        self.hidden: frozenset[int] = frozenset()
        self._subject = ""  # whose layers these are; the worker may open another study before we hear of it
        self._colours: dict[tuple[frozenset[int], frozenset[int]], DirectLabelColormap] = {}
        self._on: dict[str, bool] = {}  # visibility of a modality's image when it was switched off
        self._stand_in: str | None = None
        self.on_visible: Callable[[], None] = lambda: None  # called when the user shows or hides a layer
        viewer.dims.events.current_step.connect(self._looked)
        viewer.dims.events.ndisplay.connect(self._aim)

    def close(self) -> None:
        """Follow nothing any more; the layers stay with the user."""
        self.viewer.dims.events.current_step.disconnect(self._looked)
        self.viewer.dims.events.ndisplay.disconnect(self._aim)

    # -- the session shown --------------------------------------------------------------------------------

    def show_study(self) -> Iterator[None]:
        """Replace our layers by those of the session's study; the user's own layers stay.

        A generator, so that the window can answer between one layer and the next; a newer one takes
        the place of one that is not through.
        """
        self._remove_ours()
        study, self._subject = self.session.study, self.session.subject
        for copy in self._copies():
            if not self._is_ours(copy):
                copy.visible = False
        if study is None:
            return
        common: dict[str, Any] = {"scale": study.grid.spacing, "units": "mm"}
        names = list(study.images)
        middle = [(n - 1) / 2 * s for n, s in zip(study.grid.shape, study.grid.spacing, strict=True)]
        for name in reversed(names):  # napari draws the last on top
            image = study.images[name]
            low, high = contrast_limits(image.data)
            layer = Image(
                image.data,
                name=study.task.modality(name).title,
                colormap="gray",
                contrast_limits=(low, high),
                visible=name == names[0],
                metadata={"mrseg": {"modality": name, "case": study.case}},
                **common,
            )
            layer.contrast_limits_range = (min(low, float(image.data.min())), float(image.data.max()))
            self.images[name] = self.viewer.add_layer(layer)
            draw_quickly(self.viewer, layer)
            layer.events.visible.connect(self._visible)
            if len(self.images) == 1:
                self._go_to(middle)
                self.viewer.reset_view()
                self.viewer.scene.camera.zoom *= _ROOM
                self._aim()
            yield
        if study.reference is not None:
            self.reference = self._add_labels(
                study.reference.labels, "Reference", visible=False, source=study.reference.source, **common
            )
            self.reference.contour = _OUTLINE
            yield
        empty = np.zeros(study.grid.shape, np.uint8)
        self.prediction = self._add_labels(empty, "Segmentation: none yet", opacity=self.opacity, **common)
        self._apply_looks()
        self.viewer.layers.selection.active = self.prediction
        self.viewer.canvas.overlays.scale_bar.visible = True

    def show_combination(self) -> None:
        """Hide and mark images of modalities that are off; what was visible comes back with them."""
        task, in_use = self.session.task, self.session.combination
        for name, layer in self._there():
            off = name not in in_use
            title = task.modality(name).title
            layer.name = f"{title} (off)" if off else title
            if off and name not in self._on:
                self._on[name] = bool(layer.visible)
                _set_visible(layer, False)
            elif not off and name in self._on:
                _set_visible(layer, self._on.pop(name))
                if layer.visible and self._stand_in is not None and self._stand_in != name:
                    _set_visible(self.images[self._stand_in], False)
                    self._stand_in = None
        there = dict(self._there())
        if self._on and any(self._on.values()) and not any(layer.visible for layer in there.values()):
            stand_in = next((name for name in in_use if name in there), None)
            if stand_in is not None:
                _set_visible(there[stand_in], True)
                self._stand_in = stand_in

    def show_images(self) -> None:
        """Take over voxels that changed while the study stayed (degraded on purpose, or put right again)."""
        study = self._study()
        for name, layer in self._there():
            if study is not None and layer.data is not study.images[name].data:
                layer.data = study.images[name].data

    def show_only(self, name: str) -> None:
        """Put one modality's image behind the overlay."""
        self._stand_in = None
        for other, layer in self._there():
            if other in self._on:
                self._on[other] = other == name
            _set_visible(layer, other == name)

    def show_prediction(self) -> None:
        """Bring the overlay up to date; an old one stays, dimmed and marked, until the new one comes.

        Nothing but the canvas changes here; the layer's name follows with :meth:`name_prediction`.
        """
        layer, study, shown = self.prediction, self._study(), self.session.shown
        if layer is None or study is None:
            return
        if layer not in self.viewer.layers:  # deleted by the user; a new request brings it back
            self.viewer.add_layer(layer)
            draw_quickly(self.viewer, layer)
        if shown is None:
            if layer.data.any():
                self._swap(layer, np.zeros(layer.data.shape, np.uint8))
        else:
            if layer.data is not shown.labels and layer.data.shape == shown.labels.shape:
                self._swap(layer, shown.labels)
            layer.editable = False
            layer.metadata = {"mrseg": self._about(shown, study)}
        self._apply_looks()

    def name_prediction(self) -> None:
        """Name the overlay in napari's list after what it shows."""
        layer, shown = self.prediction, self.session.shown
        if layer is not None and self._study() is not None:
            layer.name = "Segmentation: none yet" if shown is None else overlay_name(self.session, shown)

    @staticmethod
    def _swap(layer: Labels, labels: npt.NDArray[np.uint8]) -> None:
        """Give ``layer`` another array. It stays not editable, and napari's controls hear of no change."""
        with layer.events.editable.blocker():  # else they are disabled and faded anew
            layer.data = labels
            layer.editable = False

    def visible_images(self) -> tuple[str, ...]:
        return tuple(name for name, layer in self._there() if layer.visible)

    # -- looks --------------------------------------------------------------------------------------------

    def set_opacity(self, opacity: float) -> None:
        self.opacity = min(max(opacity, 0.0), 1.0)
        self._apply_looks()

    def set_outline(self, outline: bool) -> None:
        self.outline = outline
        self._apply_looks()

    def set_hidden(self, codes: Iterable[int]) -> None:
        """Label codes that are not drawn."""
        self.hidden = frozenset(codes)
        self._apply_looks()

    def _apply_looks(self) -> None:
        layer = self.prediction
        if layer is None or layer not in self.viewer.layers:
            return
        shown = self.session.shown
        estimated = frozenset() if shown is None else estimated_codes(shown)
        colours = self._colour_map(self.hidden, estimated)
        if layer.colormap is not colours:
            layer.colormap = colours
        opacity = self.opacity * (STALE_OPACITY if self.session.stale else 1.0)
        if layer.opacity != opacity:  # each assignment draws canvas and thumbnail anew
            layer.opacity = opacity
        contour = _OUTLINE if self.outline else 0
        if layer.contour != contour:
            layer.contour = contour

    def _colour_map(self, hidden: frozenset[int], estimated: frozenset[int]) -> DirectLabelColormap:
        """Built once per look and shared, because building one takes longer than a frame."""
        place = hidden, estimated
        if place not in self._colours:
            self._colours[place] = label_colours(self.session.task, hidden, estimated)
        return self._colours[place]

    # -- requests -----------------------------------------------------------------------------------------

    def jump_to_largest(self) -> bool:
        """Put all planes through the largest finding. False if there is none."""
        shown, layer = self.session.shown, self.prediction
        voxel = None if shown is None or layer is None else largest_finding(shown.labels)
        if voxel is None or layer is None:
            return False
        self._go_to(layer.data_to_world(voxel)[-3:])
        return True

    def looked_at(self) -> tuple[int, ...] | None:
        """Voxel of the study's grid at the viewer's sliders."""
        layer = self.prediction
        if layer is None or layer not in self.viewer.layers:
            return None
        world = np.asarray(self.viewer.dims.point)[-layer.ndim :]
        voxel = np.rint(layer.world_to_data(world)).astype(int)
        return tuple(int(v) for v in np.clip(voxel, 0, np.array(layer.data.shape) - 1))

    def edit_copy(self) -> Labels:
        """A layer with a copy of the final prediction, to paint in. Raises InputError if there is none."""
        study, shown = self._study(), self.session.shown
        if shown is None or study is None or shown.preview or self.session.stale:
            raise InputError("There is no finished segmentation to edit; wait for the final result first.")
        model = f"{shown.model['name']} {shown.model['version']}"
        copy = Labels(
            shown.labels.copy(),
            name=f"Edited {shown.case}: {self.session.titles(shown.combination)} · {model}",
            opacity=self.opacity,
            scale=study.grid.spacing,
            units="mm",
            colormap=label_colours(shown.task, estimated=estimated_codes(shown)),
            features=label_names(shown.task),
            metadata={"mrseg": {**self._about(shown, study), "edited": True}},
        )
        added = self.viewer.add_layer(copy)
        added.events.visible.connect(self._visible)
        if self.prediction is not None:
            self.prediction.visible = False  # else its colours would show through what is erased
        self.viewer.layers.selection.active = added
        added.selected_label = shown.task.labels[0].code
        return added

    def edited(self) -> Labels | None:
        """The edited copy that is selected, whosever it is, else the newest one of the study that is open."""
        found = self._copies()
        active = self.viewer.layers.selection.active
        return active if active in found else next(filter(self._is_ours, reversed(found)), None)

    def whose(self, copy: Labels) -> str:
        """The case an edited copy is of, and whether that is another study than the one that is open."""
        case = str(copy.metadata["mrseg"]["case"])
        return case if self._is_ours(copy) else f"{case} (ANOTHER STUDY)"

    def _copies(self) -> list[Labels]:
        ours = [la for la in self.viewer.layers if la.metadata.get("mrseg", {}).get("edited")]
        return [layer for layer in ours if isinstance(layer, Labels)]

    def _is_ours(self, copy: Labels) -> bool:
        return bool(copy.metadata["mrseg"]["subject"] == self._subject)

    def _visible(self, event: Any = None) -> None:
        self.on_visible()

    def _looked(self, event: Any = None) -> None:
        self.session.look_at(self.looked_at())

    def _aim(self, event: Any = None) -> None:
        """Give the pointer a direction in 3-D: until it moves napari has none, and fails to name a label under it."""
        viewer = self.viewer
        if viewer.dims.ndisplay == 3 and viewer.cursor._view_direction is None:
            viewer.cursor._view_direction = viewer.scene.camera.calculate_nd_view_direction(
                viewer.dims.ndim, viewer.dims.displayed
            )

    def marks(self) -> list[str]:
        """What the session cannot know about the canvas: a hidden overlay, copies edited by hand."""
        marks = []
        if self.session.shown is not None and self.prediction is not None and not self.prediction.visible:
            marks.append("segmentation hidden")
        return marks + [
            f"EDITED BY HAND: {la.metadata['mrseg']['key']} of {self.whose(la)}"
            for la in self._copies()
            if la.visible
        ]

    # -- within -------------------------------------------------------------------------------------------

    def _study(self) -> Study | None:
        """The session's study, unless it is another subject's, whose layers are still to come."""
        study = self.session.study
        return study if self.session.subject == self._subject else None

    def _about(self, shown: Prediction, study: Study) -> dict[str, Any]:
        about = {"key": key(shown.combination), "case": shown.case, "model": dict(shown.model)}
        return {**about, "subject": self._subject, "source": study.images[shown.combination[0]].source}

    def _add_labels(
        self, labels: npt.NDArray[np.uint8], name: str, *, source: Any = None, **options: Any
    ) -> Labels:
        layer = Labels(
            labels,
            name=name,
            colormap=self._colour_map(frozenset(), frozenset()),
            features=label_names(self.session.task),
            metadata={"mrseg": {"source": source}},
            **options,
        )
        layer.editable = False
        layer.events.visible.connect(self._visible)
        self.viewer.add_layer(layer)
        draw_quickly(self.viewer, layer)
        return layer

    def _there(self) -> list[tuple[str, Image]]:
        there = self.viewer.layers
        return [(name, self.images[name]) for name in reversed(self.images) if self.images[name] in there]

    def _go_to(self, world: Iterable[float]) -> None:
        point = list(world)
        first = self.viewer.dims.ndim - len(point)
        self.viewer.dims.set_point(range(first, self.viewer.dims.ndim), point)

    def _remove_ours(self) -> None:
        ours: list[Layer | None] = [*self.images.values(), self.prediction, self.reference]
        for layer in ours:
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.images, self.prediction, self.reference = {}, None, None
        self._on, self._stand_in = {}, None


def _set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide. Each assignment, also of what is so already, makes napari build its scene anew."""
    if layer.visible != visible:
        layer.visible = visible


def warm_up(task: Task) -> None:
    """Do now, while nobody waits, what napari's first layers take a second for (units, imports)."""
    nothing = np.zeros((2, 2, 2), np.uint8)
    Image(nothing, units="mm", scale=(1, 1, 1))
    Labels(nothing, units="mm", scale=(1, 1, 1), colormap=label_colours(task), features=label_names(task))


def overlay_name(session: Session, shown: Prediction) -> str:
    """The overlay's name: combination, then what is special about it."""
    marks = (["STALE"] if session.stale else []) + (["preview"] if shown.preview else [])
    mark = f" ({', '.join(marks)})" if marks else ""
    return f"Segmentation: {session.titles(shown.combination)}{mark}"


def estimated_codes(shown: Prediction) -> frozenset[int]:
    """Codes of the labels whose border depends on a modality that is off."""
    return frozenset(label.code for label in shown.task.estimated_labels(shown.combination))


def contrast_limits(data: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Window from dark tissue to bright: percentiles 1 and 99.5 of the voxels above the background."""
    sample = data[(slice(None, None, 3),) * data.ndim]
    sample = sample[sample > sample.min()]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5)))
    low = min(low, 0.0) if low > 0 and low < 0.2 * high else low
    return (low, high) if high > low else (low, low + 1.0)


def label_names(task: Task) -> dict[str, list[Any]]:
    """Features table that puts a label's name into the status bar."""
    return {
        "index": [0, *(label.code for label in task.labels)],
        "region": ["none", *(f"{label.name}, {label.title}" for label in task.labels)],
    }


def label_colours(
    task: Task, hidden: Iterable[int] = (), estimated: Iterable[int] = ()
) -> DirectLabelColormap:
    """Colours by code: ``hidden`` transparent, ``estimated`` greyed."""
    clear = np.zeros(4)
    colours: dict[int | None, Any] = {None: clear, 0: clear}
    for label in task.labels:
        colour = np.array([*rgb(label.colour), 1.0])
        if label.code in set(estimated):
            colour[:3] = greyed(colour[:3])
        colours[label.code] = clear if label.code in set(hidden) else colour
    return DirectLabelColormap(color_dict=colours)


def rgb(colour: str) -> tuple[float, float, float]:
    """``#rrggbb`` as fractions."""
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def greyed(colour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The colour of an estimate: mostly grey, with enough hue left to tell it from the scan below."""
    light = float(colour @ np.array([0.2126, 0.7152, 0.0722]))
    grey = 0.3 + 0.5 * light
    return 0.35 * colour + 0.65 * grey
