"""MATLAB files: labels of SUN RGB-D as distributed (``seg.mat``, a number for each pixel and the numbers' names), and
pictures.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from napari_mrseg.errors import InputError
from napari_mrseg.io.format import Format, Volume, read_bytes
from napari_mrseg.io.picture import PIXELS, Picture
from napari_mrseg.study import Grid, Source
from napari_mrseg.tasks import SUNRGBD


class SunLabels(Format):
    """Names that are none of the benchmark's 37 classes become 0, as in its own evaluation."""

    title = "SUN RGB-D label file"
    endings = (".mat",)
    ndim = 2

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        from scipy.io import loadmat

        raw = read_bytes(path, self.title)
        if not labels:
            return Picture().parse(raw, path, channels=channels)
        try:
            content = loadmat(io.BytesIO(raw), variable_names=("names", "seglabel"))
            numbers = np.asarray(content["seglabel"])
            names = [str(np.asarray(name).squeeze()) for name in np.asarray(content["names"]).ravel()]
        except Exception:  # a damaged file makes the reader raise whatever it stumbles over
            raise InputError(
                f"{path.name} is no label file of SUN RGB-D (with seglabel and names); give labels as pictures of the "
                "codes 1 to 37."
            ) from None
        if numbers.ndim != 2 or numbers.dtype.kind not in "iuf" or numbers.size == 0:
            raise InputError(f"{path.name} holds no labels of one image; copy it again.")
        codes = {label.name: label.code for label in SUNRGBD.labels}
        table = np.zeros(max(len(names), int(numbers.max())) + 1, np.float32)
        for number, name in enumerate(names, start=1):
            table[number] = codes.get(name.lower().replace("_", " "), 0)
        values = table[np.clip(numbers, 0, None).astype(int)][None]
        grid = Grid.of(values.shape, PIXELS)
        return values, Source(path, grid, hashlib.sha256(raw).hexdigest()), ()
