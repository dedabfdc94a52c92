"""The one question before work that was done by hand could be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QMainWindow, QMessageBox
from tiny import study
from waiting import PATIENCE, Asked, MakeStudy, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.edits import copies_in, is_edited, is_unsaved, mark_saved
from napari_mrseg._qt.unsaved import UnsavedWork


def painted(qtbot: QtBot, dock: MrsegDock) -> Labels:
    """A copy with one stroke."""
    until_final(qtbot, dock)
    copy = dock.layers.edit_copy()
    copy.paint((12, 16, 14), 3)
    return copy


def test_closing_asks_about_an_unsaved_edit_and_nothing_else(
    qtbot: QtBot, dock: MrsegDock, asked: Asked
) -> None:
    """Cancel keeps the window open; a copy without a stroke, undone to nothing, or saved, is not asked about."""
    asked.answer = "cancel"
    window = QMainWindow()
    qtbot.addWidget(window)
    UnsavedWork(window, dock.viewer)
    dock.session.set_study(study())
    until_final(qtbot, dock)
    copy = dock.layers.edit_copy()
    window.show()
    assert window.close()
    copy.paint((12, 16, 14), 3)
    copy.undo()
    window.show()
    assert window.close()
    assert asked == []
    copy.redo()
    window.show()
    assert not window.close()
    assert window.isVisible()
    assert copy.name in asked[0]
    mark_saved(copy, np.array(copy.data))
    assert window.close()
    assert len(asked) == 1
    copy.paint((10, 16, 14), 3)
    asked.answer = "discard"
    window.show()
    assert window.close()
    assert len(asked) == 2
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)


def test_save_in_the_question_writes_the_edit_and_goes_on(
    qtbot: QtBot,
    dock: MrsegDock,
    make_study: MakeStudy,
    tmp_path: Path,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On opening: Cancel opens nothing; Save writes first, two edits into two files; a folder not chosen, or not to be
    written in, counts as Cancel."""
    out = tmp_path / "out"
    out.mkdir()
    folder = [""]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: folder[0])
    told: list[str] = []
    monkeypatch.setattr(QMessageBox, "critical", lambda *args: told.append(args[2]))
    first, second = make_study(case="first"), make_study(case="second", seed=1)
    dock.open([first])
    until_final(qtbot, dock)
    copies = []
    for voxel in ((3, 4, 5), (4, 5, 6)):
        copy = dock.layers.edit_copy()
        copy.paint(voxel, 3)
        copies.append(copy)
        dock.layers.prediction.visible = True  # type: ignore[union-attr]  # so that the next is another copy
    asked.answer = "cancel"
    dock.open([second])
    assert dock.case.text() == "first"
    assert all(copy.name in asked[0] for copy in copies)
    asked.answer = "save"
    dock.open([second])  # no folder is chosen
    folder[0] = str(tmp_path / "nowhere" / "at all")
    dock.open([second])
    assert dock.case.text() == "first"
    assert len(told) == 1
    folder[0] = str(out)
    dock.open([second])
    assert dock.case.text() in ("Opening second …", "second")  # the small study may be there already
    assert not any(map(is_unsaved, copies))
    scan = nib.load(first / "first_flair.nii.gz")
    written = sorted(out.iterdir())
    assert len(written) == 2
    assert all(np.array_equal(nib.load(path).affine, scan.affine) for path in written)
    qtbot.waitUntil(lambda: dock.case.text() == "second", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert len(asked) == 4
    assert copies_in(dock.viewer) == []


def test_a_duplicate_has_a_state_of_its_own(qtbot: QtBot, dock: MrsegDock) -> None:
    """napari's “Duplicate layer” of an edited copy, and of the prediction: painted in it is unsaved by itself, and
    saving the one does not save the other."""
    dock.session.set_study(study())
    copy = painted(qtbot, dock)
    dock.viewer.layers.selection = {copy}
    _duplicate_layer(dock.viewer.layers)
    twin = next(layer for layer in copies_in(dock.viewer) if layer is not copy)
    assert is_unsaved(twin)
    mark_saved(copy, np.array(copy.data))
    assert not is_unsaved(copy)
    assert is_unsaved(twin)
    mark_saved(twin, np.array(twin.data))
    twin.paint((8, 8, 8), 1)
    assert dock.layers.unsaved() == [twin]
    twin.undo()
    assert dock.layers.unsaved() == []
    prediction = dock.layers.prediction
    dock.viewer.layers.selection = {prediction}
    _duplicate_layer(dock.viewer.layers)
    third = next(layer for layer in copies_in(dock.viewer) if layer not in (copy, twin))
    assert not is_edited(third)
    assert dock.layers.copy is third
    third.paint((8, 8, 8), 1)
    assert dock.layers.unsaved() == [third]
    assert "EDITED BY HAND" in " ".join(dock.result.words())


def test_edited_shows_from_the_first_stroke_and_not_before(qtbot: QtBot, dock: MrsegDock) -> None:
    """A fresh copy says that it is unchanged; a stroke makes it EDITED; undone to nothing it is a copy again."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.edit()
    copy = dock.layers.copy
    assert copy is not None
    assert "EDITED" not in dock.banner.text()
    assert "unchanged" in dock.banner.text()
    assert dock.banner.property("state") == "final"
    copy.paint((12, 16, 14), 3)
    qtbot.waitUntil(lambda: "EDITED BY HAND" in dock.banner.text(), timeout=PATIENCE)
    assert dock.banner.property("state") == "edited"
    copy.undo()
    qtbot.waitUntil(lambda: "EDITED" not in dock.banner.text(), timeout=PATIENCE)
    dock.edit()
    assert copies_in(dock.viewer) == [copy]  # the one in front is gone on with


def test_deleting_an_unsaved_edit_asks_and_cancel_puts_it_back(
    qtbot: QtBot, dock: MrsegDock, asked: Asked
) -> None:
    """napari's list has no way back, so the question comes after: Cancel is the layer again, Discard its end."""
    dock.show()
    dock.session.set_study(study())
    copy = painted(qtbot, dock)
    labels = copy.data.copy()
    asked.answer = "cancel"
    dock.viewer.layers.remove(copy)
    qtbot.waitUntil(lambda: copy in dock.viewer.layers, timeout=PATIENCE)
    assert dock.layers.copy is copy
    assert np.array_equal(copy.data, labels)
    asked.answer = "discard"
    dock.viewer.layers.remove(copy)
    qtbot.waitUntil(lambda: len(asked) == 2, timeout=PATIENCE)
    assert dock.layers.unsaved() == []
    assert dock.layers.prediction is not None
    assert dock.layers.prediction.visible
    empty = dock.layers.edit_copy()
    dock.viewer.layers.remove(empty)
    qtbot.wait(20)
    assert len(asked) == 2


def test_closing_the_dock_leaves_what_is_not_saved_in_the_window(qtbot: QtBot, dock: MrsegDock) -> None:
    """By a program, which is not asked: the edit is in the list, also one whose study was replaced by the program."""
    dock.session.set_study(study())
    copy = painted(qtbot, dock)
    dock.session.set_study(study(spacing=2.0, case="next"))
    qtbot.waitUntil(lambda: dock.case.text() == "next", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert copy not in dock.viewer.layers
    assert dock.layers.unsaved() == [copy]
    dock.end()
    assert copy in dock.viewer.layers
    assert not copy.visible


def test_metadata_of_our_name_from_elsewhere_do_no_harm(qtbot: QtBot, dock: MrsegDock) -> None:
    """Something else under “mrseg” in the metadata: the layer is the user's own, not touched and not asked about."""
    foreign: list[Any] = ["text", 5, {"edited": True}, {"paths": 3}, {"source": None, "key": "x"}, None]
    made = [
        dock.viewer.add_labels(np.ones((4, 4, 4), np.uint8), metadata={"mrseg": about}) for about in foreign
    ]
    dock.session.set_study(study())
    copy = painted(qtbot, dock)
    made[2].paint((1, 1, 1), 0)
    dock.viewer.layers.selection = {made[2]}
    _duplicate_layer(dock.viewer.layers)
    assert dock.layers.unsaved() == [copy]
    dock.session.set_study(study(spacing=2.0, case="next"))
    qtbot.waitUntil(lambda: dock.case.text() == "next", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert all(layer in dock.viewer.layers for layer in made)


def test_an_overlay_given_another_shape_gets_its_own_back(qtbot: QtBot, dock: MrsegDock) -> None:
    """Whatever a script puts into the overlay, under “final” stands the result, and under “none yet” nothing."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    overlay = dock.layers.prediction
    assert overlay is not None
    overlay.data = np.zeros((5, 6, 7), np.uint8)
    dock.toggle("t1")
    until_final(qtbot, dock, ("flair", "t1ce", "t2"))
    assert dock.session.shown is not None
    assert overlay.data is dock.session.shown.labels
    overlay.data = np.ones((5, 6, 7), np.uint8)
    for name in ("flair", "t1ce", "t2"):
        dock.toggle(name)
    qtbot.waitUntil(lambda: "all modalities are off" in dock.banner.text(), timeout=PATIENCE)
    assert overlay.data.shape == dock.session.study.grid.shape  # type: ignore[union-attr]
    assert not overlay.data.any()


def test_a_merged_stack_of_our_scans_goes_with_the_study(qtbot: QtBot, dock: MrsegDock) -> None:
    """napari's “Merge to stack” takes our images away: toggles, other studies and the way back go on without error."""
    from napari.layers._layer_actions import _merge_stack

    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.viewer.layers.selection = set(dock.layers.images.values())
    _merge_stack(dock.viewer.layers)
    assert dock.viewer.dims.ndim == 4
    dock.toggle("t1")
    until_final(qtbot, dock, ("flair", "t1ce", "t2"))
    dock.jump()
    dock.next_view()
    dock.next_window()
    dock.layers.edit_copy().paint((12, 16, 14), 3)
    dock.session.set_study(study(spacing=2.0, case="next"))
    qtbot.waitUntil(lambda: dock.case.text() == "next", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert dock.viewer.dims.ndim == 3
    assert len(dock.viewer.layers) == 5


def test_a_hidden_region_is_shown_again_with_the_next_study(qtbot: QtBot, dock: MrsegDock) -> None:
    """The next subject is drawn whole, and the legend's boxes say so."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.legend.labels[2].click()
    assert "NOT DRAWN: oedema" in dock.viewer.canvas.overlays.text.text
    dock.session.set_study(study(spacing=2.0, case="next"))
    qtbot.waitUntil(lambda: dock.case.text() == "next", timeout=PATIENCE)
    until_final(qtbot, dock)
    assert dock.legend.labels[2].isChecked()
    assert dock.layers.prediction is not None
    assert dock.layers.prediction.colormap.map(2)[3] == 1
    assert "NOT DRAWN" not in dock.viewer.canvas.overlays.text.text
