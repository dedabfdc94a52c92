"""The table of all combinations as a Qt model: which rows, in which order, and what stands in each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_mrseg._qt.compare.style_sheet import wrapped
from napari_mrseg.compare.columns import DICE, Column, text_of, unseen
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.figures import cell_colours
from napari_mrseg.compare.metric import METRICS
from napari_mrseg.compare.trust import MARKS
from napari_mrseg.tasks import Combination

CELL = Qt.ItemDataRole.UserRole + 1  # a Cell, for the delegate
_COMPUTING = "…"
# Under a model's name, which is in the tip, there is no room.
_SECOND: dict[str, str] = {"second_size": "2nd model", "second_versus": "vs 2nd", "second_dice": "Dice 2nd"}
_LONGEST = 9  # characters of a head's second line


@dataclass(frozen=True)
class Cell:
    """How the delegate draws a cell. ``paper`` None: the table's own. ``dot``: filled, empty, or no dot.

    An empty dot may hold a ``text``.
    """

    text: str = ""
    paper: str | None = None
    ink: str = "#e8ecef"
    estimated: bool = False
    dot: bool | None = None
    mark: str = ""  # "A" or "B", of the whole row


class MatrixModel(QAbstractTableModel):
    """Columns: a mark (A, B), a dot per modality, then the numeric columns of the chosen kinds.

    Rows are combinations in the order of the paper's tables, or sorted; those not computed come last. All numbers
    are read from a :class:`Comparison`, which the thread that made it has measured.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.comparison: Comparison | None = None
        self.rows: list[Combination] = []
        self.columns: list[Column] = []
        self.a: Combination | None = None
        self.b: Combination | None = None
        self.running: Combination | None = None
        self.sorting: tuple[int, bool] | None = None  # section, descending
        self._kinds: frozenset[str] = frozenset()
        self._wanted: dict[str, bool] = {}

    # -- what is shown ------------------------------------------------------------------------------------

    def show(self, comparison: Comparison | None) -> None:
        """Take a new snapshot; rows that stay where they are keep their place on screen."""
        columns = self._columns(comparison)
        same = comparison is not None and self.comparison is not None
        same = same and [c.key for c in columns] == [c.key for c in self.columns]
        same = same and comparison.task == self.comparison.task  # type: ignore[union-attr]
        before, self.comparison = self.comparison, comparison
        rows = self._rows(columns)
        if same and rows == self.rows and before is not None:
            self.columns = columns
            self._repaint()
            return
        self.beginResetModel()
        self.columns, self.rows = columns, rows
        self.endResetModel()

    def show_kinds(self, kinds: frozenset[str]) -> None:
        """Only numeric columns of these kinds (``size``, ``versus``, …)."""
        key = self.sort_key
        self._kinds = kinds
        columns = self._columns(self.comparison)
        if self.sorting is not None and isinstance(key, Column):
            place = [c.key for c in columns].index(key.key) if key.key in [c.key for c in columns] else None
            self.sorting = None if place is None else (self.first + place, self.sorting[1])
        self._reset(columns)

    def show_only(self, wanted: Mapping[str, bool]) -> None:
        """Only rows with (True) or without (False) these modalities; modalities not named do not matter."""
        self._wanted = dict(wanted)
        self._reset(self.columns)

    def sort_by(self, section: int, descending: bool) -> None:
        self.sorting = None if section < 1 else (section, descending)
        self._reset(self.columns)

    def unsort(self) -> None:
        """Back to the papers' order, largest combinations first."""
        self.sorting = None
        self._reset(self.columns)

    def mark(self, a: Combination | None, b: Combination | None) -> None:
        self.a, self.b = a, b
        self._repaint()

    def show_running(self, combination: Combination | None) -> None:
        if combination != self.running:
            self.running = combination
            self._repaint()

    @property
    def names(self) -> tuple[str, ...]:
        return () if self.comparison is None else self.comparison.task.names

    @property
    def first(self) -> int:
        """Section of the first numeric column."""
        return 1 + len(self.names)

    @property
    def sort_key(self) -> Column | str | None:
        """A numeric column, a modality's name, or None."""
        if self.sorting is None:
            return None
        section = self.sorting[0]
        if section < self.first:
            return self.names[section - 1]
        return self.columns[section - self.first] if section - self.first < len(self.columns) else None

    def column_at(self, section: int) -> Column | None:
        place = section - self.first
        return self.columns[place] if 0 <= place < len(self.columns) else None

    def _columns(self, comparison: Comparison | None) -> list[Column]:
        return [] if comparison is None else [c for c in comparison.columns if c.kind in self._kinds]

    def _rows(self, columns: list[Column]) -> list[Combination]:
        comparison = self.comparison
        if comparison is None:
            return []
        rows = list(comparison.expected)
        if self.sorting is not None:
            section, descending = self.sorting
            if section < self.first:
                name = self.names[section - 1]
                rows.sort(key=lambda c: (name in c) != descending)
            elif section - self.first < len(columns):
                found = comparison.ordered(columns[section - self.first].key, descending=descending)
                rows = [*found, *(c for c in rows if c not in found)]
        return [c for c in rows if all((name in c) == wanted for name, wanted in self._wanted.items())]

    def _reset(self, columns: list[Column]) -> None:
        self.beginResetModel()
        self.columns = columns
        self.rows = self._rows(columns)
        self.endResetModel()

    def _repaint(self) -> None:
        if self.rows:
            last = self.index(len(self.rows) - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    # -- Qt's questions -----------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return 0 if parent is not None and parent.isValid() else self.first + len(self.columns)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or self.comparison is None:
            return None
        column = self.column_at(section)
        if role == Qt.ItemDataRole.DisplayRole:
            if column is not None:
                region, _, what = column.title.partition(" ")
                if column.kind == "versus" and len(what) > _LONGEST:
                    what = "vs chosen"
                what = _SECOND.get(column.kind, what)
                if column.kind == "seconds":
                    region, what = "time", "s"
                return f"{region}\n{what}" if what else region
            return "" if section == 0 else self.comparison.task.modalities[section - 1].title
        if role == Qt.ItemDataRole.ToolTipRole:
            if column is not None:
                return wrapped(f"{column.title}: {column.explanation}\nClick to sort.")
            if section == 0:
                return wrapped(
                    "A is the row on screen. Click in this column, or Ctrl+click a row, to choose B, the row "
                    "that A is held against."
                )
            title = self.comparison.task.modalities[section - 1].title
            return wrapped(f"A filled dot: {title} was used. A plus: it may raise the Dice. Click to sort.")
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or self.comparison is None:
            return None
        combination = self.rows[index.row()]
        if role == CELL:
            return self.cell(combination, index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cell(combination, index.column()).text
        if role == Qt.ItemDataRole.ToolTipRole:
            return wrapped(self.tip(combination, index.column()))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.tip(combination, index.column())
        return None

    def cell(self, combination: Combination, section: int) -> Cell:
        assert self.comparison is not None
        mark = "A" if combination == self.a else "B" if combination == self.b else ""
        column = self.column_at(section)
        if section == 0:
            waiting = combination == self.running and combination not in self.comparison.predictions
            return Cell(mark or (_COMPUTING if waiting else self.sign(combination)), mark=mark)
        there = combination in self.comparison.predictions
        ink = "#e8ecef" if there else "#7d868e"
        if column is None:
            name = self.names[section - 1]
            gains = self.comparison.gains(combination) if name not in combination else {}
            return Cell("+" if name in gains else "", dot=name in combination, ink=ink, mark=mark)
        value = self.comparison.shown(combination, column.key)
        doubted = self.comparison.is_doubted(combination, column.key)
        text = text_of(column, value)
        if not there or (column.kind in METRICS and not self.comparison.is_measured(combination)):
            return Cell(_COMPUTING if combination == self.running or there else "", ink=ink, mark=mark)
        if doubted:
            return Cell(text, estimated=True, ink="#c3c9ce", mark=mark)
        if value is None or column.kind not in DICE:
            return Cell(text, ink=ink, mark=mark)
        paper, ink = cell_colours(self.comparison, column, value, False)
        return Cell(text, paper, ink, mark=mark)

    def sign(self, combination: Combination) -> str:
        """The mark of the traffic light, where something speaks against all of a row's result."""
        if self.comparison is None or combination not in self.comparison.predictions:
            return ""
        trust = self.comparison.trust(combination)
        whole = [reason for reason in trust.reasons if reason.region is None]
        return MARKS[whole[0].level] if whole else ""

    def tip(self, combination: Combination, section: int) -> str:
        """What a cell says and how its number is computed."""
        assert self.comparison is not None
        title, column = self.comparison.title(combination), self.column_at(section)
        if combination not in self.comparison.predictions:
            return f"{title}: not computed yet. Click to compute it now."
        if column is None:
            trust = self.comparison.trust(combination).headline
            name = self.names[section - 1] if section else ""
            gain = self.comparison.gains(combination).get(name, "")
            return (
                f"{title}. {trust}.\n{gain}{chr(10) if gain else ''}Click to show it; Ctrl+click to hold it against "
                "the row on screen (B)."
            )
        text = text_of(column, self.comparison.shown(combination, column.key))
        lines = [f"{title}, {column.title}: {text}"]
        lines += [r.message for r in self.comparison.trust(combination).reasons if r.region is None]
        if self.comparison.is_estimated(combination, column.key) and column.region is not None:
            lines.append(f"{unseen(self.comparison.task.region(column.region))}: an estimate of the model.")
        return "\n".join([*lines, column.explanation])


class FootModel(QAbstractTableModel):
    """Average and standard deviation, under the same columns."""

    NAMES = ("average", "± SD")

    def __init__(self, matrix: MatrixModel) -> None:
        super().__init__(matrix)
        self._matrix = matrix
        matrix.modelReset.connect(self.refresh)
        matrix.dataChanged.connect(self.refresh)

    def refresh(self, *_: Any) -> None:
        self.beginResetModel()
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return len(self.NAMES)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return self._matrix.columnCount()

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        comparison, section = self._matrix.comparison, index.column()
        if comparison is None:
            return None
        column = self._matrix.column_at(section)
        name = self.NAMES[index.row()]
        if column is None:
            text = name if section == 0 else ""
            tip = f"{name} over the combinations computed so far, also over those that a filter hides."
        else:
            foot = comparison.foot(column.key)
            text = text_of(column, None if foot is None else foot[index.row()])
            count = 0 if foot is None else foot[2]
            tip = f"{name} of {column.title} over {count} combinations.\n{column.explanation}"
        if role in (CELL, Qt.ItemDataRole.DisplayRole):
            return Cell(text) if role == CELL else text
        return wrapped(tip) if role == Qt.ItemDataRole.ToolTipRole else None
