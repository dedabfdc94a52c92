"""Run or cancel, the device, how far the run is; and, for another place, the model."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.key_names import with_key
from napari_mrseg._qt.style import restyle
from napari_mrseg._qt.text_labels import ElidedLabel
from napari_mrseg.session.state import Session

_RUN, _STOP = "Segment with what is switched on", "Stop; what is on screen stays"


_ELSEWHERE = "elsewhere"  # among the devices: another computer, which is chosen in the preferences


class RunBar(QWidget):
    """Shows what computes and how far it is. Emits requests only. ``model_row``: for the panel to place."""

    run = Signal()
    cancel = Signal()
    model_chosen = Signal(str)
    import_asked = Signal()
    device_chosen = Signal(str)
    info = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.models, self.devices = QComboBox(), QComboBox()
        for combo in (self.models, self.devices):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(3)
            combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            combo.wheelEvent = lambda event: event.ignore()
        self.models.activated.connect(lambda _: self._model(self.models.currentData()))
        self.devices.activated.connect(lambda _: self._device(str(self.devices.currentData())))
        self.about = QToolButton()
        self.about.setText("Info")
        self.about.setToolTip(
            with_key("What this model is, what it was trained on, and how well it does", "info")
        )
        self.about.clicked.connect(self.info)
        self.button = QPushButton("Run")
        self.button.setObjectName("run")
        self.button.setToolTip(with_key(_RUN, "run"))
        self.button.setMinimumWidth(90)
        self.button.clicked.connect(self._clicked)
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.setTextVisible(False)  # the line below says it
        self.stage = ElidedLabel("quiet")
        self._running = False
        self._current: str | None = None
        self.models.setToolTip(with_key("Model", "model"))
        self.devices.setToolTip(with_key("Device", "device"))
        self.models.setAccessibleName("Model")
        self.devices.setAccessibleName("Device")
        self.model_row = QWidget(self)
        model = QHBoxLayout(self.model_row)
        model.setContentsMargins(0, 0, 0, 0)
        model.setSpacing(5)
        for widget, stretch in ((QLabel("Model"), 0), (self.models, 1), (self.about, 0)):
            model.addWidget(widget, stretch)
        run = QHBoxLayout()
        run.setSpacing(5)
        for widget, stretch in ((self.button, 0), (self.devices, 3), (self.progress, 2)):
            run.addWidget(widget, stretch)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.model_row)
        column.addLayout(run)
        column.addWidget(self.stage)

    def show_models(self, names: Sequence[str], current: str | None) -> None:
        self.models.clear()
        for name in dict.fromkeys([*names, *([current] if current else [])]):
            self.models.addItem(name, name)
        self.models.insertSeparator(self.models.count())
        self.models.addItem("Import a MONAI bundle …", None)
        self._current = current
        self._show_model()
        self.models.setPlaceholderText("no model loaded")

    def _model(self, name: str | None) -> None:
        if name is None:
            self._show_model()
            self.import_asked.emit()
        else:
            self.model_chosen.emit(name)

    def _show_model(self) -> None:
        self.models.setCurrentIndex(self.models.findData(self._current) if self._current else -1)

    def show_devices(self, devices: Sequence[tuple[str, str]], current: str, elsewhere: str = "") -> None:
        """``devices``: (name to ask for, text to show)."""
        self.devices.clear()
        for name, text in devices:
            self.devices.addItem(text, name)
        self.show_device(current, elsewhere)

    def show_device(self, name: str, elsewhere: str = "") -> None:
        """``elsewhere``: what computes on another computer; then this one's devices are the way back."""
        there = self.devices.findData(_ELSEWHERE)
        if there >= 0:
            self.devices.removeItem(there)
        self.devices.setToolTip(with_key(elsewhere or "Device", "device"))
        if elsewhere:
            self.devices.insertItem(0, elsewhere, _ELSEWHERE)
            self.devices.setCurrentIndex(0)
            return
        self.devices.setCurrentIndex(max(self.devices.findData(name), 0))

    def _device(self, name: str) -> None:
        if name != _ELSEWHERE:
            self.device_chosen.emit(name)

    def say_opening(self, words: str) -> None:
        """In the line alone: a bar that moves paints the window at once, when not all of it is of the new study."""
        self.stage.setText(words)

    def show_session(self, session: Session, computed: tuple[int, int], opening: str = "") -> None:
        """Run or cancel, and the bar. ``computed``: combinations that are done, and all there are."""
        running = session.running
        self._running = running is not None or bool(opening)
        self.button.setText("Cancel" if self._running else "Run")
        restyle(self.button, "running", "true" if self._running else "false")
        self.button.setEnabled(
            self._running or (session.study is not None and session.model is not None and not session.refusal)
        )
        self.button.setToolTip(with_key(_STOP if self._running else _RUN, "run"))
        self.about.setEnabled(session.model is not None)
        if opening:
            # No busy animation: each of its frames would redraw the canvas too.
            self.progress.setValue(round(100 * session.openings.fraction))
            self.stage.setText(opening)
            return
        done, all_ = computed
        if running is None:
            shown = session.shown
            finished = shown is not None and not session.stale and not shown.preview
            self.progress.setValue(100 if finished else 0)
            self.stage.setText(f"{done} of {all_} combinations computed" if all_ else "")
            return
        self.progress.setValue(round(100 * running.fraction))
        titles = session.titles(running.combination)
        if running.stage == "asked":
            self.stage.setText(f"Computing {titles}")
        else:
            self.stage.setText(f"In the background: {titles} ({done} of {all_} computed)")

    def _clicked(self) -> None:
        (self.cancel if self._running else self.run).emit()
