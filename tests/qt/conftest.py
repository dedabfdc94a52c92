"""Widgets without a display: Qt's offscreen platform and napari's viewer model, which draws nothing."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QSettings
from waiting import Asked

from napari_mrseg._qt import unsaved
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.session.state import Session


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """Leave the user's settings alone."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def dock(qtbot: QtBot, session: Session) -> MrsegDock:
    made = MrsegDock(ViewerModel(), session)
    qtbot.addWidget(made)
    return made


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was asked about unsaved work; ``answer`` is what the user says, at first Discard."""
    made = Asked()
    monkeypatch.setattr(unsaved, "ask", made)
    return made
