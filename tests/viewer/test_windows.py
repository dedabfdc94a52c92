"""Windows that come, go and come back: each test has its own, and closes it as a user or a program does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import pytest
from napari import Viewer
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QCloseEvent, QImage
from qtpy.QtWidgets import QApplication
from test_use import LEFT
from waiting import PATIENCE, Asked, MakeStudy, until_final

from napari_mrseg._qt.app import Keeper, launch, open_window
from napari_mrseg._qt.dock import MrsegDock, dock_of
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.edits import copies_in
from napari_mrseg.errors import InputError
from napari_mrseg.session.state import Session


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Viewer], session: Session, qtbot: QtBot) -> MrsegDock:
    """In a window of the test's own."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    made = open_dock(viewer, session)
    qtbot.waitExposed(viewer.window._qt_window)
    return made


def opened_with_an_edit(qtbot: QtBot, dock: MrsegDock, folder: Path) -> None:
    dock.open([folder])
    until_final(qtbot, dock)
    dock.layers.edit_copy().paint((3, 4, 5), 3)


def forget(request: pytest.FixtureRequest, viewer: Any) -> None:
    """Keep napari's fixture from closing once more a window that was closed as a user does, and is deleted."""
    request.node._viewer_weak_set.discard(viewer)
    del viewer.window._qt_window


def test_the_cross_of_the_dock_asks_and_quitting_does_not_ask_again(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, asked: Asked, request: pytest.FixtureRequest
) -> None:
    """Cancel keeps the dock; Discard closes it, and the edit is gone from the list."""
    opened_with_an_edit(qtbot, dock, make_study())
    viewer = dock.viewer
    holder, window = dock_widget_of(dock)
    assert holder is not None
    assert window is not None
    asked.answer = "cancel"
    qtbot.mouseClick(holder.title.close_button, LEFT)
    assert dock_of(viewer) is dock
    asked.answer = "discard"
    qtbot.mouseClick(holder.title.close_button, LEFT)
    qtbot.waitUntil(lambda: dock_of(viewer) is None, timeout=PATIENCE)
    assert copies_in(viewer) == []
    assert window.close()
    assert len(asked) == 2
    forget(request, viewer)


def test_quitting_asks_one_question(
    qtbot: QtBot,
    dock: MrsegDock,
    make_study: MakeStudy,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """File → Close Window with unsaved work: ours, and not napari's as well; without, napari's as ever."""
    theirs: list[bool] = []
    monkeypatch.setattr(ConfirmCloseDialog, "exec_", lambda self: bool(theirs.append(True)))
    opened_with_an_edit(qtbot, dock, make_study())
    window = dock.viewer.window._qt_window
    asked.answer = "cancel"
    window.close(quit_app=False, confirm_need=True)
    assert window.isVisible()
    assert len(asked) == 1
    assert theirs == []
    copy = dock.layers.copy
    assert copy is not None
    copy.undo()
    window.close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert len(theirs) == 1
    copy.redo()
    asked.answer = "discard"
    window.close(quit_app=False, confirm_need=True)
    assert not window.isVisible()
    assert len(asked) == 2
    assert len(theirs) == 1
    forget(request, dock.viewer)


def test_a_window_closed_by_a_program_with_three_planes_open_says_nothing(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, capfd: pytest.CaptureFixture[str]
) -> None:
    """``viewer.close()``: no traceback, whatever goes first."""
    pytest.importorskip("napari_orthogonal_views")
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.show_three_planes()
    qtbot.waitUntil(lambda: dock.three_planes.shown, timeout=PATIENCE)
    viewer = dock.viewer
    assert isinstance(viewer, Viewer)
    viewer.close()
    qtbot.wait(200)
    assert "Traceback" not in capfd.readouterr().err


def test_the_screenshot_holds_the_whole_window(
    make_napari_viewer: Callable[..., Viewer],
    session: Session,
    make_study: MakeStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``launch(screenshot=...)`` saves canvas and dock of the real window and returns."""
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    session.open([make_study()])
    out = tmp_path / "picture.png"
    launch(session, screenshot=out)
    picture = QImage(str(out))
    assert picture.width() >= 1000
    colours = {
        picture.pixelColor(x, y).name()
        for x in range(0, picture.width(), 3)
        for y in range(0, picture.height(), 3)
    }
    assert len(colours) > 100
    assert "#ffd54a" in colours  # a letter, on the canvas
    assert QApplication.instance() is not None


def test_a_window_comes_back_where_it_was(
    make_napari_viewer: Callable[..., Viewer], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and place are kept when it closes, and the next one has them."""
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    viewer, _ = open_window(session, remembering=True)
    window = viewer.window._qt_window
    window.setGeometry(40, 50, 1100, 760)
    [keeper] = window.findChildren(Keeper)
    keeper.eventFilter(window, QCloseEvent())  # and not closed: napari's fixture does that
    other, _ = open_window(session, remembering=True)
    kept = other.window._qt_window.geometry()
    assert (kept.x(), kept.y(), kept.width(), kept.height()) == (40, 50, 1100, 760)


def test_view_says_in_its_window_what_it_cannot_open(
    make_napari_viewer: Callable[..., Viewer],
    session: Session,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The window comes, with the sentence in the dock; once it is closed, the same sentence ends the command."""
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    bad = tmp_path / "x_flair.nii.gz"
    bad.write_text("not a scan")
    seen: list[str] = []

    def run() -> None:
        dock = dock_of(napari.current_viewer())
        assert dock is not None
        qtbot.waitUntil(lambda: bool(dock.error.text()), timeout=PATIENCE)
        assert dock.error.isVisible()
        seen.append(dock.error.text())

    monkeypatch.setattr(napari, "run", run)
    with pytest.raises(InputError, match="x_flair"):
        launch(session, paths=[str(bad)])
    assert "x_flair.nii.gz" in seen[0]


def test_the_screenshot_waits_for_the_dock(
    make_napari_viewer: Callable[..., Viewer],
    session: Session,
    make_study: MakeStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dock is behind the canvas on a slow machine; the picture shows it with modalities on and volumes."""
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    monkeypatch.setattr("napari_mrseg._qt.updates._PAUSE", 1500)
    seen = []

    def spy(dock: MrsegDock, asked: bool) -> None:
        on = tuple(name for name, check in dock.modalities.checks.items() if check.isChecked())
        seen.append((dock.settled, on, dock.banner.text()))

    monkeypatch.setattr(MrsegDock, "jump", spy)
    session.open([make_study()])
    launch(session, screenshot=tmp_path / "picture.png")
    [(settled, checked, banner)] = seen
    assert settled
    assert checked == ("flair", "t1", "t1ce", "t2")
    assert "final" in banner
