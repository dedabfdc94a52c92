"""Window and level as numbers: a button that shows them, and below it fields to type them and the presets by name."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QMenu, QToolButton, QWidget, QWidgetAction

from napari_mrseg._qt.key_names import with_key
from napari_mrseg._qt.window_level import OWN, PRESETS, WindowLevel

_FAR = 1e7


class WindowButton(QToolButton):
    """Shows a :class:`WindowLevel` and asks it for what is typed; brought up to date by :meth:`refresh`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window_level: WindowLevel | None = None
        self.setToolTip(with_key("Window and level of the scan on top: numbers and presets", "window"))
        self.setAccessibleName("Window and level")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.window_field, self.level_field = QDoubleSpinBox(), QDoubleSpinBox()
        self.window_field.setRange(1e-3, _FAR)
        self.level_field.setRange(-_FAR, _FAR)
        for field, name in ((self.window_field, "Window"), (self.level_field, "Level")):
            field.setKeyboardTracking(False)  # a number counts when it is complete
            field.setAccessibleName(name)
            field.valueChanged.connect(self._typed)
        self.presets = QComboBox()
        self.presets.addItems([*PRESETS, OWN])
        self.presets.setAccessibleName("Preset")
        self.presets.activated.connect(self._chosen)
        form = QWidget()
        lines = QFormLayout(form)
        lines.addRow("Window (width)", self.window_field)
        lines.addRow("Level (middle)", self.level_field)
        lines.addRow("Preset", self.presets)
        action = QWidgetAction(self)
        action.setDefaultWidget(form)
        menu = QMenu(self)
        menu.addAction(action)
        menu.aboutToShow.connect(self._opened)
        self.setMenu(menu)
        self._say(None)

    def follow(self, window_level: WindowLevel) -> None:
        self._window_level = window_level
        window_level.on_changed = self.refresh

    def refresh(self) -> None:
        """Show the window of the scan on top."""
        self._say(None if self._window_level is None else self._window_level.numbers)

    def _say(self, numbers: tuple[float, float] | None) -> None:
        self.setEnabled(numbers is not None)
        if numbers is None:
            self.setText("W – L –")
            return
        digits = 0 if numbers[0] >= 10 else 2
        self.setText(f"W {numbers[0]:.{digits}f} L {numbers[1]:.{digits}f}")
        for field, number in zip((self.window_field, self.level_field), numbers, strict=True):
            with QSignalBlocker(field):
                field.setDecimals(digits)
                field.setSingleStep(max(numbers[0] / 20, 10**-digits))
                field.setValue(number)

    def _opened(self) -> None:
        self.refresh()
        if self._window_level is not None:  # looked for only here: it takes percentiles of the whole scan
            self.presets.setCurrentText(self._window_level.preset)

    def _typed(self, value: Any) -> None:
        if self._window_level is not None:
            self._window_level.set_numbers(self.window_field.value(), self.level_field.value())
            self.presets.setCurrentText(OWN)

    def _chosen(self, at: int) -> None:
        name = self.presets.itemText(at)
        if self._window_level is not None and name in PRESETS:
            self._window_level.set_preset(name)
