"""The dock shows its session truthfully, asks it properly, and never loses an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from synthetic_bundle import bundle
from tiny import study
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.assign import AssignDialog
from napari_mrseg._qt.dock import MrsegDock, dock_of
from napari_mrseg._qt.importing import ImportDialog
from napari_mrseg._qt.layers import STALE_OPACITY
from napari_mrseg.degrade import DEGRADATIONS
from napari_mrseg.errors import InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.session.state import Session
from napari_mrseg.study import Note


def looks(dock: MrsegDock) -> list[tuple[str, bool, int]]:
    """What a user sees in the layer list: names, visibility, and which arrays they are."""
    return [(layer.name, layer.visible, id(layer.data)) for layer in dock.viewer.layers]


def overlay(dock: MrsegDock) -> Any:
    assert dock.layers.prediction is not None
    return dock.layers.prediction.data


def opened(qtbot: QtBot, dock: MrsegDock, **options: Any) -> None:
    dock.session.set_study(study(**options))
    until_final(qtbot, dock)


def test_a_runtime_error_in_the_engine_is_said_and_layers_stay(
    qtbot: QtBot, dock: MrsegDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A RuntimeError in the network, which napari's own workers lose, becomes a sentence; the layers stay."""
    opened(qtbot, dock)
    before = looks(dock)

    def out_of_memory(*args: Any, **options: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(Engine, "run", out_of_memory)
    dock.session.run()
    dock.toggle("t2")
    assert "CUDA out of memory" in until_error(qtbot, dock)
    qtbot.waitUntil(lambda: dock.session.running is None, timeout=PATIENCE)
    assert not dock.error.isHidden()
    after = looks(dock)
    assert [look[2] for look in after] == [look[2] for look in before]
    assert "STALE" in dock.banner.text()
    assert dock.runbar.button.text() == "Run"


def test_bad_input_is_said_and_layers_stay(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """A file that cannot be used gives the library's sentence in the dock; study and layers stay as they were."""
    opened(qtbot, dock)
    before = looks(dock)
    bad = tmp_path / "x_flair.nii.gz"
    bad.write_text("not a scan")
    dock.open([bad])
    sentence = until_error(qtbot, dock)
    assert "x_flair.nii.gz" in sentence
    assert looks(dock) == before
    assert dock.case.text() == "synthetic"
    assert "Reading" not in dock.runbar.stage.text()


def test_missing_modalities_are_greyed(qtbot: QtBot, dock: MrsegDock) -> None:
    """What was found can be switched; what is missing is there, greyed and off."""
    opened(qtbot, dock, names=("flair", "t2"))
    checks = dock.modalities.checks
    assert {n: c.isEnabled() for n, c in checks.items()} == {
        "flair": True, "t1": False, "t1ce": False, "t2": True,
    }  # fmt: skip
    assert {n: c.isChecked() for n, c in checks.items()} == {
        "flair": True, "t1": False, "t1ce": False, "t2": True,
    }  # fmt: skip


def test_the_reason_for_an_assignment_is_shown(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """The tooltip of a modality names its file and says why it was taken for that."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    tip = dock.modalities.checks["t1ce"].toolTip()
    assert "case-1_t1ce.nii.gz" in tip
    assert dock.session.study is not None
    assert dock.session.study.images["t1ce"].source.reason in tip
    assert "Alt+3" in tip


def test_estimated_regions_are_greyed_and_say_why(qtbot: QtBot, dock: MrsegDock) -> None:
    """Without post-contrast T1 the enhancing tumour is greyed and called not observable, and only then."""
    opened(qtbot, dock)
    note, size = dock.legend.notes["ET"], dock.legend.sizes["ET"]
    assert note.isHidden()
    assert size.property("estimated") == "false"
    colour = dock.layers.prediction.colormap.map(3)  # type: ignore[union-attr]
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    assert not note.isHidden()
    assert note.text() == "no contrast: not observable"
    assert size.property("estimated") == "true"
    assert dock.legend.sizes["WT"].property("estimated") == "false"
    greyer = dock.layers.prediction.colormap.map(3)  # type: ignore[union-attr]
    assert np.ptp(greyer[:3]) < np.ptp(colour[:3]) / 2


def test_the_legend_holds_the_sizes_of_what_is_shown(qtbot: QtBot, dock: MrsegDock) -> None:
    """Sizes in mL are those of the prediction on screen; Dice appears where there is a reference."""
    opened(qtbot, dock, reference=True)
    shown = dock.session.shown
    assert shown is not None
    for region, size in shown.sizes.items():
        assert dock.legend.sizes[region].text() == f"{size:.1f} mL"
    qtbot.waitUntil(lambda: dock.legend.dices["WT"].text() != "", timeout=PATIENCE)
    inside, truth = shown.labels > 0, dock.session.study.reference.labels > 0  # type: ignore[union-attr]
    dice = 2 * (inside & truth).sum() / (inside.sum() + truth.sum())
    assert dock.legend.dices["WT"].text() == f"{dice:.2f}"


def test_what_is_on_screen_is_always_said(qtbot: QtBot, dock: MrsegDock) -> None:
    """Dock and canvas carry the session's line at every moment: before, while and after computing."""
    assert "No study open" in dock.banner.text()
    opened(qtbot, dock)
    canvas = " ".join(dock.viewer.canvas.overlays.text.text.split())
    for word in ("combination 1 of 15", "tiny 0.0", "final at 1 mm", "cpu", "research use only"):
        assert word in dock.banner.text()
        assert word in canvas
    assert dock.viewer.canvas.overlays.text.visible
    assert dock.viewer.canvas.overlays.scale_bar.visible


def test_a_stale_overlay_stays_dimmed_and_marked(
    qtbot: QtBot, dock: MrsegDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cancelled toggle the old overlay is still there, dimmer, and marked in layer, dock and canvas."""
    opened(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    data, opacity = layer.data, layer.opacity
    monkeypatch.setattr(dock.session._live, "request", lambda *args, **options: None)
    dock.toggle("t2")
    qtbot.waitUntil(lambda: dock.banner.property("state") == "stale", timeout=PATIENCE)
    assert layer.data is data
    assert layer.opacity == pytest.approx(STALE_OPACITY * opacity)
    assert "STALE" in layer.name
    assert "STALE" in dock.banner.text()
    assert "STALE" in dock.viewer.canvas.overlays.text.text
    assert dock.legend.sizes["WT"].text().endswith("*")


def test_the_canvas_names_the_overlay_at_once_and_the_dock_follows(qtbot: QtBot, dock: MrsegDock) -> None:
    """Overlay and the line on the canvas change together; layer list, legend and banner come right after."""
    opened(qtbot, dock)
    dock.toggle("t1ce")
    until_final(qtbot, dock)
    layer, session = dock.layers.prediction, dock.session
    assert layer is not None
    session.toggle("t1ce")  # remembered
    assert session.shown is not None
    assert not session.stale
    dock.bridge.flush()
    assert layer.data is session.shown.labels
    said = " ".join(dock.viewer.canvas.overlays.text.text.split())
    assert "combination 1 of 15: FLAIR + T1 + T1ce + T2" in said
    assert not dock.settled
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    assert layer.name == "Segmentation: FLAIR+T1+T1ce+T2"
    assert "combination 1 of 15: FLAIR + T1 + T1ce + T2" in dock.banner.text()
    assert dock.legend.notes["ET"].isHidden()
    assert dock.legend.sizes["WT"].text() == f"{session.shown.sizes['WT']:.1f} mL"
    assert dock.layers.images["t1ce"].name == "T1ce"


def test_a_toggle_changes_nothing_that_looks_the_same(qtbot: QtBot, dock: MrsegDock) -> None:
    """No layer is shown, hidden, faded or locked anew by a toggle that leaves it so: each would redraw the window."""
    opened(qtbot, dock)
    dock.toggle("t2")
    until_final(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    heard: list[str] = []
    for one in (*dock.layers.images.values(), layer):
        for name in ("visible", "opacity", "editable", "colormap"):
            getattr(one.events, name).connect(lambda event: heard.append(event.type))
    dock.toggle("t2")  # remembered, and not the image on screen
    until_final(qtbot, dock)
    assert heard == []
    assert not layer.editable


def test_with_all_modalities_off_nothing_is_segmented_and_nothing_is_wrong(
    qtbot: QtBot, dock: MrsegDock
) -> None:
    """All off is a state, said in dock and canvas: an empty overlay, no volume, no error; on again it shows its own."""
    opened(qtbot, dock, names=("flair",))
    before = overlay(dock).copy()
    dock.modalities.checks["flair"].click()
    qtbot.waitUntil(lambda: "all modalities are off" in dock.banner.text(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: dock.settled, timeout=PATIENCE)
    assert dock.error.text() == ""
    assert not dock.modalities.checks["flair"].isChecked()
    assert "all modalities are off" in dock.viewer.canvas.overlays.text.text
    assert not overlay(dock).any()
    assert dock.legend.sizes["WT"].text() == "– mL"
    assert dock.layers.visible_images() == ()
    assert dock.session.running is None
    dock.modalities.checks["flair"].click()
    until_final(qtbot, dock, ("flair",))
    assert np.array_equal(overlay(dock), before)
    assert dock.layers.visible_images() == ("flair",)


def test_an_image_switched_off_is_hidden_and_marked_and_comes_back(qtbot: QtBot, dock: MrsegDock) -> None:
    """The scan behind the overlay follows its switch; another in use stands in, and views come back as they were."""
    opened(qtbot, dock)
    images = dock.layers.images
    assert dock.layers.visible_images() == ("flair",)
    dock.toggle("flair")
    until_final(qtbot, dock)
    assert dock.layers.visible_images() == ("t1",)
    assert images["flair"].name == "FLAIR (off)"
    dock.toggle("flair")
    until_final(qtbot, dock)
    assert dock.layers.visible_images() == ("flair",)
    assert images["flair"].name == "FLAIR"
    dock.modalities.views["t2"].click()
    assert dock.layers.visible_images() == ("t2",)


def test_the_prediction_cannot_be_edited_but_a_copy_can(qtbot: QtBot, dock: MrsegDock) -> None:
    """Painting in the copy leaves the cached prediction alone, and a toggle leaves the copy alone."""
    opened(qtbot, dock)
    shown = dock.session.shown
    assert shown is not None
    assert dock.layers.prediction is not None
    assert not dock.layers.prediction.editable
    before = shown.labels.copy()
    dock.panel.edit_button.click()
    copy = dock.layers.edited()
    assert copy is not None
    assert copy.editable
    assert "FLAIR+T1+T1ce+T2" in copy.name
    assert "tiny 0.0" in copy.name
    copy.paint((12, 16, 14), 3)
    painted = copy.data.copy()
    dock.toggle("t1")
    until_final(qtbot, dock)
    assert np.array_equal(shown.labels, before)
    assert np.array_equal(copy.data, painted)
    assert not np.array_equal(painted, before)
    assert copy in dock.viewer.layers


def test_one_result_is_on_screen_and_it_is_named_measured_drawn_and_saved(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy edited by hand in front: label, volumes, Dice, outline, regions, jump and Save are the copy's."""
    from qtpy.QtWidgets import QFileDialog

    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(out))
    dock.open([make_study()])
    until_final(qtbot, dock)
    shown, study = dock.session.shown, dock.session.study
    assert shown is not None
    assert study is not None
    assert study.reference is not None
    before = shown.labels.copy()
    dock.panel.edit_button.click()
    copy = dock.layers.copy
    assert copy is not None
    assert "EDITED" not in dock.banner.text()
    assert "segmentation hidden" not in dock.banner.text()
    assert "not saved" not in dock.banner.text()
    copy.brush_size = 5
    copy.paint((6, 7, 5), 3)
    qtbot.waitUntil(lambda: sizes(dock) == measured(copy, dock), timeout=PATIENCE)
    assert not np.array_equal(copy.data, before)
    inside, truth = np.asarray(copy.data) == 3, study.reference.labels == 3
    dice = 2 * (inside & truth).sum() / (inside.sum() + truth.sum())
    assert dock.legend.dices["ET"].text() == f"{dice:.2f}"
    assert "EDITED BY HAND: flair+t1+t1ce+t2" in dock.banner.text()
    assert "EDITED BY HAND" in dock.viewer.canvas.overlays.text.text
    assert "not saved" in dock.banner.text()
    copy.undo()
    qtbot.waitUntil(lambda: sizes(dock) == measured(copy, dock), timeout=PATIENCE)
    assert np.array_equal(copy.data, before)
    copy.redo()
    dock.legend.outline.click()
    dock.legend.labels[2].click()
    dock.legend.opacity.setValue(30)
    assert copy.contour > 0
    assert copy.colormap.map(2)[3] == 0
    assert copy.opacity == pytest.approx(0.3)
    assert "NOT DRAWN: oedema" in dock.viewer.canvas.overlays.text.text
    dock.panel.save_button.click()
    saved = out / "case-1_flair+t1+t1ce+t2_edited.nii.gz"
    qtbot.waitUntil(saved.exists, timeout=PATIENCE)
    assert [file.name for file in out.iterdir()] == [saved.name]
    read = study.images["flair"].source.to_ipl(np.asarray(nib.load(saved).dataobj))
    assert np.array_equal(read, copy.data)
    qtbot.waitUntil(lambda: "not saved" not in dock.banner.text(), timeout=PATIENCE)
    assert saved.name in dock.panel.saved.text()
    assert str(out) in dock.panel.saved.text()
    assert np.array_equal(shown.labels, before)


def test_a_toggle_brings_the_prediction_to_the_front_and_keeps_the_copy(
    qtbot: QtBot, dock: MrsegDock
) -> None:
    """What was asked for is drawn, named and measured; the copy is hidden, unchanged, and comes back by its eye."""
    opened(qtbot, dock)
    dock.panel.edit_button.click()
    copy = dock.layers.copy
    assert copy is not None
    copy.paint((12, 16, 14), 3)
    painted = copy.data.copy()
    dock.modalities.checks["t1"].click()
    until_final(qtbot, dock, ("flair", "t1ce", "t2"))
    shown = dock.session.shown
    assert shown is not None
    assert not copy.visible
    assert dock.layers.prediction is not None
    assert dock.layers.prediction.visible
    assert "EDITED" not in dock.banner.text()
    assert "EDITED" not in dock.viewer.canvas.overlays.text.text
    assert sizes(dock) == {name: f"{size:.1f} mL" for name, size in shown.sizes.items()}
    assert np.array_equal(copy.data, painted)
    copy.visible = True  # the eye in napari's list
    assert not dock.layers.prediction.visible
    assert "EDITED BY HAND: flair+t1+t1ce+t2" in dock.banner.text()
    qtbot.waitUntil(lambda: sizes(dock) == measured(copy, dock), timeout=PATIENCE)
    dock.legend.overlay.click()
    assert not copy.visible
    assert "segmentation hidden" in dock.banner.text()
    dock.layers.prediction.visible = True
    assert not copy.visible
    assert "EDITED" not in dock.banner.text()
    assert dock.legend.overlay.isChecked()
    dock.viewer.layers.remove(copy)
    assert dock.layers.copy is None


def sizes(dock: MrsegDock) -> dict[str, str]:
    return {name: label.text() for name, label in dock.legend.sizes.items()}


def measured(copy: Any, dock: MrsegDock) -> dict[str, str]:
    """The sizes of what is drawn, counted here."""
    voxel = float(np.prod(copy.scale)) / 1000
    data = np.asarray(copy.data)
    return {r.name: f"{np.isin(data, list(r.codes)).sum() * voxel:.1f} mL" for r in dock.session.task.regions}


def test_a_new_study_replaces_our_layers_only(qtbot: QtBot, dock: MrsegDock) -> None:
    """Layers of the user's own survive the opening of another study; ours are replaced."""
    opened(qtbot, dock)
    mine = dock.viewer.add_points([[1, 2, 3]], name="mine")
    old = dock.layers.prediction
    opened(qtbot, dock, names=("t1", "t2"), case="next")
    names = [layer.name for layer in dock.viewer.layers]
    assert mine in dock.viewer.layers
    assert old not in dock.viewer.layers
    assert sorted(names) == ["Segmentation: T1+T2", "T1", "T2", "mine"]
    assert dock.case.text() == "next"


def test_a_study_opens_in_3d_under_a_pointer_that_did_not_move(qtbot: QtBot, dock: MrsegDock) -> None:
    """With the canvas in 3-D and the pointer at rest on it all layers come, and the status bar can be asked."""
    dock.viewer.dims.ndisplay = 3
    dock.viewer.mouse_over_canvas = True
    opened(qtbot, dock)
    assert len(dock.viewer.layers) == 5
    dock.viewer.dims.ndisplay = 2
    dock.viewer.cursor._view_direction = None  # as napari leaves it after a move in 2-D
    dock.viewer.dims.ndisplay = 3
    dock.viewer.update_status_from_cursor()


def test_layers_lie_in_mm(qtbot: QtBot, dock: MrsegDock) -> None:
    """Spacing is the layers' scale, in mm, with no rotation: napari slices oblique affines wrongly."""
    opened(qtbot, dock, spacing=2.0)
    for layer in dock.viewer.layers:
        assert tuple(layer.scale) == (2.0, 2.0, 2.0)
        assert {str(unit) for unit in layer.units} == {"millimeter"}
        assert np.array_equal(layer.affine.affine_matrix, np.eye(4))


def test_regions_can_be_hidden_outlined_and_faded(qtbot: QtBot, dock: MrsegDock) -> None:
    """Each label, the outline and the opacity follow their controls and outlast a toggle."""
    opened(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    dock.legend.labels[2].click()
    dock.legend.outline.click()
    dock.legend.opacity.setValue(30)
    for _ in range(2):
        assert layer.colormap.map(2)[3] == 0
        assert layer.colormap.map(1)[3] == 1
        assert layer.contour > 0
        assert layer.opacity == pytest.approx(0.3)
        dock.toggle("t1")
        until_final(qtbot, dock)


def test_the_region_under_the_cursor_is_named(qtbot: QtBot, dock: MrsegDock) -> None:
    """The status bar's text for a voxel of the overlay holds the region's name."""
    opened(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    code = int(layer.data.max())
    voxel = np.argwhere(layer.data == code)[0]
    dock.viewer.dims.set_current_step((0, 1, 2), tuple(int(v) for v in voxel))
    title = next(la.title for la in dock.session.task.labels if la.code == code)
    assert title in layer.get_status(tuple(voxel), world=True)["coordinates"]


def test_cancel_stops_and_leaves_what_is_there(
    qtbot: QtBot, dock: MrsegDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel during a run: the button turns back to Run, nothing arrives later, the old overlay stays."""
    opened(qtbot, dock)
    first = dock.session.shown
    from threading import Event

    going = Event()

    def endless(self: Engine, *args: Any, check: Any, **options: Any) -> Any:
        going.set()
        while True:
            check()
            Event().wait(0.01)
        yield

    monkeypatch.setattr(Engine, "run", endless)
    dock.toggle("t2")
    assert going.wait(10)
    qtbot.waitUntil(lambda: dock.runbar.button.text() == "Cancel", timeout=PATIENCE)
    dock.runbar.button.click()
    qtbot.waitUntil(lambda: dock.runbar.button.text() == "Run", timeout=PATIENCE)
    assert dock.session.shown is first
    assert "STALE" in dock.banner.text()
    assert dock.error.text() == ""


def test_correcting_an_assignment_swaps_two_files(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy
) -> None:
    """Choosing the T1ce file for T1 gives T1ce the file that T1 had; the data follow."""
    dock.open([make_study()])
    until_final(qtbot, dock)
    before = {n: i.data for n, i in dock.session.study.images.items()}  # type: ignore[union-attr]
    combo = dock.modalities.combos["t1"]
    index = next(i for i in range(combo.count()) if "t1ce" in str(combo.itemData(i)))
    study_before = dock.session.study
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    qtbot.waitUntil(lambda: dock.session.study is not study_before, timeout=PATIENCE)
    until_final(qtbot, dock)
    after = dock.session.study.images  # type: ignore[union-attr]
    assert np.array_equal(after["t1"].data, before["t1ce"])
    assert np.array_equal(after["t1ce"].data, before["t1"])
    assert np.array_equal(dock.layers.images["t1"].data, before["t1ce"])
    assert "by hand" in dock.modalities.checks["t1"].toolTip()


def test_a_file_left_aside_can_be_given_a_role(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """A scan whose name says nothing is offered for a missing modality, and opens as it."""
    folder = make_study(("flair", "t2"))
    (folder / "case-1_t2.nii.gz").rename(folder / "case-1_scan4.nii.gz")
    dock.open([folder])
    until_final(qtbot, dock)
    assert dock.session.combination == ("flair",)
    combo = dock.modalities.combos["t2"]
    index = next(i for i in range(combo.count()) if "scan4" in str(combo.itemData(i)))
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    until_final(qtbot, dock, ("flair", "t2"))


def test_saving_too_early_is_refused_with_a_sentence(qtbot: QtBot, dock: MrsegDock) -> None:
    """Without a finished segmentation nothing is asked and nothing is written."""
    dock.saver.save_shown()
    assert "no finished segmentation to save" in until_error(qtbot, dock)
    dock.saver.save_edited()
    assert "no edited copy" in until_error(qtbot, dock)
    with pytest.raises(InputError, match="no finished segmentation to edit"):
        dock.layers.edit_copy()


def test_saved_twice_asks_before_it_replaces(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first save writes label file and result.json; the second asks, and “No” leaves both as they were."""
    from qtpy.QtWidgets import QFileDialog, QMessageBox

    asked = []

    def no(*args: Any) -> Any:
        asked.append(args[-1])
        return QMessageBox.StandardButton.No

    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(out))
    monkeypatch.setattr(QMessageBox, "question", no)
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.saver.save_shown()
    qtbot.waitUntil(lambda: (out / "case-1_result.json").exists(), timeout=PATIENCE)
    assert (out / "case-1_flair+t1+t1ce+t2_mrseg.nii.gz").exists()
    assert not asked
    time = (out / "case-1_result.json").stat().st_mtime_ns
    dock.saver.save_shown()
    assert "case-1_flair+t1+t1ce+t2_mrseg.nii.gz" in asked[0]
    assert "of case case-1 (flair+t1+t1ce+t2; tiny 0.0), saved on " in asked[0]
    assert (out / "case-1_result.json").stat().st_mtime_ns == time


def test_the_model_drop_down_takes_another_model(qtbot: QtBot, dock: MrsegDock) -> None:
    """An unknown model is refused with a sentence, and the old one stays."""
    opened(qtbot, dock)
    dock.runbar.model_chosen.emit("no-such-model")
    assert "no-such-model" in until_error(qtbot, dock)
    assert dock.session.model is not None
    assert dock.session.model.card.name == "tiny"


def test_a_monai_bundle_is_imported_by_a_form(
    qtbot: QtBot, dock: MrsegDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drop-down's last line asks for it; it is taken, computes what it can, and says what else it needs."""
    monkeypatch.setenv("MRSEG_MODELS", str(tmp_path / "models"))
    opened(qtbot, dock)
    models = dock.runbar.models
    asked: list[bool] = []
    dock.runbar.import_asked.connect(lambda: asked.append(True))
    before = models.currentText()
    models.setCurrentIndex(models.count() - 1)
    models.activated.emit(models.count() - 1)
    assert asked
    assert models.currentText() == before  # a request, not a choice
    dialog = dock.findChild(ImportDialog)
    dialog.form.folder.value = bundle(tmp_path / "b")
    dialog.form.model_name.value = "from-monai"
    dialog.form.call_button.native.click()
    qtbot.waitUntil(
        lambda: dock.session.model is not None and dock.session.model.card.name == "from-monai",
        timeout=PATIENCE,
    )
    qtbot.waitUntil(lambda: models.currentText() == "from-monai", timeout=PATIENCE)
    qtbot.waitUntil(lambda: dock.result.state == "final", timeout=PATIENCE)
    dock.toggle("t1")
    qtbot.waitUntil(lambda: dock.result.state == "none", timeout=PATIENCE)
    qtbot.waitUntil(lambda: "and T1 is missing or off" in dock.banner.text(), timeout=PATIENCE)
    assert not dock.runbar.button.isEnabled()
    assert not dock.error.isVisible()
    dock.toggle("t1")
    qtbot.waitUntil(lambda: dock.result.state == "final", timeout=PATIENCE)


def test_a_bundle_that_is_none_is_said(qtbot: QtBot, dock: MrsegDock, tmp_path: Path) -> None:
    """The form's answer is one sentence in the dock, and the model stays."""
    dialog = dock.choosing.import_model()
    dialog.form.folder.value = tmp_path
    dialog.form.call_button.native.click()
    assert "is no MONAI bundle" in until_error(qtbot, dock)
    assert dock.session.model is not None
    assert dock.session.model.card.name == "tiny"


def test_a_missing_device_is_said(qtbot: QtBot, dock: MrsegDock) -> None:
    """Choosing a GPU that is not there gives a sentence; the device stays, and so does the list's choice."""
    qtbot.waitUntil(lambda: dock.runbar.devices.count() > 0, timeout=PATIENCE)
    dock.runbar.device_chosen.emit("cuda:77")
    assert "cuda:77" in until_error(qtbot, dock)
    assert dock.session.device == "cpu"
    assert dock.runbar.devices.currentData() == "cpu"


def test_closing_the_dock_stops_the_session(qtbot: QtBot, session: Session) -> None:
    """A dock that is gone leaves no thread, no keys and no letters behind."""
    viewer = ViewerModel()
    dock = MrsegDock(viewer, session)
    assert dock_of(viewer) is dock
    session.set_study(study())
    until_final(qtbot, dock)
    thread = session._live._thread
    assert thread is not None
    dock.deleteLater()
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=PATIENCE)
    assert session.study is None
    assert dock_of(viewer) is None
    assert not [name for name in viewer.canvas.overlays if name.startswith("mrseg_")]
    assert not viewer.keymap


def test_files_whose_names_say_nothing_can_be_assigned(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After “two FLAIRs” or “nothing recognised” the dock offers to say which file is which, and opens them so."""
    folder = make_study(("flair", "t1"), seg=False)
    for number, old in enumerate(sorted(folder.iterdir())):
        old.rename(folder / f"scan{number}.nii.gz")
    dock.open([folder])
    assert "No modality was recognised" in until_error(qtbot, dock)
    assert not dock.panel.which_button.isHidden()

    def fill(dialog: AssignDialog) -> int:
        assert [combo.currentData() for combo in dialog.combos.values()] == [None, None]
        for combo, role in zip(dialog.combos.values(), ("t2", "flair"), strict=True):
            combo.setCurrentIndex(combo.findData(role))
        return 1

    monkeypatch.setattr(AssignDialog, "exec", fill)
    dock.panel.which_button.click()
    until_final(qtbot, dock, ("flair", "t2"))
    assert dock.error.text() == ""
    assert dock.panel.which_button.isHidden()
    assert dock.modalities.combos["flair"].currentData().endswith("scan1.nii.gz")


def test_warnings_of_study_and_result_are_said_once(qtbot: QtBot, dock: MrsegDock) -> None:
    """The notes of the scans and of the result on screen stand in the dock, each sentence once, a line each."""
    doubt = Note("no_units", "case_flair.nii.gz states no unit: millimetres are assumed.")
    dock.session.set_study(replace(study(), notes=(doubt,)))
    until_final(qtbot, dock)
    assert dock.panel.notes.text() == doubt.message
    shown = dock.session.shown
    assert shown is not None
    assert doubt in shown.notes
    memory = Note("out_of_memory", "cuda:0 ran out of memory; computing on the CPU from now on.")
    dock.session.shown = replace(shown, notes=(*shown.notes, memory))
    dock.session.shown_changed.emit()
    qtbot.waitUntil(lambda: memory.message in dock.panel.notes.text(), timeout=PATIENCE)
    assert dock.panel.notes.text().splitlines() == [doubt.message, memory.message]
    assert not dock.panel.notes.isHidden()
    dock.session.set_study(study(spacing=2.0))
    qtbot.waitUntil(lambda: dock.panel.notes.text() == "", timeout=PATIENCE)
    assert dock.panel.notes.isHidden()


def test_degraded_voxels_are_shown(qtbot: QtBot, dock: MrsegDock) -> None:
    """The image on screen is the one the segmentation was made from, also when it was made worse on purpose."""
    opened(qtbot, dock)
    before = dock.layers.images["flair"].data
    dock.session.degrade("flair", next(iter(DEGRADATIONS)), 0.8)
    until_final(qtbot, dock)
    assert dock.session.study is not None
    assert dock.layers.images["flair"].data is dock.session.study.images["flair"].data
    assert not np.array_equal(dock.layers.images["flair"].data, before)
