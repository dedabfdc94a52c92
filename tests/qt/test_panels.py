"""Panels of the dock: one is added by a class and a line; what another scan would change stands in one."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from extending_page import shown
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_mrseg._qt import panels
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.worth_panel import WorthPanel
from napari_mrseg.compare.worth import UNKNOWN
from napari_mrseg.models.store import load_model
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS, RGBD_SOD


def test_a_panel_is_added_by_a_class_and_a_line(
    qtbot: QtBot, session: Session, make_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's panel, in a module of its own and named in the list, stands in the dock and follows the session."""
    module = ModuleType("my_panel")
    module.CountPanel = shown("CountPanel")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_panel", module)
    monkeypatch.setattr(panels, "PANELS", (*panels.PANELS, "my_panel:CountPanel"))
    dock = MrsegDock(ViewerModel(), session)
    qtbot.addWidget(dock)
    added = dock.panel.listed[-1]
    dock.open([make_study()])
    qtbot.waitUntil(lambda: added.label.text() == "Computed: 1", timeout=30_000)
    assert dock.panel.isAncestorOf(added)


def session_of(combination: tuple[str, ...], model: str = "compact") -> Any:
    """What the panel asks of a session, with the bundled model."""

    class Asked:
        task, study = BRATS, object()

    Asked.combination, Asked.model = combination, load_model(model)  # type: ignore[attr-defined]
    return Asked()


def test_what_another_scan_would_change_is_one_line(qtbot: QtBot) -> None:
    """It follows the combination, opens to all sentences, and is away where every scan is in use or none is open."""
    panel = WorthPanel(BRATS)
    qtbot.addWidget(panel)
    panel.refresh(session_of(("flair", "t1")))
    assert not panel.isHidden()
    assert panel.line.text().startswith("With T1ce perhaps: Dice ET 0.")
    panel.opened.click()
    assert panel.words.text().count("\n") >= 1
    assert not panel.words.isHidden()
    for nothing in (session_of(BRATS.names), session_of(()), None):
        panel.refresh(nothing)
        assert panel.isHidden()


def test_it_says_when_it_does_not_know(qtbot: QtBot) -> None:
    """A model without scores by subject on its card: one sentence, no number."""
    panel = WorthPanel(BRATS)
    qtbot.addWidget(panel)
    asked = session_of(("flair",))
    card = asked.model.card.model_copy(update={"measured": ()})
    type(asked).model = type("M", (), {"card": card, "sha256": "0"})()
    panel.refresh(asked)
    assert panel.line.text() == UNKNOWN


def test_pictures_have_no_such_line(qtbot: QtBot) -> None:
    """Colour and depth: nothing is promised of another picture."""
    panel = WorthPanel(RGBD_SOD)
    qtbot.addWidget(panel)
    asked = session_of(("flair",))
    type(asked).task = RGBD_SOD
    panel.refresh(asked)
    assert panel.isHidden()
