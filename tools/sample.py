"""The bundled sample study: a simulated patient made from a template's tissue maps, and from no patient's scan.

    python -m tools.sample -o napari_mrseg/resources/sample

Needs nilearn (``pip install "napari-mrseg[sample]"``), which ships the ICBM 152 2009a maps of grey and white matter.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, distance_transform_edt, label
from torch import Generator, Tensor

from mrseg_training.data import tumour
from mrseg_training.data.anatomy import blur, template_maps
from mrseg_training.data.tumour import look_up, offsets, smooth_noise
from napari_mrseg import degrade
from napari_mrseg.prepare import bounds
from napari_mrseg.study import Grid

COMMAND = "python -m tools.sample -o DIR"
SEED = 3
SIZE = (160, 192, 160)  # I, P, L at 1 mm
CENTRE = (62, 78, 104)  # of the tumour's core: left frontal white matter
RADIUS = 19.0  # mm

# Scanner units of (grey matter, white matter, fluid, oedema, necrosis, enhancing).
SIGNAL = {
    "flair": (205.0, 165.0, 45.0, 330.0, 120.0, 285.0),
    "t1": (195.0, 250.0, 70.0, 192.0, 115.0, 200.0),
    "t1ce": (200.0, 250.0, 75.0, 196.0, 100.0, 480.0),
    "t2": (215.0, 160.0, 470.0, 330.0, 430.0, 265.0),
}

LICENCE = """\
The tissue maps that this sample was made from (ICBM 152 nonlinear atlas, 2009a, as shipped with nilearn):

Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill
University. Permission to use, copy, modify, and distribute this software and its documentation for any purpose and
without fee is hereby granted, provided that the above copyright notice appear in all copies. The authors and McGill
University make no representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty. The authors are not responsible for any data loss, equipment damage, property
loss, or injury to subjects or patients resulting from the use or misuse of this software package.

Cite: VS Fonov, AC Evans, K Botteron, CR Almli, RC McKinstry, DL Collins and BDCG, Unbiased average age-appropriate
atlases for pediatric studies, NeuroImage 54 (2011), doi 10.1016/j.neuroimage.2010.07.033.

The sample itself is distributed under the licence of napari-mrseg (BSD-3-Clause).
"""


def make(generator: Generator, maps: Tensor, grid: Grid) -> tuple[dict[str, Tensor], Tensor, Grid]:
    """(image of each modality (I, P, L), labels (I, P, L) uint8, grid) from (3, I, P, L) maps at 1 mm."""
    maps, grid = _cut(maps, grid)
    where = offsets(SIZE, [(n - 1) / 2 for n in SIZE], 1.0)
    where = where + torch.tensor([(n - 1) / 2 for n in SIZE]).view(3, 1, 1, 1)
    where = where + torch.stack([2.2 * smooth_noise(SIZE, 30, generator) for _ in range(3)])
    where = where + torch.stack([0.5 * smooth_noise(SIZE, 9, generator) for _ in range(3)])
    mm = offsets(SIZE, CENTRE, 1.0)
    where = where - mm * 0.3 * torch.exp(-mm.square().sum(0) / (1.7 * RADIUS) ** 2)  # mass effect
    grey, white, share = look_up(maps, where)
    brain = (share > 0.5).float()
    fluid = (1 - grey - white).clamp_min(0)
    # An average brain is blurred: raise the contrast between its tissues, as in one person's scan.
    tissue = torch.stack([grey, white, fluid]) + 0.06 * torch.stack(
        [smooth_noise(SIZE, 3, generator) for _ in range(3)]
    )
    tissue = tissue.clamp_min(1e-3) ** 2
    tissue = tissue / tissue.sum(0)
    found = tumour.draw(
        brain, tissue[1], tissue[2], CENTRE, RADIUS, 1.0, generator, kind="ring", reach=18.0, rim=5.0
    )
    found.whole = found.whole * _largest_piece(found.whole > 0.45)
    labels = tumour.label_map([found], brain)

    images = {}
    bright = vein(brain, tissue[2])
    grain = smooth_noise(SIZE, 4, generator)
    for name, (g, w, f, oedema, necrosis, enhancing) in SIGNAL.items():
        image = g * tissue[0] + w * tissue[1] + f * tissue[2]
        image = image * (1 + 0.025 * smooth_noise(SIZE, 12, generator) + 0.02 * grain)
        around = oedema + 0.25 * (image - w) + 12 * grain
        fade = 0.55 + 0.45 * torch.sigmoid((found.depth + 10) / 4)
        image = image + found.whole * fade * (around - image)
        image = image + found.core * (necrosis + 14 * grain - image)
        image = image + found.enhancing * (enhancing * (1 + 0.1 * grain) - image)
        if name == "t1ce":
            image = image + bright * (430 - image)
        image = blur(image[None], 0.55)[0] * brain
        image = degrade.bias_field(image, 0.12, generator)
        noise = 5.0 * torch.randn(SIZE, generator=generator)
        images[name] = torch.where(brain > 0, (image + noise).clamp_min(6), 0.0)
    return images, labels, grid


def _cut(maps: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """The maps cut (or padded) to ``SIZE`` around the brain, and the grid moved with them."""
    box = bounds(maps[2] > 0.5)
    start = [low - (want - (high - low)) // 2 for (low, high), want in zip(box, SIZE, strict=True)]
    room = [
        (max(0, -s), max(0, s + want - n)) for s, want, n in zip(start, SIZE, maps.shape[1:], strict=True)
    ]
    padded = F.pad(maps, [p for pair in reversed(room) for p in pair])
    at = [max(0, s) for s in start]
    out = padded[:, *[slice(a, a + n) for a, n in zip(at, SIZE, strict=True)]]
    move = np.eye(4)
    move[:3, 3] = start
    return out.contiguous(), Grid.of(SIZE, grid.matrix @ move)


def vein(brain: Tensor, fluid: Tensor) -> Tensor:
    """(I, P, L) in [0, 1]: the superior sagittal sinus, a tube under the brain's upper edge in the middle."""
    depth = torch.from_numpy(distance_transform_edt(brain.numpy())).float()
    across = (torch.arange(SIZE[2], dtype=torch.float32) - (SIZE[2] - 1) / 2).abs()
    down = torch.arange(SIZE[0], dtype=torch.float32).view(-1, 1, 1)
    tube = (
        torch.exp(-((across / 2.5) ** 2)) * torch.exp(-(((depth - 4) / 2.5) ** 2)) * (down < 0.62 * SIZE[0])
    )
    return tube * (0.25 + 0.75 * fluid) * brain


def _largest_piece(mask: Tensor) -> Tensor:
    """(I, P, L) bool: the largest connected part and 2 mm around it, so that the tumour has no islands."""
    pieces, _ = label(mask.numpy())
    largest = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    return torch.from_numpy(binary_dilation(pieces == largest, iterations=2))


def save(path: Path, volume: Tensor, grid: Grid, dtype: type[np.generic]) -> None:
    """Write (I, P, L) as NIfTI with axes L, P, S like a BraTS file, sform and qform both set; same bytes each time."""
    array: npt.NDArray[np.generic] = np.ascontiguousarray(volume.numpy()[::-1].transpose(2, 1, 0)).astype(
        dtype
    )
    back = np.zeros((4, 4))
    back[2, 0] = back[1, 1] = 1  # L is the last IPL axis, P the middle one
    back[0, 2], back[0, 3] = -1, grid.shape[0] - 1  # S runs against I
    back[3, 3] = 1
    image = nib.Nifti1Image(array, grid.matrix @ back)
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sample", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the study")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    maps, grid = template_maps()
    images, labels, grid = make(torch.Generator().manual_seed(args.seed), maps, grid)
    for name, image in images.items():
        save(
            args.out / f"sample_{name}.nii.gz", (image / 2).round(), grid, np.int16
        )  # half: fewer levels, small files
    save(args.out / "sample_seg.nii.gz", labels, grid, np.uint8)
    about = {
        "simulated": True,
        "note": "Simulated, not a patient: made from a template's tissue maps; no patient's scan went into it.",
        "command": COMMAND,
        "seed": args.seed,
        "template": "ICBM 152 nonlinear 2009a, maps of grey and white matter as shipped with nilearn",
        "template_licence": "LICENSE-ICBM152.txt",
    }
    (args.out / "simulated.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (args.out / "LICENSE-ICBM152.txt").write_text(LICENCE, encoding="utf-8")


if __name__ == "__main__":
    main()
