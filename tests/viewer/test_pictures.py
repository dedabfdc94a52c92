"""Frames of colour and depth in the real window: the same viewer, with nothing in it that is of brains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel
from synthetic_frames import LAYOUTS, SIZE, lay_out
from test_use import ALT, canvas, click
from waiting import PATIENCE, until_final

from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import MrsegDock, dock_of
from napari_mrseg._qt.dock_windows import open_comparison, open_dock
from napari_mrseg.display import image_title
from napari_mrseg.session.state import Session
from napari_mrseg.study import Image
from napari_mrseg.tasks import RGBD_SOD


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Session]:
    made = Session(task=RGBD_SOD, device="cpu", sweep=False)
    made.set_model(tiny.image_model(tmp_path / "models"))
    yield made
    made.close()


@pytest.fixture
def dock(window: Viewer, images: Session) -> MrsegDock:
    window.window.resize(1280, 800)
    return open_dock(window, images)


def test_colour_is_colour_and_depth_has_its_scale(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """Colour as RGB; depth in a colour map with its scale and unit; no letters, no planes, pixels for mm."""
    dock.open([lay_out(tmp_path / "NJUD", LAYOUTS["NJUD"])])
    until_final(qtbot, dock, ("rgb", "depth"))
    rgb, depth = dock.layers.images["rgb"], dock.layers.images["depth"]
    assert rgb.rgb
    assert depth.name == "Depth (mm)"
    study = dock.session.study
    assert study is not None
    source = study.images["depth"].source
    unsaid = replace(source, header={k: v for k, v in source.header.items() if k != "unit"})
    tenths = Image(study.images["depth"].data * 10, unsaid)
    assert (
        image_title(replace(study, images={**study.images, "depth": tenths}), "depth") == "Depth"
    )  # no 15 m here
    assert depth.colormap.name == "viridis"
    assert depth.colorbar.visible
    assert not rgb.colorbar.visible
    assert dock.letters.shown == {}
    assert not dock.panel.planes_button.isVisible()
    assert tuple(dock.viewer.dims.axis_labels) == ("frame", "row", "column")
    assert {str(unit) for unit in rgb.units} == {"pixel"}
    words = " ".join(label.text() for label in dock.panel.findChildren(QLabel))
    words += " ".join(button.text() for button in dock.panel.findChildren(QAbstractButton))
    for brain in (" mL", " mm ", "FLAIR", "T1", "tumour", "brain"):
        assert brain not in words.replace("Use mask as edited", "")
    picture = dock.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    assert (abs(picture[..., 0] - picture[..., 2]) > 40).sum() > 500  # colours are on screen


def test_every_frame_has_its_own_result(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """The slider walks through the frames; a frame's labels are what the frame alone gives."""
    dock.open([lay_out(tmp_path / "film", ("rgb/{k}.png", "depth/{k}.png", "gt/{k}.png"))])
    until_final(qtbot, dock, ("rgb", "depth"))
    assert dock.layers.prediction is not None
    film = np.asarray(dock.layers.prediction.data).copy()
    assert film.shape == (4, *SIZE)
    assert dock.viewer.dims.nsteps[0] == 4
    first = dock.session.study
    dock.open([tmp_path / "drawn" / "2" / "rgb.png", tmp_path / "drawn" / "2" / "depth.png"])
    qtbot.waitUntil(lambda: dock.session.study is not first, timeout=PATIENCE)
    until_final(qtbot, dock, ("rgb", "depth"))
    alone = np.asarray(dock.layers.prediction.data)
    assert np.array_equal(alone[0], film[2])


def test_toggles_keys_and_comparison_of_two_modalities(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """Alt+2 and the box switch depth; the comparison has three rows, with Dice where there is a truth."""
    dock.open([lay_out(tmp_path / "NJUD", LAYOUTS["NJUD"])])
    until_final(qtbot, dock, ("rgb", "depth"))
    both = np.asarray(dock.layers.front.data).copy() if dock.layers.front is not None else None
    canvas(dock).setFocus()
    qtbot.keyClick(canvas(dock), Qt.Key.Key_2, ALT)
    until_final(qtbot, dock, ("rgb",))
    assert dock.layers.front is not None
    assert not np.array_equal(dock.layers.front.data, both)
    click(qtbot, dock.modalities.checks["depth"])
    click(qtbot, dock.modalities.checks["rgb"])
    until_final(qtbot, dock, ("depth",))
    assert dock.layers.visible_images() == ("depth",)
    open_comparison(dock.viewer)
    bench = workbench_of(dock.viewer)
    assert bench is not None
    dock.session.sweep = True
    dock.session.run()
    qtbot.waitUntil(
        lambda: bench.state.comparison is not None and bench.state.comparison.complete, timeout=PATIENCE
    )
    assert len(bench.state.comparison.predictions) == 3
    assert set(bench.state.comparison.expected) == {("rgb", "depth"), ("rgb",), ("depth",)}


def test_the_menu_opens_a_dock_for_colour_and_depth(window: Viewer, qtbot: QtBot) -> None:
    """Without a terminal: an entry of the plugin gives a dock of two modalities, in place of that for brains."""
    viewer = window
    viewer.window.resize(1280, 800)
    viewer.window.add_plugin_dock_widget("napari-mrseg", "MRSeg")
    brains = dock_of(viewer)
    assert brains is not None
    qtbot.waitUntil(lambda: brains.settled, timeout=PATIENCE)
    viewer.window.add_plugin_dock_widget("napari-mrseg", "MRSeg for colour and depth")
    dock = dock_of(viewer)
    assert dock is not None
    assert brains.closed
    assert list(dock.modalities.checks) == ["rgb", "depth"]
    click(qtbot, dock.panel.sample_button)
    until_final(qtbot, dock, ("rgb", "depth"))
    assert dock.session.shown is not None
    assert dock.session.shown.model["name"] == "scenes"
    models = dock.runbar.models
    listed = [models.itemText(i) for i in range(models.count())]
    assert "scenes" in listed
    assert "compact" not in listed  # a model of brains has no answer here
    viewer.window.add_plugin_dock_widget("napari-mrseg", "MRSeg")
    again = dock_of(viewer)
    assert again is not None
    assert len(again.modalities.checks) == 4
    qtbot.waitUntil(lambda: again.settled, timeout=PATIENCE)
