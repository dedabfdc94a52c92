"""A reference in another data set's codes: the window notices, asks whose they are, and reads it so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QInputDialog
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.assign import NO_REFERENCE
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.key_names import key


@pytest.fixture
def folder(make_study: MakeStudy) -> Path:
    """A study whose reference holds 3 and 4, as the paediatric and the post-treatment BraTS do."""
    made = make_study(("flair", "t2"))
    file = made / "case-1_seg.nii.gz"
    old: Any = nib.load(file)
    codes = np.asarray(old.dataobj).copy()
    codes[:] = 0
    codes[3:8, 3:8, 3:8] = 4
    codes[5:7, 5:7, 5:7] = 3
    nib.save(nib.Nifti1Image(codes, old.affine, old.header), file)
    return made


def choose(monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    """Answer the question with the line that starts so."""

    def answer(*args: Any) -> tuple[str, bool]:
        return next(line for line in args[3] if line.startswith(start)), True

    monkeypatch.setattr(QInputDialog, "getItem", answer)


def codes(dock: MrsegDock) -> set[int]:
    study = dock.session.study
    assert study is not None
    return set() if study.reference is None else set(np.unique(study.reference.labels).tolist()) - {0}


def opened_anew(qtbot: QtBot, dock: MrsegDock, ask: Any) -> None:
    before = dock.session.study
    ask()
    qtbot.waitUntil(lambda: dock.session.study is not before, timeout=PATIENCE)
    until_final(qtbot, dock)
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)


def test_a_reference_in_other_codes_is_asked_about(
    qtbot: QtBot, dock: MrsegDock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out with a sentence and a button; once its codes are stated it is there, and can be left out again."""
    dock.open([folder])
    until_final(qtbot, dock)
    button = dock.panel.codes_button
    qtbot.waitUntil(lambda: not button.isHidden(), timeout=PATIENCE)
    assert "The reference is left out" in dock.panel.notes.text()
    assert codes(dock) == set()
    choose(monkeypatch, "brats-2024")
    opened_anew(qtbot, dock, button.click)
    assert codes(dock) == {3}
    assert not button.isHidden()
    assert "brats-2024" in button.text()
    assert "is read in the codes of brats-2024" in dock.panel.notes.text()
    choose(monkeypatch, "brats-ped")
    opened_anew(qtbot, dock, next(row.act for row in dock.keys.rows if row.key == key("which")))
    assert codes(dock) == {1, 2}
    choose(monkeypatch, NO_REFERENCE)
    opened_anew(qtbot, dock, button.click)
    assert codes(dock) == set()
    assert button.isHidden()


def test_a_reference_left_out_comes_back_by_its_row(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Choosing a file for the reference overrules that none was wanted."""
    dock.open([make_study(("flair", "t2"))], reference=False)
    until_final(qtbot, dock)
    assert codes(dock) == set()
    combo = dock.modalities.combos["reference"]
    index = next(i for i in range(combo.count()) if "seg" in str(combo.itemData(i)))
    combo.setCurrentIndex(index)
    opened_anew(qtbot, dock, lambda: combo.activated.emit(index))
    assert codes(dock)


def test_a_reference_that_was_asked_for_and_has_other_codes_can_be_stated(
    qtbot: QtBot, dock: MrsegDock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing opens, the sentence says why, and the button opens the same with the codes that the user states."""
    dock.open([folder], reference=str(folder / "case-1_seg.nii.gz"))
    assert "so 4 means something else" in until_error(qtbot, dock)
    button = dock.panel.codes_button
    assert not button.isHidden()
    choose(monkeypatch, "brats-ped")
    opened_anew(qtbot, dock, button.click)
    assert codes(dock) == {1, 2}
    assert dock.error.text() == ""


@pytest.mark.parametrize("stated", ["brats", "no-such-scheme"])
def test_codes_stated_on_the_command_line_can_be_stated_anew(
    qtbot: QtBot, dock: MrsegDock, folder: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    """Also where the task's own were insisted on, or a name was mistyped."""
    dock.open([folder], labels=stated)
    until_final(qtbot, dock)
    assert codes(dock) == set()
    choose(monkeypatch, "brats-ped")
    opened_anew(qtbot, dock, dock.panel.codes_button.click)
    assert codes(dock) == {1, 2}


def test_a_reference_that_was_asked_for_can_be_left_out_by_its_row(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The row overrules the reference that was given with the study."""
    made = make_study(("flair", "t2"))
    dock.open([made], reference=str(made / "case-1_seg.nii.gz"))
    until_final(qtbot, dock)
    assert codes(dock)
    combo = dock.modalities.combos["reference"]
    index = next(i for i in range(combo.count()) if not combo.itemData(i))
    combo.setCurrentIndex(index)
    opened_anew(qtbot, dock, lambda: combo.activated.emit(index))
    assert codes(dock) == set()


def test_a_question_that_is_left_changes_nothing(
    qtbot: QtBot, dock: MrsegDock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel in the question leaves the study as it is."""
    dock.open([folder])
    until_final(qtbot, dock)
    before = dock.session.study
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("", False))
    dock.panel.codes_button.click()
    assert dock.session.study is before
    assert not dock.session.opening
