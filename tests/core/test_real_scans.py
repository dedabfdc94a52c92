"""The whole way, on real scans, with the bundled model: from a folder to label files on the scans' own grid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_mrseg import cli
from napari_mrseg.tasks import BRATS, key

pytestmark = pytest.mark.real

GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units",
)  # fmt: skip


def same_geometry(labels: Path, scan: Path) -> None:
    """Field by field, with nibabel alone."""
    ours, theirs = nib.load(labels), nib.load(scan)
    assert ours.shape == theirs.shape
    assert np.array_equal(ours.affine, theirs.affine)
    for field in GEOMETRY:
        assert np.array_equal(ours.header[field], theirs.header[field]), field
    assert bytes(ours.header["descrip"]).strip(b"\0") == b""
    assert bytes(ours.header["aux_file"]).strip(b"\0") == b""
    assert not ours.header.extensions


@pytest.fixture(scope="module")
def every(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of ``predict --all`` on a real case."""
    out = tmp_path_factory.mktemp("every") / "out"
    assert cli.main(["predict", str(real_data / "BraTS-GLI-00000-000"), "-o", str(out), "--all"]) == 0
    return out


def test_fifteen_label_files_on_the_sources_grid(every: Path, real_data: Path) -> None:
    """Every combination has its file, with the geometry of the first used modality, field by field."""
    scans = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2W"}
    for combination in BRATS.combinations():
        name = f"BraTS-GLI-00000-000-{scans[combination[0]]}.nii.gz"
        same_geometry(every / f"{key(combination)}.nii.gz", real_data / "BraTS-GLI-00000-000" / name)


def test_the_tumour_is_found(every: Path) -> None:
    """WT Dice against the true mask of a case that the weights have seen: at least 0.8 with all four, 0.5 by FLAIR."""
    document = json.loads((every / "result.json").read_text())
    dice = {tuple(p["combination"]): p["dice"]["WT"] for p in document["predictions"]}
    assert len(dice) == 15
    assert dice[BRATS.names] >= 0.8
    assert dice[("flair",)] >= 0.5
    assert "/" not in json.dumps(document["case"])


def test_the_tumour_is_found_on_a_case_never_seen(real_data: Path, tmp_path: Path) -> None:
    """Whole tumour of a scan that is for measuring only: at least 0.85 with FLAIR, and 0.6 with T1 alone."""
    case, out = real_data / "dvn2-brats2018-0", tmp_path / "out"
    assert cli.main(["predict", str(case), "-o", str(out), "--all", "--labels", "whole"]) == 0
    truth = nib.load(case / "GT_W.nii.gz").get_fdata() > 0
    found = {name: nib.load(out / f"{name}.nii.gz").get_fdata() > 0 for name in ("flair", "t1")}
    dice = {name: 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for name, mask in found.items()}
    assert dice["flair"] >= 0.85
    assert dice["t1"] >= 0.6


def test_dice_is_what_nibabel_and_numpy_say(every: Path, real_data: Path) -> None:
    """The Dice in result.json is that of the written file against the mask, computed the plain way."""
    mask = nib.load(real_data / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-seg.nii.gz").get_fdata() > 0
    document = json.loads((every / "result.json").read_text())
    for entry in document["predictions"][:3]:
        found = np.asarray(nib.load(every / entry["file"]).dataobj) > 0
        plain = 2 * (found & mask).sum() / (found.sum() + mask.sum())
        assert entry["dice"]["WT"] == pytest.approx(plain, abs=1e-5)
        assert entry["sizes"]["WT"]["value"] == pytest.approx(found.sum() / 1000, abs=1e-5)


def test_only_flair_given(real_data: Path, tmp_path: Path) -> None:
    """A study of one file is a study."""
    flair = real_data / "BraTS2021_01481" / "BraTS2021_01481_flair.nii.gz"
    assert cli.main(["predict", str(flair), "-o", str(tmp_path / "out")]) == 0
    same_geometry(tmp_path / "out" / "flair.nii.gz", flair)


def test_switched_off_equals_never_there(every: Path, real_data: Path, tmp_path: Path) -> None:
    """A folder with only two of the files gives the same bytes as those two of four."""
    for name in ("t2f", "t1c"):
        shutil.copy(real_data / "BraTS-GLI-00000-000" / f"BraTS-GLI-00000-000-{name}.nii.gz", tmp_path)
    assert cli.main(["predict", str(tmp_path), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "flair+t1ce.nii.gz").read_bytes() == (every / "flair+t1ce.nii.gz").read_bytes()


def test_left_anterior_superior_scans(real_data: Path, tmp_path: Path) -> None:
    """A scan stored LAS keeps its own axes and geometry."""
    folder = real_data / "ms-cross-07"
    flair = next(folder.glob("FLAIR*.nii.gz"))
    assert cli.main(["predict", str(folder), "-o", str(tmp_path / "out"), "--use", "flair,t2"]) == 0
    same_geometry(tmp_path / "out" / "flair+t2.nii.gz", flair)


def test_scans_on_different_grids_come_back_on_their_own(real_data: Path, tmp_path: Path, capsys) -> None:
    """Three series of one visit on three grids: resampled and said so; the labels lie on the grid that is asked for."""
    folder = real_data / "ms-longitudinal-01-raw"
    assert cli.main(["predict", str(folder), "-o", str(tmp_path / "out"), "--grid", "t2"]) == 0
    said = capsys.readouterr().err
    assert (
        "study1_FLAIR.nii.gz lay on another grid and was resampled onto that of study1_T1W.nii.gz (t1)"
        in said
    )
    assert "the brain was cut out" in said
    same_geometry(tmp_path / "out" / "flair+t1+t2.nii.gz", next(folder.glob("*T2W*")))
    steps = json.loads((tmp_path / "out" / "result.json").read_text())["steps"]
    assert {step["step"] for step in steps} == {"onto one grid", "brain mask"}
