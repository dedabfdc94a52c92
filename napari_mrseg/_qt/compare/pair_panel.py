"""Controls of the two-at-a-time view: off, difference or split, what B is, swap, and the legend."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.compare.pair import OTHER_MODEL, REFERENCE, Mode, Pair, Second
from napari_mrseg._qt.compare.style_sheet import button, quiet, titled, wrapped
from napari_mrseg._qt.key_names import with_key
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.difference import A_COLOUR, B_COLOUR, BOTH, BOTH_COLOUR, ONLY_A, ONLY_B

_MODES: tuple[tuple[Mode, str, str], ...] = (
    ("off", "Off", "One result: the row on screen"),
    ("difference", "Difference", "One region in three colours: only in A, only in B, in both"),
    ("split", "Split", "A on the left of a line, B on its right; drag the slider to move the line"),
)


class PairPanel(QWidget):
    """Shows a :class:`Pair` and sends it requests."""

    def __init__(self, pair: Pair, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pair = pair
        self.modes: dict[Mode, QPushButton] = {}
        group, row = QButtonGroup(self), QHBoxLayout()
        row.setSpacing(2)
        for mode, text, tip in _MODES:
            made = button(text, tip, partial(pair.set_mode, mode))
            made.setCheckable(True)
            made.setChecked(mode == "off")
            group.addButton(made)
            row.addWidget(made, 1)
            self.modes[mode] = made
        self.a = QLabel()
        self.a.setWordWrap(True)
        self.b, self.region = QComboBox(), QComboBox()
        self.b.setToolTip(
            wrapped("Row B: what the row on screen is held against; Ctrl+click a row does the same")
        )
        self.b.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.b.activated.connect(lambda i: pair.set_second(self.b.itemData(i)))
        self.region.setToolTip("The region whose difference is shown")
        self.region.activated.connect(lambda i: pair.set_region(self.region.itemText(i)))
        self.swap = button("⇄", with_key("Swap A and B", "swap"), pair.swap)
        self.swap.setAccessibleName("Swap A and B")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 1000)
        self.slider.setValue(500)
        self.slider.setToolTip("Where the line between A and B stands")
        self.slider.valueChanged.connect(lambda value: pair.set_fraction(value / 1000))
        self.legend = quiet()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        b_row = QHBoxLayout()
        b_name = QLabel(f"<b style='color:{B_COLOUR}'>B</b>")
        for widget, stretch in ((b_name, 0), (self.b, 1), (self.swap, 0)):
            b_row.addWidget(widget, stretch)
        a_row = QHBoxLayout()
        a_row.addWidget(self.a, 1)
        a_row.addWidget(self.region)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(titled("TWO AT A TIME"))
        layout.addLayout(row)
        layout.addLayout(a_row)
        layout.addLayout(b_row)
        layout.addWidget(self.slider)
        layout.addWidget(self.legend)
        pair.changed.connect(self.refresh)
        self.refresh()

    def show_comparison(self, comparison: Comparison | None) -> None:
        if comparison is None:
            return
        names: list[tuple[str, Second | None]] = [("choose …", None)]
        if comparison.study.reference is not None:
            names.append(("reference", REFERENCE))
        if comparison.second is not None:
            names.append((f"{comparison.second.name}, same modalities", OTHER_MODEL))
        names += [(comparison.title(c), c) for c in comparison.expected]
        if [self.b.itemData(i) for i in range(self.b.count())] != [data for _, data in names]:
            self.b.clear()
            for text, data in names:
                self.b.addItem(text, data)
        regions = [r.name for r in comparison.task.regions]
        if [self.region.itemText(i) for i in range(self.region.count())] != regions:
            self.region.clear()
            self.region.addItems(regions)
        self.refresh()

    def refresh(self) -> None:
        pair = self.pair
        for mode, made in self.modes.items():
            made.setChecked(mode == pair.mode)
        self.a.setText(f"<b style='color:{A_COLOUR}'>A</b>&nbsp; {pair.title(pair.a)}")
        with QSignalBlocker(self.b):
            places = [i for i in range(self.b.count()) if self.b.itemData(i) == pair.b]
            self.b.setCurrentIndex(places[0] if places else 0)
        self.region.setVisible(pair.mode != "split")
        self.slider.setVisible(pair.mode == "split")
        self.swap.setEnabled(isinstance(pair.b, tuple))
        self.legend.setText(self._legend())

    def _legend(self) -> str:
        pair, shown = self.pair, self.pair.shown
        if pair.b is None:
            return "Ctrl+click a row, or choose B here."
        if pair.mode == "off" or shown is None:
            return "Difference or split shows both on the scan."
        lines = []
        if shown.mode == "difference":
            unit = shown.study.task.unit
            digits = 0 if unit == "px" else 1
            for code, colour, name in (
                (ONLY_A, A_COLOUR, "only A"),
                (ONLY_B, B_COLOUR, "only B"),
                (BOTH, BOTH_COLOUR, "both"),
            ):
                lines.append(f"<span style='color:{colour}'>■</span> {name} {shown.sizes[code]:.{digits}f}")
            lines[-1] += f" {unit}"
        text = "&nbsp; ".join(lines)
        if shown.dice is not None:
            values = ", ".join(f"{region} {value:.2f}" for region, value in shown.dice.items())
            text += f"{'<br>' if text else ''}Dice of A and B: {values}"
        return text
