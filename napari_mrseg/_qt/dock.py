"""The dock: puts the widgets together, shows them the session, and passes their requests on to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from qtpy.QtCore import QCoreApplication, QSettings, Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.annotations import Annotation
from napari_mrseg._qt.assign import AssignDialog, files_at
from napari_mrseg._qt.bridge import TOPICS, Later, SessionBridge
from napari_mrseg._qt.card import show_card
from napari_mrseg._qt.files import files_of
from napari_mrseg._qt.keys import Keys
from napari_mrseg._qt.layers import StudyLayers, warm_up
from napari_mrseg._qt.legend import Legend
from napari_mrseg._qt.modalities import ModalityList, swapped
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.runbar import RunBar
from napari_mrseg._qt.saving import Saver
from napari_mrseg._qt.style import STYLE, restyle
from napari_mrseg.errors import MrsegError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session import Session

_FILES = "Scans (*.nii *.nii.gz);;All files (*)"
_docks: WeakSet[MrsegDock] = WeakSet()


def dock_of(viewer: ViewerModel | None) -> MrsegDock | None:
    """The dock that is open in ``viewer``, if there is one."""
    return next((dock for dock in _docks if dock.viewer is viewer and not dock.closed), None)


class MrsegDock(QWidget):
    """Everything the user does with a study. ``session`` defaults to a new one with the bundled model."""

    def __init__(self, viewer: ViewerModel, session: Session | None = None) -> None:
        super().__init__()
        self.viewer, self.session = viewer, session or Session()
        self._later: set[Later] = set()
        self._dice: tuple[Prediction | None, Mapping[str, float | None]] = (None, {})
        self._offered: list[str] = []
        self._opening = ""
        self._computed = 0, 0
        self._asked: tuple[str | Path, ...] = ()  # paths of an opening that has not succeeded yet
        self._steps: Iterator[None] | None = None
        self._pending: frozenset[str] = frozenset()
        self._stepper = QTimer(self)
        self._stepper.timeout.connect(self._step)
        self.setObjectName("MrsegDock")
        self.setStyleSheet(STYLE)
        self.setMinimumWidth(340)
        self.setAcceptDrops(True)
        warm_up(self.session.task)
        self.layers = StudyLayers(viewer, self.session)
        self.letters = OrientationLetters(viewer)
        self.annotation = Annotation(viewer, self.session)
        self.saver = Saver(self)
        self._build()
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
        if self.session.error:
            self.say(self.session.error)
        self.later(_devices, done=lambda found: self.runbar.show_devices(found, self.session.device))
        self.later(_models, done=self._list_models)
        if self.session.model is None:
            self.later(lambda: self.session.load_model(None))
        self._adopt()
        _docks.add(self)

    @property
    def closed(self) -> bool:
        """True once the dock is gone and its session stopped."""
        return bool(self._ended)

    # -- requests -----------------------------------------------------------------------------------------

    def open(self, paths: Sequence[str | Path], **options: Any) -> None:
        """Read a study in the background; layers change when it is there, and only then."""
        self.hush()
        self._asked = tuple(paths)
        self._opening = f"Reading {Path(str(paths[0]).split('=')[-1]).name} …"
        self.session.open_later(paths, **options)

    def offer(self, path: str) -> None:
        """Open a path dropped on the window; files dropped together make one study."""
        if not self._offered:
            QTimer.singleShot(100, self._open_offered)
        self._offered.append(path)

    def toggle(self, name: str) -> None:
        self.attempt(lambda: self.session.toggle(name))
        self.modalities.show_combination(self.session.combination)

    def assign(self, role: str, path: str) -> None:
        corrections = swapped(files_of(self.session), role, path)
        self.open(self.session.paths, assign={**self.session.assigned, **corrections})

    def jump(self) -> None:
        if not self.layers.jump_to_largest():
            self.say("There is no finding to jump to: the segmentation on screen is empty or not there yet.")

    def edit(self) -> None:
        self.attempt(self.layers.edit_copy)
        self.legend.show_overlay(bool(self.layers.prediction and self.layers.prediction.visible))

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
        self.error.setText(sentence)
        self.error.setVisible(True)
        self.which_button.setVisible(bool(self._asked and files_at(self._asked, self.session.task)))
        self._opening = "" if not self.session.opening else self._opening
        self.modalities.show_study(*self._found())
        self.modalities.show_combination(self.session.combination)
        show_error(sentence)

    def which(self) -> None:
        """Ask which file is which, and open them so."""
        dialog = AssignDialog(self.session.task, files_at(self._asked, self.session.task), self)
        if dialog.exec():
            self.open(self._asked, assign=dialog.roles())

    def hush(self) -> None:
        self.which_button.setVisible(False)
        self.error.setVisible(False)
        self.error.setText("")

    # -- the session shown --------------------------------------------------------------------------------

    def _changed(self, topics: frozenset[str]) -> None:
        if "study" in topics:
            self._asked = ()
            self._steps = self._show_study()
            self._pending = frozenset(TOPICS) - {"study"}
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
        session = self.session
        if "opening" in topics and not session.opening:
            self._opening = ""
        if "images" in topics:
            self.layers.show_images()
        if "images" in topics:
            self.layers.show_images()
        if "combination" in topics:
            self.layers.show_combination()
            self.modalities.show_combination(session.combination)
            self.modalities.show_views(self.layers.visible_images())
        if "model" in topics:
            self.later(_models, done=self._list_models)
        if topics & {"combination", "shown", "model"}:
            self.layers.show_prediction()
            self._show_legend()
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
        self.case.setText("No study open" if study is None else study.case)
        self.modalities.show_study(*self._found())
        notes = [] if study is None else [note.message for note in study.notes]
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
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
        shown = session.shown
        known, dice = self._dice
        if known is not shown:
            dice = {}
            reference = None if session.study is None else session.study.reference
            if shown is not None and reference is not None:
                self.later(lambda: (shown, _dice(shown, reference.labels)), done=self._compared)
        self.legend.show_prediction(shown, dice, session.stale)

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
        self.banner.setText(session.describe())
        self.annotation.refresh()
        finished = state == "final"
        self.edit_button.setEnabled(finished)
        self.jump_button.setEnabled(shown is not None)
        self.save_button.setEnabled(session.study is not None)

    def _list_models(self, names: Sequence[str]) -> None:
        model = self.session.model
        self.runbar.show_models(names, None if model is None else model.info["name"])

    # -- opening ------------------------------------------------------------------------------------------

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a subject's folder", last_folder())
        if folder:
            remember_folder(str(Path(folder).parent))
            self.open([folder])

    def _ask_files(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, "Open one subject's scans", last_folder(), _FILES)
        if files:
            remember_folder(str(Path(files[0]).parent))
            self.open(files)

    def _open_sample(self) -> None:
        from napari_mrseg import resources

        self.open([Path(str(resources.__file__)).parent / "sample"])

    def _open_offered(self) -> None:
        paths, self._offered = self._offered, []
        self.open(paths)

    def _adopt(self) -> None:
        """Take over what the reader opened before the dock was there."""
        if self.session.study is not None or self.session.opening:
            return
        paths = [p for la in self.viewer.layers for p in la.metadata.get("mrseg", {}).get("paths", ())]
        if paths:
            self.open(list(dict.fromkeys(paths)))

    def dragEnterEvent(self, event: Any) -> None:  # noqa: N802
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:  # noqa: N802
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open(paths)

    # -- layout -------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.case, self.banner, self.error, self.notes = (QLabel() for _ in range(4))
        roles = ((self.case, "case"), (self.banner, "banner"), (self.error, "error"), (self.notes, "note"))
        for label, role in roles:
            label.setProperty("role", role)
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.error.setVisible(False)
        self.which_button = _button(
            "Say which file is which …", "Give each of these files its modality by hand", self.which
        )
        self.which_button.setVisible(False)
        self.modalities = ModalityList(self.session.task)
        self.runbar = RunBar()
        self.legend = Legend(self.session.task)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 2, 8, 6)
        column.setSpacing(7)
        column.addWidget(_title("MODALITIES"))
        column.addWidget(self.modalities)
        column.addWidget(self.notes)
        column.addWidget(_line())
        column.addWidget(_title("SEGMENTATION"))
        column.addWidget(self.legend)
        column.addLayout(self._actions())
        column.addWidget(_line())
        column.addWidget(self.runbar)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(4, 6, 4, 4)
        outer.setSpacing(6)
        outer.addLayout(self._openers())
        outer.addWidget(self.case)
        outer.addWidget(self.banner)
        outer.addWidget(self.error)
        outer.addWidget(self.which_button)
        outer.addWidget(scroll, 1)
        self.modalities.toggled.connect(self.toggle)
        self.modalities.viewed.connect(self.layers.show_only)
        self.modalities.assigned.connect(self.assign)
        self.runbar.run.connect(lambda: self.attempt(self.session.run))
        self.runbar.cancel.connect(lambda: self.attempt(self.session.cancel))
        self.runbar.model_chosen.connect(lambda name: self.later(lambda: self.session.load_model(name)))
        self.runbar.device_chosen.connect(self._choose_device)
        self.runbar.info.connect(lambda: show_card(self, self.session.model))
        self.legend.hidden_changed.connect(self.layers.set_hidden)
        self.legend.opacity_changed.connect(self.layers.set_opacity)
        self.legend.outline_changed.connect(self.set_outline)
        self.legend.overlay_changed.connect(self.set_overlay)

    def _choose_device(self, name: str) -> None:
        def work() -> None:
            try:
                self.session.set_device(name, self.session.precision)
            finally:
                self.session.model_changed.emit()

        self.later(work)

    def _openers(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(5)
        for text, tip, slot in (
            ("Open folder", "A folder with one subject's NIfTI scans", self._ask_folder),
            ("Open files", "One subject's scans, chosen one by one", self._ask_files),
            ("Sample", "A simulated study that comes with the plugin; not a patient", self._open_sample),
        ):
            button = _button(text, tip, slot)
            button.setObjectName(text.lower().replace(" ", "-"))
            row.addWidget(button)
        return row

    def _actions(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(5)
        self.jump_button = _button("Find largest", "Jump to the largest finding (Alt+J)", self.jump)
        self.edit_button = _button(
            "Edit a copy", "Copy the segmentation into a layer of its own, to paint in", self.edit
        )
        self.save_button = QToolButton()
        self.save_button.setText("Save")
        self.save_button.setObjectName("save")
        self.save_button.setToolTip("Write the segmentation on the grid of the scan, as NIfTI")
        self.save_button.setMenu(self.saver.menu())
        self.save_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.save_button.clicked.connect(self.saver.save_shown)
        row.addWidget(self.jump_button)
        row.addWidget(self.edit_button)
        row.addWidget(self.save_button)
        return row


def last_folder() -> str:
    return str(QSettings("napari-mrseg", "dock").value("folder", ""))


def remember_folder(folder: str) -> None:
    QSettings("napari-mrseg", "dock").setValue("folder", folder)


def _ending(dock: MrsegDock, ended: list[bool]) -> Callable[[], None]:
    """What ends with the dock; holds no reference to the widget, which is gone by then."""
    session, bridge = dock.session, dock.bridge
    parts = dock.keys, dock.letters, dock.annotation, dock.layers

    def end() -> None:
        if ended:
            return
        ended.append(True)
        bridge.close()
        for part in parts:
            with suppress(Exception):  # with the window, the canvas is gone before the dock is
                part.close()
        session.close()

    return end


def _devices() -> list[tuple[str, str]]:
    from napari_mrseg.inference.device import device_names, resolve_device

    texts = {"auto": f"auto ({resolve_device('auto')})", "cpu": "cpu"}
    return [(name, texts.get(name) or f"{name} ({_gpu(name)})") for name in device_names()]


def _gpu(name: str) -> str:
    import torch

    return torch.cuda.get_device_name(name)


def _models() -> list[str]:
    from napari_mrseg.models.store import list_models

    return [model.name for model in list_models()]


def _dice(shown: Prediction, reference: Any) -> Mapping[str, float | None]:
    from napari_mrseg.compare.metrics import region_dice

    return region_dice(shown.labels, reference, shown.task)


def _button(text: str, tip: str, slot: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: slot())
    return button


def _title(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "title")
    return label


def _line() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedHeight(1)
    return line
