"""The session's study as napari layers: an image per modality, one overlay, the reference."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from napari_mrseg._qt.about import STUDYS, about_of, belongs, paths_of
from napari_mrseg._qt.edits import Edits, about_edit, copies_in, edits_in, is_unsaved
from napari_mrseg._qt.finding import largest_finding
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.overlay_style import OUTLINE, OverlayStyle
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg.display import (
    checkerboard,
    contrast_limits,
    estimated_codes,
    image_title,
    label_names,
    label_rgba,
    model_name,
    titles,
)
from napari_mrseg.errors import InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task, key

BRAIN = "Brain mask"
STALE_OPACITY = 0.4  # of the chosen opacity


@dataclass(frozen=True)
class _Away:
    """What was in the window when another study was asked for, and how it was looked at."""

    study: Study | None
    layers: tuple[tuple[int, Layer], ...]  # place in napari's list
    active: Layer | None
    dims: tuple[tuple[int, ...], tuple[float, ...], int, tuple[str, ...]]  # order, point, ndisplay, labels
    camera: tuple[float, tuple[float, ...], tuple[float, ...]]  # zoom, centre, angles


class StudyLayers:
    """Shows a session's study in a viewer. Only layers that belong to a study are ever changed or removed.

    The overlay is not editable: its array is the cached prediction itself. :meth:`edit_copy` gives the user a
    layer of their own, which belongs to its subject and goes with it. One of them, the overlay or a copy, is in front:
    the result that is drawn, named, measured and saved. Showing another one hides it.

    ``shelf``: copies that are in no window, because their study is not: those with unsaved work, until it is saved or
    given up. ``given_up``: copies whose work the user does not want to keep, should another study come.
    """

    def __init__(self, viewer: ViewerModel, session: Session, overlay_style: OverlayStyle) -> None:
        self.viewer, self.session, self.overlay_style = viewer, session, overlay_style
        self.images: dict[str, Image] = {}
        self.prediction: Labels | None = None
        self.reference: Labels | None = None
        self.brain: Labels | None = None  # the mask by which a head lost its skull; the user may paint in it
        self.on_visible: Callable[[], None] = lambda: None  # called when the user shows or hides a layer
        self.on_painted: Callable[[], None] = lambda: None  # called when a copy was painted in
        self.on_deleted: Callable[[], None] = lambda: None  # called when the user deleted unsaved work
        self.edits = Edits(self._painted)
        self.shelf: list[Labels] = []
        self.deleted: list[Labels] = []  # by the user, with work in them that is not saved
        self.given_up: list[Labels] = []
        self._away: _Away | None = None
        self._moving = False  # while we put layers in and out ourselves
        self._copy: Labels | None = None  # in front, unless it is None
        self._combination: Combination = ()
        self._showing = False  # while we show and hide layers ourselves
        self._intact: Study | None = None
        self._whole = False  # all its layers are made
        self._subject = ""  # whose layers these are; the worker may open another study before we hear of it
        self._colours: dict[tuple[frozenset[int], frozenset[int]], DirectLabelColormap] = {}
        self._seen: set[str] = set()  # modalities whose images the user wants to see, also while they are off
        for layer in viewer.layers:  # of a dock that was closed: what is painted in them is still asked about
            if isinstance(layer, Labels) and about_edit(layer):
                self.edits.follow(layer, about_edit(layer))
        viewer.dims.events.current_step.connect(self._report_position)
        viewer.dims.events.ndisplay.connect(self._aim)
        viewer.layers.events.removed.connect(self._gone)
        viewer.layers.events.inserted.connect(self._came)
        overlay_style.events.connect(self._follow_style)

    def close(self) -> None:
        """Follow nothing any more; the layers stay with the user, and so does what is not saved."""
        self.viewer.dims.events.current_step.disconnect(self._report_position)
        self.viewer.dims.events.ndisplay.disconnect(self._aim)
        self.viewer.layers.events.removed.disconnect(self._gone)
        self.viewer.layers.events.inserted.disconnect(self._came)
        for layer in self.unsaved():
            if layer not in self.viewer.layers:
                layer.visible = False
                self.viewer.add_layer(layer)
        self.shelf, self._away = [], None
        self.overlay_style.events.disconnect(self._follow_style)
        self.edits.close()

    # -- the session shown --------------------------------------------------------------------------------

    def show_study(self, study: Study | None, *, may_return: bool = False) -> Iterator[None]:
        """Replace the old study's layers by those of ``study``, the session's; the user's own layers stay.

        While another one is being read (``may_return``) they are put away, to come back as they were if it is refused.
        A generator, so that the window can answer between one layer and the next; a newer one takes
        the place of one that is not through.
        """
        if study is None and may_return:
            self._put_away()
            return
        away, self._away = self._away, None
        if away is not None and study is not None and away.study is self.session.intact:
            self._put_back(away)
            return
        if away is None and self._is_here(study):
            self.given_up = []
            return
        if away is not None:
            self.shelf += [la for _, la in away.layers if isinstance(la, Labels) and about_edit(la)]
        self.clear()
        self._subject = "" if study is None else self.session.subject
        self._intact = None if study is None else self.session.intact
        self._combination = self.session.combination
        self._sort_shelf()
        self._whole = False
        if study is None:
            return
        common: dict[str, Any] = {"scale": study.grid.spacing, "units": study.task.world_unit}
        names = list(study.images)
        middle = [(n - 1) / 2 * s for n, s in zip(study.grid.shape, study.grid.spacing, strict=True)]
        for name in reversed(names):  # napari draws the last on top
            image = study.images[name]
            low, high = contrast_limits(image.data)
            layer = Image(
                image.data,
                name=image_title(study, name),
                colormap=study.task.modality(name).colormap,
                contrast_limits=(low, high),
                visible=name == names[0],
                metadata={"mrseg": {"study": STUDYS, "modality": name, "case": study.case}},
                **common,
            )
            whole = min(low, float(image.data.min())), max(high, float(image.data.max()))
            layer.contrast_limits_range = whole
            layer.colorbar.position = "bottom_left"  # the words are above
            layer.colorbar.visible = study.task.modality(name).colormap != "gray"
            self.images[name] = self._add(layer)
            draw_quickly(self.viewer, layer)
            layer.events.visible.connect(self._visible)
            self._seen = {names[0]}
            if len(self.images) == 1:
                self._go_to(middle)
                self._aim()
            yield
        if study.reference is not None:
            self.reference = self._add_labels(
                study.reference.labels, "Reference", visible=False, source=study.reference.source, **common
            )
            self.reference.contour = OUTLINE
            yield
        for layer in self._checked(study, common):
            self._add(layer)
            yield
        mask = study.images[names[0]].mask
        if mask is not None:
            source = study.images[names[0]].source
            about = {"study": STUDYS, "task": study.task.name, "case": study.case, "source": source}
            about |= {"key": "brain_mask", "subject": self._subject}
            self.brain = Labels(
                mask.astype(np.uint8),
                name=BRAIN,
                visible=False,
                opacity=0.7,
                metadata={"mrseg": about},
                **common,
            )
            self.edits.follow(self.brain, about)
            self.brain.colormap = DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: (0, 0.62, 0.45, 1)})
            self.brain.contour = OUTLINE
            self._add(self.brain)
            yield
        empty = np.zeros(study.grid.shape, np.uint8)
        self.prediction = self._add_labels(empty, "Segmentation: none yet", **common)
        for copy in self._of_subject():
            self._add(copy)
        if self._copy is not None:
            self.prediction.visible = False
        self._apply_style()
        self.viewer.layers.selection.active = self._copy or self.prediction
        self.viewer.canvas.overlays.scale_bar.visible = True
        self._whole = True
        gc.collect()  # the study before: its arrays are large, and held by nothing but each other

    def _is_here(self, study: Study | None) -> bool:
        """Whether the layers are the study's already: another one was refused before this one was put away."""
        session = self.session
        same = self._intact is session.intact and self._subject == session.subject
        return study is not None and self._whole and same

    @staticmethod
    def _checked(study: Study, common: dict[str, Any]) -> Iterator[Image]:
        """Hidden layers by which to check what was done to the scans: moved ones as a checkerboard, the head before."""
        common = {**common, "metadata": {"mrseg": {"study": STUDYS, "case": study.case}}}
        for name, image in study.images.items():
            title = study.task.modality(name).title
            board = checkerboard(study, name)
            if board is not None:
                below = study.task.modality(board[0]).title
                yield Image(
                    board[1], name=f"Check: {title} on {below}", colormap="gray", visible=False, **common
                )
            if image.whole is not None and name == next(iter(study.images)):
                limits = contrast_limits(image.data)
                yield Image(
                    image.whole,
                    name=f"Check: {title} with skull",
                    colormap="gray",
                    contrast_limits=limits,
                    visible=False,
                    **common,
                )

    def show_combination(self) -> None:
        """Hide and mark images of modalities that are off; while all that was seen is off, one in use stands in."""
        study, in_use = self._study(), self.session.combination
        if study is None:
            return
        there = dict(self._there())
        seen = {name for name in in_use if name in self._seen and name in there}
        seen = seen or {name for name in in_use[:1] if name in there}
        self._showing = True
        try:
            for name, layer in there.items():
                title = image_title(study, name)
                layer.name = title if name in in_use else f"{title} (off)"
                _set_visible(layer, name in seen)
        finally:
            self._showing = False

    def show_images(self) -> None:
        """Take over voxels that changed while the study stayed (degraded on purpose, or put right again)."""
        study = self._study()
        for name, layer in self._there():
            if study is not None and layer.data is not study.images[name].data:
                layer.data = study.images[name].data

    def show_only(self, name: str) -> None:
        """Put one modality's image behind the overlay."""
        self._seen = {name}
        self.show_combination()

    def show_prediction(self) -> None:
        """Bring the overlay up to date; an old one stays, dimmed and marked, until the new one comes.

        Nothing but the canvas changes here; the layer's name follows with :meth:`name_prediction`. Another combination
        brings the overlay to the front.
        """
        layer, study, shown = self.prediction, self._study(), self.session.shown
        if layer is None or study is None:
            return
        if shown is not None and not set(shown.combination) <= set(study.images):
            return  # of the study that takes this one's place: all is shown anew in a moment
        if self.session.combination != self._combination:
            self._combination = self.session.combination
            if self._copy is not None:
                self._put_in_front(None)
        if layer not in self.viewer.layers:  # deleted by the user; a new request brings it back
            self._add(layer)
            draw_quickly(self.viewer, layer)
        if shown is not None:
            layer.metadata = {"mrseg": self._about(shown, study)}
        with self._drawn_once(layer, study.grid.shape):
            if shown is not None:
                if layer.data is not shown.labels:
                    layer.data = shown.labels
            elif layer.data.any() or layer.data.shape != study.grid.shape:
                layer.data = np.zeros(study.grid.shape, np.uint8)
            layer.editable = False
            self._apply_style()

    @contextmanager
    def _drawn_once(self, layer: Labels, shape: tuple[int, ...]) -> Iterator[None]:
        """While ``layer`` takes another array of ``shape`` and other colours: napari draws it once, afterwards.

        It stays not editable, of which napari's controls hear nothing: they would be disabled and faded anew. On the
        same grid napari need not measure all layers and set all sliders.
        """
        before, same_grid = layer.data, layer.data.shape == shape
        colours = layer.colormap
        moved = layer.events.data.blocker(self.viewer._on_layers_change) if same_grid else nullcontext()
        with layer.events.editable.blocker(), layer._block_refresh(), moved:
            yield
        if layer.data is not before or layer.colormap is not colours:
            layer.refresh(extent=not same_grid)

    def name_prediction(self) -> None:
        """Name the overlay in napari's list after what it shows."""
        layer, shown = self.prediction, self.session.shown
        if layer is not None and self._study() is not None:
            layer.name = "Segmentation: none yet" if shown is None else _overlay_name(self.session, shown)

    def visible_images(self) -> tuple[str, ...]:
        return tuple(name for name, layer in self._there() if layer.visible)

    def image(self, name: str) -> Image | None:
        """The layer of one scan of the open study; None while its layers are still to come."""
        return self.images.get(name) if self._study() is not None else None

    def scan_and_result(self) -> tuple[Image | None, Labels | None]:
        """The scan on top of those shown, and the result in front."""
        return next((layer for _, layer in self._there() if layer.visible), None), self.front

    # -- what is in front ---------------------------------------------------------------------------------

    @property
    def copy(self) -> Labels | None:
        """The copy edited by hand that is in front; None if the session's own result is."""
        return self._copy

    @property
    def front(self) -> Labels | None:
        """The layer whose labels are the result on screen."""
        return self._copy or self.prediction

    def _put_in_front(self, copy: Labels | None) -> None:
        """Draw ``copy`` (None: the overlay) as the look says, and no other result."""
        self._copy = copy
        self._showing = True
        try:
            for one in copies_in(self.viewer):
                _set_visible(one, one is copy and self.overlay_style.visible)
            if self.prediction is not None:
                _set_visible(self.prediction, copy is None and self.overlay_style.visible)
        finally:
            self._showing = False
        self.on_visible()

    def _visible(self, event: Any = None) -> None:
        """The user showed or hid a layer in napari's own list: a result that is shown comes to the front."""
        if self._showing or event is None:
            return
        layer = event.source
        name = next((name for name, image in self._there() if image is layer), None)
        if name is not None:
            self._seen = (self._seen | {name}) if layer.visible else (self._seen - {name})
        copy = layer if layer in copies_in(self.viewer) else None
        if copy is not None or layer is self.prediction:
            if layer.visible:
                self.overlay_style.visible = True
                self._put_in_front(copy)
                return
            if layer is self.front:
                self.overlay_style.visible = False
        self.on_visible()

    def _gone(self, event: Any) -> None:
        """The user deleted a layer, or napari all of them: work that is not saved can still be saved."""
        layer = event.value
        if self._moving:
            return
        if layer is self._copy:
            self._put_in_front(None)
        if isinstance(layer, Labels) and is_unsaved(layer) and layer not in self.given_up:
            self.deleted.append(layer)
            self.on_deleted()

    def drop(self, layers: Iterable[Labels]) -> None:
        """Take layers that the user gave up out of the window."""
        self._take_out([layer for layer in list(layers) if layer in self.viewer.layers])

    def undelete(self, layers: Iterable[Labels]) -> None:
        """Put back what the user deleted; to the shelf, if it is of another study by now."""
        for layer in layers:
            if self._away is not None or about_edit(layer)["subject"] != self._subject:
                self.shelf.append(layer)
                continue
            self._add(layer)
            if "combination" in about_edit(layer):
                self._put_in_front(layer)

    def _painted(self, layer: Labels) -> None:
        if layer in self.given_up:
            self.given_up.remove(layer)
        self.on_painted()

    def _came(self, event: Any) -> None:
        """A duplicate of labels of ours is a copy to paint in, with a state of its own, and comes to the front."""
        layer = event.value
        if self._moving or not self.edits.adopt(layer):
            return
        if "combination" in about_edit(layer):
            layer.events.visible.connect(self._visible)
            self.overlay_style.visible = True
            self._apply_style()
            self._put_in_front(layer)

    def _follow_style(self, *_: Any) -> None:
        self._apply_style()
        front = self.front
        if front is not None and front.visible != self.overlay_style.visible:
            self._put_in_front(self._copy)

    def _apply_style(self) -> None:
        shown = self.session.shown
        estimated = frozenset() if shown is None else estimated_codes(shown)
        stale = STALE_OPACITY if self.session.stale else 1.0
        layers = [(copy, frozenset(about_edit(copy)["estimated"]), 1.0) for copy in copies_in(self.viewer)]
        if self.prediction is not None and self.prediction in self.viewer.layers:
            layers.append((self.prediction, estimated, stale))
        for layer, grey, part in layers:
            colours = self.colours(self.overlay_style.hidden, grey)
            if layer.colormap is not colours:
                layer.colormap = colours
            opacity = self.overlay_style.opacity * part
            if layer.opacity != opacity:  # each assignment draws canvas and thumbnail anew
                layer.opacity = opacity
            if layer.contour != self.overlay_style.contour:
                layer.contour = self.overlay_style.contour

    def colours(self, hidden: frozenset[int], estimated: frozenset[int]) -> DirectLabelColormap:
        """Built once per look and shared, because building one takes longer than a frame."""
        place = hidden, estimated
        if place not in self._colours:
            self._colours[place] = label_colours(self.session.task, hidden, estimated)
        return self._colours[place]

    # -- requests -----------------------------------------------------------------------------------------

    def jump_to_largest(self) -> bool:
        """Put all planes through the largest finding. False if there is none."""
        front = self.front
        there = front is not None and (self._copy is not None or self.session.shown is not None)
        voxel = largest_finding(np.asarray(front.data)) if there and front is not None else None
        if voxel is None or front is None:
            return False
        self._go_to(front.data_to_world(voxel)[-3:])
        return True

    def voxel_shown(self) -> tuple[int, ...] | None:
        """Voxel of the study's grid at the viewer's sliders."""
        layer = self.prediction
        if layer is None or layer not in self.viewer.layers:
            return None
        world = np.asarray(self.viewer.dims.point)[-layer.ndim :]
        voxel = np.rint(layer.world_to_data(world)).astype(int)
        return tuple(int(v) for v in np.clip(voxel, 0, np.array(layer.data.shape) - 1))

    def edit_copy(self) -> Labels:
        """A layer with a copy of the result on screen, to paint in; one that is in front already is gone on with.

        Raises InputError if there is no result.
        """
        if self._copy is not None and self._copy in self.viewer.layers:
            self.viewer.layers.selection.active = self._copy
            return self._copy
        study, shown = self._study(), self.session.shown
        if shown is None or study is None or shown.preview or self.session.stale:
            raise InputError("There is no finished segmentation to edit; wait for the final result first.")
        task, about = shown.task, self._about(shown, study)
        layer = Labels(
            shown.labels.copy(),
            name=f"{shown.case}, {model_name(shown.model)}: {_short(shown)} edited",
            scale=study.grid.spacing,
            units=task.world_unit,
            colormap=self.colours(frozenset(), estimated_codes(shown)),
            features=label_names(task),
            metadata={"mrseg": about},
        )
        self.edits.follow(layer, about, shown.labels)
        added: Labels = self._add(layer)
        added.events.visible.connect(self._visible)
        self.overlay_style.visible = True
        self._apply_style()
        self._put_in_front(added)  # nothing else is drawn: it would show through what is erased
        self.viewer.layers.selection.active = added
        added.selected_label = task.labels[0].code
        return added

    def edited(self) -> Labels | None:
        """The edited copy that is selected, or in front, else the newest one."""
        found = copies_in(self.viewer)
        active = self.viewer.layers.selection.active
        if active in found:
            return active
        return self._copy or (found[-1] if found else None)

    def unsaved(self) -> list[Labels]:
        """All that the user painted and did not save, also where its study is not in the window."""
        away = () if self._away is None else (layer for _, layer in self._away.layers)
        found = edits_in([*self.viewer.layers, *away, *self.shelf, *self.deleted])
        return [layer for layer in dict.fromkeys(found) if layer not in self.given_up]

    def whose(self, copy: Labels) -> str:
        """The case an edited copy is of, and whether that is another study than the one that is open."""
        about = about_edit(copy)
        return f"{about['case']}{'' if about['subject'] == self._subject else ' (ANOTHER STUDY)'}"

    def _report_position(self, event: Any = None) -> None:
        self.session.look_at(self.voxel_shown())

    def _aim(self, event: Any = None) -> None:
        """Give the pointer a direction in 3-D: until it moves napari has none, and fails to name a label under it."""
        viewer = self.viewer
        if viewer.dims.ndisplay == 3 and viewer.cursor._view_direction is None:
            viewer.cursor._view_direction = viewer.scene.camera.calculate_nd_view_direction(
                viewer.dims.ndim, viewer.dims.displayed
            )

    # -- within -------------------------------------------------------------------------------------------

    def _study(self) -> Study | None:
        """The session's study, unless it is another subject's, whose layers are still to come."""
        study = self.session.study
        return study if self.session.subject == self._subject else None

    def _about(self, shown: Prediction, study: Study) -> dict[str, Any]:
        return {
            "study": STUDYS,
            "task": study.task.name,
            "key": key(shown.combination),
            "case": shown.case,
            "model": dict(shown.model),
            "combination": shown.combination,
            "estimated": estimated_codes(shown),
            "subject": self._subject,
            "source": study.images[shown.combination[0]].source,
        }

    def _add_labels(
        self, labels: npt.NDArray[np.uint8], name: str, *, source: Any = None, **options: Any
    ) -> Labels:
        study = self._study()
        about = {"study": STUDYS, "source": source, "key": "reference", "subject": self._subject}
        about |= {"task": self.session.task.name, "case": "" if study is None else study.case}
        layer = Labels(
            labels,
            name=name,
            colormap=self.colours(frozenset(), frozenset()),
            features=label_names(self.session.task),
            metadata={"mrseg": about},
            **options,
        )
        layer.editable = False
        layer.events.visible.connect(self._visible)
        self._add(layer)
        draw_quickly(self.viewer, layer)
        return layer

    def _there(self) -> list[tuple[str, Image]]:
        there = self.viewer.layers
        return [(name, self.images[name]) for name in reversed(self.images) if self.images[name] in there]

    def _go_to(self, world: Iterable[float]) -> None:
        point = list(world)
        first = self.viewer.dims.ndim - len(point)
        self.viewer.dims.set_point(range(first, self.viewer.dims.ndim), point)

    def clear(self) -> None:
        """Take all layers of the study out of the window; copies that the user may have edited go to the shelf."""
        self.shelf += [la for la in self._of_a_study() if isinstance(la, Labels) and about_edit(la)]
        self.shelf += self.deleted
        self.deleted = []
        self._take_out(self._of_a_study())
        self.images, self.prediction, self.reference, self.brain = {}, None, None, None
        self._seen = set()

    def _of_a_study(self) -> list[Layer]:
        """Layers in the window that go when another study comes; pair and maps are the comparison's to take away."""
        return [
            layer
            for layer in self.viewer.layers
            if belongs(layer) or (paths_of(layer) and "case" in about_of(layer))
        ]

    def _sort_shelf(self) -> None:
        """Keep what is of the open study, and of others what is not saved, unless the user gave it up."""
        shelf = list(dict.fromkeys(self.shelf))
        lost, self.given_up = self.given_up, []
        self.shelf = [la for la in shelf if self._is_ours(la) or (is_unsaved(la) and la not in lost)]
        if self._copy not in filter(self._is_ours, self.shelf):
            self._copy = None

    def _of_subject(self) -> list[Labels]:
        """Off the shelf: the copies of predictions of the open study."""
        ours = list(filter(self._is_ours, self.shelf))
        self.shelf = [layer for layer in self.shelf if layer not in ours]
        return ours

    def _is_ours(self, layer: Labels) -> bool:
        """Whether it is a copy of a prediction of the open study."""
        about = about_edit(layer)
        return "combination" in about and about["subject"] == self._subject

    def _put_away(self) -> None:
        if self._away is not None or not self._subject:
            return
        if not self._whole:  # it was not through itself: it is built anew, should it come back
            self.clear()
            return
        viewer = self.viewer
        layers = tuple((at, la) for at, la in enumerate(viewer.layers) if la in self._of_a_study())
        dims, camera = viewer.dims, viewer.scene.camera
        self._away = _Away(
            self._intact,
            layers,
            viewer.layers.selection.active,
            (tuple(dims.order), tuple(dims.point), dims.ndisplay, tuple(dims.axis_labels)),
            (camera.zoom, tuple(camera.center), tuple(camera.angles)),
        )
        self._take_out([layer for _, layer in layers])

    def _put_back(self, away: _Away) -> None:
        viewer = self.viewer
        with self._quietly():
            for at, layer in away.layers:
                viewer.layers.insert(min(at, len(viewer.layers)), layer)
                if layer in (*self.images.values(), self.reference, self.prediction):
                    draw_quickly(viewer, layer)
        order, point, ndisplay, labels = away.dims
        viewer.dims.ndisplay = ndisplay
        if viewer.dims.ndim == len(order):
            viewer.dims.order, viewer.dims.axis_labels, viewer.dims.point = order, labels, point
        viewer.scene.camera.zoom, viewer.scene.camera.center, viewer.scene.camera.angles = away.camera
        self._apply_style()
        if away.active in viewer.layers:
            viewer.layers.selection.active = away.active
        self.given_up = []

    def _add(self, layer: Any) -> Any:
        with self._quietly():
            return self.viewer.add_layer(layer)

    def _take_out(self, layers: Iterable[Layer]) -> None:
        going = list(layers)
        if not going:
            return
        # Together: else all that is left is drawn anew after each of them.
        with spared(), self._quietly(), self.viewer.layers.batched_update():
            for layer in going:
                self.viewer.layers.remove(layer)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before


def _set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide. Each assignment, also of what is so already, makes napari build its scene anew."""
    if layer.visible != visible:
        layer.visible = visible


def warm_up(task: Task) -> None:
    """Do now, while nobody waits, what napari's first layers take a second for (units, imports)."""
    nothing = np.zeros((2, 2, 2), np.uint8)
    Image(nothing, units="mm", scale=(1, 1, 1))
    Labels(nothing, units="mm", scale=(1, 1, 1), colormap=label_colours(task), features=label_names(task))


def label_colours(
    task: Task, hidden: Iterable[int] = (), estimated: Iterable[int] = ()
) -> DirectLabelColormap:
    """Colours by code: ``hidden`` transparent, ``estimated`` greyed."""
    return DirectLabelColormap(color_dict=label_rgba(task, hidden, estimated))


def _overlay_name(session: Session, shown: Prediction) -> str:
    """The overlay's name: combination, then what is special about it. In napari's list its end is always seen."""
    marks = (["STALE"] if session.stale else []) + (["preview"] if shown.preview else [])
    mark = f" ({', '.join(marks)})" if marks else ""
    return f"Segmentation: {_short(shown)}{mark}"


def _short(shown: Prediction) -> str:
    """The combination without spaces: napari's list has room for 25 letters."""
    return titles(shown.task, shown.combination).replace(" + ", "+")
