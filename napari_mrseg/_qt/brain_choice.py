"""How the brain is cut out of a head: a button with what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_mrseg.io.brain import How, installed

WORDS: dict[How, str] = {
    "auto": "built-in",
    "hd-bet": "HD-BET",
    "synthstrip": "SynthStrip",
    "none": "none",
}


class BrainChoice(QToolButton):
    """Shows how the brain was cut out; ``chosen`` is called with another way. What is not installed is grey."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chosen: Callable[[How], None] = lambda how: None
        self.setAccessibleName("How the brain is cut out")
        self.setToolTip("Cut the brain out another way; the scans are read again")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.aboutToShow.connect(self._offer)
        self.setMenu(menu)
        self.show_how("auto")

    def show_how(self, how: How) -> None:
        self._how: How = how
        self.setText(f"Brain mask: {WORDS[how]}")

    def _offer(self) -> None:
        menu = self.menu()
        assert menu is not None
        menu.clear()
        for how, words in WORDS.items():
            there = installed(how)
            action = menu.addAction(words[0].upper() + words[1:] + ("" if there else " (not installed)"))
            action.setEnabled(there)
            action.setCheckable(True)
            action.setChecked(how == self._how)
            action.triggered.connect(lambda _=False, how=how: self.chosen(how))
