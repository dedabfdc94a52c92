"""The table of lesions and distances: numbers to read, a click goes there, Delete takes a row away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.in_sight import bring_into_sight
from napari_mrseg._qt.style import restyle
from napari_mrseg.tasks import Task

HEADS = ("", "mL", "mm × mm", "mm²", "R, A, S (mm)")
_TIPS = (
    "The largest lesion first; D: a distance drawn by hand",
    "Volume",
    "Longest line in an axial slice × the longest one at right angles to it; * corrected by hand",
    "Product of both; of distances, the product with the one that crosses",
    "Centre of mass, in millimetres to the right, front and top",
)
_HEIGHT, _LEAST = 148, 98  # pixels: a head and five rows, or three


class Row(NamedTuple):
    """``key``: what the row is about; ``faint``: below the size that counts."""

    key: Any
    cells: tuple[str, ...]
    faint: bool = False


class _Table(QTableWidget):
    deleted = Signal()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        alone = not event.modifiers() & (
            Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ControlModifier
        )
        if alone and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.deleted.emit()
        else:
            super().keyPressEvent(event)


class LesionPanel(QWidget):
    """Shows rows and their sum. Emits requests only; ``picked`` and ``delete`` carry keys of rows."""

    region_chosen = Signal(str)
    picked = Signal(object)
    delete = Signal(object)
    undo = Signal()
    save = Signal()

    def __init__(self, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys: list[Any] = []
        self.regions = QComboBox()
        for region in task.regions:
            self.regions.addItem(f"{region.name}, {region.title}", region.name)
        self.regions.setAccessibleName("Region to measure")
        self.regions.activated.connect(lambda _: self.region_chosen.emit(str(self.regions.currentData())))
        self.regions.setVisible(task.ndim == 3)
        self.table = _Table(0, len(HEADS))
        self.table.setHorizontalHeaderLabels(HEADS)
        for column, tip in enumerate(_TIPS):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(24)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setFixedHeight(_HEIGHT)
        self.table.setAccessibleName("Lesions and distances")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        header.setMinimumSectionSize(26)
        self.table.itemSelectionChanged.connect(lambda: self.picked.emit(self.chosen))
        self.total = QLabel()
        self.total.setProperty("role", "quiet")
        self.total.setWordWrap(True)
        self.delete_button, self.undo_button, self.save_button = (
            QPushButton(text) for text in ("Delete", "Undo", "Save CSV …")
        )
        self.delete_button.setToolTip(
            "Take the chosen rows out of table and sum (Delete); voxels stay as they are"
        )
        self.undo_button.setToolTip("Take back the last deletion or correction here")
        self.save_button.setToolTip("Write the lesions of this table as CSV")
        self.delete_button.clicked.connect(self._delete)
        self.undo_button.clicked.connect(self.undo)
        self.save_button.clicked.connect(self.save)
        self.save_button.setVisible(task.ndim == 3)
        self.table.deleted.connect(self._delete)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.regions)
        column.addWidget(self.table)
        column.addWidget(self.total)
        row = QHBoxLayout()
        row.setSpacing(5)
        for button in (self.delete_button, self.undo_button, self.save_button):
            row.addWidget(button)
        column.addLayout(row)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Bring it into sight, where the dock scrolls."""
        super().showEvent(event)
        bring_into_sight(self, self.table)

    def fit(self, height: int) -> None:
        """``height``: pixels of the dock that are seen at once. The table takes no more: nothing scrolls twice."""
        self.table.setFixedHeight(max(_LEAST, min(_HEIGHT, height)))

    @property
    def chosen(self) -> tuple[Any, ...]:
        """Keys of the rows that are selected."""
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        return tuple(self._keys[row] for row in rows if row < len(self._keys))

    def show_rows(self, rows: Sequence[Row], total: str, region: str, *, estimated: bool, undo: bool) -> None:
        """``estimated``: the region cannot be observed with what is on; ``undo``: is there a step to take back?"""
        chosen = self.chosen
        with QSignalBlocker(self.table), QSignalBlocker(self.regions):
            self.regions.setCurrentIndex(max(self.regions.findData(region), 0))
            self._keys = [row.key for row in rows]
            self.table.clearSelection()
            self.table.setRowCount(len(rows))
            for at, row in enumerate(rows):
                for column, text in enumerate(row.cells):
                    item = QTableWidgetItem(text)
                    if column in (1, 2, 3):
                        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    if row.faint:
                        item.setForeground(Qt.GlobalColor.gray)
                        item.setToolTip("Not measurable: a diameter is under 10 mm, so it is not in the sum")
                    self.table.setItem(at, column, item)
                    if row.key in chosen:
                        item.setSelected(True)
        self.total.setText(total)
        restyle(self.total, "estimated", "true" if estimated else "false")
        self.undo_button.setEnabled(undo)
        self.delete_button.setEnabled(bool(rows))
        self.save_button.setEnabled(any(not row.cells[0].startswith("D") for row in rows))

    def choose(self, key: Any) -> None:
        """Select the row of ``key`` and bring it into sight."""
        if key in self._keys:
            row = self._keys.index(key)
            self.table.selectRow(row)
            self.table.scrollToItem(self.table.item(row, 0))

    def _delete(self) -> None:
        if self.chosen:
            self.delete.emit(self.chosen)
