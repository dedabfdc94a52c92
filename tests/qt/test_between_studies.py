"""Between two studies: nothing of the one is seen under the name of the other, and the old one can come back."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from quick import BROKEN, NAMES, Dreamer, Quick, Reading, studies
from recorder import Recorder, sizes_on_screen
from waiting import PATIENCE, Asked, MakeStudy, until_error, until_final

from napari_mrseg import io
from napari_mrseg._qt import user_settings
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.edits import is_unsaved
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg.compare import metrics
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

SWITCHES, STUDIES = (50, 30) if os.environ.get("MRSEG_FULL") else (12, 12)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(28)


@pytest.fixture
def swift(
    qtbot: QtBot, tiny: Model, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MrsegDock]:
    """A dock on a session that sweeps, with studies that cost little; reading and computing take random times."""

    def pause() -> float:
        return chance.choice((0.0, 0.0, 0.002, 0.02))

    monkeypatch.setattr(io, "open_study", Reading(studies(), pause))
    session = Session(device="cpu")
    session.set_predictor(Quick(tiny, pause))
    dock = MrsegDock(ViewerModel(), session)
    dock.imagining.core._make = Dreamer(tiny, lambda: time.sleep(pause()))
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.end()


def shown(qtbot: QtBot, dock: MrsegDock, name: str) -> None:
    qtbot.waitUntil(lambda: dock.case.text() == name, timeout=PATIENCE)
    until_final(qtbot, dock)


def ask_for(dock: MrsegDock, recorder: Recorder, name: str, *, may_return: bool = False) -> None:
    """Ask for a study; from now on no other may be seen, but the old one where this one may not come."""
    session = dock.session
    before, study = session._before, session.study
    old = {before.study.case} if before is not None else {study.case} if study is not None else set()
    recorder.allowed |= {name}
    dock.open([f"/studies/{name}"])
    before = session._before  # what was being read may have come between
    old |= {before.study.case} if before is not None else set()
    recorder.allowed = {name, *old} if may_return else {name}


def test_no_frame_shows_two_studies(
    qtbot: QtBot,
    swift: MrsegDock,
    chance: random.Random,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Switched at random moments, running, sweeping, editing, imagining, opening, refused, cancelled: no name, number,
    note or layer of another study in any frame, and from the moment of asking none of the old."""
    dock = swift
    shapes = {one.grid.shape: name for name, one in studies().items()}
    recorder = Recorder(dock, shapes)
    sizes = metrics.sizes

    def noted(labels: Any, *args: Any) -> Any:
        found = sizes(labels, *args)
        recorder.measured(labels, found)
        return found

    monkeypatch.setattr(metrics, "sizes", noted)
    name, session = "", dock.session
    for number in range(SWITCHES):
        what = chance.choice(
            ("at once", "opening", "running", "editing", "settled", "cancel", "refused", "imagining")
        )
        what = "imagining" if number == 1 else what
        name = BROKEN if what == "refused" else chance.choice([n for n in NAMES if n != name])
        ask_for(dock, recorder, name, may_return=what in ("refused", "cancel"))
        if what == "cancel":
            dock.opener.cancel()  # what was read already is there; else the old one is
        elif what == "refused":
            assert "broken holds nothing" in until_error(qtbot, dock)
        elif what == "running":
            qtbot.waitUntil(
                lambda: session.running is not None or session.shown is not None, timeout=PATIENCE
            )
        elif what in ("editing", "settled", "imagining"):
            shown(qtbot, dock, name)
            if what == "imagining":
                if "t1ce" in session.combination:
                    dock.toggle("t1ce")
                dock.imagining.choose(chance.choice(("t1", "t1ce")))
                qtbot.wait(chance.choice((0, 5, 50, 200)))
            if what == "editing":
                copy = dock.layers.edit_copy()
                copy.paint(tuple(n // 2 for n in copy.data.shape), 1 + number % 3)
                qtbot.wait(chance.choice((0, 5, 200)))
        elif what == "opening":
            qtbot.wait(chance.choice((0, 1, 10, 40)))
        recorder.look()
    last = next(n for n in NAMES if n != name)
    ask_for(dock, recorder, last)
    shown(qtbot, dock, last)
    recorder.close()
    print(f"{SWITCHES} switches, {recorder.frames} frames, {recorder.opening_frames} of them while opening")
    assert recorder.wrong == [], "\n".join(recorder.wrong)
    assert recorder.frames > 10 * SWITCHES
    assert recorder.opening_frames > SWITCHES


def test_the_recorder_sees_what_is_wrong(qtbot: QtBot, swift: MrsegDock) -> None:
    """A foreign name, number or layer in a frame is found: the test above can fail."""
    dock = swift
    recorder = Recorder(dock, {one.grid.shape: name for name, one in studies().items()})
    recorder.allowed = {"alpha"}
    dock.open(["/studies/alpha"])
    shown(qtbot, dock, "alpha")
    assert recorder.wrong == []
    dock.panel.saved.setText("Saved flair of bravo")
    next(iter(dock.legend.sizes.values())).setText("170.7 mL")
    dock.viewer.add_image(studies()["bravo"].images["flair"].data, name="FLAIR of bravo")
    recorder.look()
    recorder.close()
    said = " ".join(recorder.wrong)
    assert "saved says" in said
    assert "170.7" in said
    assert "an array of bravo" in said


def test_the_old_study_is_gone_at_once_and_the_new_one_is_named(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the call that asks for it: name, volumes, Dice, notes, layers are gone; “Opening NAME …” stands everywhere,
    Run is Cancel; while it lasts no key reaches the old study."""
    read, gate = io.open_study, Event()

    def patient(paths: Any, **options: Any) -> Any:
        if "second" in str(paths):
            gate.wait(60)
        return read(paths, **options)

    monkeypatch.setattr(io, "open_study", patient)
    first, second = make_study(case="first"), make_study(("flair", "t2"), case="second")
    dock.open([first])
    shown(qtbot, dock, "first")
    qtbot.waitUntil(lambda: dock.legend.dices["WT"].text() != "", timeout=PATIENCE)
    dock.panel.saved.setText("Saved flair.nii.gz")
    dock.open([second])
    assert dock.case.text() == "Opening second …"
    assert dock.banner.text().startswith("Opening second …")
    assert "first" not in dock.viewer.canvas.overlays.text.text
    assert "Opening second" in dock.viewer.canvas.overlays.text.text
    assert sizes_on_screen(dock) == set()
    assert {label.text() for label in dock.legend.dices.values()} == {""}
    assert dock.panel.saved.text() == ""
    assert list(dock.viewer.layers) == []
    assert dock.runbar.button.text() == "Cancel"
    assert dock.runbar.button.isEnabled()
    assert dock.opening_banner.title.text() == "Opening second …"
    dock.toggle("flair")
    dock.edit()
    dock.jump()
    assert dock.error.text() == ""
    gate.set()
    shown(qtbot, dock, "second")
    assert dock.session.combination == ("flair", "t2")
    assert dock.runbar.button.text() == "Run"


@pytest.mark.parametrize("how", ["refused", "cancelled"])
def test_the_old_study_comes_back_as_it_was(
    qtbot: QtBot, swift: MrsegDock, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or cancelled: the same layers in their order, the edit and its undo, the slice, the plane, what was
    switched off and hidden, and a sentence that says what happened and what is open."""
    dock, gate, read = swift, Event(), io.open_study

    def patient(paths: Any, **options: Any) -> Any:
        if "alpha" not in str(paths):  # held back while the test looks
            gate.wait(60)
        return read(paths, **options)

    monkeypatch.setattr(io, "open_study", patient)
    dock.open(["/studies/alpha"])
    shown(qtbot, dock, "alpha")
    dock.toggle("flair")
    until_final(qtbot, dock, ("t1ce",))
    dock.legend.labels[2].click()
    copy = dock.layers.edit_copy()
    copy.paint((3, 4, 4), 3)
    dock.viewer.dims.roll()
    dock.viewer.dims.set_current_step(dock.viewer.dims.order[0], 2)
    mine = dock.viewer.add_points([[1, 2, 3]], name="mine")
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    before = [(layer.name, layer.visible, id(layer.data)) for layer in dock.viewer.layers]
    view = tuple(dock.viewer.dims.order), tuple(dock.viewer.dims.point), dock.overlay_style.hidden
    banner, active = dock.banner.text(), dock.viewer.layers.selection.active
    dock.open([f"/studies/{BROKEN if how == 'refused' else 'bravo'}"])
    assert list(dock.viewer.layers) == [mine]
    if how == "cancelled":
        dock.runbar.button.click()
    else:
        gate.set()
    said = until_error(qtbot, dock)
    assert "Still open: alpha." in said
    assert ("broken holds nothing" in said) if how == "refused" else ("bravo was cancelled" in said)
    assert dock.opening_banner.step.text() == said
    assert [(layer.name, layer.visible, id(layer.data)) for layer in dock.viewer.layers] == before
    assert (tuple(dock.viewer.dims.order), tuple(dock.viewer.dims.point), dock.overlay_style.hidden) == view
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    assert dock.banner.text() == banner
    assert dock.viewer.layers.selection.active is active
    assert dock.session.combination == ("t1ce",)
    assert is_unsaved(copy)
    copy.undo()
    assert not is_unsaved(copy)
    gate.set()


def test_a_run_that_was_under_way_goes_on_when_the_old_study_is_back(
    qtbot: QtBot, swift: MrsegDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep, too: all combinations come in the end."""
    dock, gate, read = swift, Event(), io.open_study

    def patient(paths: Any, **options: Any) -> Any:
        if BROKEN in str(paths):
            gate.wait(60)  # else the old study may be back before anybody looks
        return read(paths, **options)

    monkeypatch.setattr(io, "open_study", patient)
    dock.open(["/studies/alpha"])
    qtbot.waitUntil(lambda: dock.session.study is not None, timeout=PATIENCE)
    dock.open([f"/studies/{BROKEN}"])
    assert dock.session.study is None
    gate.set()
    until_error(qtbot, dock)
    until_final(qtbot, dock)
    qtbot.waitUntil(lambda: len(dock.session.predictions) == 3, timeout=PATIENCE)


def test_many_studies_leave_nothing_behind(qtbot: QtBot, swift: MrsegDock) -> None:
    """One after the other, with an edit in each: the same number of layers as after the first, and no array of an
    earlier one is held by anybody."""
    import gc
    import weakref

    dock, arrays, counts = swift, [], []
    dock.open(["/studies/alpha"])
    shown(qtbot, dock, "alpha")
    dock.session.wait_for_sweep(30)
    for number in range(STUDIES):
        name = NAMES[(1 + number) % len(NAMES)]
        copy = dock.layers.edit_copy()
        copy.paint((2, 2, 2), 3)
        arrays.append(weakref.ref(copy))
        arrays.append(weakref.ref(dock.layers.images["flair"]))
        del copy
        dock.open([f"/studies/{name}"])
        shown(qtbot, dock, name)
        counts.append(len(dock.viewer.layers) - (dock.layers.reference is not None))
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    gc.collect()
    assert set(counts) == {3}
    assert dock.layers.shelf == []
    # The newest may still be held by a measurement that is on its way.
    assert [ref for ref in arrays[:-4] if ref() is not None] == []


def test_a_wrong_folder_names_what_is_in_it_and_opens_it(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of folders: the dock names those with scans, each once, and its button opens the one that is chosen."""
    from qtpy.QtWidgets import QInputDialog

    make_study(case="first")
    second = make_study(("flair", "t2"), case="second")
    (tmp_path / "empty").mkdir()
    dock.open([tmp_path])
    said = until_error(qtbot, dock)
    assert "its subfolder first or second does" in said
    assert said.count("first") == said.count("second") == 1
    assert not dock.panel.which_button.isHidden()
    monkeypatch.setattr(
        QInputDialog, "getItem", lambda *args: (next(one for one in args[3] if "second" in one), True)
    )
    dock.panel.which_button.click()
    shown(qtbot, dock, second.name)


def test_settings_outlast_the_window(qtbot: QtBot, swift: MrsegDock, tiny: Model) -> None:
    """Outline, opacity and the preset of the window are kept at once, and a new window starts with them."""
    dock = swift
    dock.open(["/studies/alpha"])
    shown(qtbot, dock, "alpha")
    dock.legend.outline.click()
    dock.legend.opacity.setValue(35)
    dock.next_window()
    limits = tuple(dock.layers.images["flair"].contrast_limits)
    session = Session(device="cpu")
    session.set_predictor(Quick(tiny))
    other = MrsegDock(ViewerModel(), session)
    qtbot.addWidget(other)
    assert (other.overlay_style.outline, other.overlay_style.opacity) == (True, pytest.approx(0.35))
    assert other.legend.outline.isChecked()
    other.open(["/studies/alpha"])
    shown(qtbot, other, "alpha")
    assert tuple(other.layers.images["flair"].contrast_limits) == limits
    other.end()


def test_settings_that_are_damaged_are_left_out() -> None:
    """What is no number, or no list, counts as never kept."""
    user_settings.remember("opacity", "much")
    user_settings.remember("outline", 3)
    assert user_settings.remembered_style() == OverlayStyle()
    user_settings._settings().setValue("recent", "{")
    assert user_settings.recent_studies("brats") == []


def test_recent_studies_hold_paths_and_nothing_else(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The menu lists what was opened, the newest first, opens it again, and can be emptied; the sample is not in it."""
    first, second = make_study(case="first"), make_study(("flair",), case="second")
    for folder in (first, second):
        dock.open([folder])
        shown(qtbot, dock, folder.name)
    dock.open([first / "nothing"])
    until_error(qtbot, dock)
    task = dock.session.task.name
    assert user_settings.recent_studies(task) == [(str(second),), (str(first),)]
    assert user_settings.last_folder() == str(first.parent)
    menu = dock.panel.recent_button.menu()
    menu.aboutToShow.emit()
    titles = [action.text() for action in menu.actions()]
    assert titles[0].startswith("second")
    assert titles[1].startswith("first")
    menu.actions()[1].trigger()
    shown(qtbot, dock, "first")
    dock.opener.open_sample()
    qtbot.waitUntil(
        lambda: dock.session.study is not None and dock.session.study.case != "first", timeout=PATIENCE
    )
    assert len(user_settings.recent_studies(task)) == 2
    menu.aboutToShow.emit()
    next(action for action in menu.actions() if action.text() == "Forget these studies").trigger()
    assert user_settings.recent_studies(task) == []


def test_open_starts_where_studies_are_and_save_where_results_were_saved(tmp_path: Path) -> None:
    """Two folders, remembered apart; the first save starts beside the studies."""
    user_settings.remember_folder("/studies")
    assert user_settings.last_folder(user_settings.SAVED) == "/studies"
    user_settings.remember_folder("/results", user_settings.SAVED)
    assert user_settings.last_folder() == "/studies"
    assert user_settings.last_folder(user_settings.SAVED) == "/results"


def test_a_worklist_is_read_with_two_keys(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, asked: Asked
) -> None:
    """A folder, then a table: next and previous by Alt+PgDn and Alt+PgUp, the place in the bar, its ends, a study that
    cannot be read, and one that is asked about first."""
    acts = {row.key: row.act for row in dock.keys.rows}
    forth, back = acts["Alt-PageDown"], acts["Alt-PageUp"]
    forth()
    assert "There is no worklist" in until_error(qtbot, dock)
    for name in ("a", "b", "c"):
        make_study(("flair",), case=name, seg=False)
    (tmp_path / "b" / "b_flair.nii.gz").write_bytes(b"no scan")
    dock.worklist.load(str(tmp_path))
    shown(qtbot, dock, "a")
    bar = dock.panel.worklist_bar
    assert bar.label.text() == "1 of 3: a"
    assert not bar.previous.isEnabled()
    dock.layers.edit_copy().paint((3, 4, 5), 3)
    asked.answer = "cancel"
    forth()
    assert dock.case.text() == "a"
    assert bar.label.text() == "1 of 3: a"
    asked.answer = "discard"
    forth()
    assert "b_flair.nii.gz" in until_error(qtbot, dock)
    assert bar.label.text() == "2 of 3: b could not be opened"
    forth()
    shown(qtbot, dock, "c")
    assert bar.label.text() == "3 of 3: c"
    assert not bar.next.isEnabled()
    forth()
    assert not dock.session.opening
    table = tmp_path / "list.csv"
    table.write_text("study,path\nseen second,c\nseen first,a\n")
    dock.worklist.load(str(table))
    qtbot.waitUntil(lambda: bar.label.text().startswith("1 of 2"), timeout=PATIENCE)
    forth()
    shown(qtbot, dock, "a")
    assert bar.label.text() == "2 of 2: seen_first"
    back()
    shown(qtbot, dock, "c")
    dock.open([tmp_path / "a"])
    shown(qtbot, dock, "a")
    assert bar.label.text() == "1 of 2: another study is open"


def test_an_opening_that_was_cancelled_ends_between_two_files(
    tiny: Model, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session alone: the old study is set aside, comes back, and the files after the first are not read."""
    from napari_mrseg.io import formats

    first, second = make_study(case="first"), make_study(case="second")
    session = Session(device="cpu", sweep=False)
    session.set_predictor(Quick(tiny))
    session.open([first])
    session.wait(30)
    old, read, begun, gate, seen = session.study, formats.read, Event(), Event(), []

    def slow(path: Path, *args: Any, **options: Any) -> Any:
        seen.append(path.name)
        begun.set()
        gate.wait(60)
        return read(path, *args, **options)

    monkeypatch.setattr(formats, "read", slow)
    failed: list[str] = []
    session.failed.connect(failed.append)
    session.open_later([second])
    assert session.study is None
    assert session.opening
    assert begun.wait(20)
    assert session.cancel_opening()
    assert not session.cancel_opening()
    assert session.study is old
    assert session.shown is not None
    gate.set()
    session.wait(30)
    with pytest.raises(InputError):
        session.open(["/nowhere"])
    assert session.study is old
    assert failed == []
    assert len(seen) == 1
    session.close()


def test_labels_are_of_the_study(swift: MrsegDock, qtbot: QtBot) -> None:
    """What the quick predictor makes is not empty, so that sizes on screen say something."""
    swift.open(["/studies/delta"])
    shown(qtbot, swift, "delta")
    found = swift.session.shown
    assert found is not None
    assert np.count_nonzero(found.labels) > 0
