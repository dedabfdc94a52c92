"""Other containers: the same voxels at the same place as from NIfTI, behind the same gate."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the usual short name

from napari_mrseg import cli
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.models.store import Model

SHAPE = (14, 18, 11)


def oblique() -> np.ndarray:
    """Axes P, L, I of three spacings, turned by a few degrees."""
    a, b = np.radians(9), np.radians(-6)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, -1.2, 0], [-0.9, 0, 0], [0, 0, -2.5]])
    affine[:3, 3] = (40, 25, -12)
    return affine


@pytest.fixture
def scan(tmp_path: Path) -> nib.Nifti1Image:
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    data = np.where((where**2).sum(0) < 0.9, np.random.default_rng(0).normal(300, 40, SHAPE), 0)
    image = nib.Nifti1Image(data.astype(np.int16), oblique())
    image.set_qform(oblique(), 1)
    nib.save(image, tmp_path / "nifti" / "case_flair.nii.gz") if (
        tmp_path / "nifti"
    ).mkdir() is None else None
    return image


def written(scan: nib.Nifti1Image, folder: Path, ending: str) -> Path:
    folder.mkdir()
    path = folder / f"case_flair{ending}"
    data = np.asarray(scan.dataobj)
    if ending in (".mgz", ".mgh"):
        nib.save(nib.MGHImage(data, scan.affine), path)
    elif ending == ".hdr":
        nib.save(nib.Nifti1Pair(data, scan.affine, scan.header), path)
    elif ending == ".nii":  # gzipped, whatever its name says
        path.write_bytes(gzip.compress(scan.to_bytes()))
    elif ending == ".nii.gz":  # not gzipped
        path.write_bytes(scan.to_bytes())
    elif ending == ".NII.GZ":
        path.write_bytes(gzip.compress(scan.to_bytes()))
    else:
        lps = np.diag([-1, -1, 1, 1]) @ scan.affine
        image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
        spacing = np.sqrt((lps[:3, :3] ** 2).sum(0))
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    "ending",
    [".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".hdr", ".nii", ".nii.gz", ".NII.GZ"],
)
def test_a_container_changes_neither_voxels_nor_place(
    ending: str, scan: nib.Nifti1Image, tmp_path: Path
) -> None:
    """The folder opens as the NIfTI one does: the same array, the same grid to a thousandth of a mm."""
    want = open_study(tmp_path / "nifti")
    got = open_study(written(scan, tmp_path / "other", ending).parent)
    assert got.present == ("flair",)
    assert np.array_equal(got.images["flair"].data, want.images["flair"].data)
    assert np.abs(got.grid.corners - want.grid.corners).max() < 1e-3
    assert got.notes == ()


def test_results_of_another_container_are_nifti_at_its_place(
    scan: nib.Nifti1Image, tiny: Model, tmp_path: Path
) -> None:
    """Labels of an MHA lie where those of the NIfTI lie, voxel for voxel."""
    labels = {}
    for name, folder in (("a", tmp_path / "nifti"), ("b", written(scan, tmp_path / "other", ".mha").parent)):
        out = tmp_path / name
        assert cli.main(["predict", str(folder), "-o", str(out), "--model", str(tiny.folder)]) == 0
        labels[name] = nib.load(out / "flair.nii.gz")
    assert np.array_equal(np.asarray(labels["a"].dataobj), np.asarray(labels["b"].dataobj))
    assert np.abs(labels["a"].affine - labels["b"].affine).max() < 1e-3


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _without_data(path: Path) -> None:
    for other in path.parent.iterdir():
        if other != path:
            other.unlink()


def _analyze(path: Path) -> None:
    image = nib.load(path, mmap=False)
    nib.save(nib.AnalyzeImage(np.array(image.dataobj), None), path.with_suffix(".img"))


def _elsewhere(path: Path) -> None:
    shutil.copy(path.with_suffix(".raw"), path.parent.parent / "x.raw")
    path.write_text(path.read_text().replace("case_flair.raw", "../x.raw"))


def _colour(path: Path) -> None:
    sitk.WriteImage(sitk.Image([14, 18, 11], sitk.sitkVectorUInt8, 3), str(path))


@pytest.mark.parametrize(
    ("ending", "harm", "said"),
    [
        (".mha", _truncated, "cannot be read|not finite|truncated"),
        (".nrrd", _truncated, "cannot be read"),
        (".mgz", _truncated, "damaged or truncated"),
        (".mgh", _truncated, "damaged or truncated"),
        (".mhd", _without_data, "its data file is missing"),
        (".hdr", _without_data, "one half of a pair"),
        (".hdr", _analyze, "does not say where left is"),
        (".mhd", _elsewhere, "names a data file in another folder"),
        (".mha", _colour, "colour voxels"),
    ],
)
def test_a_damaged_container_is_refused(
    ending: str, harm: object, said: str, scan: nib.Nifti1Image, tmp_path: Path
) -> None:
    """One sentence that names the file; never a part of the voxels with the rest 0."""
    path = written(scan, tmp_path / "other", ending)
    harm(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=said) as caught:
        open_study(path)
    assert path.name in str(caught.value)
