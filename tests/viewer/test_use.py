"""As a new user would, in the real window, with real mouse and key events."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from threading import Event
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from app_model.types import KeyBinding
from napari import Viewer
from napari._app_model import get_app_model
from napari.utils.shortcuts import default_shortcuts
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QWidget
from tiny import model
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.ruler import DISTANCES
from napari_mrseg.inference.engine import Engine
from napari_mrseg.session.restore import open_session, save_session
from napari_mrseg.session.state import Session

LEFT, ALT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def dock(window: Viewer, session: Session, qtbot: QtBot) -> MrsegDock:
    window.window.resize(1280, 800)
    return open_dock(window, session)


def canvas(dock: MrsegDock) -> QWidget:
    return dock.viewer.window._qt_viewer.canvas.native


def click(qtbot: QtBot, widget: QWidget) -> None:
    """Click where a user would: on a box's tick, in the middle of a button."""
    at = QPoint(10, widget.height() // 2)
    qtbot.mouseClick(widget, LEFT, pos=at)


def drag(
    qtbot: QtBot,
    widget: QWidget,
    start: QPoint,
    end: QPoint,
    held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
) -> None:
    """Press at ``start``, move to ``end`` by way of the middle, let go."""
    qtbot.mousePress(widget, LEFT, held, start)
    for at in ((start + end) / 2, end):
        move = QMouseEvent(
            QMouseEvent.Type.MouseMove, at.toPointF(), widget.mapToGlobal(at).toPointF(), LEFT, LEFT, held
        )
        QApplication.sendEvent(widget, move)
    qtbot.mouseRelease(widget, LEFT, held, end)


def choose(qtbot: QtBot, combo: QComboBox, ending: str) -> None:
    """Open a drop-down with the mouse and click the entry whose file ends so."""
    row = next(i for i in range(combo.count()) if str(combo.itemData(i)).endswith(ending))
    qtbot.mouseClick(combo, LEFT)
    view = combo.view()
    qtbot.waitUntil(view.isVisible, timeout=PATIENCE)
    at = view.visualRect(view.model().index(row, 0)).center()
    qtbot.mouseMove(view.viewport(), at)
    qtbot.mouseClick(view.viewport(), LEFT, pos=at)


def overlay(dock: MrsegDock) -> np.ndarray:
    assert dock.layers.prediction is not None
    return np.asarray(dock.layers.prediction.data)


def test_toggle_by_mouse_and_by_key(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """T1ce off by the mouse and on by Alt+3, with the canvas or the dock in focus: the overlay follows each time."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    everything = overlay(dock).copy()
    click(qtbot, dock.modalities.checks["t1ce"])
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    assert not np.array_equal(overlay(dock), everything)
    canvas(dock).setFocus()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_3, ALT)
    until_final(qtbot, dock, ("flair", "t1", "t1ce", "t2"))
    assert dock.modalities.checks["t1ce"].isChecked()
    assert np.array_equal(overlay(dock), everything)
    dock.runbar.button.setFocus()
    qtbot.keyClick(dock.runbar.button, Qt.Key.Key_3, ALT)
    until_final(qtbot, dock, ("flair", "t1", "t2"))


def test_keys_for_outline_overlay_labels_lists_and_jump(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Outline, overlay, opacity, a label, the list of models and the largest finding, each by its key."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    qtbot.keyClick(canvas(dock), Qt.Key.Key_O, ALT)
    assert layer.contour > 0
    assert dock.legend.outline.isChecked()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_0, ALT)
    assert not layer.visible
    assert not dock.legend.overlay.isChecked()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_0, ALT)
    assert layer.visible
    dock.viewer.dims.set_current_step((0, 1, 2), (0, 0, 0))
    before = dock.overlay_style.opacity
    qtbot.keyClick(canvas(dock), Qt.Key.Key_Comma, ALT)
    assert dock.overlay_style.opacity < before
    qtbot.keyClick(canvas(dock), Qt.Key.Key_Period, ALT)
    assert dock.overlay_style.opacity == before
    qtbot.keyClick(canvas(dock), Qt.Key.Key_5, ALT)
    assert dock.overlay_style.hidden == {dock.session.task.labels[0].code}
    qtbot.keyClick(canvas(dock), Qt.Key.Key_5, ALT)
    qtbot.keyClick(canvas(dock), Qt.Key.Key_8, ALT)
    assert dock.runbar.models.view().isVisible()
    dock.runbar.models.hidePopup()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_J, ALT)
    assert layer.data[tuple(dock.layers.voxel_shown() or ())] > 0


def test_window_and_level_by_dragging_and_by_key(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Shift and a drag: to the right the window widens, downwards its middle rises, nothing pans; Alt+R: presets."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    image = dock.layers.images["flair"]
    low, high = image.contrast_limits
    camera = dock.viewer.scene.camera.center
    start, end = QPoint(300, 300), QPoint(380, 340)
    native = canvas(dock)
    shift = Qt.KeyboardModifier.ShiftModifier
    drag(qtbot, native, start, end, shift)
    wide_low, wide_high = image.contrast_limits
    assert wide_high - wide_low > 1.1 * (high - low)
    assert (wide_high + wide_low) / 2 > (high + low) / 2
    assert dock.viewer.scene.camera.center == camera
    assert dock.viewer.scene.camera.mouse_pan
    qtbot.keyClick(native, Qt.Key.Key_R, ALT)
    assert image.contrast_limits[1] == pytest.approx(float(image.data.max()))
    assert dock.viewer.status == "Window: wide"
    qtbot.keyClick(native, Qt.Key.Key_R, ALT)
    qtbot.keyClick(native, Qt.Key.Key_R, ALT)
    assert tuple(image.contrast_limits) == pytest.approx((low, high))


def test_a_distance_is_drawn_by_dragging(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Ctrl and a drag: a line with its mm in a layer of its own; nothing pans, the layer in hand stays."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    viewer, native = dock.viewer, canvas(dock)
    camera, zoom = viewer.scene.camera.center, viewer.scene.camera.zoom
    active = viewer.layers.selection.active
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.mouseClick(native, LEFT, control, QPoint(300, 300))
    assert DISTANCES not in viewer.layers
    for end in (QPoint(380, 360), QPoint(300, 340)):
        drag(qtbot, native, QPoint(300, 300), end, control)
    assert DISTANCES in viewer.layers
    assert dock.measuring.distances is not None
    lengths = [one.length for one in dock.measuring.distances.items]
    assert lengths == pytest.approx([100 / zoom, 40 / zoom], abs=0.06)
    said = [str(text) for text in viewer.layers[DISTANCES].features["length"] if text]
    assert said == [f"D{n}: {length:.1f} mm" for n, length in enumerate(lengths, start=1)]
    drag(qtbot, native, QPoint(380, 360), QPoint(460, 420))  # by its end
    assert dock.measuring.distances.items[0].length == pytest.approx(200 / zoom, abs=0.06)
    assert viewer.scene.camera.center == pytest.approx(camera)
    viewer.window.resize(900, 700)
    qtbot.waitUntil(lambda: viewer.scene.camera.zoom < zoom, timeout=PATIENCE)  # still fitted to the canvas
    assert viewer.layers.selection.active is active


def test_our_keys_are_not_naparis(dock: MrsegDock) -> None:
    """None of our keys is one of napari's: not of its shortcuts, its menus' actions, or their Alt+letter."""
    ours = {KeyBinding.validate(k) for k in dock.viewer.keymap}
    assert len(ours) >= 8
    theirs = {KeyBinding.validate(key) for keys in default_shortcuts.values() for key in keys}
    theirs |= {found.keybinding for found in get_app_model().keybindings}
    bar = dock.viewer.window._qt_window.menuBar()
    for action in bar.actions():
        menu, mnemonic = action.menu(), action.text().partition("&")[2]
        theirs.add(KeyBinding.from_str(f"Alt+{mnemonic[0].upper()}"))
        for inner in menu.actions():
            text = inner.shortcut().toString()
            if text:
                theirs.add(KeyBinding.from_str(text.split(", ")[0]))
    assert KeyBinding.from_str("Alt+C") in theirs
    assert KeyBinding.from_str("Alt+P") in theirs
    assert ours & theirs == set()


def test_the_comparison_opens_by_its_key_after_a_click_into_the_canvas(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Alt+M, with the canvas, the dock or the layer list in focus."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    layers = dock.viewer.window._qt_viewer.layers
    for widget in (canvas(dock), dock.runbar.button, layers):
        qtbot.mouseClick(widget, LEFT, pos=QPoint(5, 5))
        qtbot.keyClick(widget, Qt.Key.Key_M, ALT)
        qtbot.waitUntil(lambda: workbench_of(dock.viewer) is not None, timeout=PATIENCE)
        bench = workbench_of(dock.viewer)
        assert bench is not None
        qtbot.waitUntil(bench.isVisible, timeout=PATIENCE)
        holder, _ = dock_widget_of(bench)
        assert holder is not None
        holder.hide()


def test_correct_an_assignment_by_mouse(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """The T1ce file chosen for T1 in the drop-down swaps the two, and the segmentation is made anew."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    first = dock.session.study
    assert first is not None
    choose(qtbot, dock.modalities.combos["t1"], "_t1ce.nii.gz")
    qtbot.waitUntil(lambda: dock.session.study is not first, timeout=PATIENCE)
    until_final(qtbot, dock)
    study = dock.session.study
    assert study is not None
    assert np.array_equal(study.images["t1"].data, first.images["t1ce"].data)
    assert np.array_equal(study.images["t1ce"].data, first.images["t1"].data)
    assert dock.modalities.combos["t1"].currentData().endswith("_t1ce.nii.gz")
    assert dock.modalities.combos["t1ce"].currentData().endswith("_t1.nii.gz")


def test_cancel_by_mouse(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel stops a run within a second; the old overlay stays, and what is on screen says it is stale."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    before = overlay(dock)
    going = Event()

    def endless(self: Engine, *args: Any, check: Any, **options: Any) -> Any:
        going.set()
        while True:
            check()
            time.sleep(0.01)
        yield

    monkeypatch.setattr(Engine, "run", endless)
    click(qtbot, dock.modalities.checks["t2"])
    assert going.wait(10)
    qtbot.waitUntil(lambda: dock.runbar.button.text() == "Cancel", timeout=PATIENCE)
    start = time.monotonic()
    click(qtbot, dock.runbar.button)
    qtbot.waitUntil(lambda: dock.runbar.button.text() == "Run", timeout=PATIENCE)
    assert time.monotonic() - start < 1
    assert overlay(dock) is before
    assert "STALE" in dock.banner.text()
    monkeypatch.undo()
    click(qtbot, dock.runbar.button)
    until_final(qtbot, dock, ("flair", "t1", "t1ce"))


def test_save_by_mouse_and_read_back(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is saved lies on the scan's own grid, voxel for voxel what was shown; so does the copy edited by hand."""
    affine = np.array([[0, -1.0, 0, 30], [0, 0, 1.5, -20], [-2.0, 0, 0, 11], [0, 0, 0, 1]])
    folder = make_study(affine=affine)
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(out))
    dock.open([folder])
    until_final(qtbot, dock)
    click(qtbot, dock.panel.save_button)
    saved = out / "case-1_flair+t1+t1ce+t2_mrseg.nii.gz"
    qtbot.waitUntil(lambda: (out / "case-1_result.json").exists(), timeout=PATIENCE)
    scan, labels = nib.load(folder / "case-1_flair.nii.gz"), nib.load(saved)
    assert np.array_equal(labels.affine, scan.affine)
    source = dock.session.study.images["flair"].source  # type: ignore[union-attr]
    assert np.array_equal(np.asarray(labels.dataobj), source.from_ipl(overlay(dock)))
    click(qtbot, dock.panel.edit_button)
    copy = dock.layers.edited()
    assert copy is not None
    copy.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3)
    dock.saver.save_edited()
    edited = out / "case-1_flair+t1+t1ce+t2_edited.nii.gz"
    qtbot.waitUntil(edited.exists, timeout=PATIENCE)
    read = source.to_ipl(np.asarray(nib.load(edited).dataobj))
    assert read[0, 0, 0] == 3
    assert (read != overlay(dock)).sum() == (0 if overlay(dock)[0, 0, 0] == 3 else 1)


def test_bad_input_leaves_the_layers_alone(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path
) -> None:
    """A bad file or folder gives one sentence in the dock; study, layers and canvas stay."""
    folder = make_study()
    dock.open([folder])
    until_final(qtbot, dock)
    before = [(layer.name, layer.visible, id(layer.data)) for layer in dock.viewer.layers]
    scan = (folder / "case-1_flair.nii.gz").read_bytes()
    kinds = {
        "text": {"x_flair.nii.gz": b"hello"},
        "truncated": {"x_flair.nii.gz": scan[: len(scan) // 2]},
        "empty folder": {},
        "two FLAIRs": {"a_flair.nii.gz": scan, "b_flair.nii.gz": scan},
    }
    for kind, files in kinds.items():
        bad = tmp_path / kind
        bad.mkdir()
        for name, content in files.items():
            (bad / name).write_bytes(content)
        dock.open([bad])
        sentence = until_error(qtbot, dock)
        assert sentence.count("\n") == 0
        assert dock.error.isVisible()
        now = [(layer.name, layer.visible, id(layer.data)) for layer in dock.viewer.layers]
        assert now == before, kind
        qtbot.waitUntil(lambda: dock.banner.property("state") == "final", timeout=PATIENCE)


def test_the_window_answers_during_a_run(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run is under way the event loop turns: this run ends only after the window has answered 20 times."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    run, answered, turns = Engine.run, Event(), []

    def patient(self: Engine, *args: Any, check: Any, **options: Any) -> Any:
        while not answered.wait(0.01):
            check()
        yield from run(self, *args, check=check, **options)

    def tick() -> None:
        turns.append(time.perf_counter())
        if len(turns) == 20:
            answered.set()

    monkeypatch.setattr(Engine, "run", patient)
    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(5)
    dock.toggle("t1")
    until_final(qtbot, dock)
    timer.stop()
    print(f"event loop: {len(turns)} turns, longest gap {1000 * np.diff(turns).max():.0f} ms")


def head_on_canvas(dock: MrsegDock, name: str = "flair") -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of the bright part of a modality in canvas pixels, row and column, from the camera alone."""
    viewer, layer = dock.viewer, dock.layers.images[name]
    where = np.argwhere(np.asarray(layer.data) > 0)
    axes = list(viewer.dims.displayed)
    low, high = (where.min(0)[axes] - 0.5, where.max(0)[axes] + 0.5)
    scale = np.asarray(layer.scale)[axes]
    centre = np.asarray(viewer.camera.center)[-2:]
    middle = np.asarray(viewer.canvas.size) / 2
    return tuple(middle + (end * scale - centre) * viewer.camera.zoom for end in (low, high))  # type: ignore[return-value]


def until_it_fits(qtbot: QtBot, dock: MrsegDock) -> None:
    def assert_fits() -> None:
        low, high = head_on_canvas(dock)
        height, width = dock.viewer.canvas.size
        assert low[0] >= dock.annotation.height  # below the words
        assert low[1] >= 0
        assert high[0] <= height
        assert high[1] <= width
        assert ((high - low) / (height, width)).max() > 0.6  # as large as there is room

    qtbot.waitUntil(assert_fits, timeout=PATIENCE)


def test_a_study_opens_at_its_finding_as_large_as_there_is_room(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The head is below the words and fills the canvas, at a slice with a finding; a resized window fits it again."""
    dock.open([make_study(shape=(40, 44, 30))])
    until_final(qtbot, dock)
    qtbot.waitUntil(lambda: bool(overlay(dock)[dock.viewer.dims.current_step[0]].any()), timeout=PATIENCE)
    until_it_fits(qtbot, dock)
    before = tuple(dock.viewer.canvas.size)
    dock.viewer.window.resize(1366, 768)
    qtbot.waitUntil(lambda: tuple(dock.viewer.canvas.size) != before, timeout=PATIENCE)
    until_it_fits(qtbot, dock)


def test_paint_toggle_undo_save_and_reopen(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By mouse and keys, saving aside: the prediction is untouched, the edit is whole, also among turned scans."""
    folder, out = make_study(), tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(out))
    dock.open([folder])
    until_final(qtbot, dock)
    native, control = canvas(dock), Qt.KeyboardModifier.ControlModifier
    prediction = overlay(dock).copy()
    qtbot.keyClick(native, Qt.Key.Key_E, ALT)
    copy = dock.layers.copy
    assert copy is not None
    qtbot.keyClick(native, Qt.Key.Key_2)
    assert copy.mode == "paint"
    copy.brush_size, copy.selected_label = 3, 3
    middle = native.rect().center()
    strokes = []
    for x in (-40, 40):
        drag(qtbot, native, middle + QPoint(x, -20), middle + QPoint(x, 20))
        strokes.append(np.asarray(copy.data).copy())
    assert (strokes[0] != prediction).any()
    assert (strokes[1] != strokes[0]).any()
    qtbot.keyClick(native, Qt.Key.Key_Z, control)
    assert np.array_equal(copy.data, strokes[0])
    qtbot.keyClick(native, Qt.Key.Key_3, ALT)
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    qtbot.keyClick(native, Qt.Key.Key_3, ALT)
    until_final(qtbot, dock)
    assert np.array_equal(overlay(dock), prediction)
    assert np.array_equal(copy.data, strokes[0])
    dock.saver.save_edited()
    saved = out / "case-1_flair+t1+t1ce+t2_edited.nii.gz"
    qtbot.waitUntil(lambda: bool(dock.panel.saved.text()), timeout=PATIENCE)
    assert np.array_equal(overlay(dock), prediction)
    turned = tmp_path / "turned"
    turned.mkdir()
    for scan in folder.glob("*.nii.gz"):
        if "seg" not in scan.name:
            nib.save(nib.as_closest_canonical(nib.load(scan)), turned / scan.name)
    shutil.copy(saved, turned / "case-1_seg.nii.gz")
    first = dock.session.study
    dock.open([turned])
    qtbot.waitUntil(lambda: dock.session.study is not first, timeout=PATIENCE)
    study = dock.session.study
    assert study is not None
    assert study.reference is not None
    assert np.array_equal(study.reference.labels, strokes[0])


def test_a_reopened_session_shows_the_head_again(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path
) -> None:
    """Whatever the camera was left at, a session file opens with the head in sight, not far away."""
    folder = make_study(shape=(40, 44, 30))
    dock.open([folder])
    until_final(qtbot, dock)
    save_session(dock.session, tmp_path / "a.mrsession", {})
    dock.open([make_study(case="other", shape=(24, 28, 20))])
    until_final(qtbot, dock)
    dock.viewer.camera.zoom = 0.05
    open_session(dock.session, tmp_path / "a.mrsession")
    until_final(qtbot, dock)
    qtbot.waitUntil(
        lambda: dock.layers.images["flair"].data.shape == dock.session.study.grid.shape, timeout=PATIENCE
    )
    until_it_fits(qtbot, dock)


def test_the_status_bar_does_not_speak_of_an_older_result(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Once another combination is on screen, its name is the only one in the bar, wherever the pointer is."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    for over in (True, False):
        dock.viewer.mouse_over_canvas = over
        dock.viewer.update_status_from_cursor()
        dock.toggle("t2")
        until_final(qtbot, dock)
        qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
        said = str(dock.viewer.status)
        assert "none yet" not in said
        if over:
            assert said == dock.status_line.words(dock.viewer.cursor.position)
        else:
            assert said == "Ready"


def test_rows_stay_where_they_are(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Warnings, a stale banner, an error and all modalities off move no row of the dock."""

    def places() -> list[int]:
        widgets = (
            *dock.modalities.checks.values(),
            dock.panel.save_button,
            dock.panel.compare_button,
            dock.runbar.button,
        )
        return [w.mapTo(dock, QPoint(0, 0)).y() for w in widgets]

    dock.viewer.window.resize(1366, 768)
    dock.open([make_study()])
    until_final(qtbot, dock)
    qtbot.wait(100)
    before = places()
    dock.toggle("t1ce")  # its warning that ET is an estimate
    assert places() == before
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    qtbot.wait(100)
    assert dock.panel.notes.isVisible()
    assert places() == before
    for name in ("flair", "t1", "t2"):
        dock.toggle(name)
    qtbot.wait(100)
    assert places() == before
    dock.say(
        "Something went wrong with a long file name that takes two lines of the dock to be said in full."
    )
    qtbot.wait(100)
    assert places() == before


def test_the_dock_fits_a_small_window(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """In 1280×800 with a dock 360 px wide nothing is cut off sideways, and what is on screen is in sight."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    window = dock.viewer.window._qt_window
    holder = dock.parentWidget()
    while holder is not None and holder.parentWidget() is not window:
        holder = holder.parentWidget()
    window.resizeDocks([holder], [360], Qt.Orientation.Horizontal)
    qtbot.wait(100)
    assert window.size() == QSize(1280, 800)
    assert dock.width() <= 370
    for widget in (dock.modalities, dock.legend, dock.runbar):
        right = widget.mapTo(dock, QPoint(widget.width(), 0)).x()
        assert right <= dock.width()
        assert widget.minimumSizeHint().width() <= widget.width()
    assert dock.banner.visibleRegion().boundingRect().height() == dock.banner.height()


@pytest.mark.real
def test_a_real_study_as_a_new_user(
    qtbot: QtBot, dock: MrsegDock, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open, toggle and save the real scan: the saved file has the scan's geometry, field by field."""
    folder = real_data / "BraTS-GLI-00000-000"
    dock.session.set_model(model(tmp_path, name="coarse", spacings=(4.0,)))  # quick, whatever the machine
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(folder))
    qtbot.mouseClick(dock.panel.folder_button, LEFT)
    until_final(qtbot, dock)
    assert list(dock.letters.shown.values()) == ["A", "P", "R", "L"]
    click(qtbot, dock.modalities.checks["t1ce"])
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(out))
    click(qtbot, dock.panel.save_button)
    qtbot.waitUntil(lambda: (out / f"{folder.name}_result.json").exists(), timeout=PATIENCE)
    study = dock.session.study
    assert study is not None
    scan, saved = (
        nib.load(study.images["flair"].source.path),
        nib.load(out / f"{study.case}_flair+t1+t2_mrseg.nii.gz"),
    )
    for name in ("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b"):
        assert np.array_equal(scan.header[name], saved.header[name]), name
    assert saved.shape == scan.shape
    assert np.array_equal(study.images["flair"].source.to_ipl(np.asarray(saved.dataobj)), overlay(dock))
