"""How the brain is cut out, in the window: what was used is shown, another way opens the scans again so."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from napari_mrseg._qt import brain_choice
from napari_mrseg._qt.brain_choice import BrainChoice


def test_the_button_says_how_and_offers_the_others(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is grey and says so; a choice is passed on."""
    monkeypatch.setattr(brain_choice, "installed", lambda how: how != "synthstrip")
    button, chosen = BrainChoice(), []
    qtbot.addWidget(button)
    button.chosen = chosen.append
    assert button.text() == "Brain mask: built-in"
    menu = button.menu()
    assert menu is not None
    menu.aboutToShow.emit()
    network, hd_bet, synthstrip, none = menu.actions()
    assert network.isChecked()
    assert not synthstrip.isEnabled()
    assert "not installed" in synthstrip.text()
    hd_bet.trigger()
    none.trigger()
    assert chosen == ["hd-bet", "none"]
    button.show_how("none")
    assert button.text() == "Brain mask: none"
