"""Files as browsers, data sets and other programs leave them: read as what they are, or every candidate named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the usual short name
from synthetic import LPS, save_nifti

from napari_mrseg.errors import InputError
from napari_mrseg.io import nifti, recognise
from napari_mrseg.io.formats import is_readable, stem
from napari_mrseg.io.labels import task_codes
from napari_mrseg.io.open import settle
from napari_mrseg.io.volumes import OtherVolume
from napari_mrseg.tasks import BRATS

DATA = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("x_flair.nii (1).gz", "x_flair (1)"),
        ("x_flair.nii(2).gz", "x_flair (2)"),
        ("x_flair.NII (12).GZ", "x_flair (12)"),
        ("x_flair.nii - Copy.gz", "x_flair Copy"),
        ("x_flair.nii - Kopie (2).gz", "x_flair Kopie (2)"),
        ("x_flair.nii copy 3.gz", "x_flair copy 3"),
        ("x_flair.nii (3rd copy).gz", "x_flair (3rd copy)"),
        ("x_flair.nii-1.gz", "x_flair 1"),
        ("x_flair.nii.gz.1", "x_flair 1"),
        ("x_flair.nii.gz (1)", "x_flair (1)"),
        ("x_flair (1).nii.gz", "x_flair (1)"),
        ("x_flair.v2.nii (1).gz", "x_flair.v2 (1)"),
    ],
)
def test_a_name_that_a_browser_numbered_is_read(name: str, base: str, tmp_path: Path) -> None:
    """The scan in it has its role, and its voxels are those of the file before."""
    save_nifti(tmp_path / "a.nii.gz", DATA, LPS).rename(tmp_path / name)
    assert stem(tmp_path / name) == base
    (found,) = recognise(tmp_path).files
    assert found.role == "flair"
    assert np.array_equal(nifti.read(found.path)[0], DATA)


@pytest.mark.parametrize(
    "name", ["x.gz", "x.tar (1).gz", "niigz", "x.nii.txt.gz", "x.nii (1).json", "x.nii.gz.part"]
)
def test_other_names_are_no_scans(name: str) -> None:
    """Only what was a NIfTI file's name before."""
    assert not is_readable(Path(name), BRATS)


def test_a_scan_and_its_numbered_copy_are_both_named(tmp_path: Path) -> None:
    """Neither is guessed."""
    for name in ("x_flair.nii.gz", "x_flair.nii (1).gz"):
        save_nifti(tmp_path / "a.nii.gz", DATA, LPS).rename(tmp_path / name)
    (problem,) = recognise(tmp_path).problems(BRATS)
    assert "x_flair.nii (1).gz and x_flair.nii.gz both claim flair" in problem


TREES: dict[str, tuple[list[str], str | list[str]]] = {
    "anat": (["anat"], "anat"),
    "a session": (["ses-01/anat"], "ses-01/anat"),
    "a session without anat": (["ses-pre"], "ses-pre"),
    "a session in capitals": (["SES-01/ANAT"], "SES-01/ANAT"),
    "sessions": (["ses-01/anat", "ses-02/anat"], ["ses-01/anat", "ses-02/anat"]),
    "sessions of both kinds": (["ses-1", "ses-2/anat"], ["ses-1", "ses-2/anat"]),
    "sessions by date": (["ses-20240301", "ses-20240902/anat"], ["ses-20240301", "ses-20240902/anat"]),
    "a session beside other things": (["ses-01/anat", "ses-01/dwi", "ses-01/func", "code"], "ses-01/anat"),
    "derivatives beside": (["anat", "derivatives/sub-1/anat"], "anat"),
}


@pytest.mark.parametrize("kind", TREES)
def test_sessions_of_a_subject_are_read_or_named(kind: str, tmp_path: Path) -> None:
    """One session is the study, under the subject's name; of several every one is named and can be chosen."""
    folders, wanted = TREES[kind]
    subject = tmp_path / "sub-1"
    for folder in folders:
        (subject / folder).mkdir(parents=True)
        save_nifti(subject / folder / "sub-1_FLAIR.nii.gz", DATA, LPS)
    found = recognise(subject)
    if isinstance(wanted, str):
        assert found.case == "sub-1"
        assert [f.path for f in found.files] == [subject / wanted / "sub-1_FLAIR.nii.gz"]
        assert not found.problems(BRATS)
        assert settle(subject, task=BRATS).case == "sub-1"
    else:
        (problem,) = found.problems(BRATS)
        assert all(name in problem for name in wanted)
        assert [words for _, words in found.studies] == wanted
        assert [recognise(path).files[0].role for path, _ in found.studies] == ["flair"] * len(wanted)


@pytest.mark.parametrize(
    "folders",
    [
        ["a"],
        ["a", "b"],
        ["deep/er"],
        ["one/two/three", "one/two/four"],
        ["visit1", "visit2/t1"],
        ["sub-1/ses-1/anat", "sub-2/ses-1/anat"],
    ],
)
def test_folders_of_other_names_are_named_one_by_one(folders: list[str], tmp_path: Path) -> None:
    """Whatever they are called and however deep: every one, to be opened."""
    for folder in folders:
        (tmp_path / "set" / folder).mkdir(parents=True)
        save_nifti(tmp_path / "set" / folder / "x_FLAIR.nii.gz", DATA, LPS)
    (problem,) = recognise(tmp_path / "set").problems(BRATS)
    assert all(folder in problem for folder in folders)
    assert "open that one" in problem


@pytest.mark.parametrize(
    "shape",
    [
        (1, 6, 7, 8),
        (6, 7, 8, 1, 1),
        (6, 1, 7, 8),
        (1, 1, 6, 7, 8),
        (6, 7, 1, 8),
        (1, 6, 7, 8, 1),
        (6, 7, 8, 1),
    ],
)
def test_axes_of_length_1_are_left_out(shape: tuple[int, ...], tmp_path: Path) -> None:
    """The volume in it is read where its header puts it; said where it is not the first three axes."""
    nib.save(nib.Nifti1Image(DATA.reshape(shape, order="F"), LPS), tmp_path / "x_flair.nii.gz")
    read, source, notes = nifti.read(tmp_path / "x_flair.nii.gz")
    assert np.array_equal(read, DATA)
    assert np.allclose(source.grid.matrix, LPS)
    assert source.grid.shape == DATA.shape
    assert [n.code for n in notes] == ([] if shape[:3] == DATA.shape else ["axis_of_length_1"])


@pytest.mark.parametrize("ending", [".mha", ".hdr", ".nrrd"])
def test_axes_of_length_1_in_other_containers(ending: str, tmp_path: Path) -> None:
    """As in NIfTI."""
    path = tmp_path / f"x_flair{ending}"
    if ending == ".hdr":
        nib.save(nib.Nifti1Pair(DATA[None], LPS), path)
    else:
        image = sitk.GetImageFromArray(DATA.T[None], isVector=False)
        sitk.WriteImage(image, str(path))
    assert np.array_equal(OtherVolume().read(path)[0], DATA)


@pytest.mark.parametrize("shape", [(6, 7, 1, 8), (1, 7, 6, 8), (6, 7, 1, 40), (6, 1, 7, 9), (6, 7, 8, 3)])
def test_a_slice_at_many_times_is_no_volume(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Where a unit says that the fourth axis is time, and for several volumes: refused."""
    image = nib.Nifti1Image(np.ones(shape, np.int16), LPS)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "x_flair.nii.gz")
    with pytest.raises(InputError, match=r"single slice at \d+ times|with 3 volumes"):
        nifti.read(tmp_path / "x_flair.nii.gz")


def ball(radius: float) -> np.ndarray:
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 32, 34)], indexing="ij"))
    return np.asarray(radius - np.sqrt((where**2).sum(0)))


PROBABLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0 to 1": lambda d: 1 / (1 + np.exp(-8 * d)),
    "0 to 1, most of it 0": lambda d: np.clip(2 * d, 0, 0.97),
    "never sure": lambda d: 0.6 / (1 + np.exp(-8 * d)),
    "percent": lambda d: np.rint(100 / (1 + np.exp(-8 * d))),
    "0 to 255": lambda d: np.rint(255 / (1 + np.exp(-8 * d))),
    "logits": lambda d: 10 * d,
    "distances": lambda d: 30.5 * d,
    "a scan": lambda d: np.where(d > -0.3, np.random.default_rng(0).normal(300, 40, d.shape).round(), 0),
    "a map of organs": lambda d: np.random.default_rng(0).integers(0, 90, d.shape),
}


@pytest.mark.parametrize("kind", PROBABLE)
def test_a_probability_map_is_said_to_be_no_label_map(kind: str) -> None:
    """Not that masks must be resampled otherwise, nor which of its hundred values is no code."""
    data = PROBABLE[kind](ball(0.6)).astype(np.float32)
    with pytest.raises(InputError, match=r"x_seg\.nii\.gz is no label map.*give the segmentation itself"):
        task_codes(Path("x_seg.nii.gz"), data, BRATS)


@pytest.mark.parametrize("most", [0.5, 0.7, 0.9])
def test_a_mask_that_was_resampled_is_said_so(most: float) -> None:
    """Whole numbers within, others at its border: nearest neighbours are the fix."""
    data = np.clip(20 * ball(most), 0, 1).astype(np.float32)
    with pytest.raises(InputError, match="nearest neighbours"):
        task_codes(Path("x_seg.nii.gz"), data, BRATS)
