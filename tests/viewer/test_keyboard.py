"""Without a mouse: everything that is done all day has a key, in the real window."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu
from test_use import ALT, canvas, dock
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import MrsegDock

__all__ = ["dock"]  # the fixture
KEY = Qt.Key


def choose(qtbot: QtBot, words: str) -> None:
    """In the menu that is about to open: down to the entry, and Enter."""

    def go() -> None:
        menu = QApplication.activePopupWidget()
        if not isinstance(menu, QMenu):
            QTimer.singleShot(50, go)
            return
        for _ in menu.actions():
            at = menu.activeAction()
            if at is not None and at.text() == words:
                break
            qtbot.keyClick(menu, KEY.Key_Down)
        qtbot.keyClick(menu, KEY.Key_Return)

    QTimer.singleShot(50, go)


def test_a_worklist_is_read_without_a_mouse(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open a worklist, toggle, compare, measure, save, and on to the next study: keys alone."""
    studies, out = tmp_path / "studies", tmp_path / "out"
    out.mkdir()
    studies.mkdir()
    for seed, case in enumerate(("case-1", "case-2")):
        make_study(case=case, seed=seed).rename(studies / case)
    asked = {"A folder of studies": studies, "Save into this folder": out}
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda parent, title, *_: str(asked[title]))
    native = canvas(dock)
    choose(qtbot, "Worklist of a folder …")
    qtbot.keyClick(native, KEY.Key_Insert, ALT)
    qtbot.waitUntil(lambda: len(dock.worklist.studies) == 2, timeout=PATIENCE)
    until_final(qtbot, dock)
    first = dock.session.study
    qtbot.keyClick(native, KEY.Key_3, ALT)
    until_final(qtbot, dock, ("flair", "t1", "t2"))
    qtbot.keyClick(native, KEY.Key_Home, ALT)
    assert dock.panel.lesions.isVisible()
    qtbot.keyClick(native, KEY.Key_M, ALT)
    qtbot.waitUntil(lambda: workbench_of(dock.viewer) is not None, timeout=PATIENCE)
    qtbot.keyClick(native, KEY.Key_N, ALT)
    case = dock.session.study.case  # type: ignore[union-attr]
    qtbot.waitUntil((out / f"{case}_flair+t1+t2_mrseg.nii.gz").exists, timeout=PATIENCE)
    qtbot.waitUntil(lambda: "Saved" in dock.panel.saved.text(), timeout=PATIENCE)
    qtbot.keyClick(native, KEY.Key_PageDown, ALT)
    qtbot.waitUntil(lambda: dock.session.study not in (None, first), timeout=PATIENCE)
    until_final(qtbot, dock)
    assert dock.worklist.at == 1
    assert dock.panel.saved.text() == ""
    qtbot.keyClick(native, KEY.Key_PageUp, ALT)
    qtbot.waitUntil(lambda: dock.case.text() == case and dock.worklist.at == 0, timeout=PATIENCE)
