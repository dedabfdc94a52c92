"""Scans that a program holds in memory, as nibabel images or arrays: read as their files would be."""

from __future__ import annotations

import io
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io import checks
from napari_mrseg.io.recognise import Found, Recognition, recognise, role_name
from napari_mrseg.tasks import Task

CASE = "in memory"
NIFTI, NPY = ".nii", ".npy"  # whose content stands for what is in memory


def recognise_given(given: Mapping[str, Any], task: Task) -> tuple[Recognition, dict[Path, bytes]]:
    """What ``given``, by modality, is, and the content of what is no file, by the path that stands for it.

    A value is a file's path, a nibabel image, (array, affine) with the affine to RAS+ mm, or, of pictures, an array.
    Raises InputError for what is none of them.
    """
    if not given:
        raise InputError(f"No scan was given; give one for each modality, e.g. {task.names[0]}.")
    files = [f"{name}={value}" for name, value in given.items() if isinstance(value, (str, PathLike))]
    found = recognise(files, task) if files else None
    held: dict[Path, bytes] = {}
    roles = []
    for name, value in given.items():
        if isinstance(value, (str, PathLike)):
            continue
        role = role_name(name, task)
        path = Path(_file_of(value) or f"{role} (in memory){NPY if task.ndim == 2 else NIFTI}")
        held[path] = _nifti(role, value) if task.ndim == 3 else _npy(role, value)
        roles.append(Found(path, role, "given in memory", explicit=True, confidence="sure"))
    if found is not None:
        return Recognition(found.case, (*found.files, *roles), found.folder, private=found.private), held
    first = roles[0].path
    case = first.absolute().parent.name if first.is_absolute() or len(first.parts) > 1 else CASE
    return Recognition(case, tuple(roles), first.parent), held


def _file_of(value: object) -> str | None:
    """Where a nibabel image was read from."""
    name = getattr(value, "get_filename", lambda: None)()
    return None if name is None else str(Path(name).absolute())


def _nifti(role: str, value: Any) -> bytes:
    """A volume as the content of a NIfTI file, its header kept where it has one."""
    import nibabel as nib

    if isinstance(value, nib.spatialimages.SpatialImage):
        voxels, affine = np.asanyarray(value.dataobj), value.affine
        header = value.header if isinstance(value, nib.Nifti1Image) else None
    elif isinstance(value, tuple) and len(value) == 2:
        voxels, header = np.asarray(value[0]), None
        affine = np.asarray(value[1], dtype=np.float64)
        if affine.shape != (4, 4):
            raise InputError(f"{role}: its affine has the shape {affine.shape}; give 4 × 4 numbers.")
    else:
        raise InputError(
            f"{role} is {_kind(value)}, which does not say how it lies in the body; give a file, a nibabel image, or "
            "(array, affine)."
        )
    if affine is not None and not checks.sound(affine):
        raise InputError(f"{role}: its affine is singular or not finite; give the scan's own.")
    voxels = _plain(role, voxels)
    kind = nib.Nifti2Image if isinstance(value, nib.Nifti2Image) else nib.Nifti1Image
    image = kind(voxels, affine, header, dtype=voxels.dtype)
    content: bytes = image.to_bytes()
    return content


def _npy(role: str, value: Any) -> bytes:
    """A picture as the content of a NPY file."""
    if not hasattr(value, "__array__"):
        raise InputError(
            f"{role} is {_kind(value)}; give a file, or an array of height × width, or × 3 for colour."
        )
    content = io.BytesIO()
    np.save(content, np.asarray(value), allow_pickle=False)
    return content.getvalue()


def _plain(role: str, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In a type that NIfTI has: nothing is read from float64 or 64-bit integers that float32 has not."""
    if voxels.dtype.kind not in "biuf":
        raise InputError(f"{role} has voxels of type {voxels.dtype}; give one number per voxel.")
    if voxels.dtype.kind == "b":
        return voxels.astype(np.uint8)
    if voxels.dtype.itemsize == 8 or voxels.dtype == np.float16:
        return voxels.astype(np.float32)
    return voxels


def _kind(value: object) -> str:
    return "an array" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"
