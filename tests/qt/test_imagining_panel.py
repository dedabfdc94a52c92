"""An imagined scan in the window: it is marked wherever it can be seen, and is nobody's input."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from quick import NAMES, Dreamer, Quick, Reading, studies
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg import io
from napari_mrseg._qt.about import about_of, paths_of
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.key_names import key
from napari_mrseg._qt.watermark import Watermark
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.figures import save_contact_sheet
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model
from napari_mrseg.session.live_imagining import LIMITS, MOST
from napari_mrseg.session.state import Session

LEFT = Qt.MouseButton.LeftButton
MARK = "IMAGINED T1ce from FLAIR + T1 + T2: not a scan"


@pytest.fixture
def dreamer(tiny: Model) -> Dreamer:
    return Dreamer(tiny, doubt=1.5)  # an interval of 3: it cannot know anywhere


@pytest.fixture
def dock(dock: MrsegDock, dreamer: Dreamer) -> MrsegDock:
    dock.imagining.core._make = dreamer
    return dock


def settled(qtbot: QtBot, dock: MrsegDock) -> None:
    view = dock.imagining
    qtbot.waitUntil(
        lambda: (
            not view.core.busy
            and dock.settled
            and (view.layer is None) == (view.core.shown is None)
            and (view.core.shown is None or view.drawn is view.core.shown)
        ),
        timeout=PATIENCE,
    )


def imagined(qtbot: QtBot, dock: MrsegDock, name: str = "t1ce") -> Image:
    """Switch a modality off and have it imagined, as a user does."""
    if name in dock.session.combination:
        dock.toggle(name)
        until_final(qtbot, dock)
    qtbot.waitUntil(lambda: not dock.modalities.imagines[name].isHidden(), timeout=PATIENCE)
    qtbot.mouseClick(dock.modalities.imagines[name], LEFT)
    settled(qtbot, dock)
    layer = dock.imagining.layer
    assert layer is not None
    return layer


def names(dock: MrsegDock) -> list[str]:
    return [layer.name for layer in dock.viewer.layers if layer.visible]


def test_a_press_shows_it_marked_and_another_takes_it_away(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The button is there for what is off alone. The layer has its title, a frame, a fixed window, is read-only and
    says what it is; no scan lies beneath; a second press leaves all as it was."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    before = names(dock)
    buttons = dock.modalities.imagines
    assert all(button.isHidden() for button in buttons.values())
    layer = imagined(qtbot, dock)
    assert [name for name, button in buttons.items() if not button.isHidden()] == ["t1ce"]
    assert layer.name == "T1ce imagined from FLAIR + T1 + T2"
    assert tuple(layer.contrast_limits) == LIMITS
    assert not layer.editable
    assert not layer.data.flags.writeable
    assert about_of(layer)["mark"] == MARK
    assert layer.bounding_box.visible
    assert layer.bounding_box.lines
    assert dock.watermark.text == MARK
    assert names(dock) == [layer.name, "where the network cannot know", dock.layers.prediction.name]
    assert not dock.imagining.real.visible
    assert dock.panel.imagining.title.text() == "T1ce imagined from FLAIR + T1 + T2: not a scan"
    assert "tiny 0.0 · cpu fp32" in dock.panel.imagining.made.text()
    assert "contrast agent" in dock.panel.imagining.agent.text()
    assert not dock.panel.imagining.agent.isHidden()
    assert not any(view.isChecked() for view in dock.modalities.views.values())
    world = layer.data_to_world((0, 0, 0))
    start = dock.imagining.core.shown.start
    assert world == pytest.approx(dock.layers.images["flair"].data_to_world(start))
    qtbot.mouseClick(buttons["t1ce"], LEFT)
    settled(qtbot, dock)
    assert dock.watermark.text == ""
    assert dock.panel.imagining.isHidden()
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    assert names(dock) == before


def test_the_mark_follows_every_toggle(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """T2 off: name, mark and voxels are of FLAIR and T1; T1ce on: it is gone, and the scans are back."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    layer = imagined(qtbot, dock)
    first = layer.data
    dock.toggle("t2")
    until_final(qtbot, dock)
    settled(qtbot, dock)
    assert dock.imagining.layer is layer
    assert layer.name == "T1ce imagined from FLAIR + T1"
    assert dock.watermark.text == "IMAGINED T1ce from FLAIR + T1: not a scan"
    assert layer.data is not first
    assert names(dock)[0] == layer.name
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    settled(qtbot, dock)
    assert dock.imagining.layer is None
    assert dock.watermark.text == ""
    assert dock.layers.visible_images() == ("flair",)


def test_it_is_compared_with_the_real_scan(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """The slider blends the real one in, the difference takes its place with a mark that says so, the veil comes and
    goes, and one line has PSNR and SSIM of brain and tumour."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    layer, panel, view = imagined(qtbot, dock), dock.panel.imagining, dock.imagining
    found = view.core.shown.likeness
    assert panel.likeness.text() == (
        f"PSNR, SSIM: brain {found['brain'].psnr:.1f} dB, {found['brain'].ssim:.2f}"
        f" · WT {found['tumour'].psnr:.1f} dB, {found['tumour'].ssim:.2f}"
    )
    panel.blend.setValue(40)
    assert view.real.opacity == pytest.approx(0.4)
    assert view.real.visible
    assert dock.viewer.layers.index(view.real) > dock.viewer.layers.index(layer)
    assert dock.watermark.text == MARK
    panel.minus.click()
    assert not view.real.visible
    assert tuple(layer.contrast_limits) == (-MOST, MOST)
    assert np.array_equal(layer.data, view.core.shown.difference)
    assert dock.watermark.text == "IMAGINED T1ce from FLAIR + T1 + T2, minus the real T1ce: not a scan"
    panel.minus.click()
    assert tuple(layer.contrast_limits) == LIMITS
    assert np.array_equal(layer.data, view.core.shown.middle)
    panel.blend.setValue(0)
    assert not view.real.visible
    assert view.veil.visible
    panel.veil.click()
    assert not view.veil.visible


def test_what_is_absent_has_nothing_to_be_compared_with(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Without a T2 there is a button, but no slider and no numbers; enhancement is not spoken of."""
    dock.open([make_study(("flair", "t1"))])
    until_final(qtbot, dock)
    imagined(qtbot, dock, "t2")
    panel = dock.panel.imagining
    assert not dock.modalities.imagines["t1ce"].isHidden()
    assert panel.blend.isHidden() or panel.blend.parentWidget().isHidden()
    assert panel.likeness.isHidden()
    assert panel.agent.isHidden()
    assert dock.imagining.real is None


def test_a_duplicate_is_marked_too(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """A copy made by napari has frame and mark, also when the one that it is of is hidden or gone."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    layer = imagined(qtbot, dock)
    copy = Layer.create(*layer.as_layer_data_tuple())
    copy.name = "T1ce"
    dock.viewer.add_layer(copy)
    assert copy.bounding_box.visible
    layer.visible = False
    assert dock.watermark.text == MARK
    assert dock.layers.visible_images() != ()  # the scans are back beneath
    dock.viewer.layers.remove(layer)
    settled(qtbot, dock)
    assert dock.imagining.core.target is None
    assert dock.watermark.text == MARK
    copy.visible = False
    assert dock.watermark.text == ""


def test_another_canvas_is_marked_by_its_own_layers(dreamer: Dreamer) -> None:
    """The words are cut into lines that a small canvas holds, and shrink with it."""
    model = ViewerModel()
    mark = Watermark(model)
    model.add_image(np.zeros((4, 5, 6)), name="T1ce", metadata={"mrseg": {"mark": MARK}})
    model.canvas.size = (800, 1000)
    assert "\n" not in mark._overlay.text
    large = mark._overlay.font_size
    model.canvas.size = (160, 200)
    assert "\n" in mark._overlay.text
    assert mark.text == MARK
    assert mark._overlay.font_size < large
    mark.close()
    assert not [name for name in model.canvas.overlays if "watermark" in name]


def test_it_is_nobodys_input(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No layer of it names files, so that no dock adopts it; it is not among the files of the rows; it is not written
    as labels; the session's study is what it was; a window of T1ce that the user set does not reach it."""
    from napari_mrseg._contributions import write_labels

    dock.open([make_study()])
    until_final(qtbot, dock)
    study, images = dock.session.study, dict(dock.session.study.images)
    dock.window_level.set_preset("bright parts")
    layer = imagined(qtbot, dock)
    ours = [one for one in (layer, dock.imagining.real, dock.imagining.veil) if one is not None]
    for one in ours:
        assert paths_of(one) == ()
        assert "modality" not in about_of(one)
        with pytest.raises(InputError, match="was not made by MRSeg"):
            write_labels("there.nii.gz", one.data, {"name": one.name, "metadata": one.metadata})
    offered = [combo.itemText(i) for combo in dock.modalities.combos.values() for i in range(combo.count())]
    assert not [text for text in offered if "imagined" in text.lower()]
    dock.next_window()
    assert tuple(layer.contrast_limits) == LIMITS
    assert dock.session.study is study
    assert dict(study.images) == images
    others = [one for one in dock.viewer.layers if one not in ours]
    with dock.layers._quietly():
        for one in others:
            dock.viewer.layers.remove(one)
    assert dock.opener.read_before() == []


def test_no_figure_holds_it(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path) -> None:
    """The contact sheet, as figure and report draw it, is byte for byte the same while something is imagined."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.toggle("t1ce")
    until_final(qtbot, dock)

    def sheet(name: str) -> bytes:
        session = dock.session
        comparison = Comparison(session.study, session.predictions.values())
        save_contact_sheet(comparison, tmp_path / name, axis=0, index=5)
        return (tmp_path / name).read_bytes()

    before = sheet("before.png")
    assert sheet("again.png") == before
    imagined(qtbot, dock)
    assert sheet("after.png") == before


def test_it_is_saved_under_a_name_that_says_so(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Save menu names it; without one the entry is off. The file is refused where scans are read."""
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(out))
    dock.open([make_study()])
    until_final(qtbot, dock)
    menu = dock.panel.save_button.menu()
    action = menu.actions()[-1]
    menu.aboutToShow.emit()
    assert not action.isEnabled()
    dock.saver.save_imagined()
    assert "Nothing is imagined" in until_error(qtbot, dock)
    imagined(qtbot, dock)
    menu.aboutToShow.emit()
    assert action.isEnabled()
    assert action.text() == "T1ce imagined from FLAIR + T1 + T2 …"
    action.trigger()
    qtbot.waitUntil(lambda: "not a scan" in dock.panel.saved.text(), timeout=PATIENCE)
    written = out / "case-1_imagined-t1ce_from_flair+t1+t2.nii.gz"
    assert written.exists()
    with pytest.raises(InputError):
        io.open_study([f"t1ce={written}"])


def test_a_key_goes_through_what_can_be_imagined(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """The key: T1ce, T2, none; the next scan by its key ends it as well. With all on it does nothing."""
    act = next(row.act for row in dock.keys.rows if row.key == key("imagine"))
    act()
    assert dock.error.text() == ""
    dock.open([make_study(("flair", "t1"))])
    until_final(qtbot, dock)
    seen = []
    for _ in range(3):
        act()
        seen.append(dock.imagining.core.target)
        settled(qtbot, dock)
    assert seen == ["t1ce", "t2", None]
    act()
    settled(qtbot, dock)
    dock.next_view()
    settled(qtbot, dock)
    assert dock.imagining.core.target is None
    assert dock.layers.visible_images() == ("flair",) or dock.layers.visible_images() == ("t1",)


@pytest.fixture
def swift(
    qtbot: QtBot, tiny: Model, dreamer: Dreamer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MrsegDock]:
    """A dock on studies that cost little."""
    monkeypatch.setattr(io, "open_study", Reading(studies()))
    session = Session(device="cpu")
    session.set_predictor(Quick(tiny))
    dock = MrsegDock(ViewerModel(), session)
    dock.imagining.core._make = dreamer
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.end()


def test_it_goes_with_its_study(qtbot: QtBot, swift: MrsegDock) -> None:
    """In the call that asks for another study no layer, mark or word of it is left, nor its arrays later."""
    dock, arrays = swift, []
    for name in NAMES[:3]:
        dock.open([f"/studies/{name}"])
        assert dock.imagining.layer is None
        assert dock.watermark.text == ""
        assert not [layer for layer in dock.viewer.layers if "imagined" in layer.name]
        qtbot.waitUntil(lambda name=name: dock.case.text() == name, timeout=PATIENCE)
        until_final(qtbot, dock)
        assert dock.panel.imagining.isHidden()
        assert all(button.isHidden() for button in (dock.modalities.imagines["flair"],))
        layer = imagined(qtbot, dock)
        arrays += [weakref.ref(layer), weakref.ref(dock.imagining.core.shown)]
        del layer
    dock.open([f"/studies/{NAMES[3]}"])
    qtbot.waitUntil(lambda: dock.case.text() == NAMES[3], timeout=PATIENCE)
    until_final(qtbot, dock)
    gc.collect()
    assert [ref for ref in arrays if ref() is not None] == []
