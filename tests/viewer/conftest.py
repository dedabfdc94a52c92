"""The real window, on a display (Xvfb): ``xvfb-run -a -s "-screen 0 1600x1000x24" pytest tests/viewer``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from qtpy.QtCore import QSettings
from tiny import model

from napari_mrseg.models.store import Model
from napari_mrseg.session import Session

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    pytest.exit("tests/viewer need a display; run them with xvfb-run", returncode=2)


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """Leave the user's settings alone."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def session(tiny: Model) -> Iterator[Session]:
    made = Session(device="cpu", sweep=False)
    made.set_model(tiny)
    yield made
    made.close()
