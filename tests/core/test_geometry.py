"""The way to the viewer's axes and back: a wrong side is the worst bug this project can have."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from synthetic import save_nifti

from napari_mrseg.io import nifti, write_labels

ORIENTATIONS = [
    "".join(letters)
    for axes in permutations(range(3))
    for letters in product(*[("RL", "AP", "SI")[axis] for axis in axes])
]
CODES = [(0, 1), (1, 0), (1, 1), (2, 4)]
SHAPE = (7, 6, 5)


def axis_affine(letters: str, spacing: tuple[float, ...] = (1.0, 1.5, 3.0)) -> npt.NDArray[np.float64]:
    """The affine whose array axes run towards ``letters``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(letters):
        world = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    affine[:3, 3] = (-31.5, 17.25, 42.0)
    return affine


def rotation(angles: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turned = turned @ step
    return turned


def numbered(shape: tuple[int, ...] = SHAPE) -> npt.NDArray[np.int16]:
    """Every voxel its own value."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape)


def check_round_trip(path: Path, affine: npt.NDArray[np.float64], codes: tuple[int, int]) -> None:
    """Everything this project promises about where voxels lie, for one file."""
    data = numbered()
    save_nifti(path, data, affine, codes=codes)
    read, source, notes = nifti.read(path)
    original = nib.load(path)
    assert notes == ()
    np.testing.assert_array_equal(read, data)
    np.testing.assert_allclose(source.grid.matrix, original.affine, atol=1e-6)

    ipl = source.to_ipl(read)
    np.testing.assert_array_equal(source.from_ipl(ipl), data)
    assert ipl.shape == source.ipl_grid.shape
    for index in np.ndindex(*ipl.shape):
        (where,) = np.argwhere(data == ipl[index])  # the same voxel in the file ...
        np.testing.assert_allclose(  # ... lies at the same place
            source.ipl_grid.matrix @ [*index, 1], original.affine @ [*where, 1], atol=1e-4
        )

    labels = (ipl % 4).astype(np.uint8)
    out = path.with_name("out.nii.gz")
    write_labels(labels, source, out)
    written = nib.load(out)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), data % 4)
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, original.affine)
    for name in nifti.GEOMETRY:
        np.testing.assert_array_equal(written.header[name], original.header[name], err_msg=name)
    assert bytes(written.header["descrip"]).strip(b"\0") == b""


def test_there_are_48_orientations() -> None:
    """The list below is complete."""
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("letters", ORIENTATIONS)
def test_every_orientation(tmp_path: Path, letters: str) -> None:
    """Each of the 48 axis orders comes to I, P, L and back without loss, field by field."""
    affine = axis_affine(letters)
    assert "".join(aff2axcodes(affine)) == letters
    check_round_trip(tmp_path / "a.nii.gz", affine, CODES[ORIENTATIONS.index(letters) % 4])
    source = nifti.read(tmp_path / "a.nii.gz")[1]
    assert "".join(source.grid.axis_codes) == letters
    assert source.ipl_grid.axis_codes == ("I", "P", "L")


@pytest.mark.parametrize("codes", CODES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    letters=st.sampled_from(ORIENTATIONS),
    angles=st.tuples(*[st.floats(-0.7, 0.7)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
)
def test_oblique_affines(
    tmp_path: Path,
    codes: tuple[int, int],
    letters: str,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
) -> None:
    """Oblique affines with any voxel size and any pair of codes are written back field by field."""
    affine = axis_affine(letters, spacing)
    affine[:3, :3] = rotation(angles) @ affine[:3, :3]
    check_round_trip(tmp_path / "a.nii.gz", affine, codes)


@pytest.mark.parametrize("letters", ORIENTATIONS)
def test_a_landmark_in_one_corner(tmp_path: Path, letters: str) -> None:
    """The voxel at the patient's right, front and top comes first in the viewer, however the file lies."""
    affine = axis_affine(letters)
    data = numbered()
    corner = tuple(SHAPE[axis] - 1 if letter in "RAS" else 0 for axis, letter in enumerate(letters))
    data[corner] = 777
    read, source, _ = nifti.read(save_nifti(tmp_path / "a.nii.gz", data, affine))
    assert source.to_ipl(read)[0, 0, 0] == 777


def test_sheared_sform_is_kept(tmp_path: Path) -> None:
    """An affine no quaternion can say is written back through the sform as it was."""
    affine = axis_affine("LPS")
    affine[0, 1] += 0.3
    check_round_trip(tmp_path / "a.nii.gz", affine, (0, 2))


def test_nifti_2_and_big_endian(tmp_path: Path) -> None:
    """NIfTI-2 stays NIfTI-2 with its full precision, and byte order makes no difference."""
    affine = axis_affine("PSR")
    affine[0, 3] = 1 / 3
    for kind, path in ((nib.Nifti2Image, tmp_path / "two.nii"), (nib.Nifti1Image, tmp_path / "big.nii.gz")):
        header = kind.header_class(endianness=">" if kind is nib.Nifti1Image else "<")
        image = kind(numbered().astype(">i2"), affine, header)
        image.set_sform(affine, 1)
        nib.save(image, path)
        read, source, _ = nifti.read(path)
        np.testing.assert_array_equal(read, numbered())
        out = tmp_path / f"out_{path.name}"
        write_labels(source.to_ipl(read).astype(np.uint8), source, out)
        written = nib.load(out)
        assert isinstance(written, kind)
        np.testing.assert_array_equal(written.affine, nib.load(path).affine)
