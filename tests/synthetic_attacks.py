"""Malformed files of many kinds, made from sound ones: what a user may be sent, and what an attacker may send.

``KINDS``: name → what makes one from a seed, in a folder of its own; all of them must be refused.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from synthetic_dicom import write_series

SHAPE = (52, 60, 48)
SPACING = 3.0
AFFINE = np.diag([-SPACING, -SPACING, SPACING, 1.0])
DATA = 352  # where the voxels of a NIfTI file begin

Maker = Callable[[Path, np.random.Generator], str]
"""Writes into the folder; returns the PATH argument, folder included."""


def head(seed: int = 0) -> np.ndarray:
    """int16: an ellipsoid of a brain's size with texture, and nothing around it."""
    place = np.indices(SHAPE, dtype=np.float32)
    middle = [(n - 1) / 2 for n in SHAPE]
    inside = sum(((place[a] - middle[a]) / (0.44 * SHAPE[a])) ** 2 for a in range(3)) < 1
    texture = np.random.default_rng(seed).integers(300, 900, SHAPE)
    return np.where(inside, texture, 0).astype(np.int16)


def sound(folder: Path, name: str = "case_flair.nii", data: np.ndarray | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(head() if data is None else data, None)
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(AFFINE, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, folder / name)
    return folder / name


def _bytes(change: Callable[[bytearray, np.random.Generator], bytes | bytearray]) -> Maker:
    """A sound file with other bytes."""

    def make(folder: Path, rng: np.random.Generator) -> str:
        path = sound(folder)
        path.write_bytes(bytes(change(bytearray(path.read_bytes()), rng)))
        return str(path)

    return make


def _packed(change: Callable[[bytearray, np.random.Generator], bytes | bytearray]) -> Maker:
    def make(folder: Path, rng: np.random.Generator) -> str:
        path = sound(folder, "case_flair.nii.gz")
        path.write_bytes(bytes(change(bytearray(path.read_bytes()), rng)))
        return str(path)

    return make


def _field(at: int, code: str, *values: Any) -> Maker:
    """A header field replaced: its offset in NIfTI-1, its type and one of the values."""

    def change(raw: bytearray, rng: np.random.Generator) -> bytearray:
        value = values[int(rng.integers(len(values)))]
        struct.pack_into("<" + code, raw, at, *(value if isinstance(value, tuple) else (value,)))
        return raw

    return _bytes(change)


def _voxels(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Maker:
    def make(folder: Path, rng: np.random.Generator) -> str:
        return str(sound(folder, data=change(head().astype(np.float32), rng)))

    return make


def _with(data: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    places = np.argwhere(data > 0)
    data[tuple(places[int(rng.integers(len(places)))])] = value
    return data


def _affine(*values: np.ndarray) -> Maker:
    def make(folder: Path, rng: np.random.Generator) -> str:
        path = folder / "case_flair.nii"
        folder.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(head(), None)
        image.header["sform_code"], image.header["qform_code"] = 1, 0
        matrix = values[int(rng.integers(len(values)))]
        for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
            image.header[name] = matrix[row]
        nib.save(image, path)
        return str(path)

    return make


def _bomb(folder: Path, rng: np.random.Generator) -> str:
    path = sound(folder)
    raw = bytearray(path.read_bytes()[:DATA])
    packed = folder / "case_flair.nii.gz"
    packed.write_bytes(gzip.compress(bytes(raw) + bytes(2**28), 9))
    return str(packed)


def _folder_for_a_file(folder: Path, rng: np.random.Generator) -> str:
    (folder / "case_flair.nii.gz").mkdir(parents=True)
    return f"flair={folder / 'case_flair.nii.gz'}"


def _dangling(folder: Path, rng: np.random.Generator) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case_flair.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    return str(folder / "case_flair.nii.gz")


def _dicom(change: Callable[[Dataset, np.random.Generator], None], *, every: bool = False) -> Maker:
    """A DICOM series in which one file, or each, has other elements."""

    def make(folder: Path, rng: np.random.Generator) -> str:
        paths = write_series(folder, head().astype(int), AFFINE, description="FLAIR")
        chosen = paths if every else [paths[int(rng.integers(5, len(paths) - 5))]]
        for path in chosen:
            one = pydicom.dcmread(path)
            change(one, rng)
            one.save_as(path)
        return f"flair={folder}/series 1"

    return make


def _dicom_bytes(change: Callable[[bytearray, np.random.Generator], bytes | bytearray]) -> Maker:
    def make(folder: Path, rng: np.random.Generator) -> str:
        paths = write_series(folder, head().astype(int), AFFINE, description="FLAIR")
        path = paths[int(rng.integers(5, len(paths) - 5))]
        path.write_bytes(bytes(change(bytearray(path.read_bytes()), rng)))
        return f"flair={folder}/series 1"

    return make


def _put(**tags: Any) -> Callable[[Dataset, np.random.Generator], None]:
    def change(one: Dataset, rng: np.random.Generator) -> None:
        for name, value in tags.items():
            if value is None:
                delattr(one, name)
            else:
                setattr(one, name, value)

    return change


def _moved(one: Dataset, rng: np.random.Generator) -> None:
    x, y, z = (float(v) for v in one.ImagePositionPatient)
    one.ImagePositionPatient = [x, y, round(z + float(rng.uniform(0.8, 1.4)), 3)]


def _nested(one: Dataset, rng: np.random.Generator) -> None:
    """Sequences within sequences, and no pixels."""
    inner = Dataset()
    for _ in range(60):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Items([inner])
        inner = outer
    one.ReferencedSeriesSequence = Items([inner])
    del one.PixelData


def _missing_slices(folder: Path, rng: np.random.Generator) -> str:
    paths = write_series(folder, head().astype(int), AFFINE, description="FLAIR")
    first = int(rng.integers(5, len(paths) - 10))
    for path in paths[first : first + int(rng.integers(1, 4))]:
        path.unlink()
    return f"flair={folder}/series 1"


def _doubled(folder: Path, rng: np.random.Generator) -> str:
    paths = write_series(folder, head().astype(int), AFFINE, description="FLAIR")
    one = pydicom.dcmread(paths[int(rng.integers(5, len(paths) - 5))])
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{int(rng.integers(10**6))}"
    one.PixelData = bytes(reversed(one.PixelData))
    one.save_as(folder / "again.dcm")
    return f"flair={folder}/series 1"


def _patients(folder: Path, rng: np.random.Generator) -> str:
    for number in range(int(rng.integers(2, 4))):
        write_series(
            folder / str(number),
            head(number).astype(int),
            AFFINE,
            description="FLAIR",
            study=f"1.2.{number + 5}",
        )
    return str(folder)


def _archive(kind: str) -> Maker:
    def make(folder: Path, rng: np.random.Generator) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            if kind == "bomb":
                archive.writestr("a.dcm", bytes(2**27 + int(rng.integers(2**20))))
            else:
                archive.writestr("a.txt", "no scan" * int(rng.integers(1, 50)))
        if kind == "damaged":
            raw = path.read_bytes()
            path.write_bytes(raw[: len(raw) - int(rng.integers(5, 40))])
        return str(path)

    return make


def _flip_gz(raw: bytearray, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(20, len(raw) - 9))
    raw[at] ^= 1 << int(rng.integers(8))
    return raw


def _cut(raw: bytearray, rng: np.random.Generator) -> bytearray:
    return raw[: int(rng.integers(DATA + 10, len(raw) - 10))]


_DIM, _TYPE, _PIXDIM, _OFFSET, _SLOPE, _QCODE, _MAGIC = 40, 70, 76, 108, 112, 252, 344
_HUGE = [(3, 30000, 30000, 30000), (3, 32767, 32767, 2000), (3, 20000, 500, 32767)]

KINDS: dict[str, Maker] = {
    "an empty file": _bytes(lambda raw, rng: b""),
    "text": _bytes(lambda raw, rng: b"not a scan " * int(rng.integers(1, 99))),
    "a web page": _bytes(lambda raw, rng: b"<!DOCTYPE html><html>404</html>" + bytes(int(rng.integers(999)))),
    "noise": _bytes(lambda raw, rng: rng.bytes(int(rng.integers(400, 9000)))),
    "a header cut off": _bytes(lambda raw, rng: raw[: int(rng.integers(1, 348))]),
    "voxels cut off": _bytes(_cut),
    "a compressed file cut off": _packed(_cut),
    "a damaged compressed stream": _packed(_flip_gz),
    "rubbish behind gzip's mark": _packed(lambda raw, rng: raw[:10] + rng.bytes(int(rng.integers(50, 999)))),
    "a gzip bomb": _bomb,
    "no NIfTI mark": _field(_MAGIC, "4s", b"abcd", b"\0\0\0\0", b"n+9\0"),
    "half of a pair": _field(_MAGIC, "4s", b"ni1\0"),
    "a negative number of voxels": _field(_DIM, "4h", (3, -5, 10, 10), (3, 10, -1, 10), (3, 60, 60, -48)),
    "no dimensions": _field(_DIM, "4h", (0, 1, 1, 1), (9, 10, 10, 10), (-3, 10, 10, 10)),
    "more voxels than fit": _field(_DIM, "4h", *_HUGE),
    "a single slice": _field(_DIM, "4h", (2, 52, 60, 1), (3, 52, 60, 1)),
    "two slices": _field(_DIM, "4h", (3, 52, 60, 2), (3, 52, 60, 4), (3, 3, 60, 40)),
    "several volumes": _field(_DIM, "5h", (4, 52, 60, 24, 2), (4, 26, 30, 48, 4)),
    "an unknown voxel type": _field(_TYPE, "h", 0, 3, 77, 9999),
    "complex or colour voxels": _field(_TYPE, "2h", (32, 64), (128, 24), (2304, 32)),
    "voxels that begin nowhere": _field(_OFFSET, "f", 17.0, 1e20, -352.0, float("nan")),
    "a negative scale": _field(_SLOPE, "2f", (-1.0, 0.0), (-0.5, 100.0)),
    "a scale that is no number": _field(_SLOPE, "2f", (1.0, float("nan")), (2.0, float("inf"))),
    "no place in the body": _field(_QCODE, "2h", (0, 0)),
    "a singular affine": _affine(np.diag([0.0, 3, 3, 1]), np.zeros((4, 4)), np.ones((4, 4))),
    "an affine that is no number": _affine(np.full((4, 4), np.nan), np.diag([np.inf, 3, 3, 1])),
    "voxels of metres": _affine(np.diag([-0.003, -0.003, 0.003, 1]), np.diag([0.001, 0.001, 0.001, 1])),
    "voxels flat as nothing": _affine(np.diag([-1e-7, -3, 3, 1]), np.diag([-3.0, -3, 1e-5, 1])),
    "voxels too large": _affine(np.diag([-30.0, -30, 30, 1]), np.diag([1000.0, 3, 3, 1])),
    "all zeros": _voxels(lambda data, rng: data * 0),
    "one value": _voxels(lambda data, rng: data * 0 + float(rng.uniform(1, 500))),
    "NaN within": _voxels(lambda data, rng: _with(data, np.nan, rng)),
    "infinity within": _voxels(lambda data, rng: _with(data, np.inf, rng)),
    "a mask": _voxels(lambda data, rng: (data > float(rng.uniform(1, 500))).astype(np.float32)),
    "labels": _voxels(lambda data, rng: np.floor(data / 300)),
    "a folder with a file's name": _folder_for_a_file,
    "a link to nothing": _dangling,
    "an archive without a scan": _archive("nothing"),
    "DICOM: pixels cut off": _dicom_bytes(lambda raw, rng: raw[: len(raw) - int(rng.integers(100, 3000))]),
    "DICOM: no pixels": _dicom(_put(PixelData=None)),
    "DICOM: rows that lie": _dicom(_put(Rows=61)),
    "DICOM: more pixels than fit": _dicom(_put(Rows=65535, Columns=65535), every=True),
    "DICOM: no orientation": _dicom(_put(ImageOrientationPatient=None)),
    "DICOM: no place": _dicom(_put(ImagePositionPatient=None)),
    "DICOM: no size of pixels": _dicom(_put(PixelSpacing=None)),
    "DICOM: pixels of size 0": _dicom(_put(PixelSpacing=["0", "0"]), every=True),
    "DICOM: pixels of metres": _dicom(_put(PixelSpacing=["900", "900"]), every=True),
    "DICOM: a slice elsewhere": _dicom(_moved),
    "DICOM: slices missing": _missing_slices,
    "DICOM: two slices at one place": _doubled,
    "DICOM: colour": _dicom(_put(PhotometricInterpretation="RGB", SamplesPerPixel=3), every=True),
    "DICOM: another modality": _dicom(_put(Modality="CT"), every=True),
    "DICOM: deep sequences, no pixels": _dicom(_nested),
    "DICOM: two patients": _patients,
    "an archive that bursts": _archive("bomb"),
    "an archive cut off": _archive("damaged"),
}
