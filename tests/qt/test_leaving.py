"""Closing a window over work that was done by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QMainWindow, QMessageBox
from tiny import study
from waiting import PATIENCE, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.edits import mark_saved
from napari_mrseg._qt.leaving import Leaving


def test_closing_asks_about_an_unsaved_edit_and_nothing_else(
    qtbot: QtBot, dock: MrsegDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel keeps the window open; a copy without a stroke, or saved, is not asked about."""
    asked: list[str] = []
    answer = [QMessageBox.StandardButton.Cancel]

    def ask(parent: Any, title: str, text: str, *_: Any) -> Any:
        asked.append(text)
        return answer[0]

    monkeypatch.setattr(QMessageBox, "warning", ask)
    window = QMainWindow()
    qtbot.addWidget(window)
    Leaving(window, dock.viewer)
    dock.session.set_study(study())
    until_final(qtbot, dock)
    copy = dock.layers.edit_copy()
    window.show()
    assert window.close()
    assert asked == []
    copy.paint((12, 16, 14), 3)
    window.show()
    assert not window.close()
    assert window.isVisible()
    assert copy.name in asked[0]
    mark_saved(copy, copy.metadata["mrseg"]["changes"])
    assert window.close()
    assert len(asked) == 1
    copy.paint((10, 16, 14), 3)
    answer[0] = QMessageBox.StandardButton.Discard
    window.show()
    assert window.close()
    assert len(asked) == 2
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)


def test_a_hidden_region_is_shown_again_with_the_next_study(qtbot: QtBot, dock: MrsegDock) -> None:
    """The next subject is drawn whole, and the legend's boxes say so."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.legend.labels[2].click()
    assert "NOT DRAWN: oedema" in dock.viewer.canvas.overlays.text.text
    dock.session.set_study(study(spacing=2.0, case="next"))
    qtbot.waitUntil(lambda: dock.case.text() == "next", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert dock.legend.labels[2].isChecked()
    assert dock.layers.prediction is not None
    assert dock.layers.prediction.colormap.map(2)[3] == 1
    assert "NOT DRAWN" not in dock.viewer.canvas.overlays.text.text
