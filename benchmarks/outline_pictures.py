"""Scans as the model sees them, with the outline of the reference: the slice with most of it, one row a subject.

    python benchmarks/outline_pictures.py ../shared/data/BraTS2021_01480 ../shared/data/BraTS2021_01483 \\
        ../shared/data/BraTS-GLI-00000-000 -o docs/images/missed.png

Name the sources beside the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import binary_erosion

from napari_mrseg.io import open_study
from napari_mrseg.prepare import foreground, normalise

LOW, HIGH = -3.0, 4.0  # robust standard deviations shown black and white
OUTLINE = (255, 160, 0)


def row(folder: Path) -> npt.NDArray[np.uint8]:
    """All modalities and the labels side by side, (height, width, 3)."""
    study = open_study([folder])
    if study.reference is None:
        raise SystemExit(f"{folder.name} has no reference to outline.")
    labels = study.reference.labels
    at = int((labels > 0).sum((1, 2)).argmax())
    inside = labels[at] > 0
    border = inside & ~binary_erosion(inside)
    cells = []
    for image in study.images.values():
        voxels = torch.tensor(np.asarray(image.data, dtype=np.float32))
        shown = (normalise(voxels, foreground(voxels))[at].numpy() - LOW) / (HIGH - LOW)
        cell = np.repeat((255 * shown.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)
        cell[border] = OUTLINE
        cells.append(cell)
    colours = np.zeros((*inside.shape, 3), dtype=np.uint8)
    for label in study.task.labels:
        colours[labels[at] == label.code] = [int(label.colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.concatenate([*cells, colours], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="subjects on one grid, with a reference")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    picture = Image.fromarray(np.concatenate([row(folder) for folder in args.folders]))
    picture.quantize(96).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
