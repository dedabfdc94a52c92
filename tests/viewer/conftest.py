"""The real window, on a display (Xvfb): ``xvfb-run -a -s "-screen 0 1600x1000x24" pytest tests/viewer``."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import napari
import pytest
from napari import Viewer
from napari._qt.qt_main_window import _QtMainWindow
from napari._qt.qt_viewer import QtViewer
from napari._qt.threads.status_checker import StatusChecker
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
from waiting import Asked

from napari_mrseg._qt import unsaved

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    pytest.exit("tests/viewer need a display; run them with xvfb-run", returncode=2)


@pytest.fixture(scope="session", autouse=True)
def nothing_to_look_through() -> None:
    """Take what is imported out of the garbage collector's sight.

    napari and its fixture collect garbage at each layer and window that goes, through a million objects of modules.
    """
    import napari_mrseg._qt.app
    import napari_mrseg.inference.engine
    import napari_mrseg.io  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """Leave the user's settings alone."""
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was asked about unsaved work; ``answer`` is what the user says, at first Discard."""
    made = Asked()
    monkeypatch.setattr(unsaved, "ask", made)
    return made


@pytest.fixture(scope="module")
def one_viewer(qapp: QApplication) -> Iterator[Viewer]:
    """A window for all tests of a module that leave nothing in it but layers: making one takes seconds.

    None of them may ask for ``make_napari_viewer`` as well, which wants to find no window.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StatusChecker, "start", lambda self: None)
        patch.setattr(_QtMainWindow, "_save_current_window_settings", lambda self: None)
        viewer = napari.Viewer(show=True, show_welcome_screen=False)
        yield viewer
        viewer.close()
    del viewer
    gc.collect()
    QtViewer._instances.clear()
