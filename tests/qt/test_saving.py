"""One menu saves everything: each file names its case, DICOM goes back to DICOM, and nothing is replaced unasked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QMessageBox
from synthetic_dicom import CANARY, TIMES, write_series
from tiny import study
from waiting import PATIENCE, MakeStudy, until_error, until_final

from napari_mrseg._qt.dock import MrsegDock


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the dialog gives."""
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(folder))
    return folder


def export(folder: Path) -> Path:
    """Two DICOM series of one patient."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = 20, 18, -10
    for number, (name, description) in enumerate(
        {"flair": "AX T2 FLAIR", "t2": "AX T2 TSE"}.items(), start=2
    ):
        data = np.zeros((24, 20, 16), np.int32)
        data[3:-3, 3:-3, 3:-3] = np.random.default_rng(number).integers(100, 1200, (18, 14, 10))
        write_series(
            folder / name,
            data,
            affine,
            number=number,
            description=description,
            times=TIMES[name],
            seed=number,
        )
    return folder


def until_saved(qtbot: QtBot, dock: MrsegDock, what: str) -> None:
    qtbot.waitUntil(lambda: what in dock.panel.saved.text(), timeout=PATIENCE)


def test_a_dicom_seg_of_the_window_is_read_by_highdicom_and_simpleitk(
    qtbot: QtBot, dock: MrsegDock, tmp_path: Path, out: Path
) -> None:
    """The result on screen, and the copy edited by hand, voxel for voxel where the scan has them, in patient space."""
    import highdicom
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    dock.open([export(tmp_path / "export")])
    until_final(qtbot, dock)
    case = dock.case.text()
    dock.panel.edit_button.click()
    copy = dock.layers.copy
    current = dock.session.study
    assert copy is not None
    assert current is not None
    copy.data_setitem(np.nonzero(np.indices(copy.data.shape).sum(0) % 5 == 0), 3)
    dock.saver.save_seg()
    name = f"{case}_flair+t2_edited.dcm"
    until_saved(qtbot, dock, name)
    read = highdicom.seg.segread(out / name)
    assert read.number_of_segments == len(current.task.regions)
    assert read.get_segment_description(1).algorithm_type.value == "SEMIAUTOMATIC"
    volume = read.get_volume(combine_segments=False)
    image = sitk.ReadImage(str(out / name))
    source = current.images["flair"].source
    for number, region in enumerate(current.task.regions, start=1):
        mask = np.isin(np.asarray(copy.data), region.codes)
        for place in np.argwhere(mask)[:: max(1, mask.sum() // 40)]:
            ras = current.grid.matrix @ [*place, 1.0]
            lps = np.array([-ras[0], -ras[1], ras[2]])
            index = np.rint(volume.map_reference_to_indices(lps[None])[0]).astype(int)
            assert volume.array[(*index, number - 1)] == 1
        assert int(volume.array[..., number - 1].sum()) == int(mask.sum())
    expected = sum(int(np.isin(np.asarray(copy.data), region.codes).sum()) for region in current.task.regions)
    assert int((sitk.GetArrayFromImage(image) > 0).sum()) == expected
    assert source.grid.shape == (24, 20, 16)
    dock.toggle("t2")
    until_final(qtbot, dock)
    assert dock.session.shown is not None
    dock.saver.save_seg()
    until_saved(qtbot, dock, f"{case}_flair_mrseg.dcm")


def test_everything_is_saved_and_names_case_and_no_patient(
    qtbot: QtBot, dock: MrsegDock, tmp_path: Path, out: Path
) -> None:
    """NIfTI with JSON, DICOM SEG, lesions, PDF and HTML; none but the SEG names the patient, as DICOM asks."""
    dock.open([export(tmp_path / "export")])
    until_final(qtbot, dock)
    dock.saver.save_everything()
    until_saved(qtbot, dock, "files")
    case = dock.case.text()
    stem = f"{case}_flair+t2_mrseg"
    assert {path.name for path in out.iterdir()} == {
        f"{stem}.nii.gz", f"{stem}.dcm", f"{stem}_lesions.csv", f"{stem}_report.pdf",
        f"{case}_report.html", f"{case}_result.json",
    }  # fmt: skip
    for path in out.iterdir():
        if path.suffix != ".dcm":
            content = path.read_bytes()
            assert CANARY.encode() not in content, path.name
            assert str(tmp_path).encode() not in content, path.name
    said = json.loads((out / f"{case}_result.json").read_text())
    assert said["predictions"][0]["file"] == f"{stem}.nii.gz"


def test_lesions_saved_are_those_in_the_table(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, out: Path
) -> None:
    """A lesion taken out of the table is not in the CSV."""
    dock.open([make_study(shape=(24, 32, 28))])
    until_final(qtbot, dock)
    dock.panel.measure_button.click()
    dock.panel.lesions.region_chosen.emit("WT")
    qtbot.waitUntil(lambda: dock.measuring.table is not None and dock.measuring.settled, timeout=PATIENCE)
    table = dock.measuring.table
    assert table is not None
    assert table.items
    count = len(table.items)
    dock.panel.lesions.delete.emit((("lesion", 1),))
    dock.panel.lesions.save_button.click()
    until_saved(qtbot, dock, "_lesions.csv")
    (saved,) = out.glob("*.csv")
    assert saved.name.startswith("case-1_")
    rows = list(csv.DictReader(saved.open()))
    assert len(rows) == count - 1
    assert all(row["lesion"] != "1" for row in rows)


def test_two_patients_in_one_folder_do_not_touch_each_other_and_saving_again_asks_whose_it_is(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of two cases lie side by side; the question names the case and its combination; No changes nothing."""
    asked: list[str] = []

    def no(*args: Any) -> Any:
        asked.append(args[-1])
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", no)
    for case, seed in (("sub-01", 0), ("sub-02", 1)):
        dock.open([make_study(case=case, seed=seed)])
        qtbot.waitUntil(lambda case=case: dock.case.text() == case, timeout=PATIENCE)
        until_final(qtbot, dock)
        dock.saver.save_shown()
        until_saved(qtbot, dock, f"{case}_flair+t1+t1ce+t2_mrseg.nii.gz")
    assert not asked
    assert len(list(out.iterdir())) == 4
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    dock.saver.save_shown()
    assert "of case sub-02 (flair+t1+t1ce+t2; tiny 0.0), saved on " in asked[0]
    assert "sub-01" not in asked[0]
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    # Saved beside the scans, results are not taken for scans.
    monkeypatch.setattr(QMessageBox, "question", lambda *args: QMessageBox.StandardButton.Yes)
    folder = make_study(case="sub-03", seed=2)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(folder))
    dock.open([folder])
    qtbot.waitUntil(lambda: dock.case.text() == "sub-03", timeout=PATIENCE)
    until_final(qtbot, dock)
    dock.session.use(("flair",))
    until_final(qtbot, dock)
    dock.saver.save_shown()
    until_saved(qtbot, dock, "sub-03_flair_mrseg.nii.gz")
    dock.open([folder])
    qtbot.waitUntil(lambda: not dock.session.opening and dock.opener.asked is None, timeout=PATIENCE)
    assert dock.session.study is not None
    assert dock.session.study.images["flair"].source.path.name == "sub-03_flair.nii.gz"
    assert nib.load(folder / "sub-03_flair_mrseg.nii.gz").get_data_dtype() == np.uint8


def test_what_cannot_be_saved_is_said(qtbot: QtBot, dock: MrsegDock, out: Path) -> None:
    """Without a result nothing is asked; a DICOM SEG of NIfTI files is refused in a sentence and nothing is written."""
    for save in (
        dock.saver.save_seg,
        dock.saver.save_pdf,
        dock.saver.save_lesions,
        dock.saver.save_everything,
    ):
        dock.hush()
        save()
        assert "no finished segmentation" in until_error(qtbot, dock)
    dock.saver.save_html()
    assert "nothing to report" in until_error(qtbot, dock)
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.hush()
    dock.saver.save_seg()
    assert "needs scans read from DICOM" in until_error(qtbot, dock)
    assert not list(out.iterdir())


def test_what_was_saved_is_in_sight_while_editing(
    qtbot: QtBot, dock: MrsegDock, out: Path, make_study: MakeStudy
) -> None:
    """The tools of an edit fill what scrolls; where it was saved is said below, and takes no room before."""
    panel = dock.panel
    dock.resize(360, 560)
    dock.show()
    dock.open([make_study()])
    until_final(qtbot, dock)
    dock.edit()
    assert not panel.saved.isVisible()
    dock.saver.save_edited()
    until_saved(qtbot, dock, "edited.nii.gz")
    assert panel.saved.isVisible()
    assert not panel.scroll.isAncestorOf(panel.saved)
    qtbot.waitUntil(lambda: panel.saved.height() > 0 and panel.rect().contains(panel.saved.geometry()))
