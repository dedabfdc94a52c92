"""Faults of files from the field: each is refused by one sentence, or read as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_up import save_nifti

from napari_mrseg.errors import InputError
from napari_mrseg.io import nifti, open_study

DATA = np.zeros((20, 22, 24), dtype=np.float32)
DATA[5:15, 5:17, 5:19] = np.random.default_rng(0).uniform(100, 200, (10, 12, 14))


def with_voxels(path: Path, mm: float, shape: tuple[int, int, int] = (20, 22, 24)) -> Path:
    data = np.resize(DATA, shape)
    nib.save(nib.Nifti1Image(data, np.diag([mm, mm, mm, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("mm", "shape", "wrong", "mend"),
    [
        (0.001, (20, 22, 24), "which no scanner makes", "metres: multiply its affine and pixdim by 1000"),
        (0.1, (20, 22, 24), "which no scanner makes", "centimetres: multiply its affine and pixdim by 10"),
        (10, (200, 20, 20), "measures 2000×200×200 mm", "correct the voxel size"),
        (1000, (20, 22, 24), "measures 20000×22000×24000 mm", "correct the voxel size"),
    ],
)
def test_voxels_that_no_scan_has_are_refused_at_once(
    tmp_path: Path, mm: float, shape: tuple[int, int, int], wrong: str, mend: str
) -> None:
    """A wrong unit or voxel size is named with the factor or the mend, before anything of that size is made."""
    path = with_voxels(tmp_path / "x_flair.nii.gz", mm, shape)
    with pytest.raises(InputError) as caught:
        open_study(path)
    assert "x_flair.nii.gz" in str(caught.value)
    assert wrong in str(caught.value)
    assert mend in str(caught.value)


@pytest.mark.parametrize("mm", [0.3, 1.0, 5.0])
def test_voxels_of_real_scans_are_read(tmp_path: Path, mm: float) -> None:
    """From 0.3 to 5 mm nothing is said."""
    assert open_study(with_voxels(tmp_path / "x_flair.nii.gz", mm)).notes == ()


def test_a_negative_scale_is_refused(tmp_path: Path) -> None:
    """Dark would be bright: the sentence says so."""
    image = nib.Nifti1Image(DATA.astype(np.int16), np.eye(4))
    nib.save(image, tmp_path / "x.nii")
    raw = bytearray((tmp_path / "x.nii").read_bytes())
    raw[112:120] = np.array([-1, 0], dtype="<f4").tobytes()
    (tmp_path / "x_flair.nii").write_bytes(raw)
    with pytest.raises(InputError, match="intensities are inverted"):
        open_study(tmp_path / "x_flair.nii")


def test_a_sheared_grid_is_said(tmp_path: Path) -> None:
    """Axes at 60 degrees get a note; the few degrees of a tilted gantry's rounding do not."""
    for angle, said in ((60, True), (89, False)):
        affine = np.eye(4)
        affine[:2, 1] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        nib.save(nib.Nifti1Image(DATA, affine), tmp_path / f"{angle}_flair.nii.gz")
        notes = nifti.read(tmp_path / f"{angle}_flair.nii.gz")[2]
        assert [note.code for note in notes] == (["sheared"] if said else [])
        assert not said or "60°" in notes[0].message


def put(where: tuple[slice, ...]) -> Callable[[np.ndarray], np.ndarray]:
    def change(data: np.ndarray) -> np.ndarray:
        data = data.copy()
        data[where] = np.nan
        return data

    return change


def test_nan_outside_the_head_is_background(tmp_path: Path) -> None:
    """NaN for background gives the voxels of 0; one NaN inside is refused."""
    save_nifti(tmp_path / "a_flair.nii.gz", np.where(DATA == 0, np.nan, DATA).astype(np.float32))
    assert np.array_equal(nifti.read(tmp_path / "a_flair.nii.gz")[0], DATA)
    save_nifti(tmp_path / "b_flair.nii.gz", put((slice(9, 10),) * 3)(DATA))
    with pytest.raises(InputError, match="1 voxels that are NaN"):
        nifti.read(tmp_path / "b_flair.nii.gz")
