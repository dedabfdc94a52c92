"""A folder that a camera writes into, in the window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from pytestqt.qtbot import QtBot
from tiny import image_model
from waiting import PATIENCE

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.recent import RecentMenu
from napari_mrseg._qt.watching import Watching, watch
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import RGBD_SOD


@pytest.fixture
def pictures(qtbot: QtBot, tmp_path: Path) -> MrsegDock:
    session = Session(task=RGBD_SOD, device="cpu")
    session.set_model(image_model(tmp_path))
    made = MrsegDock(ViewerModel(), session)
    qtbot.addWidget(made)
    return made


def test_each_new_picture_is_opened_and_segmented(qtbot: QtBot, pictures: MrsegDock, tmp_path: Path) -> None:
    """The newest one once its file is whole, the next one after it; stopped, what is open stays."""
    folder = tmp_path / "camera"
    folder.mkdir()
    watching = watch(pictures, folder, pictures.panel, every=0.02)
    assert watching is not None
    for k in (1, 2):
        colour = np.random.default_rng(k).integers(0, 255, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(colour).save(folder / f"{k}.png")

        def is_final(k: int = k) -> bool:
            session = pictures.session
            name = session.opened.paths[0].endswith(f"{k}.png") if session.opened.paths else False
            return name and session.shown is not None and not session.shown.preview and not session.stale

        qtbot.waitUntil(is_final, timeout=PATIENCE)
        assert np.array_equal(pictures.session.study.images["rgb"].data[0], colour)  # type: ignore[union-attr]
    menu = RecentMenu(pictures, pictures.worklist, pictures.panel)
    qtbot.addWidget(menu)
    menu.fill()
    stop = next(a for a in menu.actions() if a.text() == "Stop watching camera")
    stop.trigger()
    assert pictures.panel.findChild(Watching) is None
    assert pictures.session.study is not None


def test_a_folder_that_is_not_there_is_said(pictures: MrsegDock, tmp_path: Path) -> None:
    """A sentence in the dock, and nothing is watched."""
    assert watch(pictures, tmp_path / "none", pictures.panel) is None
    assert "is no folder" in pictures.panel.error.text()
    assert pictures.panel.findChild(Watching) is None
