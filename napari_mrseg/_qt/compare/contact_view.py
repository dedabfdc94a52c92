"""The contact sheet in the window: the slice on screen in every combination, following slider and plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QImage, QPainter, QPen
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.style_sheet import quiet, wrapped
from napari_mrseg.compare.columns import text_of
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.contact_sheet import GAP, HEADER, ContactSheet
from napari_mrseg.compare.difference import A_COLOUR, B_COLOUR
from napari_mrseg.compare.drawing import Pixels
from napari_mrseg.tasks import Combination

_PROBE, _LARGEST = 400, 320  # pixels
# Beside the names of regions, whose difference is shown.
FIRST, SECOND = "the first model", "the second model"


@dataclass(frozen=True)
class _Wanted:
    comparison: Comparison
    background: str | None
    by: str
    size: tuple[int, int]
    axis: int
    index: int


@dataclass(frozen=True)
class _Made:
    wanted: _Wanted
    sheet: ContactSheet
    pixels: Pixels
    image: QImage
    caption: str


class SheetView(QWidget):
    """Paints the sheet that was made last, and asks for the combination that is clicked."""

    clicked = Signal(object)
    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.made: _Made | None = None
        self._image = QImage()
        self._marks: tuple[Combination | None, Combination | None] = (None, None)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 120)
        self.setAccessibleName("The slice on screen in every combination")

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(800, 300)

    def show_sheet(self, made: _Made | None) -> None:
        self.made = made
        if made is not None:
            self._image = made.image
        self.update()

    def mark(self, a: Combination | None, b: Combination | None) -> None:
        if (a, b) != self._marks:
            self._marks = a, b
            self.update()

    def place(self, combination: Combination) -> QRect | None:
        """Where the picture of a combination lies in this widget."""
        made = self.made
        if made is None or combination not in made.wanted.comparison.expected:
            return None
        return QRect(*made.sheet.place(combination, made.wanted.axis)).translated(self._corner())

    def at(self, point: QPoint) -> Combination | None:
        if self.made is None:
            return None
        inside = point - self._corner()
        return self.made.sheet.combination_at(inside.x(), inside.y(), self.made.wanted.axis)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#1b1f24"))
        if self.made is None:
            return
        painter.drawImage(self._corner(), self._image)
        for combination, colour in zip(self._marks, (A_COLOUR, B_COLOUR), strict=True):
            place = None if combination is None else self.place(combination)
            if place is not None:
                painter.setPen(QPen(QColor(colour), 3))
                painter.drawRect(place)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        found = self.at(event.pos())
        if found is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(found)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.resized.emit()

    def event(self, event: Any) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.at(event.pos())
            if found is not None and self.made is not None:
                QToolTip.showText(event.globalPos(), wrapped(_tip(self.made.wanted.comparison, found)), self)
            else:
                QToolTip.hideText()
            return True
        return bool(super().event(event))

    def _corner(self) -> QPoint:
        return QPoint(max(0, (self.width() - self._image.width()) // 2), 0)


class Contact(QWidget):
    """The sheet with its caption. Pictures are made on a thread; of several slices asked for the newest wins."""

    asked = Signal(object)  # combination to show
    failed = Signal(str)

    def __init__(self, where: Callable[[], tuple[int, int] | None], parent: QWidget | None = None) -> None:
        """``where`` gives the (axis, index) of the slice on screen, or None."""
        super().__init__(parent)
        self._where = where
        self._comparison: Comparison | None = None
        self._sheet: tuple[Any, ContactSheet] | None = None
        self._busy = False
        self.view = SheetView()
        self.caption = quiet(wrap=False)  # a wrapped one would be laid out again at every slice
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.background = QComboBox()
        self.background.setToolTip(wrapped("The scan under the outlines; the same in every picture"))
        self.background.activated.connect(lambda _: self.refresh())
        self.by = QComboBox()
        self.by.setToolTip(wrapped("Whose results: this model's, the second one's, or where both differ"))
        self.by.setAccessibleName("Whose results")
        self.by.activated.connect(lambda _: self.refresh())
        self.by.setVisible(False)
        row = QHBoxLayout()
        row.addWidget(self.caption, 1)
        row.addWidget(self.by)
        row.addWidget(quiet("on", wrap=False))
        row.addWidget(self.background)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.view, 1)
        layout.addLayout(row)
        self.view.clicked.connect(self.asked)
        self.view.resized.connect(self.refresh)

    def show_comparison(self, comparison: Comparison | None) -> None:
        self._comparison = comparison
        if comparison is None:
            self.view.show_sheet(None)
            self._sheet = None
            self.caption.setText("")
            return
        names = list(comparison.study.present)
        if [self.background.itemData(i) for i in range(self.background.count())] != names:
            self.background.clear()
            for name in names:
                self.background.addItem(comparison.task.modality(name).title, name)
        self._offer_models(comparison)
        self.refresh()

    def _offer_models(self, comparison: Comparison) -> None:
        self.by.setVisible(comparison.second is not None)
        if comparison.second is None:
            self.by.clear()
            return
        choices = [("this model", FIRST), (comparison.second.name, SECOND)]
        choices += [(f"difference {region.name}", region.name) for region in comparison.task.regions]
        if [self.by.itemText(i) for i in range(self.by.count())] != [text for text, _ in choices]:
            self.by.clear()
            for text, data in choices:
                self.by.addItem(text, data)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        super().showEvent(event)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the slice on screen, if anybody can see it."""
        wanted = self._wanted()
        if wanted is None or self._busy or (self.view.made is not None and self.view.made.wanted == wanted):
            return
        self._busy = True
        BackgroundTask(lambda: self._make(wanted), done=self._show, failed=self._broke, parent=self)

    def _wanted(self) -> _Wanted | None:
        where = self._where()
        if self._comparison is None or where is None or not self.isVisible():
            return None
        size = self.view.width(), self.view.height()
        by = self.by.currentData() or FIRST
        return _Wanted(self._comparison, self.background.currentData(), by, size, *where)

    def _make(self, wanted: _Wanted) -> _Made:
        key = wanted.comparison, wanted.background, wanted.by, wanted.size, wanted.axis
        if self._sheet is None or self._sheet[0] != key:
            columns, tile = _fit(wanted)
            sheet = ContactSheet(
                wanted.comparison.of_second() if wanted.by == SECOND else wanted.comparison,
                background=wanted.background,
                tile=tile,
                columns=columns,
                dark=True,
                difference=None if wanted.by in (FIRST, SECOND) else wanted.by,
            )
            self._sheet = key, sheet
        sheet = self._sheet[1]
        pixels = sheet.render(wanted.axis, wanted.index)
        return _Made(wanted, sheet, pixels, _as_image(pixels), sheet.caption(wanted.axis, wanted.index))

    def _show(self, made: _Made) -> None:
        self._busy = False
        if self._comparison is not None and made.wanted.comparison.study is self._comparison.study:
            self.view.show_sheet(made)
            self.caption.setText(made.caption)
        self.refresh()

    def _broke(self, sentence: str) -> None:
        self._busy = False
        self.failed.emit(sentence)


def _as_image(pixels: Pixels) -> QImage:
    """In the format that Qt paints without converting."""
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return image.convertToFormat(QImage.Format.Format_RGB32)


def _fit(wanted: _Wanted) -> tuple[int, int]:
    """(columns, tile's longer side in pixels) that fill the widget best."""
    n = len(wanted.comparison.expected)
    probe = ContactSheet(wanted.comparison, background=wanted.background, tile=_PROBE)
    _, _, wide, high = probe.place(wanted.comparison.expected[0], wanted.axis)
    best = (1, 40)
    for columns in range(1, n + 1):
        lines = -(-n // columns)
        width = (wanted.size[0] - GAP) / columns - GAP
        height = wanted.size[1] / lines - HEADER - GAP
        tile = int(min(width / wide, height / high) * _PROBE)
        if tile > best[1]:
            best = columns, tile
    return best[0], min(best[1], _LARGEST)


def _tip(comparison: Comparison, combination: Combination) -> str:
    title = comparison.title(combination)
    if combination not in comparison.predictions:
        return f"{title}: not computed yet. Click to compute and show it."
    lines = [title, comparison.trust(combination).headline]
    for kind in ("size", "versus", "dice"):
        cells = [
            f"{column.title} {text_of(column, comparison.shown(combination, column.key))}"
            + (" (estimate)" if comparison.is_estimated(combination, column.key) else "")
            for column in comparison.columns
            if column.kind == kind
        ]
        if cells:
            lines.append(", ".join(cells))
    return "\n".join([*lines, "Click to show it large."])
