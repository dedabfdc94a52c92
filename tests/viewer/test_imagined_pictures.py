"""The mark of an imagined scan, as pixels: in the window, in each pane, in 3-D, and in every file of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from napari import Viewer
from PIL import Image
from pytestqt.qtbot import QtBot
from quick import Dreamer
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg._qt.watermark import COLOUR
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

_FRAME = 120  # pixels of the mark's colour that a frame alone has


@pytest.fixture
def dock(window: Viewer, session: Session, tiny: Model) -> MrsegDock:
    window.window.resize(1280, 800)
    made = open_dock(window, session)
    made.imagining.core._make = Dreamer(tiny)
    return made


def marked(picture: npt.NDArray[np.uint8]) -> int:
    """How many pixels have the colour of the mark."""
    mark = np.array([int(COLOUR[i : i + 2], 16) for i in (1, 3, 5)])
    near = np.abs(picture[..., :3].astype(int) - mark).max(-1) < 24
    return int(near.sum())


def imagine(qtbot: QtBot, dock: MrsegDock, folder: Path) -> None:
    dock.open([folder])
    until_final(qtbot, dock)
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    dock.imagining.choose("t1ce")
    core = dock.imagining.core
    qtbot.waitUntil(
        lambda: not core.busy and dock.imagining.drawn is core.shown is not None, timeout=PATIENCE
    )
    qtbot.wait(100)


def test_every_picture_carries_the_mark(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path
) -> None:
    """Screenshots of canvas and window, napari's figure of the data alone, 2-D and 3-D, also zoomed in until the frame
    is out of sight: the words' ground is in all of them. Hidden, it is in none."""
    viewer = dock.viewer
    folder = make_study(shape=(100, 120, 24))
    dock.open([folder])
    until_final(qtbot, dock)
    assert marked(viewer.screenshot(flash=False)) == 0
    imagine(qtbot, dock, folder)
    words = marked(viewer.screenshot(flash=False))
    assert words > 2000
    file = tmp_path / "window.png"
    assert viewer.window._screenshot(flash=False, canvas_only=False).save(str(file))  # as --screenshot does
    with Image.open(file) as picture:
        assert marked(np.asarray(picture.convert("RGB"))) > words  # the panel says so, too
    assert marked(viewer.export_figure(flash=False)) > _FRAME
    viewer.scene.camera.zoom *= 20
    qtbot.wait(50)
    assert marked(viewer.screenshot(flash=False)) > 2000
    viewer.dims.ndisplay = 3
    qtbot.wait(200)
    assert marked(viewer.screenshot(flash=False)) > 2000
    viewer.dims.ndisplay = 2
    dock.imagining.layer.visible = False
    qtbot.wait(100)
    assert marked(viewer.screenshot(flash=False)) == 0
    dock.imagining.layer.visible = True
    dock.imagining.choose("t1ce")
    qtbot.wait(100)
    assert marked(viewer.screenshot(flash=False)) == 0


def test_each_of_the_panes_carries_it(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Three planes: words and frame in each, those that were there when it came and those that are opened later."""
    pytest.importorskip("napari_orthogonal_views")
    folder = make_study()
    dock.viewer.window.resize(1024, 700)
    dock.open([folder])
    until_final(qtbot, dock)
    dock.show_three_planes()
    imagine(qtbot, dock, folder)
    for opened in (False, True):
        if opened:
            dock.show_three_planes()
            qtbot.wait(50)  # the plugin takes its panes away later
            dock.show_three_planes()
            qtbot.wait(50)
        manager = dock.three_planes._manager()
        for widget in (manager.right_widget, manager.bottom_widget):
            model = widget.qt_viewer.viewer
            mark = model.canvas.overlays["mrseg-watermark"]
            assert mark.visible
            assert " ".join(mark.text.split()) == dock.watermark.text
            assert any(layer.bounding_box.visible for layer in model.layers)
            qtbot.wait(100)
            assert marked(widget.qt_viewer.screenshot(flash=False)) > 1000
        assert marked(dock.viewer.screenshot(flash=False)) > 1000


def test_nothing_is_cut_in_a_small_window(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """At 1024 × 700 the dock does not grow, its button and its numbers have room, and the panel is in sight."""
    dock.viewer.window.resize(1024, 700)
    imagine(qtbot, dock, make_study())
    qtbot.wait(200)
    panel = dock.panel.imagining
    assert dock.width() < 450
    assert dock.panel.scroll.horizontalScrollBar().maximum() == 0
    button = dock.modalities.imagines["t1ce"]
    assert button.fontMetrics().horizontalAdvance(button.text()) < button.width()
    for words in (panel.likeness, panel.unsure, panel.made):
        assert words.fontMetrics().horizontalAdvance(words.text()) <= words.width(), words.text()
    shown = dock.panel.scroll.viewport().rect()
    for widget in (panel.title, panel.blend, panel.veil):
        place = widget.mapTo(dock.panel.scroll.viewport(), widget.rect().center())
        assert shown.contains(place)
