"""An engine on another computer, in the dock: chosen on the Preferences page, named on screen, left again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from napari.settings import get_plugin_settings
from pytestqt.qtbot import QtBot
from served import TOKEN, Served
from tiny import study
from waiting import PATIENCE, until_error, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import Model


@pytest.fixture
def served(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("MRSEG_TOKEN", TOKEN)
    made = Served(Engine(tiny, device="cpu"))
    yield made
    made.stop()


@pytest.fixture
def page() -> Iterator[Any]:
    """napari's own group of settings for the plugin."""
    group = get_plugin_settings("napari-mrseg").engine
    yield group
    group.address = ""
    group.device = "auto"


def test_an_address_on_the_page_moves_the_computation(
    qtbot: QtBot, dock: MrsegDock, served: Served, page: Any
) -> None:
    """The line on screen and the list of devices say which machine computes; a device of this one brings it back."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    page.address = served.address
    qtbot.waitUntil(lambda: dock.session.elsewhere == "cpu on gpubox", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert "cpu on gpubox" in dock.banner.text()
    devices = dock.runbar.devices
    qtbot.waitUntil(lambda: devices.currentText() == "cpu on gpubox", timeout=PATIENCE)
    asked: list[str] = []
    dock.runbar.device_chosen.connect(asked.append)
    devices.activated.emit(0)  # the other computer again: nothing to do
    assert asked == []
    place = devices.findData("cpu")
    devices.setCurrentIndex(place)
    devices.activated.emit(place)
    qtbot.waitUntil(lambda: dock.session.elsewhere == "", timeout=PATIENCE)
    qtbot.waitUntil(lambda: devices.findText("cpu on gpubox") < 0, timeout=PATIENCE)


def test_a_server_that_goes_away_is_said_with_the_way_back(
    qtbot: QtBot, dock: MrsegDock, served: Served, page: Any
) -> None:
    """Stopped during a session: a sentence in the dock that offers this computer; an empty address comes back here."""
    page.address = served.address
    qtbot.waitUntil(lambda: dock.session.elsewhere != "", timeout=PATIENCE)
    dock.session.set_study(study())
    until_final(qtbot, dock)
    served.stop()
    dock.session.toggle("t1")
    assert "choose a device of this computer to go on here" in until_error(qtbot, dock)
    page.address = ""
    qtbot.waitUntil(lambda: dock.session.elsewhere == "", timeout=PATIENCE)
    until_final(qtbot, dock)


def test_an_address_where_nothing_is_leaves_all_as_it_was(
    qtbot: QtBot, dock: MrsegDock, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence; the engine of this computer goes on."""
    monkeypatch.setenv("MRSEG_TOKEN", TOKEN)
    dock.session.set_study(study())
    until_final(qtbot, dock)
    page.address = "http://gpubox:8765"
    assert "is not encrypted" in until_error(qtbot, dock)
    assert dock.session.elsewhere == ""
