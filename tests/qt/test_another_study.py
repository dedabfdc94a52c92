"""What belongs to one subject is neither drawn over another nor saved as the other's."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from tiny import study
from waiting import PATIENCE, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.marks import DISTANCES
from napari_mrseg.degrade import DEGRADATIONS

FIRST, SECOND = 1.0, 2.0  # mm: other files of the same folder name and the same number of voxels


def opened(qtbot: QtBot, dock: MrsegDock, spacing: float, **options: Any) -> None:
    dock.session.set_study(study(case="anat", spacing=spacing, **options))
    until_final(qtbot, dock)


def copied(dock: MrsegDock) -> Labels:
    dock.panel.edit_button.click()
    copy = dock.layers.edited()
    assert copy is not None
    return copy


def test_an_edited_copy_goes_with_its_study_and_comes_back_with_it(qtbot: QtBot, dock: MrsegDock) -> None:
    """Another subject takes it out of the window, also one of the same folder name; with its own, opened again, the
    copy is there as it was, for its work is not saved. An unchanged one is gone."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    copy.paint((12, 16, 14), 3)
    painted = copy.data.copy()
    opened(qtbot, dock, SECOND)
    assert copy not in dock.viewer.layers
    assert "EDITED" not in dock.banner.text()
    assert dock.viewer.layers.selection.active is dock.layers.prediction
    opened(qtbot, dock, FIRST)
    assert copy in dock.viewer.layers
    assert np.array_equal(copy.data, painted)
    copy.undo()
    opened(qtbot, dock, SECOND)
    opened(qtbot, dock, FIRST)
    assert copy not in dock.viewer.layers


def test_distances_and_what_was_saved_go_with_the_study(qtbot: QtBot, dock: MrsegDock) -> None:
    """Lines that were measured and the note about a file belong to the study that they were made of."""
    opened(qtbot, dock, FIRST)
    dock.panel.measure_button.setChecked(True)
    here = float(dock.viewer.dims.point[0])
    dock.measuring.draw((here, 4, 4), (here, 20, 4), done=True)
    lines = next(layer for layer in dock.viewer.layers if layer.name == DISTANCES)
    dock.panel.saved.setText("Saved flair.nii.gz of anat")
    opened(qtbot, dock, SECOND)
    assert lines not in dock.viewer.layers
    assert dock.panel.saved.text() == ""


def test_closing_the_study_takes_its_copies_away(qtbot: QtBot, dock: MrsegDock) -> None:
    """With no study open, no copy is there, and no scale bar, which would have no unit."""
    opened(qtbot, dock, FIRST)
    copy, bar = copied(dock), dock.viewer.canvas.overlays.scale_bar
    assert bar.visible
    dock.session.set_study(None)
    qtbot.waitUntil(lambda: dock.layers.prediction is None, timeout=PATIENCE)
    assert copy not in dock.viewer.layers
    assert not bar.visible


def test_an_edited_copy_stays_while_its_study_does(qtbot: QtBot, dock: MrsegDock) -> None:
    """A degraded study is still the same subject, and so is the same one opened again: the copy stays in sight."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    dock.session.degrade("flair", next(iter(DEGRADATIONS)), 0.8)
    until_final(qtbot, dock)
    assert copy.visible
    assert dock.layers.edited() is copy
    before = dock.layers.prediction
    dock.session.set_study(study(case="anat", spacing=FIRST))
    qtbot.waitUntil(lambda: dock.layers.prediction not in (None, before), timeout=PATIENCE)
    assert copy.visible


def test_an_edited_copy_names_its_case(qtbot: QtBot, dock: MrsegDock) -> None:
    """Layer, dock and canvas say whose copy is on screen."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    assert "anat" in copy.name
    copy.paint((12, 16, 14), 3)
    qtbot.waitUntil(
        lambda: "EDITED BY HAND: flair+t1+t1ce+t2 of anat" in dock.banner.text(), timeout=PATIENCE
    )
    assert "ANOTHER STUDY" not in dock.banner.text()
    assert "EDITED BY HAND" in " ".join(dock.viewer.canvas.overlays.text.text.split())


def test_layers_are_left_alone_while_another_study_arrives(qtbot: QtBot, dock: MrsegDock) -> None:
    """The worker may open another study before the window hears of it: nothing of it is mixed into the old layers."""
    opened(qtbot, dock, FIRST)
    layers, session = dock.layers, dock.session
    images = {name: layer.data for name, layer in layers.images.items()}
    assert layers.prediction is not None
    labels, shown = layers.prediction.data, session.shown
    session.set_study(study(("t1", "t2"), case="anat", spacing=SECOND))
    layers.show_images()
    session.shown = shown  # as if the last result of the study before had come in between
    layers.show_prediction()
    assert all(layer.data is images[name] for name, layer in layers.images.items())
    assert layers.prediction.data is labels
