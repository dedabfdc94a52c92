"""The session's study as napari layers: an image per modality, one overlay, the reference."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_mrseg._qt.about import STUDYS, layers_of_a_study
from napari_mrseg._qt.edits import about_edit, copies_in, is_unsaved
from napari_mrseg._qt.finding import largest_finding
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.kept_edits import KeptEdits
from napari_mrseg._qt.layer_making import (
    NONE_YET,
    brain_layer,
    check_layers,
    copy_layer,
    fixed_labels,
    image_layer,
    label_colours,
    overlay_name,
)
from napari_mrseg._qt.one_draw import drawn_once, set_visible, undrawn
from napari_mrseg._qt.overlay_style import OUTLINE, OverlayStyle
from napari_mrseg._qt.places import aim, go_to, voxel_at
from napari_mrseg._qt.put_away import Away, look_as_before, put_away
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg._qt.scale_bar import show_scale
from napari_mrseg.display import estimated_codes, image_title
from napari_mrseg.errors import InputError
from napari_mrseg.inference.mask_border import AT_BORDER
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, key

STALE_OPACITY = 0.4  # of the chosen opacity
_LATER = 300  # ms after a study's last layer


class StudyLayers(KeptEdits):
    """Shows a session's study in a viewer. Only layers that belong to a study are ever changed or removed.

    The overlay is not editable: its array is the cached prediction itself. :meth:`edit_copy` gives the user a
    layer of their own, which belongs to its subject and goes with it. One of them, the overlay or a copy, is in front:
    the result that is drawn, named, measured and saved. Showing another one hides it.
    """

    def __init__(self, viewer: ViewerModel, session: Session, overlay_style: OverlayStyle) -> None:
        super().__init__(viewer)
        self.session, self.overlay_style = session, overlay_style
        self.images: dict[str, Image] = {}
        self.prediction: Labels | None = None
        self.reference: Labels | None = None
        self.brain: Labels | None = None  # the mask by which a head lost its skull; the user may paint in it
        self._bordered: Labels | None = None  # the mask whose border a finding brought up
        self.on_visible: Callable[[], None] = lambda: None  # called when the user shows or hides a layer
        self.on_deleted: Callable[[], None] = lambda: None  # called when the user deleted unsaved work
        self._moving = False  # while we put layers in and out ourselves
        self._combination: Combination = ()
        self._showing = False  # while we show and hide layers ourselves
        self._intact: Study | None = None
        self._whole = False  # all its layers are made
        self._colours: dict[tuple[frozenset[int], frozenset[int]], DirectLabelColormap] = {}
        self._seen: set[str] = set()  # modalities whose images the user wants to see, also while they are off
        self.covered = False  # something imagined is seen in their place
        for layer in viewer.layers:  # of a dock that was closed: what is painted in them is still asked about
            if isinstance(layer, Labels) and about_edit(layer):
                self.edits.follow(layer, about_edit(layer))
        viewer.dims.events.current_step.connect(self._report_position)
        viewer.dims.events.ndisplay.connect(self._turned)
        viewer.layers.events.removed.connect(self._gone)
        viewer.layers.events.inserted.connect(self._came)
        overlay_style.events.connect(self._follow_style)

    def close(self) -> None:
        """Follow nothing any more; the layers stay with the user, and so does what is not saved."""
        self.viewer.dims.events.current_step.disconnect(self._report_position)
        self.viewer.dims.events.ndisplay.disconnect(self._turned)
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
        going = layers_of_a_study(self.viewer)
        self.clear()
        self._subject = "" if study is None else self.session.subject
        self._intact = None if study is None else self.session.intact
        self._combination = self.session.combination
        self._sort_shelf()
        self._whole = False
        if study is None:
            return
        if going:
            yield
        with undrawn(self.viewer):
            yield from self._add_images(study)
        yield
        with undrawn(self.viewer):
            yield from self._add_rest(study)
        # The study before: its arrays are large, and held by nothing but each other.
        QTimer.singleShot(_LATER, gc.collect)

    def _add_images(self, study: Study) -> Iterator[None]:
        """The scans; the last that is added is the one that is seen."""
        names = list(study.images)
        middle = [(n - 1) / 2 * s for n, s in zip(study.grid.shape, study.grid.spacing, strict=True)]
        for name in reversed(names):  # napari draws the last on top
            layer = image_layer(study, name, visible=name == names[0])
            self.images[name] = self._add(layer)
            draw_quickly(self.viewer, layer)
            layer.events.visible.connect(self._visible)
            self._seen = {names[0]}
            if len(self.images) == 1:
                go_to(self.viewer, middle)
                aim(self.viewer)
            if name != names[0]:
                yield

    def _add_rest(self, study: Study) -> Iterator[None]:
        """What lies above the scans, and is empty or hidden as yet."""
        if study.reference is not None:
            self.reference = self._add_labels(
                study, study.reference.labels, "Reference", visible=False, source=study.reference.source
            )
            self.reference.contour = OUTLINE
            yield
        for layer in check_layers(study):
            self._add(layer)
            yield
        mask = next(iter(study.images.values())).mask
        if mask is not None:
            self.brain = brain_layer(study, mask, self._subject)
            self.edits.follow(self.brain, about_edit(self.brain))
            self._add(self.brain)
            yield
        empty = np.zeros(study.grid.shape, np.uint8)
        self.prediction = self._add_labels(study, empty, NONE_YET)
        for copy in self._of_subject():
            self._add(copy)
        if self._copy is not None:
            self.prediction.visible = False
        self._apply_style()
        self.viewer.layers.selection.active = self._copy or self.prediction
        show_scale(self.viewer, True)
        self._whole = True

    def _is_here(self, study: Study | None) -> bool:
        """Whether the layers are the study's already: another one was refused before this one was put away."""
        session = self.session
        same = self._intact is session.intact and self._subject == session.subject
        return study is not None and self._whole and same

    def show_combination(self) -> None:
        """Hide and mark images of modalities that are off; while all that was seen is off, one in use stands in."""
        study, in_use = self._study(), self.session.combination
        if study is None:
            return
        there = dict(self._there())
        seen = {name for name in in_use if name in self._seen and name in there}
        seen = seen or {name for name in in_use[:1] if name in there}
        seen = set() if self.covered else seen
        self._showing = True
        try:
            for name, layer in there.items():
                title = image_title(study, name)
                layer.name = title if name in in_use else f"{title} (off)"
                set_visible(layer, name in seen)
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
        with drawn_once(self.viewer, layer, study.grid.shape):
            if shown is not None:
                if layer.data is not shown.labels:
                    layer.data = shown.labels
            elif layer.data.any() or layer.data.shape != study.grid.shape:
                layer.data = np.zeros(study.grid.shape, np.uint8)
            layer.editable = False
            self._apply_style()
        if shown is not None:
            self._show_touched_border(shown)

    def _show_touched_border(self, shown: Prediction) -> None:
        """Show the brain mask's border, once for each mask, where a finding reaches it."""
        mask = self.brain
        if mask is None or mask is self._bordered or not any(n.code == AT_BORDER for n in shown.notes):
            return
        self._bordered = mask
        mask.visible = True

    def name_prediction(self) -> None:
        """Name the overlay in napari's list after what it shows."""
        layer, shown = self.prediction, self.session.shown
        if layer is not None and self._study() is not None:
            layer.name = NONE_YET if shown is None else overlay_name(shown, stale=self.session.stale)

    def visible_images(self) -> tuple[str, ...]:
        return tuple(name for name, layer in self._there() if layer.visible)

    def image(self, name: str) -> Image | None:
        """The layer of one scan of the open study; None while its layers are still to come."""
        return self.images.get(name) if self._study() is not None else None

    def scan_and_result(self) -> tuple[Image | None, Labels | None]:
        """The scan on top of those shown, and the result in front."""
        there, used = self._there(), self.session.combination
        seen = [la for name, la in there if (name in used if self.covered else la.visible)]
        return next(iter(seen), None), self.front

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
                set_visible(one, one is copy and self.overlay_style.visible)
            if self.prediction is not None:
                set_visible(self.prediction, copy is None and self.overlay_style.visible)
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
        go_to(self.viewer, front.data_to_world(voxel)[-3:])
        return True

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
        about = self._about(shown, study)
        layer = copy_layer(shown, study, self.colours(frozenset(), estimated_codes(shown)), about)
        self.edits.follow(layer, about, shown.labels)
        added: Labels = self._add(layer)
        added.events.visible.connect(self._visible)
        self.overlay_style.visible = True
        self._apply_style()
        self._put_in_front(added)  # nothing else is drawn: it would show through what is erased
        self.viewer.layers.selection.active = added
        added.selected_label = shown.task.labels[0].code
        return added

    def voxel_shown(self) -> tuple[int, ...] | None:
        """Voxel of the study's grid at the viewer's sliders."""
        layer = self.prediction
        there = layer is not None and layer in self.viewer.layers
        return voxel_at(self.viewer, layer) if there and layer is not None else None

    def _turned(self, event: Any = None) -> None:
        aim(self.viewer)

    def _report_position(self, event: Any = None) -> None:
        self.session.look_at(self.voxel_shown())

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
        self,
        study: Study,
        labels: npt.NDArray[np.uint8],
        name: str,
        *,
        source: Any = None,
        visible: bool = True,
    ) -> Labels:
        about = {"study": STUDYS, "source": source, "key": "reference", "subject": self._subject}
        about |= {"task": study.task.name, "case": study.case}
        layer = fixed_labels(
            study, labels, name, self.colours(frozenset(), frozenset()), about, visible=visible
        )
        layer.events.visible.connect(self._visible)
        self._add(layer)
        draw_quickly(self.viewer, layer)
        return layer

    def _there(self) -> list[tuple[str, Image]]:
        there = self.viewer.layers
        return [(name, self.images[name]) for name in reversed(self.images) if self.images[name] in there]

    def clear(self) -> None:
        """Take all layers of the study out of the window; copies that the user may have edited go to the shelf."""
        self.shelf += [
            la for la in layers_of_a_study(self.viewer) if isinstance(la, Labels) and about_edit(la)
        ]
        self.shelf += self.deleted
        self.deleted = []
        self._take_out(layers_of_a_study(self.viewer))
        show_scale(self.viewer, False)
        self.images, self.prediction, self.reference, self.brain = {}, None, None, None
        self._seen = set()

    def _put_away(self) -> None:
        if self._away is not None or not self._subject:
            return
        if not self._whole:  # it was not through itself: it is built anew, should it come back
            self.clear()
            return
        self._away = away = put_away(self.viewer, layers_of_a_study(self.viewer), self._intact)
        show_scale(self.viewer, False)
        self._take_out([layer for _, layer in away.layers])

    def _put_back(self, away: Away) -> None:
        viewer = self.viewer
        with self._quietly():
            for at, layer in away.layers:
                viewer.layers.insert(min(at, len(viewer.layers)), layer)
                if layer in (*self.images.values(), self.reference, self.prediction):
                    draw_quickly(viewer, layer)
        look_as_before(viewer, away)
        show_scale(self.viewer, True)
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
