"""Where there is little room: letters, scale bar and words beside the head, a table that can be read, names apart."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from tiny import study
from waiting import until_final

from napari_mrseg._qt.annotations import brief, in_lines
from napari_mrseg._qt.camera import CameraFit
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.lesion_panel import LesionPanel
from napari_mrseg._qt.orientation import OrientationLetters, letter_room
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.panel import Panel
from napari_mrseg._qt.planes import Planes
from napari_mrseg._qt.scale_bar import ScaleBar, short_length
from napari_mrseg.tasks import BRATS

PANE = (205, 280)  # pixels of one of four panes in 960×540


@pytest.fixture
def pane() -> ViewerModel:
    """A head of 170 × 140 mm in a small canvas."""
    viewer = ViewerModel()
    viewer.canvas.size = PANE
    head = np.zeros((4, 240, 240), np.float32)
    head[:, 35:205, 50:190] = 100
    viewer.add_image(head, units="mm", scale=(1, 1, 1))
    return viewer


def test_letters_lie_beside_the_head(pane: ViewerModel) -> None:
    """In a small canvas they are smaller, and what the camera leaves above and below the head is theirs."""
    letters = OrientationLetters(pane)
    fit = CameraFit(pane, lambda: 0)
    fit.follow(pane.layers[0])
    letters.follow(pane.layers, ("I", "P", "L"))
    small = pane.canvas.overlays["mrseg_top"].font_size
    height = pane.scene.camera.zoom * 170
    assert height + 2 * letter_room(PANE[0]) <= PANE[0]
    assert height > 0.6 * PANE[0]
    pane.canvas.size = (800, 900)
    assert pane.canvas.overlays["mrseg_top"].font_size > small


def test_the_scale_bar_leaves_the_letter_its_place(pane: ViewerModel) -> None:
    """In a narrow canvas it takes less than a third of the width, in round mm; in a wide one napari chooses."""
    bar = ScaleBar(pane)
    for zoom in (0.4, 0.83, 3.0, 31.0):
        pane.scene.camera.zoom = zoom
        length = pane.canvas.overlays.scale_bar.length
        assert length is not None
        assert 0.1 * PANE[1] < length * zoom < PANE[1] / 3
    pane.canvas.size = (600, 900)
    assert pane.canvas.overlays.scale_bar.length is None
    bar.close()
    assert [short_length(most) for most in (1.0, 4.9, 70.0, 200.0)] == [1.0, 2.0, 50.0, 200.0]


def test_brief_words_say_the_case_once_and_hold_no_empty_part() -> None:
    """Also of a copy, whose parts name the case, and a combination without its scans."""
    copy = [
        "case-1",
        "EDITED BY HAND: flair+t2 of case-1",
        "combination 3 of 15",
        "model x",
        "research use only",
    ]
    assert brief(copy) == ["case-1", "EDITED BY HAND: flair+t2", "research use only"]
    assert in_lines(brief(copy), 2000) == ["case-1 · EDITED BY HAND: flair+t2 · research use only"]


def test_the_table_of_lesions_shows_three_rows_at_least(qtbot: QtBot) -> None:
    """However little of the dock is seen at once; and no more than five, so that nothing scrolls twice."""
    panel = LesionPanel(BRATS)
    qtbot.addWidget(panel)
    row = panel.table.verticalHeader().defaultSectionSize()
    for seen in (40, 110, 120, 500):
        panel.fit(seen)
        assert panel.table.height() >= 4 * row
        assert panel.table.height() <= max(seen, 4 * row + 4)


def test_a_low_dock_says_less_and_all_of_it_again(qtbot: QtBot) -> None:
    """Mark, scans and use stay in the banner; with more room the model and the seconds are back."""
    panel = Panel(BRATS, OverlayStyle())
    qtbot.addWidget(panel)
    panel.show()
    said = [
        "▲ CHECK: thick slices",
        "combination 1 of 15: FLAIR + T1",
        "model x",
        "cpu, 2.0 s",
        "research use only",
    ]
    panel.resize(360, 900)
    panel.say(said, "why")
    assert panel.banner.text() == " · ".join(said)
    panel.resize(360, 470)
    assert panel.banner.text() == "▲ CHECK: thick slices · FLAIR + T1 · research use only"
    assert panel.banner.toolTip() == "why"
    panel.resize(360, 900)
    assert panel.banner.text() == " · ".join(said)


def test_names_of_layers_differ_where_the_list_shows_them(qtbot: QtBot, dock: MrsegDock) -> None:
    """Of a long name napari's list shows the last 24 letters: they hold the combination, and tell copy from result."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    copy = dock.layers.edit_copy()
    assert dock.layers.prediction is not None
    ends = [layer.name[-24:] for layer in (copy, dock.layers.prediction)]
    assert ends[0] != ends[1]
    assert all("FLAIR+T1+T1ce+T2" in end for end in ends)


def test_a_zoom_of_the_users_stays_round_the_planes(qtbot: QtBot, pane: ViewerModel) -> None:
    """Rolled through all planes: the zoom as it was, about the place looked at; not zoomed, each plane is fitted."""
    fit = CameraFit(pane, lambda: 0)
    fit.follow(pane.layers[0])
    planes = Planes(pane)
    fitted = pane.scene.camera.zoom
    pane.dims.roll()
    pane.dims.roll()
    pane.dims.roll()
    assert pane.scene.camera.zoom == pytest.approx(fitted)
    fit.take()
    pane.dims.point = (2.0, 100.0, 120.0)
    pane.scene.camera.zoom = 31.0
    for _ in range(3):
        pane.dims.roll()
        qtbot.wait(1)
        assert pane.scene.camera.zoom == 31.0
        looked_at = [pane.dims.point[axis] for axis in pane.dims.displayed]
        assert pane.scene.camera.center[-2:] == pytest.approx(looked_at)
    fit.close()
    planes.close()
