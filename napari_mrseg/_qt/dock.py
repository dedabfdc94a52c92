"""The dock: puts the widgets together, shows them the session, and passes their requests on to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from qtpy.QtCore import QCoreApplication, QTimer, Signal
from qtpy.QtWidgets import QDialog, QVBoxLayout, QWidget

from napari_mrseg._qt.annotations import Annotation
from napari_mrseg._qt.bridge import TOPICS, BackgroundTask, SessionBridge
from napari_mrseg._qt.camera import CameraFit
from napari_mrseg._qt.choosing import Choosing
from napari_mrseg._qt.edit_tools import Editing
from napari_mrseg._qt.file_choices import files_of
from napari_mrseg._qt.imagining_view import ImaginingView
from napari_mrseg._qt.keys import Keys
from napari_mrseg._qt.keys_window import keys_window
from napari_mrseg._qt.layer_making import warm_up
from napari_mrseg._qt.layers import StudyLayers
from napari_mrseg._qt.measuring import Measuring
from napari_mrseg._qt.opener import Opener
from napari_mrseg._qt.opening_banner import OpeningBanner
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.panel import Panel
from napari_mrseg._qt.planes import Planes
from napari_mrseg._qt.preferences import Preferences, colours
from napari_mrseg._qt.reader_hints import dismiss
from napari_mrseg._qt.reading import Reading, keep_ends
from napari_mrseg._qt.result import Measures, Result
from napari_mrseg._qt.ruler import Ruler
from napari_mrseg._qt.saving import Saver
from napari_mrseg._qt.scale_bar import ScaleBar
from napari_mrseg._qt.side_by_side import SideBySide
from napari_mrseg._qt.statusline import StatusLine
from napari_mrseg._qt.style import DOCK, follow_theme, restyle
from napari_mrseg._qt.three_planes import ThreePlanes
from napari_mrseg._qt.traffic_light import TrafficLight
from napari_mrseg._qt.unsaved import guard, leave
from napari_mrseg._qt.updates import OVERLAY, Updates
from napari_mrseg._qt.user_settings import follow_style, remember, remembered, remembered_style
from napari_mrseg._qt.watermark import Watermark
from napari_mrseg._qt.window_level import WindowLevel
from napari_mrseg._qt.wiring import connect, ending
from napari_mrseg._qt.worklist import Worklist
from napari_mrseg.errors import MrsegError
from napari_mrseg.inference.allocator import release_freed_memory
from napari_mrseg.session.state import Session
from napari_mrseg.study import joined
from napari_mrseg.tasks import use_palette

_docks: WeakSet[MrsegDock] = WeakSet()
_FIRST_FRAME = 250  # ms in which the window comes up


def dock_of(viewer: ViewerModel | None) -> MrsegDock | None:
    """The dock that is open in ``viewer``, if there is one."""
    return next((dock for dock in _docks if dock.viewer is viewer and not dock.closed), None)


class MrsegDock(QWidget):
    """Everything the user does with a study. ``session`` defaults to a new one with the bundled model."""

    compare_asked = Signal()  # windows.py, which builds both windows, answers it

    def __init__(self, viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__()
        if not _docks:
            use_palette(colours())
        dismiss(viewer)
        keep_ends(viewer)
        self.viewer, self.session, self.overlay_style = viewer, session or Session(), remembered_style()
        follow_style(self.overlay_style)
        self._later: set[BackgroundTask] = set()
        self._computed = 0, 0
        self._subject = ""  # whose layers are there, or will be again if another study is refused
        self._shown = ""  # whose name, numbers and layers are on screen: of nobody's while a study is read
        self._note = ""  # what was said to be saved of the study that may come back
        self._found = False  # the view went to this subject's finding, or the user took it elsewhere
        self.setObjectName("MrsegDock")
        self._unstyle = follow_theme(self, viewer, DOCK)
        self.setMinimumWidth(340)
        self.setAcceptDrops(True)
        self.panel = Panel(self.session.task, self.overlay_style)
        QVBoxLayout(self).addWidget(self.panel)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.modalities, self.legend, self.runbar = (
            self.panel.modalities,
            self.panel.legend,
            self.panel.runbar,
        )
        self.case, self.banner, self.error = self.panel.case, self.panel.banner, self.panel.error
        self.layers = StudyLayers(viewer, self.session, self.overlay_style)
        guard(viewer, self.layers.unsaved)
        self.result = Result(self.session, self.layers, self)
        self.trusting = TrafficLight(self.session, self)
        self.result.judged = lambda: self.trusting.trust
        self.letters, self.scale_bar = OrientationLetters(viewer), ScaleBar(viewer)
        self.annotation = Annotation(viewer, self.session, self.result.words, self._current)
        self.planes, self.watermark = Planes(viewer), Watermark(viewer, lambda: self.fit.apply())
        self.fit = CameraFit(viewer, lambda: self.annotation.height, lambda: self.watermark.height)
        self.three_planes = ThreePlanes(
            viewer, self._planes_shown, fit=self.fit, result=self.layers.scan_and_result
        )
        self.beside = SideBySide(self, self._beside_shown)
        self.reading = Reading(viewer, self.panel.reading_button.setChecked)
        self.window_level = WindowLevel(
            viewer, lambda: reversed(list(self.layers.images.values())), remember=True
        )
        self.panel.window_button.follow(self.window_level)
        self.measuring = Measuring(self, self.panel.lesions, self)
        self.editing = Editing(self, self.panel.edit_tools, self)
        self.ruler = Ruler(viewer, lambda: self.measuring)
        self.imagining = ImaginingView(self, self.modalities, self.panel.imagining, self._current, self)
        self.status_line = StatusLine(viewer, self.session, self.layers)
        self.saver = Saver(self, lambda: self.measuring.measured)
        self.panel.lesions.save.connect(self.saver.save_lesions)
        self.opener = Opener(self)
        self.opening_banner = OpeningBanner(viewer)
        self.worklist = Worklist(self, self.panel.worklist_bar, self)
        self.updates = Updates(
            study=self._show_study,
            canvas=self._show_canvas,
            images=self.layers.show_combination,
            rest=self._show_rest,
            parent=self,
        )
        self.choosing = Choosing(self)
        connect(self)
        self.keys = Keys(self)
        self.bridge = SessionBridge(self.session, self)
        self.bridge.changed.connect(self._changed)
        self.bridge.failed.connect(self.say)
        self._ended: list[bool] = []
        self.end = end = ending(self, self._ended)
        self.destroyed.connect(end)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(end)
        before = self.opener.read_before()  # the next line takes these layers away
        self._changed(frozenset(TOPICS))
        self._describe()
        if self.session.error:
            self.say(self.session.error)
        self._preferences = Preferences(self.session, self.choosing.device, self.choosing.engine)
        self.opener.adopt(before)
        QTimer.singleShot(_FIRST_FRAME, self._prepare)
        _docks.add(self)

    def _prepare(self) -> None:
        """Load what takes a second and is not seen, once the window is."""
        if self.closed:
            return
        if self.session.model is None:
            self.later(lambda: self.session.load_model(None))
        self.choosing.list_devices()
        warm_up(self.session.task)

    @property
    def closed(self) -> bool:
        """True once the dock is gone and its session stopped."""
        return bool(self._ended)

    @property
    def settled(self) -> bool:
        """True while the dock shows all it has heard of; it is a frame or two behind the canvas, and asks threads."""
        return self.updates.settled and self.result.settled and not self._later

    # -- requests -----------------------------------------------------------------------------------------

    def open(self, paths: Sequence[str | Path], **options: Any) -> None:
        """Read a study in the background; layers change when it is there, and only then."""
        self.opener.open(paths, **options)

    def show_now(self) -> None:
        """Bring the window up to date with the session before the next frame."""
        self.bridge.flush()
        self.updates.catch_up()

    def toggle(self, name: str) -> None:
        if self.opener.reading:
            return
        self.attempt(lambda: self.session.toggle(name))
        self.modalities.show_combination(self.session.combination)

    def next_window(self) -> None:
        """The next preset of window and level, named in the status bar."""
        preset = self.window_level.next_preset()
        remember("window", preset)
        self.viewer.status = f"Window: {preset}"

    def next_view(self) -> None:
        """The next of the scans in use behind the segmentation."""
        self.imagining.stop()
        seen, in_use = self.layers.visible_images(), self.session.combination
        if in_use:
            at = in_use.index(seen[0]) + 1 if seen and seen[0] in in_use else 0
            self.layers.show_only(in_use[at % len(in_use)])
            self.modalities.show_views(self.layers.visible_images())

    def jump(self, asked: bool = True) -> None:
        """Show the largest finding; where there is none, say so if the user has ``asked`` for it."""
        if self.opener.reading:
            return
        self._found = True
        if not self.layers.jump_to_largest() and asked:
            self.say("There is no finding to jump to: the segmentation on screen is empty or not there yet.")

    def show_three_planes(self) -> None:
        """Axial, sagittal and coronal, linked; or one plane again."""
        self.beside.close()
        self.attempt(self.three_planes.toggle)
        remember("planes", self.three_planes.shown)
        self.panel.planes_button.setChecked(self.three_planes.shown)

    def show_beside(self) -> None:
        """A second picture beside this one, or one again."""
        self.three_planes.close()
        self.attempt(self.beside.toggle)
        self.panel.beside_button.setChecked(self.beside.shown)

    def _beside_shown(self, on: bool) -> None:
        self.panel.beside_button.setChecked(on)
        self.annotation.make_brief("beside", on)

    def _planes_shown(self, on: bool) -> None:
        self.panel.planes_button.setChecked(on)
        self.annotation.make_brief("planes", on)

    def edit(self) -> None:
        if not self.opener.reading:
            self.attempt(self.layers.edit_copy)

    def cancel(self) -> None:
        """Stop what is under way: the reading of a study, else the run."""
        if self.opener.reading:
            self.opener.cancel()
        else:
            self.attempt(self.session.cancel)

    def leave(self) -> bool:
        """Whether the dock may close. Asks once: what is given up goes, so that quitting does not ask again."""
        if not self.opener.may_leave("closing the dock"):
            return False
        self.layers.drop(self.layers.given_up)
        return True

    def attempt(self, request: Callable[[], Any]) -> None:
        """Do it, or say why not."""
        self.hush()
        try:
            request()
        except MrsegError as error:
            self.say(str(error))

    def later(self, work: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        """Do ``work`` on a thread; its error is said in the dock."""
        job = BackgroundTask(work, done=done, failed=self.say, parent=self)
        self._later.add(job)
        job.destroyed.connect(lambda: self._later.discard(job))

    def say(self, sentence: str) -> None:
        """Show an error until the next request: in the dock, or where that is out of sight, in napari's corner."""
        self.updates.catch_up()  # all that led to it is said with it
        study = self.session.study
        asked, cause = self.opener.asked is not None, self.session.cause
        held = self.opener.held_beyond(sentence) if asked and str(cause) == sentence else ""
        open_still = f"Still open: {study.case}." if asked and study is not None else ""
        kept = "".join(f" {words}" for words in (held, open_still) if words)
        self.error.setText(sentence + kept)
        self.error.setVisible(True)
        if asked and not self.session.opening:
            self.opening_banner.show_refusal(f"{self.opener.name} is not open", sentence + kept)
        self.opener.offer_fixes(self.session.cause if str(self.session.cause) == sentence else None)
        self.modalities.show_study(*self._files())
        self.modalities.show_combination(self.session.combination)
        if not self.isVisible():
            show_error(sentence)

    def hush(self) -> None:
        self.opener.forget_refused()
        self.opening_banner.end_refusal()
        self.error.setVisible(False)
        self.error.setText("")

    # -- the session shown --------------------------------------------------------------------------------

    def _changed(self, topics: frozenset[str]) -> None:
        if "study" in topics:
            self.opener.heard()
        self.updates.changed(topics)

    def _show_study(self) -> Iterator[None]:
        session = self.session
        self._shown = session.subject
        self.imagining.refresh()  # first: nothing imagined is seen under another name
        study, reading = session.study, self.opener.reading
        self._name_sides()
        self._show_opening()
        self.legend.show_measures(Measures())
        self.modalities.show_study(*self._files())
        self._show_notes()
        self.panel.planes_button.setVisible(self.session.task.ndim == 3)
        has_mask = study is not None and any(image.mask is not None for image in study.images.values())
        self.panel.brain_button.setVisible(has_mask)
        self.opener.offer_brain()
        another = not reading and session.subject != self._subject
        if reading or another:
            self.runbar.say_opening(reading or ("" if study is None else f"Opening {study.case} …"))
        self._note = self.panel.saved.text() if reading else self._note
        self.panel.saved.setText("" if reading or another else self._note or self.panel.saved.text())
        if another:
            self._subject, self._note = session.subject, ""
            self._found, self.overlay_style.hidden = False, frozenset()
        for _ in self.layers.show_study(study, may_return=bool(reading)):
            if study is not None:
                images = self.layers.images
                self._name_sides(study.grid.axis_codes)
                if another and len(images) == 1:
                    self._describe()
                    self.planes.name(study.task)
                    self.fit.follow(next(iter(images.values())))
            self._describe()
            yield
        if study is not None:
            self._name_sides(study.grid.axis_codes)
            if another:
                self._recall()
            self.overlay_style.visible = self.overlay_style.visible or another
            self._show_legend()  # with the line that says what is on screen, not a frame later
            if another:
                self.later(release_freed_memory)  # of the study before, whose layers are gone by now
        self._describe(now=study is None)  # whatever was read meanwhile: of the old one nothing stays

    def _recall(self) -> None:
        """Window and planes as the user had them last, in this window or an earlier one."""
        preset = remembered("window", "usual")
        if preset != "usual":
            self.window_level.set_preset(preset)
        if remembered("planes", False) and self.session.task.ndim == 3 and not self.three_planes.shown:
            with suppress(MrsegError):  # the extra is gone, or this is no window
                self.three_planes.toggle()
            self.panel.planes_button.setChecked(self.three_planes.shown)

    def _name_sides(self, codes: Sequence[str] = ()) -> None:
        images = list(self.layers.images.values()) if codes and self.session.task.ndim == 3 else []
        self.letters.follow(images, codes)
        self.three_planes.follow(images, codes)

    def _current(self) -> bool:
        """False between the session's change of studies and the window's, when nothing may be taken from it."""
        return self.session.subject == self._shown

    def _show_opening(self) -> None:
        """That a study is being opened, how far it is, and nothing else."""
        study, reading = self.session.study, self.opener.reading
        self.result.opening = reading
        name = "Open or drop a subject's folder" if study is None else study.case
        self.case.setText(reading or name)
        if reading:
            self.runbar.say_opening(reading)  # with the name: nothing is painted between the two
        self.worklist.show()

    def _show_canvas(self, topics: frozenset[str]) -> None:
        if not self._current():
            return  # all is shown anew in a moment
        if "images" in topics:
            self.layers.show_images()
        if topics & OVERLAY:
            self.layers.show_prediction()
            if not self._found and self.session.shown is not None and self.layers.copy is None:
                self._found = self.layers.jump_to_largest()
            self.annotation.refresh()

    def _show_rest(self, topics: frozenset[str]) -> None:
        """Bring everything up to date with the session."""
        session = self.session
        if not self._current():
            return  # as above
        if "opening" in topics:
            self._show_opening()
        if "combination" in topics:
            self.layers.show_combination()
            self.modalities.show_combination(session.combination)
            self.modalities.show_views(self.layers.visible_images())
            self.imagining.refresh()
        if "model" in topics:
            self.choosing.list_models()
            self.runbar.show_device(session.device, session.elsewhere)
        if topics & OVERLAY:
            self.layers.name_prediction()
            self._show_legend()
            self._show_notes()
            # Else the status bar speaks of the old result until the mouse moves.
            if self.viewer.mouse_over_canvas:
                self.viewer.update_status_from_cursor()
            else:
                self.viewer.status = "Ready"
        if topics & {"predictions", "model"}:
            every = session.combinations
            self._computed = len(session.predictions), len(every)
        if topics & {"predictions", "shown"}:
            self.trusting.refresh()
        for panel in self.panel.listed:
            panel.refresh(None if self.opener.reading else session)
        self._describe()
        # Last: a bar that moves paints the window at once, and must find no word of the old study.
        self._show_opening()  # the name first: what was read may be there, or given up, since it was written
        self.runbar.show_session(session, self._computed, self.opener.reading)
        if self.opener.reading:
            self.opening_banner.show_opening(self.opener.reading, self.opener.step, session.openings.fraction)
        else:
            self.opening_banner.end_opening()

    def _files(self) -> tuple[Any, ...]:
        study = self.session.study
        return (study.present if study else ()), files_of(self.session), study is not None

    def _show_legend(self) -> None:
        self.legend.show_measures(self.result.measures())
        self.measuring.refresh()
        self.editing.refresh()

    def _show_notes(self) -> None:
        """What is to be known about the scans and about the result on screen, each sentence once."""
        notes = [note for one in (self.session.study, self.session.shown) if one for note in one.notes]
        messages = [note.message for note in joined(notes)]
        self.panel.notes.setText("\n".join(messages))
        self.panel.notes.setVisible(bool(messages))
        self.opener.offer_codes()

    def _describe(self, *, now: bool = False) -> None:
        if not now and not self._current():
            return
        state = self.result.state
        trust = self.result.trust
        restyle(self.banner, "state", state)
        restyle(self.banner, "trust", trust.level if trust is not None and state != "stale" else "")
        sure = [trust.headline] if trust is not None and trust.level == "green" and state == "final" else []
        self.panel.say([*sure, *self.result.words()], "" if trust is None else trust.explained)
        self.annotation.refresh(now=now)
        self.three_planes.refresh()
        self.beside.refresh()
        self.panel.edit_button.setEnabled(state in ("final", "edited"))
        self.panel.jump_button.setEnabled(state != "none")
        self.panel.save_button.setEnabled(self.session.study is not None)

    def _measured(self) -> None:
        if not self._current():
            return
        self._show_legend()
        self._describe()

    def _seen(self) -> None:
        """Another result came to the front, or the user showed or hid a layer in napari's own list."""
        if not self.updates.opening and self._current():
            self.modalities.show_views(self.layers.visible_images())
            self._measured()

    def _moved(self, event: Any = None) -> None:
        """The user looks elsewhere: a result that comes now must not take the view away."""
        if self.session.shown is None and not self.updates.opening:
            self._found = True

    def _deleted(self) -> None:
        """The user deleted work of hand that is not saved: napari has no way back, we have."""
        layers = self.layers
        if self.closed or not self.isVisible():
            return  # asked about when something else would lose it
        gone = [layer for layer in layers.unsaved() if layer in layers.deleted]
        if not leave(gone, self, "deleting"):
            layers.undelete(gone)
        layers.deleted = [layer for layer in layers.deleted if layer not in gone]

    # -- opening by dropping ------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:  # noqa: N802
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:  # noqa: N802
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open(paths)

    # -- within -------------------------------------------------------------------------------------------

    def show_keys(self) -> QDialog:
        """List all keys, beside the viewer."""
        dialog = keys_window(self, self.keys.rows)
        dialog.show()
        return dialog
