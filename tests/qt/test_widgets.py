"""The small parts under the dock: letters, files' swap, largest finding, threads' errors."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread, current_thread, main_thread

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QTextBrowser
from tiny import study
from waiting import PATIENCE

from napari_mrseg._qt.bridge import BackgroundTask, SessionBridge
from napari_mrseg._qt.finding import largest_finding
from napari_mrseg._qt.legend import Legend
from napari_mrseg._qt.modalities import BLINK_MS, FileChoice, ModalityList, short_names, swapped
from napari_mrseg._qt.model_info import card_dialog
from napari_mrseg._qt.orientation import OrientationLetters, letters
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.result import Measures
from napari_mrseg._qt.text_labels import ElidedLabel, Notes
from napari_mrseg.compare.trust import Reason, Trust
from napari_mrseg.display import contrast_limits
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS, RGBD_SOD


@pytest.mark.parametrize(
    ("codes", "steps", "expected"),
    [
        (("I", "P", "L"), (0, 0, 1), "L"),
        (("I", "P", "L"), (0, 0, -1), "R"),
        (("I", "P", "L"), (-2, 0, 0), "S"),
        (("L", "S", "A"), (0, -1, 0), "I"),
        (("I", "P", "L"), (0, 0.2, -1), "R"),
        (("I", "P", "L"), (0, -0.7, 0.9), "LA"),
        (("I", "P", "L"), (0, 0, 0), "?"),
    ],
)
def test_letters_of_a_direction(codes: tuple[str, ...], steps: tuple[float, ...], expected: str) -> None:
    """The strongest axis names a direction; a second letter joins from 30° on; no direction has no letter."""
    assert letters(codes, steps) == expected


def test_letters_are_hidden_without_a_study_and_doubtful_when_layers_disagree() -> None:
    """No study: no letters. One of our layers mirrored by hand: the sides in question say “?”."""
    viewer = ViewerModel()
    shown = OrientationLetters(viewer)
    assert shown.shown == {}
    grid = study().grid
    layers = [viewer.add_image(np.zeros(grid.shape)) for _ in range(2)]
    shown.follow(layers, grid.axis_codes)
    assert shown.shown == {"top": "A", "bottom": "P", "left": "R", "right": "L"}
    layers[0].scale = (1, 1, -1)
    assert shown.shown == {"top": "A", "bottom": "P", "left": "?", "right": "?"}
    layers[1].scale = (1, 1, -1)
    assert shown.shown == {"top": "A", "bottom": "P", "left": "L", "right": "R"}
    viewer.layers.clear()
    shown.refresh()
    assert shown.shown == {}


def test_letters_do_not_name_an_axis_that_is_not_spatial() -> None:
    """With a user's 4-D layer, a displayed axis that our volumes lack says “?”, not a letter."""
    viewer = ViewerModel()
    shown = OrientationLetters(viewer)
    layer = viewer.add_image(np.zeros((8, 9, 7)))
    viewer.add_image(np.zeros((3, 8, 9, 7)))
    shown.follow([layer], ("I", "P", "L"))
    assert shown.shown == {"top": "A", "bottom": "P", "left": "R", "right": "L"}
    viewer.dims.order = (1, 2, 0, 3)
    assert shown.shown == {"top": "?", "bottom": "?", "left": "R", "right": "L"}


def test_the_largest_finding_wins_over_the_widest_slice() -> None:
    """Many small spots in one slice do not hide the one large finding."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[4, ::4, ::4] = 2
    labels[20:28, 10:18, 22:32] = 1
    found = largest_finding(labels)
    assert found is not None
    assert all(lo <= v < hi for v, lo, hi in zip(found, (20, 10, 22), (28, 18, 32), strict=True))
    labels[:] = 0
    labels[7, 9, 11] = 3
    assert largest_finding(labels) == (7, 9, 11)
    assert largest_finding(np.zeros((4, 4, 4), np.uint8)) is None


def test_a_file_that_takes_a_role_hands_its_own_over() -> None:
    """Files swap roles; a role may be left empty; a file left aside may take one."""
    a, b, c = (FileChoice(p, p, r, "") for p, r in (("a", "t1"), ("b", "t1ce"), ("c", None)))
    assert swapped((a, b, c), "t1", "b") == {"b": "t1", "a": "t1ce"}
    assert swapped((a, b, c), "t1", "c") == {"c": "t1", "a": None}
    assert swapped((a, b, c), "t1", "") == {"a": None}
    assert swapped((a, b, c), "t2", "c") == {"c": "t2"}


def test_a_modality_that_should_be_checked_blinks_once(qtbot: QtBot) -> None:
    """Its row alone, when it comes; not again while the same file keeps the role; the question is in the tooltip."""
    rows = ModalityList(BRATS)
    qtbot.addWidget(rows)
    files = [FileChoice("a", "a.nii", "t1", "", "a.nii was taken for T1"), FileChoice("b", "b.nii", "t2", "")]
    rows.show_study(("t1", "t2"), files, True)
    assert rows.combos["t1"].styleSheet()
    assert not rows.combos["t2"].styleSheet()
    assert "a.nii was taken for T1" in rows.combos["t1"].toolTip()
    qtbot.waitUntil(lambda: not rows.combos["t1"].styleSheet(), timeout=10 * BLINK_MS)
    rows.show_study(("t1", "t2"), files, True)
    assert not rows.combos["t1"].styleSheet()
    rows.show_study(("t1",), [FileChoice("c", "c.nii", "t1", "", "c.nii was taken for T1")], True)
    assert rows.combos["t1"].styleSheet()


def test_short_names_keep_what_differs() -> None:
    """The common beginning goes, at a word's border, and never the whole name."""
    files = [FileChoice(n, n, None, "") for n in ("case-001-t1c.nii.gz", "case-001-t1n.nii.gz")]
    assert list(short_names(files).values()) == ["…t1c.nii.gz", "…t1n.nii.gz"]
    assert short_names(files[:1]) == {"case-001-t1c.nii.gz": "case-001-t1c.nii.gz"}


def test_contrast_leaves_the_background_out() -> None:
    """The window comes from the voxels above the background; a constant scan still has one."""
    data = np.zeros((30, 30, 30), np.float32)
    data[10:20] = np.linspace(100, 200, 10 * 900, dtype=np.float32).reshape(10, 30, 30)
    low, high = contrast_limits(data)
    assert 90 < low < 130
    assert 170 < high <= 200
    low, high = contrast_limits(np.full((4, 4, 4), 7, np.float32))
    assert low < high


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory"), "Unexpected RuntimeError: CUDA out of memory"),
        (InputError("Mend it."), "Mend it."),
    ],
)
def test_later_loses_no_error(qtbot: QtBot, error: Exception, said: str) -> None:
    """Work on a thread ends in a result or a sentence, on the main thread, whatever it raises."""
    heard: list[tuple[str, bool]] = []

    def work() -> None:
        raise error

    BackgroundTask(work, failed=lambda s: heard.append((s, current_thread() is main_thread())))
    qtbot.waitUntil(lambda: bool(heard), timeout=PATIENCE)
    assert heard == [(said, True)]


def test_signals_from_a_thread_arrive_on_the_main_thread_gathered(qtbot: QtBot) -> None:
    """A burst of signals from the session's thread is one update on the main thread; sentences keep their order."""
    session = Session()
    bridge = SessionBridge(session)
    changes: list[tuple[frozenset[str], bool]] = []
    sentences: list[str] = []
    bridge.changed.connect(lambda topics: changes.append((topics, current_thread() is main_thread())))
    bridge.failed.connect(sentences.append)

    def burst() -> None:
        for _ in range(100):
            session.running_changed.emit()
        session.failed.emit("first")
        session.failed.emit("second")

    thread = Thread(target=burst)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(sentences) == 2, timeout=PATIENCE)
    assert changes == [(frozenset({"running"}), True)]
    assert sentences == ["first", "second"]
    bridge.close()
    session.failed.emit("after the end")
    qtbot.wait(50)
    assert len(sentences) == 2
    session.close()


def test_every_number_of_the_legend_says_how_it_is_computed(qtbot: QtBot) -> None:
    """Sizes and Dice have a tooltip with their definition, also before anything is shown."""
    legend = Legend(BRATS, OverlayStyle())
    qtbot.addWidget(legend)
    for region in BRATS.regions:
        assert "volume of a voxel" in legend.sizes[region.name].toolTip()
        assert "common voxels" in legend.dices[region.name].toolTip()


def test_the_card_fits_a_laptop_and_shows_foreign_words_as_words(qtbot: QtBot, tiny: Model) -> None:
    """However long, the card is at most 700 pixels high and scrolls; markup in it is shown as such; Dice are means."""
    rows = tuple({"combination": ["t1"], "dice": {"WT": value}} for value in (0.2, 0.5))
    card = tiny.card.model_copy(
        update={"limitations": "<h1>trust me</h1> " * 300, "measured": rows, "measured_on": "On two scans."}
    )
    dialog = card_dialog(None, replace(tiny, card=card))
    qtbot.addWidget(dialog)
    dialog.show()
    shown = dialog.findChild(QTextBrowser)
    assert dialog.height() <= 700
    assert shown.verticalScrollBar().maximum() > 0
    assert shown.toPlainText().count("<h1>trust me</h1>") == 300
    assert "On two scans." in shown.toPlainText()
    assert "0.35" in shown.toPlainText()


def test_a_result_that_cannot_be_right_has_its_numbers_greyed(qtbot: QtBot) -> None:
    """Red: every size in parentheses and grey, with the reason; unseen alone: that region, and no Dice for it."""
    legend = Legend(BRATS, OverlayStyle())
    qtbot.addWidget(legend)
    sizes, dice = {"WT": 356.9, "TC": 20.0, "ET": 0.0}, {"WT": 0.5, "TC": 0.4, "ET": 1.0}
    red = Trust((Reason("red", "no brain was found", "brain_not_found", "No brain was found."),))
    legend.show_measures(Measures(("flair", "t1ce"), sizes, dice, trust=red))
    assert legend.sizes["WT"].text() == "(356.9 mL)"
    assert "No brain was found." in legend.sizes["WT"].toolTip()
    assert all(legend.sizes[r.name].property("estimated") == "true" for r in BRATS.regions)
    legend.show_measures(Measures(("flair", "t2"), sizes, dice, trust=Trust()))
    assert legend.sizes["WT"].text() == "356.9 mL"
    assert legend.sizes["ET"].text() == "(0.0 mL)"
    assert legend.dices["ET"].text() == "–"
    assert legend.dices["WT"].text() == "0.50"


def test_pixels_say_over_which_frames_they_are_counted(qtbot: QtBot) -> None:
    """One image, or all frames of a sequence; a volume says nothing of frames."""
    legend = Legend(RGBD_SOD, OverlayStyle())
    qtbot.addWidget(legend)
    for frames, said in ((1, "size, of the frame"), (7, "size, of all 7 frames"), (0, "size")):
        legend.show_measures(Measures(("rgb",), {"object": 10.0}, frames=frames))
        assert legend._size_head.text() == said


def test_notes_take_one_line_until_they_are_asked_for(qtbot: QtBot) -> None:
    """“5 notes ▸”; open, the sentences are there and scroll within a fixed height."""
    notes = Notes()
    qtbot.addWidget(notes)
    notes.setText(
        "\n".join(f"Sentence {n}, which is long enough to take two lines of the dock." for n in range(5))
    )
    notes.resize(340, 400)
    notes.show()
    assert notes.button.text() == "5 notes ▸"
    low = notes.sizeHint().height()
    assert low < 40
    assert not notes.words.isVisible()
    qtbot.mouseClick(notes.button, Qt.MouseButton.LeftButton)
    assert notes.words.isVisible()
    assert notes.button.text() == "5 notes ▾"
    assert low < notes.sizeHint().height() < low + 150
    notes.setText("One.")
    assert notes.button.text() == "1 note ▾"


def test_a_line_is_cut_in_its_middle_and_keeps_its_words(qtbot: QtBot) -> None:
    """A long name never widens the dock; what tells it from others, its end, stays; the tip has all of it."""
    line = ElidedLabel("case")
    qtbot.addWidget(line)
    line.setText("a-very-long-name-of-a-case-0001")
    line.resize(90, 20)
    line.show()
    assert line.text() == "a-very-long-name-of-a-case-0001"
    assert QLabel.text(line).endswith("01")
    assert "…" in QLabel.text(line)
    assert line.toolTip() == line.text()
