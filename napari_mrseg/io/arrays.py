"""Arrays of numbers as measuring programs keep them: NPY, NPZ, MAT (up to version 7.2), EXR and PFM."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.format import MAX_VOXELS

ENDINGS = (".npy", ".npz", ".mat", ".exr", ".pfm")
_SHAPE = "save height × width, or × 3 for colour"
_WORDS = ("depth", "disp", "rgb", "color", "image", "thermal", "data")
"""What the array that is meant is called in a file of several: words of its name, the likelier first."""


def read_array(path: Path, raw: bytes) -> npt.NDArray[Any]:
    """(P, L) or (P, L, 3) of a file's content. Axes of length 1 say nothing and go. Raises InputError."""
    kind = path.suffix.lower()
    reader = {".npy": _npy, ".npz": _npz, ".mat": _mat, ".exr": _exr, ".pfm": _pfm}[kind]
    return _picture(path, reader(path, raw))


def _picture(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "f" and array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    found = array
    if found.dtype.kind in "iufb" and min(found.shape, default=0) == 1 and found.ndim > 2:
        found = found.squeeze()
    if found.ndim == 3 and found.shape[0] == 3 and found.shape[2] != 3:  # as networks keep colour
        found = np.moveaxis(found, 0, -1)
    wrong = found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] != 3)
    if found.dtype.kind not in "iufb" or wrong:
        size = "×".join(map(str, array.shape))
        raise InputError(f"{path.name} holds {size} values of type {array.dtype}; {_SHAPE}.")
    return np.ascontiguousarray(found)


def _npy(path: Path, raw: bytes) -> npt.NDArray[Any]:
    """Its header is looked at before memory is taken."""
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        size = int(np.prod(shape, dtype=object))
        if dtype.kind in "iufb" and size * dtype.itemsize != len(raw) - stream.tell():
            raise InputError(f"{path.name} is truncated; copy or download it again.")
        return np.asarray(np.load(io.BytesIO(raw), allow_pickle=False))
    except (ValueError, OSError, EOFError):
        raise InputError(f"{path.name} is no array of numbers (NPY); save it with numpy.save.") from None


def _npz(path: Path, raw: bytes) -> npt.NDArray[Any]:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            name = _chosen(path, [n.removesuffix(".npy") for n in sizes if n.endswith(".npy")])
            if sizes[f"{name}.npy"] > 8 * MAX_VOXELS:
                raise InputError(f"{path.name} holds more than fits into memory; save one picture.")
            return _npy(path, archive.read(f"{name}.npy"))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError):
        raise InputError(f"{path.name} is no archive of arrays (NPZ); save it with numpy.savez.") from None


def _mat(path: Path, raw: bytes) -> npt.NDArray[Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(io.BytesIO(raw))
    except NotImplementedError:
        raise InputError(
            f"{path.name} is a MATLAB file of version 7.3; save it with “save -v7”, or as .npy or 16-bit PNG."
        ) from None
    except Exception:  # a damaged file makes the reader raise whatever it stumbles over
        raise InputError(f"{path.name} is no MATLAB file; save it with “save -v7”, or as .npy.") from None
    arrays = {
        k: v
        for k, v in content.items()
        if isinstance(v, np.ndarray) and v.dtype.kind in "iufb" and v.size > 3
    }
    return np.asarray(arrays[_chosen(path, list(arrays))])


def _chosen(path: Path, names: list[str]) -> str:
    """The array that is meant: the only one, or the only one that is called after what it shows."""
    if len(names) == 1:
        return names[0]
    for word in _WORDS:
        fitting = [name for name in names if word in name.lower()]
        if len(fitting) == 1:
            return fitting[0]
    listed = ", ".join(names[:5]) or "none"
    raise InputError(f"{path.name} holds {len(names)} arrays ({listed}); save one, or call it “depth”.")


def _exr(path: Path, raw: bytes) -> npt.NDArray[Any]:
    try:
        import OpenEXR
    except ImportError:
        raise InputError(
            f"{path.name} is an OpenEXR file, which needs a further package; pip install OpenEXR, or save the depth as "
            ".npy or float TIFF."
        ) from None
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            names = [name for name in ("Z", "Y", "depth", "R", "RGB") if name in channels] or list(channels)
            return np.asarray(channels[names[0]].pixels)
    except Exception as error:  # the library's own errors have no common type
        raise InputError(f"{path.name} is damaged ({' '.join(str(error).split())}); copy it again.") from None


def _pfm(path: Path, raw: bytes) -> npt.NDArray[Any]:
    """Middlebury's: a line of the kind, of the size, of the scale, whose sign is the byte order; rows from below."""
    try:
        kind, size, scale, pixels = raw.split(b"\n", 3)
        width, height = (int(n) for n in size.split())
        channels = {b"Pf": 1, b"PF": 3}[kind.strip()]
        order = "<" if float(scale) < 0 else ">"
        values = np.frombuffer(pixels, f"{order}f4")
        return values.reshape(height, width, channels)[::-1].astype(np.float32)
    except (ValueError, KeyError):
        raise InputError(f"{path.name} is no whole PFM file; copy or download it again.") from None
