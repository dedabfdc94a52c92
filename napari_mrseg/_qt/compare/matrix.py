"""The matrix: a row per combination, a dot per modality, a column per region and measure, the average at the foot."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QFontMetrics, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.compare.matrix_model import CELL, Cell, FootModel, MatrixModel
from napari_mrseg._qt.style import restyle
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.difference import A_COLOUR, B_COLOUR
from napari_mrseg.tasks import Combination

ROW, HEADER = 19, 36  # pixels
_MARK = 26
_DOT, _CELL = (28, 41), (34, 52)  # pixels at least and at most
_NARROW, _SMALL = 45, 11  # pixels of a column, and of the type in one that is narrower
_HEAD, _SMALL_HEAD = 12, 10  # pixels of the type in heads, as in the style sheet
_BESIDE = 4  # pixels beside a head
_HATCH = QColor("#59626b")


class CellPainter(QStyledItemDelegate):
    """Draws a :class:`Cell`: dot, coloured paper, hatching for an estimate, frame of rows A and B."""

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        cell = index.data(CELL)
        if painter is None or not isinstance(cell, Cell):
            return
        painter.save()
        inner = option.rect.adjusted(1, 1, -1, -1)
        if cell.paper:
            painter.fillRect(inner, QColor(cell.paper))
        elif cell.estimated:
            painter.fillRect(inner, QColor("#343a41"))
            painter.fillRect(inner, QBrush(_HATCH, Qt.BrushStyle.BDiagPattern))
        if cell.dot is not None:
            self._dot(painter, QRectF(option.rect), cell)
        elif cell.text:
            font = QFont(option.font)
            font.setItalic(cell.estimated)
            font.setBold(index.column() == 0 and bool(cell.mark))
            if index.column() and option.rect.width() < _NARROW:
                font.setPixelSize(_SMALL)
            painter.setFont(font)
            colour = {"A": A_COLOUR, "B": B_COLOUR}.get(cell.mark, cell.ink)
            painter.setPen(QColor(colour if index.column() == 0 else cell.ink))
            painter.drawText(option.rect, Qt.AlignmentFlag.AlignCenter, cell.text)
        if cell.mark:
            painter.setPen(QPen(QColor(A_COLOUR if cell.mark == "A" else B_COLOUR), 2))
            box = option.rect
            painter.drawLine(box.left(), box.top() + 1, box.right() + 1, box.top() + 1)
            painter.drawLine(box.left(), box.bottom(), box.right() + 1, box.bottom())
        painter.restore()

    def _dot(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(cell.ink), 1.4))
        painter.setBrush(QColor(cell.ink) if cell.dot else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(box.center(), 5.0, 5.0)
        if cell.text:
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, cell.text)


class _Table(QTableView):
    """A table in which a click of the B kind does not change the row."""

    second = Signal(int)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        index = self.indexAt(event.pos())
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        left = event.button() == Qt.MouseButton.LeftButton
        if left and index.isValid() and (control or index.column() == 0):
            self.second.emit(index.row())
        elif event.button() != Qt.MouseButton.RightButton:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - dragging over rows asks for nothing
        if not event.buttons():
            super().mouseMoveEvent(event)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(700, HEADER + 10 * ROW)


class Matrix(QWidget):
    """The table and its pinned foot. Emits what the user asks for."""

    asked = Signal(object)  # combination to show (row A)
    second = Signal(object)  # combination to hold against it (row B)
    against = Signal(object)  # combination that "versus" compares with

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = MatrixModel(self)
        self.table, self.foot = _Table(), QTableView()
        self._follows = False
        for view in (self.table, self.foot):
            view.setItemDelegate(CellPainter(view))
            view.setShowGrid(False)
            view.setFrameShape(QFrame.Shape.NoFrame)
            view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
            view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
            vertical = view.verticalHeader()
            vertical.setVisible(False)
            vertical.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            vertical.setMinimumSectionSize(10)
            vertical.setDefaultSectionSize(ROW)
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.setAccessibleName("All combinations")
        header = self.table.horizontalHeader()
        header.setFixedHeight(HEADER)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setMinimumSectionSize(20)
        header.setSectionsClickable(True)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
        header.sectionClicked.connect(self._sort)
        self.foot_model = FootModel(self.model)
        self.foot.setModel(self.foot_model)
        self.foot.horizontalHeader().setVisible(False)
        self.foot.horizontalHeader().setMinimumSectionSize(20)
        self.foot.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.foot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.foot.setFixedHeight(2 * ROW + 2)
        self.foot.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.foot.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.horizontalScrollBar().valueChanged.connect(self.foot.horizontalScrollBar().setValue)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.foot)
        self.model.modelReset.connect(self._lay_out)
        self.table.selectionModel().currentRowChanged.connect(self._moved)
        self.table.second.connect(lambda row: self.second.emit(self.model.rows[row]))
        self.table.customContextMenuRequested.connect(self._menu)

    # -- the session shown --------------------------------------------------------------------------------

    def show_comparison(self, comparison: Comparison | None) -> None:
        self.model.show(comparison)

    def mark(self, a: Combination | None, b: Combination | None) -> None:
        """Frame the row on screen and the one it is held against."""
        self.model.mark(a, b)
        self._follow()

    def _follow(self) -> None:
        """Put Qt's current row where row A is, without asking for it."""
        self._follows = True
        try:
            rows, a = self.model.rows, self.model.a
            if a is not None and a in rows:
                if self.table.currentIndex().row() != rows.index(a):
                    self.table.setCurrentIndex(self.model.index(rows.index(a), 1))
            else:
                self.table.setCurrentIndex(QModelIndex())
        finally:
            self._follows = False

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._lay_out()

    def widths(self) -> tuple[int, int]:
        """Of a dot's column and of a number's: in a narrow window all of them shrink before any leaves it."""
        model, room = self.model, self.width() - _MARK - 14
        dots, cells = model.first - 1, len(model.columns)
        if cells == 0:
            return _DOT[1], _CELL[1]
        dot = _DOT[1] if room >= dots * _DOT[1] + cells * _CELL[0] else _DOT[0]
        return dot, min(_CELL[1], max(_CELL[0], (room - dots * dot) // cells))

    def _lay_out(self) -> None:
        model = self.model
        dot, cell = self.widths()
        restyle(self.table.horizontalHeader(), "narrow", "true" if cell < _NARROW else "false")
        for section in range(model.columnCount()):
            width = (
                _MARK if section == 0 else dot if section < model.first else self._with_head(section, cell)
            )
            for view in (self.table, self.foot):
                view.setColumnWidth(section, width)
        for row in range(self.foot_model.rowCount()):
            if self.foot.columnSpan(row, 0) != model.first:
                self.foot.setSpan(row, 0, 1, model.first)
        header = self.table.horizontalHeader()
        header.setSortIndicatorShown(model.sorting is not None)
        if model.sorting is not None:
            section, descending = model.sorting
            order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
            header.setSortIndicator(section, order)
        self._follow()

    def _with_head(self, section: int, width: int) -> int:
        """``width``, or more where the column's head needs it: a second model's are long."""
        font = QFont(self.table.horizontalHeader().font())
        font.setPixelSize(_SMALL_HEAD if width < _NARROW else _HEAD)
        lines = str(self.model.headerData(section, Qt.Orientation.Horizontal) or "").split("\n")
        return max(width, max(map(QFontMetrics(font).horizontalAdvance, lines)) + _BESIDE)

    # -- requests -----------------------------------------------------------------------------------------

    def _sort(self, section: int) -> None:
        """One click: the best or largest first; again: last; a third: the papers' order."""
        if section == 0:
            self.model.unsort()
            return
        column = self.model.column_at(section)
        first = column is None or column.better != "low"
        if self.model.sorting is None or self.model.sorting[0] != section:
            self.model.sort_by(section, first)
        elif self.model.sorting[1] == first:
            self.model.sort_by(section, not first)
        else:
            self.model.unsort()

    def _moved(self, current: QModelIndex, _: QModelIndex) -> None:
        if not self._follows and current.isValid():
            self.asked.emit(self.model.rows[current.row()])

    def _menu(self, at: Any) -> None:
        index = self.table.indexAt(at)
        comparison = self.model.comparison
        if not index.isValid() or comparison is None:
            return
        combination = self.model.rows[index.row()]
        title = comparison.title(combination)
        menu = QMenu(self)
        menu.addAction(f"Show {title} (A)", lambda: self.asked.emit(combination))
        menu.addAction(f"Hold {title} against the row on screen (B)", lambda: self.second.emit(combination))
        menu.addAction(f"Compare all rows with {title}", lambda: self.against.emit(combination))
        menu.exec(self.table.viewport().mapToGlobal(at))
