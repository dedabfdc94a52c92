"""A random walk over the window: whatever is done in whatever order, nothing breaks and no work is lost unasked."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QMessageBox
from quick import BROKEN, NAMES, Quick, Reading, studies
from recorder import said_of, sizes_on_screen
from waiting import PATIENCE, Asked

from napari_mrseg import io
from napari_mrseg._qt.about import about_of, belongs
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.edits import about_edit, copies_in
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

RUNS, ACTIONS = (100, 50) if os.environ.get("MRSEG_FULL") else (3, 30)


class Walker:
    """One run. ``work``: for each layer that was painted in, what the test knows to be saved of it."""

    def __init__(self, qtbot: QtBot, model: Model, chance: random.Random, asked: Asked, folder: Path) -> None:
        self.qtbot, self.model, self.chance, self.asked, self.folder = qtbot, model, chance, asked, folder
        self.viewer = ViewerModel()
        self.work: dict[Labels, np.ndarray[Any, Any]] = {}
        self.done: list[str] = []
        self.given_up: set[int] = set()
        self.dock = self.docked()

    def docked(self) -> MrsegDock:
        session = Session(device="cpu", sweep=False)
        session.set_predictor(Quick(self.model))
        dock = MrsegDock(self.viewer, session)
        dock.show()
        return dock

    def act(self) -> None:
        every: list[tuple[Callable[[], None], int]] = [
            (self.open, 7),
            (self.toggle, 4),
            (self.edit, 5),
            (self.paint, 14),
            (self.undo, 5),
            (self.duplicate, 3),
            (self.delete, 3),
            (self.save, 3),
            (self.show_or_hide, 3),
            (self.close, 1),
        ]
        act = self.chance.choices([act for act, _ in every], [weight for _, weight in every])[0]
        self.asked.answer = self.chance.choice(("save", "discard", "cancel"))
        self.done.append(f"{act.__name__} ({self.asked.answer})")
        asked = len(self.asked)
        unsaved = self.unsaved()
        act()
        self.settle()
        questions = " ".join(self.asked[asked:])
        if questions and self.asked.answer == "discard":
            self.given_up |= {id(layer) for layer in unsaved if layer.name in questions}
        self.check()

    # -- what a user does ---------------------------------------------------------------------------------

    def open(self) -> None:
        self.dock.open([f"/studies/{self.chance.choice([*NAMES[:3], BROKEN])}"])
        if self.chance.random() < 0.2:
            self.dock.cancel()
        elif self.chance.random() < 0.2:
            self.dock.open([f"/studies/{self.chance.choice(NAMES)}"])

    def toggle(self) -> None:
        self.dock.toggle(self.chance.choice(("flair", "t1ce")))

    def edit(self) -> None:
        self.dock.edit()
        copy = self.dock.layers.copy
        if copy is not None and copy not in self.work:
            self.work[copy] = np.array(copy.data)

    def paint(self) -> None:
        copies = copies_in(self.viewer)
        if copies:
            copy = self.chance.choice(copies)
            copy.paint(tuple(self.chance.randrange(n) for n in copy.data.shape), self.chance.randrange(4))

    def undo(self) -> None:
        copies = copies_in(self.viewer)
        if copies:
            copy = self.chance.choice(copies)
            self.chance.choice((copy.undo, copy.redo))()

    def duplicate(self) -> None:
        layers = [layer for layer in self.viewer.layers if isinstance(layer, Labels)]
        if not layers or len(self.viewer.layers) > 14:
            return
        old = self.chance.choice(layers)
        self.viewer.layers.selection = {old}
        _duplicate_layer(self.viewer.layers)
        new = self.viewer.layers[self.viewer.layers.index(old) + 1]
        if about_edit(new):
            saved = self.work.get(old)
            self.work[new] = np.array(old.data) if saved is None else saved

    def delete(self) -> None:
        if len(self.viewer.layers):
            self.viewer.layers.remove(self.chance.choice(list(self.viewer.layers)))

    def save(self) -> None:
        copy = self.dock.layers.edited()
        before = set(self.folder.iterdir())
        self.dock.saver.save_edited()
        self.settle()
        if copy is not None and set(self.folder.iterdir()) - before:
            (path,) = set(self.folder.iterdir()) - before
            assert about_edit(copy)["case"] in self.dock.panel.saved.text()
            read = about_edit(copy)["source"].to_ipl(np.asarray(nib.load(path).dataobj))
            self.work[copy] = read.astype(np.uint8)

    def show_or_hide(self) -> None:
        if len(self.viewer.layers):
            layer = self.chance.choice(list(self.viewer.layers))
            layer.visible = not layer.visible

    def close(self) -> None:
        """The dock's cross, then a new dock in the same window."""
        if self.dock.leave():
            self.dock.end()
            self.dock.hide()
            self.dock.deleteLater()
            self.dock = self.docked()

    # -- what must hold -----------------------------------------------------------------------------------

    def settle(self) -> None:
        def settled() -> bool:
            session, dock = self.dock.session, self.dock
            quiet = not session.opening and session.running is None and dock.settled
            return quiet and session.subject == dock._shown and not dock.layers.deleted

        self.qtbot.waitUntil(settled, timeout=PATIENCE)
        self.qtbot.wait(1)
        self.qtbot.waitUntil(settled, timeout=PATIENCE)
        for path in self.folder.glob("*_edited*"):
            self._read_back(path)

    def _read_back(self, path: Path) -> None:
        """What the question's Save wrote: the layer that has these labels is saved."""
        codes = np.asarray(nib.load(path).dataobj)
        for layer in list(self.work):
            source = about_edit(layer)["source"]
            if source.grid.shape == codes.shape and np.array_equal(source.to_ipl(codes), layer.data):
                self.work[layer] = np.array(layer.data)

    def unsaved(self) -> list[Labels]:
        return [layer for layer, saved in self.work.items() if not np.array_equal(layer.data, saved)]

    def check(self) -> None:
        dock, session = self.dock, self.dock.session
        kept = [*self.viewer.layers, *dock.layers.unsaved()]
        lost = [layer for layer in self.unsaved() if layer not in kept and id(layer) not in self.given_up]
        assert lost == [], self.done
        there = "" if session.study is None else session.study.case
        others = [
            layer.name for layer in self.viewer.layers if belongs(layer) and about_of(layer)["case"] != there
        ]
        if there:
            assert others == [], self.done
            assert dock.case.text() == there
        if session.shown is not None and dock.layers.copy is None and not session.stale:
            assert sizes_on_screen(dock) <= said_of(session.shown.sizes), self.done


def test_no_walk_over_the_window_breaks_anything(
    qtbot: QtBot, tiny: Model, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open, toggle, edit, undo, duplicate, delete, save, close, in any order: no exception, nothing unsaved lost
    without a question, no layer of another study."""
    monkeypatch.setattr(io, "open_study", Reading(studies()))
    monkeypatch.setattr(QMessageBox, "question", lambda *args: QMessageBox.StandardButton.Yes)

    def no_box(*args: Any) -> None:
        raise AssertionError(args[-1])

    monkeypatch.setattr(QMessageBox, "critical", no_box)
    questions = 0
    for run in range(RUNS):
        folder = tmp_path / str(run)
        folder.mkdir()
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args, to=folder: str(to))
        asked.clear()
        walker = Walker(qtbot, tiny, random.Random(run), asked, folder)
        for _ in range(ACTIONS):
            walker.act()
            for path in folder.iterdir():  # each save is to be a new file
                path.unlink()
        questions += len(asked)
        walker.dock.end()
        walker.dock.deleteLater()
        qtbot.wait(1)
    print(f"{RUNS} runs of {ACTIONS} actions, {questions} questions")
    assert questions >= RUNS // 2
