"""Three linked planes in the real window: letters, overlay, toggles, picking and painting in step in all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari import Viewer
from napari.qt import QtViewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from test_letters import OFFSET, WORLD, affine_of, write_landmark
from test_use import ALT, LEFT, canvas, click, drag
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt import three_planes
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg.session.state import Session

pytest.importorskip("napari_orthogonal_views")


@pytest.fixture
def dock(window: Viewer, session: Session, qtbot: QtBot) -> MrsegDock:
    window.window.resize(1400, 900)
    return open_dock(window, session)


def views(dock: MrsegDock) -> tuple[QtViewer, ...]:
    """Axial, sagittal, coronal."""
    main, manager = dock.viewer.window._qt_viewer, dock.three_planes._manager()
    return (
        (main, *(w.qt_viewer for w in (manager.right_widget, manager.bottom_widget))) if manager else (main,)
    )


def shown_at(view: QtViewer) -> np.ndarray:
    """Where the white landmark lies in a plane's picture: mm to the right of the canvas's centre, and up."""
    view.viewer.canvas.overlays.scale_bar.visible = False
    view.viewer.scene.overlays["crosshairs"].visible = False
    QApplication.processEvents()
    box = np.array([(low, high) for low, high, _ in view.viewer.dims.range])[list(view.viewer.dims.displayed)]
    camera = view.viewer.scene.camera
    camera.center, camera.zoom = (
        (0, *box.mean(1)),
        min(view.viewer.canvas.size) / (box[:, 1] - box[:, 0]).max() / 1.4,
    )
    picture = view.screenshot(flash=False)[..., :3].astype(int)
    ys, xs = np.nonzero(picture.min(-1) > 150)
    assert len(xs), "the landmark is not in the picture"
    height, width = picture.shape[:2]
    zoom = camera.zoom * width / view.viewer.canvas.size[1]
    return np.array([xs.mean() - (width - 1) / 2, (height - 1) / 2 - ys.mean()]) / zoom


@pytest.mark.parametrize("codes", ["RAS", "SLA"])
def test_letters_say_where_a_landmark_is_in_all_three(
    qtbot: QtBot, dock: MrsegDock, tmp_path: Path, codes: str
) -> None:
    """Files stored in any order: each plane's letters say on which side the landmark lies; the head is up."""
    dock.open([write_landmark(tmp_path / codes, affine_of(codes, (1.0, 1.0, 1.0)))])
    until_final(qtbot, dock, ("flair",))
    image = dock.layers.images["flair"]
    image.contrast_limits = (0, 1000)
    dock.overlay_style.visible = False
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    click(qtbot, dock.panel.planes_button)
    qtbot.waitUntil(lambda: len(views(dock)) == 3, timeout=PATIENCE)
    point = np.argwhere(np.asarray(image.data) > 500).mean(0) * image.scale
    dock.viewer.dims.point = tuple(point)
    dock.annotation._overlay.visible = False  # white letters of its own
    lettered = [dock.letters.shown, *dock.three_planes.letters]
    assert ["".join(sides.values()) for sides in lettered] == ["APRL", "SIAP", "SIRL"]
    for view, letters in zip(views(dock), lettered, strict=True):
        assert view.viewer.dims.point == pytest.approx(tuple(point), abs=0.6)
        found = shown_at(view)
        for side, mm in (("right", found[0]), ("top", found[1])):
            world, sign = WORLD[letters[side]]
            assert mm == pytest.approx(sign * OFFSET[world], abs=2.0), f"{codes}: {letters}, {side}"


def test_four_panes_are_alike_in_size_and_zoom(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Equal canvases, one zoom: fitted, and when the user zooms in one; the fourth shows the finding in 3-D."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    click(qtbot, dock.panel.planes_button)
    volume = dock.three_planes.volume
    assert volume is not None
    qtbot.waitUntil(lambda: len(volume.model.layers) == 2, timeout=PATIENCE)
    every = [*views(dock), volume.view]
    # How wide they are depends on napari's own lists, which are beside them.
    qtbot.waitUntil(lambda: min(v.width() for v in every) > 250, timeout=PATIENCE)
    assert max(v.width() for v in every) - min(v.width() for v in every) < 10
    assert max(v.height() for v in every) - min(v.height() for v in every) < 10
    planes = views(dock)
    assert len({round(v.viewer.scene.camera.zoom, 6) for v in planes}) == 1
    planes[2].viewer.scene.camera.zoom *= 2
    assert len({round(v.viewer.scene.camera.zoom, 6) for v in planes}) == 1
    assert dock.layers.prediction is not None
    found = volume.model.layers["finding"]
    steps = [max(1, round(2 / mm)) for mm in dock.layers.prediction.scale]
    every_other = tuple(slice(None, None, step) for step in steps)
    assert np.array_equal(found.data, dock.layers.prediction.data[every_other])
    dock.toggle("t1ce")
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    qtbot.waitUntil(
        lambda: np.array_equal(found.data, dock.layers.prediction.data[every_other]), timeout=PATIENCE
    )
    assert "?" not in volume.letters.shown.values()
    click(qtbot, dock.panel.planes_button)
    assert dock.three_planes.volume is None


def test_toggle_key_and_click_reach_all_three(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """In another plane: Alt+3 toggles, all overlays follow and none can be edited; a click moves the other planes."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    before = dock.viewer.dims.point
    qtbot.keyClick(canvas(dock), Qt.Key.Key_Q, ALT)
    qtbot.waitUntil(lambda: len(views(dock)) == 3, timeout=PATIENCE)
    assert dock.panel.planes_button.isChecked()
    assert dock.viewer.dims.point == before
    coronal = views(dock)[2]
    native = coronal.canvas.native
    qtbot.waitUntil(lambda: native.width() > 100, timeout=PATIENCE)
    native.setFocus()
    qtbot.keyClick(native, Qt.Key.Key_3, ALT)
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    assert dock.layers.prediction is not None
    for view in views(dock):
        layer = view.viewer.layers[dock.layers.prediction.name]
        assert np.array_equal(layer.data, dock.layers.prediction.data)
        assert not layer.editable
        assert view.viewer.layers["T1ce (off)"].visible is False
    qtbot.mouseClick(native, LEFT, pos=QPoint(native.width() // 2 + 25, native.height() // 2 - 20))
    moved = dock.viewer.dims.point
    assert moved[0] != before[0]
    assert moved[2] != before[2]
    assert moved[1] == before[1]
    assert all(view.viewer.dims.point == pytest.approx(moved) for view in views(dock))
    drag(qtbot, native, QPoint(60, 60), QPoint(90, 90))
    assert dock.viewer.dims.point == moved  # a drag pans
    qtbot.keyClick(canvas(dock), Qt.Key.Key_Q, ALT)
    assert not dock.three_planes.shown
    assert not dock.panel.planes_button.isChecked()
    assert dock.viewer.dims.point == moved
    qtbot.waitUntil(lambda: canvas(dock).isVisible(), timeout=PATIENCE)


def test_painting_in_another_plane_is_the_same_edit(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """A stroke in the sagittal plane changes the copy, its size and all planes; the prediction is untouched; undo."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    click(qtbot, dock.panel.planes_button)
    click(qtbot, dock.panel.edit_button)
    copy, prediction = dock.layers.copy, dock.layers.prediction
    assert copy is not None
    assert prediction is not None
    kept, before = np.asarray(prediction.data).copy(), np.asarray(copy.data).copy()
    sagittal = views(dock)[1]
    twin = sagittal.viewer.layers[copy.name]
    copy.mode, copy.brush_size, copy.selected_label = "paint", 6, 3
    qtbot.waitUntil(lambda: str(twin.mode) == "paint", timeout=PATIENCE)
    native = sagittal.canvas.native
    middle = QPoint(native.width() // 2, native.height() // 2)
    drag(qtbot, native, middle, middle + QPoint(12, 0))
    painted = np.asarray(copy.data).copy()
    assert (painted != before).any()
    assert np.array_equal(prediction.data, kept)
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    assert dock.result.state == "edited"
    measured = dock.result.measures().sizes
    assert measured is not None
    assert measured["ET"] == pytest.approx((painted == 3).sum() * np.prod(copy.scale) / 1000, rel=1e-3)
    twin.undo()
    assert np.array_equal(copy.data, before)


def test_another_study_and_closing(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """With three planes open, another study comes into all of them with its letters."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    first = dock.session.study
    click(qtbot, dock.panel.planes_button)
    dock.open([make_study(case="another")])
    qtbot.waitUntil(lambda: dock.session.study is not first, timeout=PATIENCE)
    until_final(qtbot, dock)
    for view, letters in zip(views(dock)[1:], dock.three_planes.letters, strict=True):
        assert [layer.name for layer in view.viewer.layers] == [layer.name for layer in dock.viewer.layers]
        assert "?" not in letters.values()


def test_without_the_plugin_a_sentence(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not installed: one sentence with the pip line, and the button is not pressed."""
    monkeypatch.setattr(three_planes, "find_spec", lambda name: None)
    dock.open([make_study()])
    until_final(qtbot, dock)
    click(qtbot, dock.panel.planes_button)
    assert "pip install napari-orthogonal-views" in until_error(qtbot, dock)
    assert not dock.panel.planes_button.isChecked()
