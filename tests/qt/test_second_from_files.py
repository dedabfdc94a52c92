"""A folder of label files as the second model of the comparison window."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetrics
from tiny import study
from waiting import PATIENCE

from napari_mrseg._qt.compare.workbench import Workbench
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.compare import made_elsewhere
from napari_mrseg.compare.made_elsewhere import MadeElsewhere
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Task


@pytest.fixture
def session(tiny: Model) -> Session:
    made = Session(device="cpu")
    made.set_model(tiny)
    return made


def with_files(qtbot: QtBot, dock: MrsegDock, folder: Path) -> tuple[Workbench, Path]:
    """A comparison of a study that is open, and a folder with its reference as another program's result for T1."""
    bench = Workbench(dock)
    qtbot.addWidget(bench)
    shown = study(["flair", "t1"], reference=True)
    assert shown.reference is not None
    theirs = folder / "theirs"
    theirs.mkdir()
    nib.save(nib.Nifti1Image(shown.reference.labels, shown.grid.matrix), theirs / "t1.nii.gz")
    bench.session.set_study(shown)
    return bench, theirs


def test_label_files_stand_beside_the_first_model(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """Chosen as a folder: columns with its name and the Dice of its files; what fits no name is said."""
    bench, theirs = with_files(qtbot, dock, tmp_path)
    qtbot.waitUntil(
        lambda: bench.state.comparison is not None and bench.state.comparison.complete, timeout=PATIENCE
    )
    bench.choices.second_changed.emit(str(theirs))

    def beside() -> bool:
        comparison = bench.state.comparison
        return (
            comparison is not None and comparison.second is not None and bool(comparison.second.predictions)
        )

    qtbot.waitUntil(beside, timeout=PATIENCE)
    comparison = bench.state.comparison
    assert comparison is not None
    assert comparison.second_name == "theirs"
    assert comparison.dice_of_second(("t1",)) == {"WT": 1.0, "TC": 1.0, "ET": 1.0}
    keys = [column.key for column in bench.matrix.model.columns]
    section = bench.matrix.model.first + keys.index("second_dice.WT")
    row = bench.matrix.model.rows.index(("t1",))
    assert bench.matrix.model.data(bench.matrix.model.index(row, section)) == "1.000"
    said: list[str] = []
    bench.state.second.failed.connect(said.append)
    strange = tmp_path / "strange"
    strange.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), strange / "nobody.nii.gz")
    bench.choices.second_changed.emit(str(strange))
    qtbot.waitUntil(lambda: bool(said), timeout=PATIENCE)
    assert "No name in strange, such as nobody.nii.gz" in said[0]
    assert MadeElsewhere(strange, bench.session.task).combinations(bench.session.study) == ()


def test_a_folder_is_searched_on_a_thread_only(
    qtbot: QtBot, dock: MrsegDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large folder on a network must not hold the window up: also another study's files are looked for elsewhere."""
    threads: list[str] = []
    search = made_elsewhere.label_files

    def noted(folder: Path, task: Task) -> list[Path]:
        threads.append(threading.current_thread().name)
        return search(folder, task)

    monkeypatch.setattr(made_elsewhere, "label_files", noted)
    bench = Workbench(dock)
    qtbot.addWidget(bench)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    first, other = study(["t1"], reference=True), replace(study(["flair"], reference=True), case="other")
    assert first.reference is not None
    nib.save(nib.Nifti1Image(first.reference.labels, first.grid.matrix), theirs / "t1.nii.gz")
    bench.session.set_study(first)
    bench.choices.second_changed.emit(str(theirs))
    qtbot.waitUntil(lambda: bench.state.second.name == "theirs", timeout=PATIENCE)
    searched = len(threads)
    bench.session.set_study(other)
    qtbot.waitUntil(lambda: len(threads) > searched and not bench.state.second.waiting, timeout=PATIENCE)
    assert set(threads) == {"mrseg-later"}


def test_heads_of_a_second_model_are_not_cut(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """In a narrow table a column is as wide as its head; the rest is reached by scrolling."""
    bench, theirs = with_files(qtbot, dock, tmp_path)
    bench.choices.second_changed.emit(str(theirs))
    model, header = bench.matrix.model, bench.matrix.table.horizontalHeader()
    qtbot.waitUntil(lambda: any(c.kind.startswith("second") for c in model.columns), timeout=PATIENCE)
    bench.matrix.resize(330, 300)
    bench.matrix._lay_out()
    font = QFont(header.font())
    font.setPixelSize(10)  # of narrow columns' heads
    for section in range(model.first, model.columnCount()):
        lines = model.headerData(section, Qt.Orientation.Horizontal).split("\n")
        needed = max(QFontMetrics(font).horizontalAdvance(line) for line in lines)
        assert header.sectionSize(section) >= needed, lines
