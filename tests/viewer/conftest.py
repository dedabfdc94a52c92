"""The real window, on a display (Xvfb): ``xvfb-run -a -s "-screen 0 1600x1000x24" pytest tests/viewer``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from qtpy.QtCore import QSettings
from waiting import Asked

from napari_mrseg._qt import leaving

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    pytest.exit("tests/viewer need a display; run them with xvfb-run", returncode=2)


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """Leave the user's settings alone."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was asked about unsaved work; ``answer`` is what the user says, at first Discard."""
    made = Asked()
    monkeypatch.setattr(leaving, "ask", made)
    return made
