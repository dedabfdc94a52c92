"""The real window, on a display (Xvfb): ``xvfb-run -a -s "-screen 0 1600x1000x24" pytest tests/viewer``."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import pytest
from app_model import Application
from napari import Viewer
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari._qt.qt_main_window import _QtMainWindow
from napari._qt.qt_viewer import QtViewer
from napari._qt.threads.status_checker import StatusChecker
from napari.plugins import _initialize_plugins
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget
from waiting import Asked

from napari_mrseg._qt import unsaved
from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import dock_of
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.reading import NAPARIS

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

    None of them may ask for ``make_napari_viewer`` as well, which wants to find no window. As napari's own fixture, it
    has an application of its own: an application refuses plugins that it knows already.
    """
    app = NapariApplication("one_viewer")
    app.injection_store.namespace = _napari_names
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariApplication, "get_app_model", lambda *_: app)
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
        patch.setattr(StatusChecker, "start", lambda self: None)
        patch.setattr(_QtMainWindow, "_save_current_window_settings", lambda self: None)
        patch.setattr(unsaved, "ask", Asked())
        viewer = napari.Viewer(show=True, show_welcome_screen=False)
        gc.freeze()
        yield viewer
        viewer.close()
    del viewer
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    QtViewer._instances.clear()
    Application.destroy("one_viewer")
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()


@pytest.fixture
def window(one_viewer: Viewer, qtbot: QtBot, asked: Asked) -> Iterator[Viewer]:
    """:func:`one_viewer` for a test with a dock: dock, comparison and layers go after it, and unsaved work with them.

    Then nothing of ours may be left in the window.
    """
    before = left_in(one_viewer)
    yield one_viewer
    dock, asked.answer = dock_of(one_viewer), "discard"
    if dock is not None:
        dock.leave()
    for widget in (workbench_of(one_viewer), dock):
        holder, _ = dock_widget_of(widget) if widget is not None else (None, None)
        if holder is not None:
            one_viewer.window.remove_dock_widget(holder)
    one_viewer.layers.clear()
    one_viewer.dims.ndisplay, one_viewer.dims.order = 2, (0, 1, 2)
    one_viewer.canvas.overlays.scale_bar.visible = False
    qtbot.wait(20)  # what is deleted later goes now
    assert left_in(one_viewer) == before


def left_in(viewer: Viewer) -> dict[str, object]:
    """What a dock could leave in a window that it was taken out of."""
    main, view = viewer.window._qt_window, viewer.window._qt_viewer
    emitters = (viewer.events, viewer.layers.events, viewer.dims.events, viewer.scene.camera.events)
    mouse = (viewer.mouse_drag_callbacks, viewer.mouse_move_callbacks, viewer.mouse_wheel_callbacks)
    return {
        "docks": sorted((d.objectName(), d.isHidden()) for d in main.findChildren(QDockWidget)),
        "keys": sorted(map(str, viewer.keymap)),
        "mouse": [len(callbacks) for callbacks in mouse],
        "listeners": [
            f"{name} of {events.source}: {callback}"
            for events in (*emitters, viewer.canvas.events)
            for name in events
            for callback in events[name].callbacks
            if ours(callback)
        ],
        "words": [name for name, one in viewer.canvas.overlays.items() if one.visible],
        "on the canvas": len(view.canvas.native.findChildren(QWidget)),
        "pictures": len(QtViewer._instances),
        "windows": [type(one).__name__ for one in QApplication.topLevelWidgets() if one.isVisible()],
        "full screen": main.isFullScreen(),
        "menus": main.menuBar().isVisible(),
        "lists": [main.findChild(QDockWidget, name).isHidden() for name in NAPARIS],
    }


def ours(callback: Any) -> bool:
    """Whether a listener is a function or a living object of this package."""
    target = callback[0]() if isinstance(callback, tuple) else callback
    module = getattr(target, "__module__", None) or type(target).__module__
    return str(module).startswith("napari_mrseg")
