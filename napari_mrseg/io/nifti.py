"""One NIfTI volume behind a gate: what cannot be trusted is refused with one sentence before it is used.

The header is decoded by nibabel; sizes, geometry and voxels are checked here, because readers differ in what
they let through (a truncated file, a NaN affine, a guessed affine).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from napari_mrseg.errors import InputError
from napari_mrseg.io import checks
from napari_mrseg.io.format import read_bytes
from napari_mrseg.study import Grid, Note, Source

DIFFER_MM = 1.0  # distance of a corner between qform and sform above which they disagree
_GZIP_RATIO = 1100  # deflate cannot do better than about 1032 to 1

# Copied field by field into results, so that they lie exactly where the source lies.
GEOMETRY = (
    "pixdim", "xyzt_units", "qform_code", "sform_code",
    "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z",
)  # fmt: skip

IMAGINED = b"IMAGINED"  # the intent's name of imagined scans
NO_SCAN = re.compile(r" imagined from .*not a sc")  # in their description, of which only 79 letters fit

Notes = tuple[Note, ...]


def read(
    path: Path | str, *, assume_ras: bool = False, labels: bool = False
) -> tuple[npt.NDArray[np.float32], Source, Notes]:
    """Read a 3-D volume.

    Returns the voxels as float32 in the file's own axis order, the source (grid in RAS+ mm, sha256 of the
    file's bytes, geometry fields of its header) and doubts about it. ``assume_ras`` accepts a file without
    qform and sform as axis-aligned RAS+. ``labels`` allows an empty or constant volume, as a mask may be.
    Raises InputError, one sentence, for everything else.
    """
    path = Path(path)
    return parse(read_bytes(path, "a NIfTI file"), path, assume_ras=assume_ras, labels=labels)


def parse(
    raw: bytes, path: Path, *, assume_ras: bool = False, labels: bool = False
) -> tuple[npt.NDArray[np.float32], Source, Notes]:
    """:func:`read` of a file with this content."""
    body = _Body(path, raw)
    header = _header(path, body.take(_header_size(path, body.take(4, 0)), 0))
    check_not_imagined(path, header)
    shape, doubt = _shape(path, header)
    dtype = _dtype(path, header)
    affine, notes = _affine(path, header, shape, assume_ras)
    checks.check_shape(path, shape, labels=labels)
    data = _voxels(path, header, body, shape, dtype)
    checks.check_voxels(path, data, labels=labels)
    fields: dict[str, object] = {name: _native(header[name]) for name in (*GEOMETRY, "dim", "sizeof_hdr")}
    source = Source(path, Grid.of(shape, affine), hashlib.sha256(raw).hexdigest(), fields)
    return data, source, (*notes, *([doubt] if doubt else []))


class _Body:
    """The file's content, unpacked where it is gzip; never more of it than asked for."""

    def __init__(self, path: Path, raw: bytes) -> None:
        self.path, self.size = path, len(raw)
        self.packed = raw[:2] == b"\x1f\x8b"
        self._stream: Any = gzip.GzipFile(fileobj=io.BytesIO(raw)) if self.packed else io.BytesIO(raw)

    def take(self, count: int, start: int) -> bytes:
        """``count`` bytes from ``start``, fewer where the file ends before."""
        try:
            self._stream.seek(start)
            return bytes(self._stream.read(count))
        except (EOFError, OSError, zlib.error) as error:
            raise self.damaged(str(error)) from None

    def check_end(self) -> None:
        """Read on to the gzip checksum, which shows bytes lost or changed anywhere."""
        if self.packed:
            try:
                for _ in range(64):
                    if not self._stream.read(1 << 20):
                        return
            except (EOFError, OSError, zlib.error) as error:
                raise self.damaged(str(error)) from None
            raise InputError(f"{self.path.name} goes on far beyond its voxels; save it again.")

    def damaged(self, why: str) -> InputError:
        short = "end-of-stream" in why
        what = "is truncated" if short else "is damaged (its compressed data do not add up)"
        return InputError(f"{self.path.name} {what}; copy or download it again.")


def _header_size(path: Path, first: bytes) -> int:
    sizes = {int.from_bytes(first, order) for order in ("little", "big")} if len(first) == 4 else set()
    for size in (348, 540):
        if size in sizes:
            return size
    raise InputError(f"{path.name} is not a NIfTI file, whatever its name says; convert the scan to .nii.gz.")


def _header(path: Path, block: bytes) -> Any:
    kind = nib.Nifti2Header if len(block) > 348 else nib.Nifti1Header
    if len(block) not in (348, 540):
        raise InputError(f"{path.name} is truncated within its header; copy or download it again.")
    header = kind(block, check=False)
    magic = bytes(header["magic"]).rstrip(b"\0 ")[:3]
    if magic in (b"ni1", b"ni2"):
        raise InputError(f"{path.name} is half of a .hdr/.img pair; convert the pair to one .nii.gz file.")
    if magic not in (b"n+1", b"n+2"):
        raise InputError(
            f"{path.name} is not a NIfTI file (Analyze, or damaged); convert the scan to .nii.gz."
        )
    return header


def check_not_imagined(path: Path, header: Any) -> None:
    """Raises InputError for a file that :func:`~.nifti_format.encode_imagined` wrote, whatever it is called now.

    Other programs may keep only one of the two fields that say so.
    """
    what = bytes(header["descrip"]).rstrip(b"\0").decode("latin-1")
    if bytes(header["intent_name"]).startswith(IMAGINED) or NO_SCAN.search(what):
        raise InputError(
            f"{path.name} is no scan: a network imagined it ({what}); give the scan itself, or leave it out."
        )


def _shape(path: Path, header: Any) -> tuple[tuple[int, int, int], Note | None]:
    """The volume's shape, and a note if it was found among axes of length 1."""
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise InputError(f"{path.name} has a damaged header (dim {dim}); convert the original scan again.")
    whole = dim[1 : dim[0] + 1]
    # A unit of time says that the fourth axis is one: a slice at many times is no volume.
    in_time = len(whole) > 3 and whole[3] > 1 and min(whole[:3]) == 1 and int(header["xyzt_units"]) & 0x38
    axes = range(len(whole)) if in_time else checks.volume_axes(whole)
    shape = [whole[axis] for axis in axes]
    checks.check_dimensions(path, shape)
    return (shape[0], shape[1], shape[2]), None if in_time else checks.axes_note(path, whole)


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError, TypeError):
        raise InputError(
            f"{path.name} has an unknown voxel type (code {int(header['datatype'])}); save it as float32."
        ) from None
    if dtype.kind not in "iuf" or dtype.itemsize == 0:
        what = {"c": "complex", "V": "colour"}.get(dtype.kind, str(dtype))
        raise InputError(f"{path.name} has {what} voxels; save one grey value per voxel, e.g. as float32.")
    result: np.dtype[Any] = dtype
    return result


def _voxels(
    path: Path, header: Any, body: _Body, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[np.float32]:
    offset, first = float(header["vox_offset"]), (352 if int(header["sizeof_hdr"]) == 348 else 544)
    offset = first if offset == 0 else offset
    if not first <= offset <= 2**31:
        raise InputError(f"{path.name} has a damaged header (vox_offset {offset:g}); convert the scan again.")
    count = int(np.prod(shape, dtype=np.int64))
    size = count * dtype.itemsize
    if body.size * (_GZIP_RATIO if body.packed else 1) < offset + size:
        raise _too_short(path, shape, body.size, packed=body.packed)
    block = body.take(size, int(offset))
    if len(block) < size:
        raise _too_short(path, shape, len(block), packed=False)
    body.check_end()
    data = np.frombuffer(block, dtype=dtype, count=count).reshape(shape, order="F")
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError:
        raise InputError(
            f"{path.name} has a scale without a valid intercept (scl_inter); correct its header."
        ) from None
    if slope is not None and slope < 0:
        raise InputError(
            f"{path.name} has a negative scale (scl_slope {slope:g}), so that its intensities are inverted; correct "
            "its header, or convert the original scan again."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, inter) in ((None, None), (1.0, 0.0)):
            return data.astype(np.float32)
        return (data * np.float64(slope) + np.float64(inter or 0.0)).astype(np.float32)


def _too_short(path: Path, shape: tuple[int, ...], there: int, *, packed: bool) -> InputError:
    size = "×".join(map(str, shape))
    held = f"{there:,} {'compressed ' if packed else ''}bytes"
    return InputError(
        f"{path.name} is truncated: its header asks for {size} voxels, but there are only {held}; "
        "copy or download it again."
    )


def _affine(
    path: Path, header: Any, shape: tuple[int, int, int], assume_ras: bool
) -> tuple[npt.NDArray[np.float64], Notes]:
    """Voxel index → RAS+ mm: the sform, else the qform; a code of 0 means absent."""
    qcode, scode = int(header["qform_code"]), int(header["sform_code"])
    qform = _qform(header) if qcode > 0 else None
    if scode > 0:
        affine = _checked(path, np.asarray(header.get_sform(), dtype=np.float64), "sform")
    elif qcode > 0:
        affine = _checked(path, qform, "qform")
    elif assume_ras:
        sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
        affine = _checked(path, np.diag([*sizes, 1.0]), "voxel size")
    else:
        raise InputError(
            f"{path.name} does not say how it lies in the body (qform_code and sform_code are 0); convert it "
            "again from the original, or use --assume-ras if its axes run right, anterior, superior."
        )
    factor, doubt = _unit(path, header, affine)
    scale = np.diag([factor, factor, factor, 1.0])
    affine = scale @ affine
    checks.check_size(path, shape, affine)
    notes = [note for note in (doubt, checks.sheared(path, affine)) if note]
    if scode > 0 and qcode > 0:
        qform = None if qform is None else scale @ qform
        if qform is None or _mirrored(qform, affine) or _distance(qform, affine, shape) > DIFFER_MM:
            notes.append(_conflict(path, qform, affine, shape))
    elif scode <= 0 and qcode <= 0:
        notes.append(
            Note(
                "assumed_ras",
                f"{path.name} has neither qform nor sform: its axes are taken as RAS, as asked.",
            )
        )
    return affine, tuple(notes)


def _qform(header: Any) -> npt.NDArray[np.float64] | None:
    try:
        matrix = np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None
    return matrix if checks.sound(matrix) else None


def _checked(path: Path, matrix: npt.NDArray[np.float64] | None, what: str) -> npt.NDArray[np.float64]:
    if matrix is not None and checks.sound(matrix):
        return matrix
    wrong = "singular" if matrix is not None and np.isfinite(matrix).all() else "not finite or invalid"
    raise InputError(
        f"{path.name} has no usable position: its {what} is {wrong}; convert the original scan again."
    )


def _mirrored(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    return bool(np.linalg.det(a[:3, :3]) * np.linalg.det(b[:3, :3]) < 0)


def _distance(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], shape: tuple[int, ...]) -> float:
    corners = Grid.of(shape, a).corners - Grid.of(shape, b).corners
    return float(np.sqrt((corners**2).sum(1)).max())


def _conflict(path: Path, qform: npt.NDArray[np.float64] | None, sform: Any, shape: tuple[int, ...]) -> Note:
    if qform is None:
        what = "its qform is invalid"
    elif _mirrored(qform, sform):
        what = "its qform and sform are mirror images of each other"
    else:
        what = f"its qform and sform differ by up to {_distance(qform, sform, shape):.1f} mm"
    return Note(
        "qform_sform_differ",
        f"{path.name} says two things about how it lies ({what}): the sform is used; check left and right.",
    )


def _unit(path: Path, header: Any, affine: npt.NDArray[np.float64]) -> tuple[float, Note | None]:
    """Factor to millimetres. A stated unit that would make voxels absurdly large or small is not believed."""
    scale = {1: 1000.0, 3: 0.001}.get(int(header["xyzt_units"]) & 7, 1.0)
    if scale == 1.0:
        return 1.0, None
    unit = "metres" if scale > 1 else "micrometres"
    size = float(np.sqrt((affine[:3, :3] ** 2).sum(0)).max())
    if 0.05 <= size * scale <= 20:
        return scale, Note("unit_converted", f"{path.name} is stated in {unit}: converted to millimetres.")
    return 1.0, Note(
        "unit_doubtful",
        f"{path.name} states {unit}, which cannot be (voxels of {size:g}): read as millimetres.",
    )


def _native(value: Any) -> Any:
    """A copy that shares nothing with the header, in the machine's byte order."""
    array = np.array(value)
    return array.astype(array.dtype.newbyteorder("="))
