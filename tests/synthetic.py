"""Small synthetic scans for the tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # how BraTS files lie


def save_nifti(
    path: Path,
    data: npt.NDArray[np.generic],
    affine: npt.ArrayLike = LPS,
    *,
    qform: npt.ArrayLike | None = None,
    codes: tuple[int, int] = (1, 1),
    unit: str = "mm",
) -> Path:
    """Write ``data`` with nibabel. ``codes``: qform_code and sform_code; ``qform``: one unlike the sform."""
    image = nib.Nifti1Image(data, None)  # given an affine, nibabel would choose the codes itself
    image.header.set_qform(np.asarray(affine if qform is None else qform, dtype=float), codes[0])
    image.header.set_sform(np.asarray(affine, dtype=float), codes[1])
    image.header.set_xyzt_units(unit)
    image.header["descrip"] = b"Doe^Jane 1970"  # must never come out again
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path
