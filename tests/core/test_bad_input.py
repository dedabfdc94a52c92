"""Bad files: one type of error, one sentence that names the file, what is wrong and the fix."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import MakeStudy
from synthetic import LPS, save_nifti

from napari_mrseg.errors import InputError
from napari_mrseg.io import inspect, nifti, open_study

DATA = np.random.default_rng(0).integers(1, 900, (6, 7, 8)).astype(np.int16)


def with_header(path: Path, **fields: object) -> None:
    """A sound file whose header fields are then overwritten."""
    save_nifti(path, DATA)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(gzip.compress(header.binaryblock + bytes(raw[348:])))


def with_voxel(path: Path, value: float) -> None:
    data = DATA.astype(np.float32)
    data[2, 3, 4] = value
    save_nifti(path, data)


def cut(path: Path, fraction: float) -> None:
    save_nifti(path, np.random.default_rng(0).integers(0, 900, (20, 20, 20)).astype(np.int16))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * fraction)])


def cut_inside(path: Path) -> None:
    """Sound gzip around a volume that ends early."""
    save_nifti(path, DATA)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))


def flip_byte(path: Path) -> None:
    """Damaged voxels that only the checksum shows (stored, not packed)."""
    save_nifti(path, DATA)
    raw = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw))


def pair(path: Path) -> None:
    with_header(path, magic=b"ni1")


def colour(path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), LPS)
    nib.save(image, path)


def unreadable(path: Path) -> None:
    path.symlink_to(path.with_name("gone.nii.gz"))


NAN, INF = float("nan"), float("inf")
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken link": (unreadable, "is a link to a file that is not there"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "no bytes": (lambda p: p.write_bytes(b""), "is empty"),
    "text": (lambda p: p.write_text("this is no scan " * 40), "not a NIfTI file"),
    "short text": (lambda p: p.write_text("hi"), "not a NIfTI file"),
    "packed text": (lambda p: p.write_bytes(gzip.compress(b"this is no scan " * 40)), "not a NIfTI file"),
    "header only in part": (lambda p: p.write_bytes(b"\x5c\x01\x00\x00" + b"\0" * 80), "truncated within"),
    "half of a pair": (pair, "half of a .hdr/.img pair"),
    "analyze": (lambda p: with_header(p, magic=b""), "not a NIfTI file"),
    "truncated": (lambda p: cut(p, 0.5), "is truncated"),
    "checksum missing": (lambda p: cut(p, 0.9995), "is truncated"),
    "truncated inside": (cut_inside, "is truncated"),
    "one byte wrong": (flip_byte, "is damaged"),
    "30 000³ voxels": (lambda p: with_header(p, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), "30000×30000×"),
    "more than is there": (lambda p: with_header(p, dim=[3, 400, 400, 400, 1, 1, 1, 1]), "is truncated"),
    "negative size": (lambda p: with_header(p, dim=[3, -6, 7, 8, 1, 1, 1, 1]), "damaged header"),
    "ten dimensions": (lambda p: with_header(p, dim=[10, 6, 7, 8, 1, 1, 1, 1]), "damaged header"),
    "offset": (lambda p: with_header(p, vox_offset=-5), "damaged header"),
    "offset NaN": (lambda p: with_header(p, vox_offset=NAN), "damaged header"),
    "4-D": (lambda p: save_nifti(p, np.stack([DATA] * 3, -1)), "4-D with 3 volumes"),
    "5-D": (lambda p: save_nifti(p, np.stack([DATA] * 3, -1)[..., None, :]), "with 3 volumes"),
    "2-D": (lambda p: save_nifti(p, DATA[:, :, 0]), "single slice"),
    "one slice": (lambda p: save_nifti(p, DATA[:, :, :1]), "single slice"),
    "complex": (lambda p: save_nifti(p, DATA.astype(np.complex64)), "complex voxels"),
    "colour": (colour, "colour voxels"),
    "unknown type": (lambda p: with_header(p, datatype=999), "unknown voxel type"),
    "binary type": (lambda p: with_header(p, datatype=1), "voxel"),
    "slope without intercept": (lambda p: with_header(p, scl_slope=2, scl_inter=NAN), "scl_inter"),
    "NaN affine": (lambda p: with_header(p, srow_x=[NAN, 0, 0, 0]), "sform is not finite"),
    "infinite affine": (lambda p: with_header(p, srow_y=[0, 1, 0, INF]), "sform is not finite"),
    "singular affine": (lambda p: with_header(p, srow_x=[0, 0, 0, 0]), "is singular"),
    "parallel axes": (lambda p: with_header(p, srow_y=[0, 0, 1, 0], srow_z=[0, 0, 1, 0]), "is singular"),
    "bad quaternion": (lambda p: with_header(p, sform_code=0, quatern_b=3), "qform is not finite or invalid"),
    "negative pixdim": (lambda p: with_header(p, sform_code=0, pixdim=[1, -1, 1, 1, 0, 0, 0, 0]), "qform is"),
    "no forms": (lambda p: with_header(p, sform_code=0, qform_code=0), "--assume-ras"),
    "NaN voxel": (lambda p: with_voxel(p, NAN), "1 voxels that are NaN"),
    "infinite voxel": (lambda p: with_voxel(p, -INF), "NaN or infinite"),
    "too large for float32": (lambda p: save_nifti(p, DATA * 1e300), "NaN or infinite"),
    "all zeros": (lambda p: save_nifti(p, np.zeros_like(DATA)), "all zeros"),
    "constant": (lambda p: save_nifti(p, np.full_like(DATA, 7)), "constant"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(BAD))
def test_bad_file(tmp_path: Path, what: str) -> None:
    """Each kind of bad file alone: InputError, one sentence with the name, nothing else escapes."""
    make, part = BAD[what]
    path = tmp_path / "bad_t1.nii.gz"
    make(path)
    with pytest.raises(InputError) as caught:
        nifti.read(path)
    sentence = str(caught.value)
    assert part in sentence
    assert sentence.startswith("bad_t1.nii.gz")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ";" in sentence  # the fix
    assert str(tmp_path) not in sentence


@pytest.mark.parametrize("what", [n for n in BAD if n != "folder"])
def test_one_bad_file_among_four(make_study: MakeStudy, what: str) -> None:
    """One bad scan fails the study with its own sentence, and inspect names it beside the sound ones."""
    folder = make_study(seg=False)
    path = folder / "case-1_t1.nii.gz"
    path.unlink()
    BAD[what][0](path)
    with pytest.raises(InputError, match=r"case-1_t1\.nii\.gz") as caught:
        open_study(folder)
    found = inspect(folder)
    assert str(caught.value) in found["problems"]
    assert [bool(f["problems"]) for f in found["files"]] == [f["role"] == "t1" for f in found["files"]]


def test_nothing_large_is_allocated(tmp_path: Path) -> None:
    """A small file that claims 400³ voxels is refused before memory is asked for."""
    import tracemalloc

    path = tmp_path / "a.nii.gz"
    with_header(path, dim=[3, 400, 400, 400, 1, 1, 1, 1])
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            nifti.read(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A packed file with far more behind its voxels is refused, not unpacked to the end."""
    path = tmp_path / "a.nii.gz"
    save_nifti(path, DATA)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(70 << 20), compresslevel=1))
    with pytest.raises(InputError, match="far beyond its voxels"):
        nifti.read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    """A file one may not read is an input error."""
    path = save_nifti(tmp_path / "a.nii.gz", DATA)
    path.chmod(0)
    with pytest.raises(InputError, match="permissions"):
        nifti.read(path)


def test_missing_file() -> None:
    """A file that is not there is named."""
    with pytest.raises(InputError, match=r"no_flair\.nii\.gz does not exist"):
        open_study(["no_flair.nii.gz"])


def test_two_flairs(make_study: MakeStudy) -> None:
    """Two FLAIRs are refused by name, with the way to choose."""
    folder = make_study()
    save_nifti(folder / "second_flair.nii.gz", DATA)
    with pytest.raises(InputError, match=r"both claim flair; say which .*flair=case-1_flair"):
        open_study(folder)


def test_nothing_recognised(make_study: MakeStudy) -> None:
    """Scans with unknown names are refused, with the names that are known."""
    with pytest.raises(InputError, match="No modality was recognised"):
        open_study(make_study(["scan"], seg=False))


def test_empty_folder(tmp_path: Path) -> None:
    """An empty folder is refused."""
    with pytest.raises(InputError, match="holds no NIfTI file"):
        open_study(tmp_path)


def test_different_grids(make_study: MakeStudy) -> None:
    """Scans on different grids that nothing aligns (noise here) are refused: both files, why, the fix."""
    folder = make_study(("flair", "t1"), seg=False)
    data = np.asanyarray(nib.load(folder / "case-1_t1.nii.gz").dataobj)
    shifted = LPS.copy()
    shifted[0, 3] = 3
    save_nifti(folder / "case-1_t1.nii.gz", data, shifted)
    with pytest.raises(InputError, match=r"case-1_t1\.nii\.gz .*another grid than case-1_flair.*register it"):
        open_study(folder)
    assert "another grid" in inspect(folder)["problems"][0]
