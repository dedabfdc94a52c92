"""How the dock is laid out: what must stay in sight above, the rest scrolls, what comes and goes below."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.key_names import with_key
from napari_mrseg._qt.legend import Legend
from napari_mrseg._qt.look import Look
from napari_mrseg._qt.modalities import ModalityList
from napari_mrseg._qt.runbar import RunBar
from napari_mrseg._qt.worklist_bar import WorklistBar
from napari_mrseg.tasks import Task

_INNER = 300  # pixels: what a narrow dock leaves beside a scroll bar
WHICH, CHOOSE = "Say which file is which …", "Choose a study …"
CODES = "Say what the reference's codes mean …"
# What is said of scans and of images, by the task's dimensions.
_FOLDER = {
    3: "A folder with one subject's scans: NIfTI files, or a DICOM export, however deep",
    2: "A folder with a frame's images, or with a folder of frames for each modality: PNG, JPEG, TIFF or NumPy",
}
_FILES = {3: "One subject's scans, chosen one by one", 2: "A frame's images, chosen one by one"}
_SAVE = {
    3: "Write the segmentation on the grid of the scan, as NIfTI",
    2: "Write the segmentation on the pixels of the image, as PNG or TIFF",
}
_BANNER = 70  # pixels: three lines, reserved


class Panel(QWidget):
    """The dock's widgets, arranged for a width of 360 px."""

    def __init__(self, task: Task, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.case, self.banner, self.error, self.notes, self.saved = map(
            Words, ("case", "banner", "error", "note", "quiet")
        )
        self.banner.setMinimumHeight(_BANNER)
        self.banner.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.folder_button = _button(
            "Open folder",
            with_key(_FOLDER[task.ndim], "folder"),
        )
        self.files_button = _button("Open files", with_key(_FILES[task.ndim], "files"))
        self.sample_button = _button(
            "Sample", with_key(f"A study that comes with the plugin: {task.made_up}", "sample")
        )
        self.recent_button = QToolButton()
        self.recent_button.setText("Recent")
        self.recent_button.setToolTip(with_key("Studies that were opened before, and worklists", "recent"))
        self.recent_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.worklist_bar = WorklistBar()
        self.keys_button = QToolButton()
        self.keys_button.setText("?")
        self.keys_button.setAccessibleName("All keys")
        self.keys_button.setToolTip(with_key("All keys", "keys"))
        self.which_button = _button(WHICH, with_key("Give each of these files its modality by hand", "which"))
        self.codes_button = _button(
            CODES,
            with_key("Choose the data set in whose codes the reference is written, or leave it out", "which"),
        )
        self.jump_button = _button("Find largest", with_key("Jump to the largest finding", "jump"))
        self.edit_button = _button(
            "Edit a copy", with_key("Copy the segmentation into a layer of its own, to paint in", "edit")
        )
        self.compare_button = _button(
            "Compare combinations",
            with_key(
                "All combinations side by side: table, contact sheet, agreement, attribution", "compare"
            ),
        )
        self.planes_button = _button(
            "3 planes",
            with_key("Axial, sagittal and coronal side by side; a click in one moves the others", "planes"),
        )
        self.planes_button.setCheckable(True)
        self.brain_button = _button(
            "Use the brain mask as edited",
            with_key(
                "Cut the brain out anew by the layer “Brain mask”, as painted; all is computed again", "brain"
            ),
        )
        self.save_button = QToolButton()
        self.save_button.setText("Save")
        self.save_button.setObjectName("save")
        self.save_button.setToolTip(with_key(_SAVE[task.ndim], "save"))
        self.save_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.modalities, self.legend, self.runbar = ModalityList(task), Legend(task, look), RunBar()
        asked = (self.notes, self.codes_button, self.brain_button, self.error, self.which_button)
        for hidden in asked:
            hidden.setVisible(False)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._scrolled())
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 6, 4, 4)
        column.setSpacing(6)
        column.addLayout(
            _row(
                self.folder_button,
                self.files_button,
                self.recent_button,
                self.sample_button,
                self.keys_button,
            )
        )
        column.addWidget(self.worklist_bar)
        column.addWidget(self.case)
        column.addWidget(self.banner)
        column.addWidget(scroll, 1)
        # Below, so that nothing above moves under the pointer when they come and go.
        for widget in asked:
            column.addWidget(widget)

    def _scrolled(self) -> QWidget:
        inner = QWidget()
        inner.setMinimumWidth(_INNER)
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 0, 3, 2)
        column.setSpacing(5)
        column.addWidget(self.modalities)
        column.addWidget(_line())
        column.addWidget(self.legend)
        column.addLayout(_row(self.jump_button, self.edit_button, self.save_button))
        column.addLayout(_row(self.compare_button, self.planes_button))
        column.addWidget(self.saved)
        column.addWidget(_line())
        column.addWidget(self.runbar)
        column.addStretch(1)
        return inner


class Words(QLabel):
    """Text that wraps, also within a long file name, and so never widens the dock. ``text()`` is as it was set."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._words = ""
        self.setProperty("role", role)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, words: str | None) -> None:  # noqa: N802
        self._words = words or ""
        super().setText(re.sub(r"(?<=[_/\\])(?=\S)", "\u200b", self._words))

    def text(self) -> str:
        return self._words


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(5)
    for widget in widgets:
        row.addWidget(widget)
    return row


def _line() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedHeight(1)
    return line
