"""What belongs to one subject is neither drawn over another nor saved as the other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog
from synthetic import LPS
from tiny import study
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.dock import MrsegDock
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


def test_an_edited_copy_of_another_study_is_kept_but_hidden(qtbot: QtBot, dock: MrsegDock) -> None:
    """Opening another subject hides the copy, unchanged; two folders of one name are still two subjects."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    copy.paint((12, 16, 14), 3)
    painted = copy.data.copy()
    opened(qtbot, dock, SECOND)
    assert copy in dock.viewer.layers
    assert not copy.visible
    assert np.array_equal(copy.data, painted)
    assert "EDITED" not in dock.banner.text()
    assert dock.viewer.layers.selection.active is dock.layers.prediction


def test_closing_the_study_hides_its_copies(qtbot: QtBot, dock: MrsegDock) -> None:
    """With no study open, no copy is drawn."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    dock.session.set_study(None)
    qtbot.waitUntil(lambda: dock.layers.prediction is None, timeout=PATIENCE)
    assert not copy.visible


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
    """Layer, dock and canvas say whose copy is on screen, and that it is not of the study that is open."""
    opened(qtbot, dock, FIRST)
    copy = copied(dock)
    assert "anat" in copy.name
    assert "EDITED BY HAND: flair+t1+t1ce+t2 of anat" in dock.banner.text()
    assert "ANOTHER STUDY" not in dock.banner.text()
    opened(qtbot, dock, SECOND)
    copy.visible = True
    assert "EDITED BY HAND: flair+t1+t1ce+t2 of anat (ANOTHER STUDY)" in dock.banner.text()
    assert "ANOTHER STUDY" in " ".join(dock.viewer.canvas.overlays.text.text.split())


def test_a_copy_of_another_study_is_saved_only_when_it_is_selected(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unselected it is refused; selected, the dialog names its case, and it is written on its own scan's grid."""
    asked = []
    out = tmp_path / "out"
    out.mkdir()

    def ask(_: Any, caption: str, *__: Any) -> str:
        asked.append(caption)
        return str(out)

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", ask)
    shifted = np.array(LPS, dtype=float)
    shifted[:3, 3] += 7
    first, second = make_study(case="sub-01"), make_study(case="sub-02", affine=shifted, seed=1)
    dock.open([first])
    until_final(qtbot, dock)
    copy = copied(dock)
    dock.open([second])
    qtbot.waitUntil(lambda: dock.case.text() == "sub-02", timeout=PATIENCE)
    until_final(qtbot, dock)
    dock.saver.save_edited()
    assert "no edited copy of this study" in until_error(qtbot, dock)
    assert not asked
    dock.viewer.layers.selection.active = copy
    dock.saver.save_edited()
    saved = out / "sub-01_flair+t1+t1ce+t2_edited.nii.gz"
    qtbot.waitUntil(saved.exists, timeout=PATIENCE)
    assert "sub-01" in asked[0]
    assert "ANOTHER STUDY" in asked[0]
    scan = nib.load(first / "sub-01_flair.nii.gz")
    assert np.array_equal(nib.load(saved).affine, scan.affine)


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
