"""NIfTI as one of the formats: read through the gate of :mod:`.nifti`, labels in an otherwise fresh header."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_mrseg.io import nifti
from napari_mrseg.io.format import Format, Volume
from napari_mrseg.study import Source

# "x.nii (1).gz", "x.nii - Copy.gz", "x.nii.gz.1": what browsers and file managers make of a name that is there already.
_NUMBERED = re.compile(
    r"(?P<name>.+)\.nii(?:(?P<inner>[ _-][^./\\]{1,24}|\(\d+\))\.gz|(?:\.gz)?(?P<after>\.\d{1,3}| ?\(\d+\)))",
    re.IGNORECASE,
)


class Nifti(Format):
    title = "NIfTI file"
    endings = (".nii.gz", ".nii")
    label_endings = endings
    ndim = 3

    def recognise(self, path: Path) -> bool:
        return super().recognise(path) or _NUMBERED.fullmatch(path.name) is not None

    def stem(self, path: Path) -> str:
        numbered = _NUMBERED.fullmatch(path.name)
        if numbered is None or super().recognise(path):
            return super().stem(path)
        return numbered["name"] + " " + (numbered["inner"] or numbered["after"]).strip(" .-_")

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        return nifti.read(path, labels=labels, assume_ras=assume_ras)

    def parse(
        self, raw: bytes, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        """:meth:`read` of a file with this content."""
        return nifti.parse(raw, path, labels=labels, assume_ras=assume_ras)

    def encode(self, labels: npt.NDArray[np.uint8], source: Source, path: Path) -> bytes:
        """qform, sform, their codes, pixdim and units are copied field by field from the source's header."""
        data = _file(_header(source, labels.shape, np.uint8), labels)
        return gzip.compress(data, compresslevel=6, mtime=0) if path.name.lower().endswith(".gz") else data


def encode_imagined(voxels: npt.NDArray[np.float32], source: Source, mark: str) -> bytes:
    """Packed content of a ``.nii.gz`` with the source's geometry, whose header says that it is no scan: ``mark``."""
    header = _header(source, voxels.shape, np.float32)
    header["intent_name"] = nifti.IMAGINED
    header["descrip"] = mark.encode("ascii", "replace")[:79]
    return gzip.compress(_file(header, voxels), compresslevel=6, mtime=0)


def _file(header: Any, voxels: npt.NDArray[Any]) -> bytes:
    content = io.BytesIO()
    header.write_to(content)
    content.write(voxels.tobytes(order="F"))
    return content.getvalue()


def _header(source: Source, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
    fields = source.header
    kind = nib.Nifti2Header if fields.get("sizeof_hdr") == 540 else nib.Nifti1Header
    header = kind()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    if all(name in fields for name in nifti.GEOMETRY):
        for name in nifti.GEOMETRY:
            header[name] = fields[name]
    else:  # not from a NIfTI file
        header.set_xyzt_units("mm")
        header.set_sform(source.grid.matrix, code=1)
        header.set_qform(source.grid.matrix, code=1, strip_shears=True)
    return header
