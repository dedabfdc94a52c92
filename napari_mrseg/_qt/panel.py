"""How the dock is laid out: what is used all the time stays in sight above and below, the rest scrolls between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLayout,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.annotations import shortened
from napari_mrseg._qt.brain_choice import BrainChoice
from napari_mrseg._qt.edit_panel import EditPanel
from napari_mrseg._qt.imagining_panel import ImaginingPanel
from napari_mrseg._qt.in_sight import Scroll
from napari_mrseg._qt.key_names import with_key
from napari_mrseg._qt.legend import Legend
from napari_mrseg._qt.lesion_panel import LesionPanel
from napari_mrseg._qt.modalities import ModalityList
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.panels import make_panels
from napari_mrseg._qt.runbar import RunBar
from napari_mrseg._qt.text_labels import ElidedLabel, Notes, WrappedLabel
from napari_mrseg._qt.window_button import WindowButton
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
_BANNER = 86  # pixels: four lines, reserved; what a region cannot be believed for takes the fourth
_SHORT_BANNER = 48  # pixels: two lines, in a low dock; a strip across the window says the rest
_LOW = 560  # pixels of a dock that is low
_LEAST = 400  # pixels: of a screen of 1920 × 1080 scaled twice that much is left


class Panel(QWidget):
    """The dock's widgets, arranged for a width of 360 px."""

    def __init__(self, task: Task, overlay_style: OverlayStyle, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.banner, self.error = map(WrappedLabel, ("banner", "error"))
        self.saved = ElidedLabel("quiet", hides=True)
        self.case, self.notes = ElidedLabel("case"), Notes()
        self.banner.setMinimumHeight(_BANNER)
        self.banner.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.folder_button = _button(
            "Folder …",
            with_key(_FOLDER[task.ndim], "folder"),
        )
        self.files_button = _button("Files …", with_key(_FILES[task.ndim], "files"))
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
            "4 panes",
            with_key(
                "Axial, sagittal, coronal and 3-D side by side; a click in one moves the others", "planes"
            ),
        )
        self.planes_button.setCheckable(True)
        self.reading_button = QToolButton()
        self.reading_button.setText("Reading")
        self.reading_button.setCheckable(True)
        self.reading_button.setToolTip(
            with_key("More room for the pictures: napari's layer list and controls fold away", "reading")
        )
        self.beside_button = _button(
            "Side by side",
            with_key(
                "A second picture beside this one, of another result or another scan, in step", "beside"
            ),
        )
        self.beside_button.setCheckable(True)
        self.brain_button = _button(
            "Use mask as edited",
            with_key(
                "Cut the brain out anew by the layer “Brain mask”, as painted; all is computed again", "brain"
            ),
        )
        self.brain_choice = BrainChoice()
        self.save_button = QToolButton()
        self.save_button.setText("Save")
        self.save_button.setObjectName("save")
        self.save_button.setToolTip(with_key(_SAVE[task.ndim], "save"))
        self.save_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.measure_button = _button(
            "Measure",
            with_key("Lesions one by one: volume, two diameters, sum; distances drawn with Ctrl", "measure"),
        )
        self.measure_button.setCheckable(True)
        self.window_button = WindowButton()
        self.edit_tools = EditPanel(task)
        self.edit_tools.setVisible(False)
        self.lesions = LesionPanel(task)
        self.lesions.setVisible(False)
        self.measure_button.toggled.connect(self.lesions.setVisible)
        self.listed = make_panels(task)
        self.imagining = ImaginingPanel(task)
        self.modalities, self.legend, self.runbar = ModalityList(task), Legend(task, overlay_style), RunBar()
        asked = (
            self.notes,
            self.codes_button,
            self.error,
            self.which_button,
            self.saved,
        )
        brain = (self.brain_choice, self.brain_button)
        for hidden in (*asked, *brain):
            hidden.setVisible(False)
        scroll = self.scroll = Scroll()
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setMinimumHeight(40)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._scrolled())
        scroll.seen.connect(self.lesions.fit)
        self.low = False
        self._said: list[str] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 5, 4, 3)
        column.setSpacing(5)
        column.setSizeConstraint(
            QLayout.SizeConstraint.SetNoConstraint
        )  # a long error must not push the window apart
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
        title = _row(self.case, self.planes_button, self.reading_button)
        title.setStretch(0, 1)
        column.addLayout(title)
        column.addWidget(self.banner)
        column.addWidget(scroll, 1)
        # Between: when they come and go, what scrolls gives or takes the room, and no button moves under the pointer.
        for widget in asked:
            column.addWidget(widget)
        column.addLayout(_row(*brain))
        column.addWidget(_line())
        column.addWidget(self.legend)
        column.addLayout(_row(self.jump_button, self.edit_button, self.save_button))
        column.addWidget(self.runbar)
        _chain(self)

    def say(self, parts: list[str], tip: str) -> None:
        """What is on screen, in the banner: all of ``parts``, or in a low dock those that decide."""
        self._said = parts
        self.banner.setText(" · ".join(shortened(parts) if self.low else parts))
        self.banner.setToolTip(tip)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        low = self.height() < _LOW
        if low != self.low:
            self.low = low
            self.banner.setMinimumHeight(_SHORT_BANNER if low else _BANNER)
            self.layout().setSpacing(3 if low else 5)
            self.say(self._said, self.banner.toolTip())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(_INNER, _LEAST)

    def _scrolled(self) -> QWidget:
        inner = QWidget()
        inner.setMinimumWidth(_INNER)
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 0, 3, 2)
        column.setSpacing(5)
        column.addWidget(self.modalities)
        column.addWidget(self.imagining)
        column.addWidget(self.legend.drawn)
        column.addWidget(self.edit_tools)
        column.addLayout(_row(self.compare_button, self.beside_button))
        column.addLayout(_row(self.measure_button, self.window_button))
        column.addWidget(self.lesions)
        for panel in self.listed:
            column.addWidget(panel)
        column.addWidget(self.runbar.model_row)
        column.addStretch(1)
        return inner


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


def _chain(panel: QWidget) -> None:
    """Tab goes from control to control as they are read: by rows, from left to right."""
    before: QWidget | None = None
    for widget in _in_order(panel.layout()):
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            if before is not None:
                QWidget.setTabOrder(before, widget)
            before = widget


def _in_order(layout: Any) -> Iterator[QWidget]:
    """Widgets of a layout in the order in which it places them, those within before those after."""
    if isinstance(layout, QGridLayout):
        places = sorted((layout.getItemPosition(i)[:2], i) for i in range(layout.count()))
        items = [layout.itemAt(i) for _, i in places]
    else:
        items = [layout.itemAt(i) for i in range(layout.count())]
    for item in items:
        widget, inner = item.widget(), item.layout()
        if inner is not None:
            yield from _in_order(inner)
        if widget is not None:
            yield widget
            within = widget.widget() if isinstance(widget, QScrollArea) else widget
            if within is not None and within.layout() is not None:
                yield from _in_order(within.layout())


def _line() -> QFrame:
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedHeight(1)
    return line
