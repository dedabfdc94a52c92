"""Volumes in other containers: MetaImage, NRRD (SimpleITK reads them), MGZ and NIfTI pairs (nibabel). Read only."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io import checks
from napari_mrseg.io.format import MAX_VOXELS, Format, Volume, read_bytes
from napari_mrseg.io.nifti import check_not_imagined
from napari_mrseg.study import Grid, Source

ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
FREESURFER = (".mgz", ".mgh")
PAIR = (".hdr",)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world axes in ours

Read = tuple[npt.NDArray[Any], npt.NDArray[np.float64], bytes, tuple[int, ...]]
"""Voxels, affine, what else the hash is of, and the shape with axes of length 1."""


class OtherVolume(Format):
    title = "MetaImage, NRRD, MGZ or NIfTI pair"
    endings = (*ITK, *FREESURFER, *PAIR)
    ndim = 3

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        raw = read_bytes(path, "a file")
        name = path.name.lower()
        if name.endswith(ITK):
            data, affine, more, whole = _itk(path)
        elif name.endswith(FREESURFER):
            data, affine, more, whole = _freesurfer(path, raw)
        else:
            data, affine, more, whole = _pair(path)
        if not checks.sound(affine):
            raise InputError(f"{path.name} has no usable position; convert the original scan again.")
        checks.check_shape(path, data.shape, labels=labels)
        checks.check_size(path, data.shape, affine)
        values = np.array(data, dtype=np.float32)
        checks.check_voxels(path, values, labels=labels)
        notes = tuple(note for note in (checks.sheared(path, affine), checks.axes_note(path, whole)) if note)
        source = Source(path, Grid.of(values.shape, affine), hashlib.sha256(raw + more).hexdigest())
        return values, source, notes

    def sha256(self, path: Path) -> str:
        raw, name = read_bytes(path, "a file"), path.name.lower()
        more = _detached(path) if name.endswith(ITK) else b""
        if name.endswith(PAIR):
            more = _data_file(path).read_bytes()
        return hashlib.sha256(raw + more).hexdigest()


def _itk(path: Path) -> Read:
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    detached = _detached(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        whole = tuple(int(n) for n in reader.GetSize())
        axes = checks.volume_axes(whole)
        checks.check_dimensions(path, [whole[axis] for axis in axes])
        if reader.GetNumberOfComponents() != 1:
            raise InputError(f"{path.name} has colour voxels; save one grey value per voxel.")
        reader.SetExtractSize([n if axis in axes else 0 for axis, n in enumerate(whole)])
        image = reader.Execute()
    except RuntimeError:
        raise InputError(
            f"{path.name} cannot be read: it is damaged or truncated, or its data file is missing; copy or convert it "
            "again."
        ) from None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS @ affine, detached, whole


def _detached(path: Path) -> bytes:
    """Content of the data file that a header of its own names, for its hash; nothing for other files.

    Raises InputError for one that lies elsewhere: a header from somewhere must not read any file.
    """
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return b""
    for line in path.read_text(encoding="latin-1").splitlines():
        key, _, value = line.replace("=", ":", 1).partition(":")
        if key.strip().lower() in ("elementdatafile", "data file", "datafile"):
            file = path.parent / value.strip()
            if file.parent != path.parent:
                raise InputError(
                    f"{path.name} names a data file in another folder; put both into one folder."
                )
            return file.read_bytes() if file.is_file() else b""
    return b""


def _freesurfer(path: Path, raw: bytes) -> Read:
    import nibabel as nib

    try:
        if raw[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                body = stream.read(8 * MAX_VOXELS)
        else:
            body = raw
        image = nib.MGHImage.from_bytes(body)
        whole = tuple(int(n) for n in image.shape)
        shape = [whole[axis] for axis in checks.volume_axes(whole)]
        checks.check_dimensions(path, shape)
        data = np.asarray(image.dataobj).reshape(shape)
    except InputError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, KeyError, nib.spatialimages.HeaderDataError):
        raise InputError(f"{path.name} is damaged or truncated; copy or download it again.") from None
    return data, np.asarray(image.affine, dtype=np.float64), b"", whole


def _pair(path: Path) -> Read:
    import nibabel as nib

    data_file = _data_file(path)
    try:
        image = nib.load(path, mmap=False)
        if not isinstance(image, nib.Nifti1Pair):
            raise InputError(
                f"{path.name} is an Analyze file, which does not say where left is; convert the scan to .nii.gz."
            )
        check_not_imagined(path, image.header)
        whole = tuple(int(n) for n in image.shape)
        shape = [whole[axis] for axis in checks.volume_axes(whole)]
        checks.check_dimensions(path, shape)
        if int(image.header["qform_code"]) <= 0 and int(image.header["sform_code"]) <= 0:
            raise InputError(
                f"{path.name} does not say how it lies in the body (qform_code and sform_code are 0); convert it again "
                "from the original."
            )
        data = np.asarray(image.dataobj).reshape(shape)
    except InputError:
        raise
    except Exception:  # what nibabel raises for damaged bytes is no one type
        raise InputError(f"{path.name} is damaged or truncated; copy or download it again.") from None
    return data, np.asarray(image.affine, dtype=np.float64), data_file.read_bytes(), whole


def _data_file(path: Path) -> Path:
    """The other half of a pair. Raises InputError if it is not there."""
    found = next(
        (path.with_suffix(e) for e in (".img", ".IMG", ".img.gz") if path.with_suffix(e).is_file()), None
    )
    if found is None:
        raise InputError(
            f"{path.name} is one half of a pair, and {path.stem}.img is not beside it; copy both."
        )
    return found
