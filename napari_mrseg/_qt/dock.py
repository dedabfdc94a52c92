"""The dock: puts the widgets together, shows them the session, and passes their requests on to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from qtpy.QtCore import QCoreApplication, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mrseg._qt.annotations import Annotation
from napari_mrseg._qt.assign import AssignDialog, files_at
from napari_mrseg._qt.bridge import TOPICS, Later, SessionBridge
from napari_mrseg._qt.card import show_card
from napari_mrseg._qt.choices import device_choices, dice_of, model_choices
from napari_mrseg._qt.files import files_of
from napari_mrseg._qt.keys import Keys
from napari_mrseg._qt.layers import StudyLayers, warm_up
from napari_mrseg._qt.modalities import swapped
from napari_mrseg._qt.opening import Opener
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.panel import Panel
from napari_mrseg._qt.plain import dismiss
from napari_mrseg._qt.preferences import Preferences
from napari_mrseg._qt.saving import Saver
from napari_mrseg._qt.style import DOCK, follow_theme, restyle
from napari_mrseg.errors import MrsegError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session import Session

_OVERLAY = frozenset({"combination", "shown", "model"})  # topics that change what the overlay is
_PAUSE = 32  # ms, two frames: the canvas comes first
_docks: WeakSet[MrsegDock] = WeakSet()


def dock_of(viewer: ViewerModel | None) -> MrsegDock | None:
    """The dock that is open in ``viewer``, if there is one."""
    return next((dock for dock in _docks if dock.viewer is viewer and not dock.closed), None)


class MrsegDock(QWidget):
    """Everything the user does with a study. ``session`` defaults to a new one with the bundled model."""

    compare_asked = Signal()  # windows.py, which builds both windows, answers it

    def __init__(self, viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__()
        dismiss(viewer)
        self.viewer, self.session = viewer, session or Session()
        self._preferences = Preferences(self.session)
        self._later: set[Later] = set()
        self._dice: tuple[Prediction | None, Mapping[str, float | None]] = (None, {})
        self._opening = ""
        self._computed = 0, 0
        self._asked: tuple[str | Path, ...] = ()  # paths of an opening that has not succeeded yet
        self._steps: Iterator[None] | None = None
        self._pending: frozenset[str] = frozenset()
        self._stepper = QTimer(self)
        self._stepper.timeout.connect(self._step)
        self._behind: frozenset[str] = frozenset()  # topics the dock does not show yet
        self._images_there = False  # the images behind the overlay are ahead of the dock
        self._follower = QTimer(self)
        self._follower.setSingleShot(True)
        self._follower.setInterval(_PAUSE)
        self._follower.timeout.connect(self._follow)
        self.setObjectName("MrsegDock")
        self._unstyle = follow_theme(self, viewer, DOCK)
        self.setMinimumWidth(340)
        self.setAcceptDrops(True)
        warm_up(self.session.task)
        self.panel = Panel(self.session.task)
        QVBoxLayout(self).addWidget(self.panel)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.modalities, self.legend, self.runbar = (
            self.panel.modalities,
            self.panel.legend,
            self.panel.runbar,
        )
        self.case, self.banner, self.error = self.panel.case, self.panel.banner, self.panel.error
        self.layers = StudyLayers(viewer, self.session)
        self.letters = OrientationLetters(viewer)
        self.annotation = Annotation(viewer, self.session, self.layers.marks)
        self.saver = Saver(self)
        self.opener = Opener(self)
        self._connect()
        self.keys = Keys(self)
        self.bridge = SessionBridge(self.session, self)
        self.bridge.changed.connect(self._changed)
        self.bridge.failed.connect(self.say)
        self._ended: list[bool] = []
        end = _ending(self, self._ended)
        self.destroyed.connect(end)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(end)
        self._changed(frozenset(TOPICS))
        self._describe()
        if self.session.error:
            self.say(self.session.error)
        self.later(device_choices, done=lambda found: self.runbar.show_devices(found, self.session.device))
        if self.session.model is None:
            self.later(lambda: self.session.load_model(None))
        self.opener.adopt()
        _docks.add(self)

    @property
    def closed(self) -> bool:
        """True once the dock is gone and its session stopped."""
        return bool(self._ended)

    @property
    def settled(self) -> bool:
        """True while the dock shows all it has heard of; it is a frame or two behind the canvas, and asks threads."""
        return self._steps is None and not self._follower.isActive() and not self._later

    # -- requests -----------------------------------------------------------------------------------------

    def open(self, paths: Sequence[str | Path], **options: Any) -> None:
        """Read a study in the background; layers change when it is there, and only then."""
        self._reading(paths)
        self.session.open_later(paths, **options)

    def toggle(self, name: str) -> None:
        self.attempt(lambda: self.session.toggle(name))
        self.modalities.show_combination(self.session.combination)

    def assign(self, role: str, path: str) -> None:
        self._reading(self.session.paths)
        self.session.assign(swapped(files_of(self.session), role, path))

    def _reading(self, paths: Sequence[str | Path]) -> None:
        self.hush()
        self._asked = tuple(paths)
        self._opening = f"Reading {Path(str(paths[0]).split('=')[-1]).name} …"

    def jump(self) -> None:
        if not self.layers.jump_to_largest():
            self.say("There is no finding to jump to: the segmentation on screen is empty or not there yet.")

    def edit(self) -> None:
        self.attempt(self.layers.edit_copy)

    def set_outline(self, outline: bool) -> None:
        self.layers.set_outline(outline)
        self.legend.show_outline(outline)

    def set_overlay(self, visible: bool) -> None:
        if self.layers.prediction is not None:
            self.layers.prediction.visible = visible
        self.legend.show_overlay(visible)

    def attempt(self, request: Callable[[], Any]) -> None:
        """Do it, or say why not."""
        self.hush()
        try:
            request()
        except MrsegError as error:
            self.say(str(error))

    def later(self, work: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        """Do ``work`` on a thread; its error is said in the dock."""
        job = Later(work, done=done, failed=self.say, parent=self)
        self._later.add(job)
        job.destroyed.connect(lambda: self._later.discard(job))

    def say(self, sentence: str) -> None:
        """Show an error: in the dock until the next request, and as napari's notification."""
        if not self.session.opening:
            self._opening = ""
        if self._steps is None:  # all that led to it is said with it
            self._follower.stop()
            self._catch_up()
        self.error.setText(sentence)
        self.error.setVisible(True)
        self.panel.which_button.setVisible(bool(self._asked and files_at(self._asked, self.session.task)))
        self.modalities.show_study(*self._found())
        self.modalities.show_combination(self.session.combination)
        show_error(sentence)

    def which(self) -> None:
        """Ask which file is which, and open them so."""
        dialog = AssignDialog(self.session.task, files_at(self._asked, self.session.task), self)
        if dialog.exec():
            self.open(self._asked, assign=dialog.roles())

    def hush(self) -> None:
        self.panel.which_button.setVisible(False)
        self.error.setVisible(False)
        self.error.setText("")

    # -- the session shown --------------------------------------------------------------------------------

    def _changed(self, topics: frozenset[str]) -> None:
        if "study" in topics:
            self._asked = ()
            self._steps = self._show_study()
            self._pending = frozenset(TOPICS) - {"study"}
            self._follower.stop()  # what was left to show is of the old study
            self._stepper.start()
        elif self._steps is not None:
            self._pending |= topics
        else:
            self._refresh(topics)

    def _step(self) -> None:
        """One layer of a new study a turn of the event loop; then everything else is brought up to date."""
        if self._steps is not None and next(self._steps, self) is not self:
            return
        self._stepper.stop()
        self._steps = None
        self._refresh(self._pending)

    def _refresh(self, topics: frozenset[str]) -> None:
        """The canvas at once, all else a frame later: laying out and painting the dock takes longer than a frame."""
        if "images" in topics:
            self.layers.show_images()
        if topics & _OVERLAY:
            self.layers.show_prediction()
            self.annotation.refresh()
        self._behind |= topics
        if "combination" in topics:
            self._images_there = False
        if not self._follower.isActive():
            self._follower.start()

    def _follow(self) -> None:
        """What :meth:`_refresh` left, in two turns of the event loop: images behind the overlay, then all else."""
        if "combination" in self._behind and not self._images_there:
            self._images_there = True
            self.layers.show_combination()
            self._follower.start()
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        """Bring everything up to date with the session."""
        topics, self._behind = self._behind, frozenset()
        self._images_there = False
        session = self.session
        if "opening" in topics and not session.opening:
            self._opening = ""
        if "combination" in topics:
            self.layers.show_combination()
            self.modalities.show_combination(session.combination)
            self.modalities.show_views(self.layers.visible_images())
        if "model" in topics:
            self.later(model_choices, done=self._list_models)
            self.runbar.show_device(session.device)
        if topics & _OVERLAY:
            self.layers.name_prediction()
            self._show_legend()
            self._show_notes()
        if topics & {"predictions", "model"}:
            study = session.study
            every = () if study is None else study.task.combinations(study.present)
            self._computed = len(session.predictions), len(every)
        self.runbar.show_session(session, self._computed, self._opening)
        self._describe()

    def _show_study(self) -> Iterator[None]:
        study = self.session.study
        for layer in list(self.viewer.layers):
            paths = layer.metadata.get("mrseg", {}).get("paths", ())
            if paths and set(paths) <= set(self.session.paths):
                self.viewer.layers.remove(layer)  # the reader's layers of this study: ours take their place
        self.letters.follow(())
        self.case.setText("Open or drop a subject's folder" if study is None else study.case)
        self.modalities.show_study(*self._found())
        self._show_notes()
        for _ in self.layers.show_study():
            if study is not None:
                self.letters.follow(self.layers.images.values(), study.grid.axis_codes)
            self._describe()
            yield
        self.set_overlay(True)

    def _found(self) -> tuple[Any, ...]:
        study = self.session.study
        return (study.present if study else ()), files_of(self.session), study is not None

    def _show_legend(self) -> None:
        session = self.session
        study = session.study  # before what is shown, which another study takes away first
        shown = session.shown
        known, dice = self._dice
        if known is not shown:
            dice = {}
            reference = None if study is None else study.reference
            if shown is not None and reference is not None:
                self.later(lambda: (shown, dice_of(shown, reference.labels)), done=self._compared)
        self.legend.show_prediction(shown, dice, session.stale)

    def _show_notes(self) -> None:
        """What is to be known about the scans and about the result on screen, each sentence once."""
        said = [note.message for one in (self.session.study, self.session.shown) if one for note in one.notes]
        self.panel.notes.setText("\n".join(dict.fromkeys(said)))
        self.panel.notes.setVisible(bool(said))

    def _compared(self, found: tuple[Prediction, Mapping[str, float | None]]) -> None:
        if found[0] is self.session.shown:
            self._dice = found
            self._show_legend()

    def _describe(self) -> None:
        session = self.session
        shown = session.shown
        state = "none"
        if shown is not None:
            state = "stale" if session.stale else "preview" if shown.preview else "final"
        restyle(self.banner, "state", state)
        self.banner.setText(" · ".join([*self.layers.marks(), session.describe()]))
        self.annotation.refresh()
        finished = state == "final"
        self.panel.edit_button.setEnabled(finished)
        self.panel.jump_button.setEnabled(shown is not None)
        self.panel.save_button.setEnabled(session.study is not None)

    def _seen(self) -> None:
        """The user showed or hid a layer in napari's own list."""
        if self._steps is None:
            prediction = self.layers.prediction
            self.legend.show_overlay(prediction is None or bool(prediction.visible))
            self.modalities.show_views(self.layers.visible_images())
            self._describe()

    def _list_models(self, names: Sequence[str]) -> None:
        model = self.session.model
        self.runbar.show_models(names, None if model is None else model.info["name"])

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

    def _connect(self) -> None:
        panel = self.panel
        panel.folder_button.clicked.connect(self.opener.ask_folder)
        panel.files_button.clicked.connect(self.opener.ask_files)
        panel.sample_button.clicked.connect(self.opener.open_sample)
        panel.which_button.clicked.connect(self.which)
        panel.jump_button.clicked.connect(self.jump)
        panel.edit_button.clicked.connect(self.edit)
        panel.compare_button.clicked.connect(self.compare_asked)
        panel.save_button.clicked.connect(self.saver.save_shown)
        panel.save_button.setMenu(self.saver.menu())
        self.modalities.toggled.connect(self.toggle)
        self.modalities.viewed.connect(self.layers.show_only)
        self.modalities.assigned.connect(self.assign)
        self.runbar.run.connect(lambda: self.attempt(self.session.run))
        self.runbar.cancel.connect(lambda: self.attempt(self.session.cancel))
        self.runbar.model_chosen.connect(lambda name: self._choose(self.session.load_model, name))
        self.runbar.device_chosen.connect(
            lambda name: self._choose(self.session.set_device, name, self.session.precision)
        )
        self.runbar.info.connect(lambda: show_card(self, self.session.model))
        self.legend.hidden_changed.connect(self.layers.set_hidden)
        self.legend.opacity_changed.connect(self.layers.set_opacity)
        self.legend.outline_changed.connect(self.set_outline)
        self.legend.overlay_changed.connect(self.set_overlay)
        self.layers.on_visible = self._seen

    def _choose(self, choose: Callable[..., None], *choice: str) -> None:
        """Take another model or device; if that fails, the drop-downs go back to what is in use."""

        def work() -> None:
            try:
                choose(*choice)
            finally:
                self.session.model_changed.emit()

        self.hush()
        self.later(work)


def _ending(dock: MrsegDock, ended: list[bool]) -> Callable[[], None]:
    """What ends with the dock; holds no reference to the widget, which is gone by then."""
    session, bridge, follower, unstyle = dock.session, dock.bridge, dock._follower, dock._unstyle
    parts = dock.keys, dock.letters, dock.annotation, dock.layers

    def end() -> None:
        if ended:
            return
        ended.append(True)
        bridge.close()
        unstyle()
        with suppress(RuntimeError):  # it goes with the dock
            follower.stop()
        for part in parts:
            with suppress(Exception):  # with the window, the canvas is gone before the dock is
                part.close()
        session.close()

    return end
