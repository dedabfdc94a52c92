"""What is said of an imagined scan, and how it is looked at: beside the real one, if there is one, and under a veil."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_mrseg._qt.in_sight import bring_into_sight
from napari_mrseg._qt.text_labels import ElidedLabel, WrappedLabel
from napari_mrseg.display import model_name
from napari_mrseg.session.live_imagining import Pictures
from napari_mrseg.tasks import Task

NO_AGENT = "Enhancement cannot be seen without contrast agent."
VEIL = "where the network cannot know"


class ImaginingPanel(QWidget):
    """Emits requests only. ``blended`` carries 0 (imagined) to 100 (real)."""

    blended = Signal(int)
    difference = Signal(bool)
    veiled = Signal(bool)

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = task
        self.title = WrappedLabel("imagined")
        self.made = ElidedLabel("quiet")
        self.blend = QSlider(Qt.Orientation.Horizontal)
        self.blend.setRange(0, 100)
        self.blend.setAccessibleName("From imagined to real")
        self.blend.setToolTip("Left: imagined; right: the real scan, which is switched off")
        self.blend.valueChanged.connect(self.blended)
        self.minus = QPushButton("Difference")
        self.minus.setCheckable(True)
        self.minus.setToolTip(
            "Imagined minus real: orange where the imagined one is brighter, blue where darker"
        )
        self.minus.toggled.connect(self.difference)
        self.likeness = ElidedLabel("quiet")
        self.veil = QCheckBox("Veil")
        self.veil.setChecked(True)
        self.veil.setToolTip(f"Cover the places {VEIL}: its interval of 80 % is wide there")
        self.veil.toggled.connect(self.veiled)
        self.unsure = ElidedLabel("quiet")
        self.agent = WrappedLabel("note")
        self.agent.setText(NO_AGENT)
        self._compared = QWidget()
        compared = _row(QLabel("imagined"), self.blend, QLabel("real"), self.minus)
        compared.setContentsMargins(0, 0, 0, 0)
        compared.setStretch(1, 1)
        self._compared.setLayout(compared)
        veiled = _row(self.veil, self.unsure)
        veiled.setStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.title, self._compared, self.likeness):
            column.addWidget(widget)
        column.addLayout(veiled)
        column.addWidget(self.agent)
        column.addWidget(self.made)
        self.setVisible(False)

    def show_pictures(self, target: str | None, pictures: Pictures | None, *, real: bool) -> None:
        """``target``: what is to be imagined, None: nothing; ``real``: whether that was taken, too."""
        came = target is not None and self.isHidden()
        self.setVisible(target is not None)
        if target is None:
            return
        modality = self._task.modality(target)
        self._compared.setVisible(real)
        self.likeness.setVisible(real)
        self.agent.setVisible(modality.agent)
        there = pictures is not None and pictures.real is not None
        self._compared.setEnabled(there)
        if pictures is None:
            self.title.setText(f"Imagining {modality.title} …")
            self.made.setText("")
            self.likeness.setText("")
            self.unsure.setText(VEIL)
        else:
            imagined, whole = pictures.imagined, self._task.regions[0]
            self.title.setText(imagined.mark)
            made = f"{imagined.device} {imagined.precision}, {imagined.seconds:.1f} s"
            self.made.setText(f"{model_name(imagined.model)} · {made}")
            likeness = pictures.likeness
            found = (
                {}
                if likeness is None
                else {"brain": likeness.get("brain"), whole.name: likeness.get("tumour")}
            )
            values = [f"{name} {one.psnr:.1f} dB, {one.ssim:.2f}" for name, one in found.items() if one]
            self.likeness.setText(
                f"PSNR, SSIM: {' · '.join(values)}" if values else "comparing …" if likeness is None else ""
            )
            self.likeness.setToolTip(
                f"{whole.name}: {whole.title} of the segmentation on screen. "
                "PSNR in dB: the higher, the smaller the differences. SSIM: 1 for the same picture."
            )
            self.unsure.setText(f"{VEIL}: {pictures.unsure_share:.0%}")
            self.unsure.setToolTip("Part of the brain")
        if came:
            bring_into_sight(self)

    def set_blend(self, percent: int) -> None:
        """Without a request."""
        with QSignalBlocker(self.blend):
            self.blend.setValue(percent)

    def set_difference(self, on: bool) -> None:
        """Without a request."""
        with QSignalBlocker(self.minus):
            self.minus.setChecked(on)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget)
    return row
