"""Scans of several subjects or sessions in one folder are asked about; names that only count series are not."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from synthetic import save_nifti

from napari_mrseg.errors import InputError
from napari_mrseg.io import inspect, open_study, recognise
from napari_mrseg.io.read_options import ReadOptions
from napari_mrseg.tasks import BRATS

SHAPE = (12, 12, 12)


def scans(folder: Path, *names: str) -> Path:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    head = sum(a**2 for a in axes) < 0.8
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 90, SHAPE)
        drawn = name.endswith(("seg", "mask"))
        data = (2 * head).astype(np.uint8) if drawn else ((200 + noise) * head).astype(np.int16)
        save_nifti(folder / f"{name}.nii.gz", data)
    return folder


def asked(folder: Path) -> str:
    """The sentence about different subjects, or nothing."""
    found = recognise(folder, BRATS).problems(BRATS)
    return next((sentence for sentence in found if "are of different" in sentence), "")


TWO = [
    ("sub-01_FLAIR", "sub-02_T1w"),
    ("sub-01_ses-1_FLAIR", "sub-01_ses-2_T1w"),
    ("sub-01_FLAIR", "sub-01_T1w", "sub-02_mask"),
    ("BraTS2021_00001_flair", "BraTS2021_00002_t1"),
    ("BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-001-t2f"),
    ("UPENN-GBM-00001_11_T1", "UPENN-GBM-00002_11_FLAIR"),
    ("TCGA_02_0003_t1", "TCGA_02_0006_flair"),
    ("HUP64_T1", "HUP65_FLAIR"),
    ("patientA_flair", "patientB_t1"),
    ("Patient_12_T1", "Patient_13_flair"),
    ("flair_visit1", "t1_visit2"),
    ("baseline_t1", "followup_flair"),
    ("t1_preop", "flair_post-op"),
    ("20200101_t1", "20210405_flair"),
    ("2020-01-01_t1", "2020-07-01_flair"),
    ("P01_t1", "P01_flair", "P02_t2"),
    ("001_t1", "001_flair", "002_t2"),
    ("BraTS20_Training_001_t1", "BraTS20_Training_001_flair", "BraTS20_Training_002_t2"),
]
ONE = [
    ("FLAIR", "T1", "seg"),
    ("5_AX_T1", "6_AX_FLAIR", "7_t1ce"),
    ("s003_t1", "s004_flair"),
    ("IM_0001_t1", "IM_0002_flair"),
    ("anon_20200101_001_004_AX_T1", "anon_20200101_001_005_SAG_FLAIR"),
    ("20200101101500_5_t1", "20200101103000_6_flair"),
    ("brain_1mm_t1", "brain_1mm_flair", "brain_2mm_t2"),
    ("ax_3d_t1", "ax_3d_flair", "ax_2d_t2"),
    ("sub-01_acq-3d_T1w", "sub-01_FLAIR", "sub-01_label-lesion_mask"),
    ("sub-1_T1w", "sub-01_FLAIR"),
    ("Smith_001_t1", "Smith_002_flair", "Smith_003_t2"),
    ("patient_t1", "patient_flair"),
    ("case_t1", "case_t2"),
    ("20200101_t1", "20200101_flair", "20210505_seg"),
    ("mr_301_t1", "mr_401_flair", "mr_1001_t1ce"),
    ("reg01_t1", "reg02_t1ce"),
    ("004_flair", "004_flair_seg", "005_t1"),
    ("ses-1_t1", "flair"),
    ("TCGA_CS_4941_19960909_t1", "TCGA_CS_4941_19960909_flair"),
]


@pytest.mark.parametrize("names", TWO)
def test_names_of_two_are_asked_about(names: tuple[str, ...], tmp_path: Path) -> None:
    """Opened as they lie they are refused with both names; given with their roles they are used, with a warning."""
    folder = scans(tmp_path, *names)
    said = asked(folder)
    assert said
    with pytest.raises(InputError, match="are of different"):
        open_study(folder, brain="none")
    assert said in inspect(folder, options=ReadOptions(brain="none"))["problems"]
    roles = {f.path: f.role for f in recognise(folder, BRATS).files if f.role}
    study = open_study([f"{role}={path}" for path, role in roles.items()], brain="none")
    (note,) = (n for n in study.notes if n.code == "several_subjects")
    assert "because their roles were given" in note.message


@pytest.mark.parametrize("names", ONE)
def test_names_of_one_are_not(names: tuple[str, ...], tmp_path: Path) -> None:
    """Numbers of series, times, resolutions, the day a mask was drawn: nothing is said."""
    folder = scans(tmp_path, *names)
    assert asked(folder) == ""
    given = [
        path for path in sorted(folder.glob("*.nii.gz")) if "seg" not in path.name and "mask" not in path.name
    ]
    assert recognise(given, BRATS).several(BRATS) is None


def test_a_folder_of_another_subject(tmp_path: Path) -> None:
    """Scans whose names say another subject than the BIDS folder that they lie in."""
    assert "the folder (1)" in asked(scans(tmp_path / "sub-01" / "anat", "sub-02_FLAIR", "sub-02_T1w"))
    assert asked(scans(tmp_path / "sub-03" / "ses-1" / "anat", "sub-03_ses-1_FLAIR")) == ""


def test_two_hundred_ways_to_name_two(tmp_path: Path) -> None:
    """Words for a person or a visit × how a number is joined to them × order of the name: all are asked about, and
    with one number none is."""
    draws = random.Random(0)
    for number in range(200):
        word = draws.choice(
            (
                "sub",
                "subject",
                "Patient",
                "pat",
                "participant",
                "CASE",
                "ses",
                "session",
                "visit",
                "timepoint",
                "week",
            )
        )
        between, side = draws.choice(("", "-", "_", ".")), draws.random() < 0.5
        a, b = draws.sample(range(1, 400), 2)
        form = draws.choice(("{}", "{:03d}", "{}a"))

        def name(scan: str, who: int) -> str:
            said = f"{word}{between}{form.format(who)}"  # noqa: B023 - called at once
            return f"{said}_{scan}" if side else f"{scan}_{said}"  # noqa: B023

        folder = tmp_path / str(number)
        folder.mkdir()
        for scan, who in (("flair", a), ("t1", b)):
            (folder / f"{name(scan, who)}.nii.gz").touch()
        assert asked(folder), name("flair", a)
        other = tmp_path / f"{number}-same"
        other.mkdir()
        for scan in ("flair", "t1"):
            (other / f"{name(scan, a)}.nii.gz").touch()
        assert not asked(other), name("flair", a)
