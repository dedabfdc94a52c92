"""Samples of the generator beside real scans, as a picture to look at.

python benchmarks/generator_pictures.py --data ../shared/data --brains BraTS2021_01476 BraTS2021_01481 -o FILE.png

Rows: the real scans with their true masks; their tumours moved into each other's brain; tumours painted into the same
brains, their own covered; the template.
Columns: the four modalities at the slice with most tumour, the last with the regions drawn in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mrseg_training.data.anatomy import from_study
from mrseg_training.data.simulate import Sample, Simulator
from mrseg_training.data.simulated_subjects import template
from napari_mrseg.io import open_study
from napari_mrseg.tasks import BRATS

TILE, ROWS_EACH = 150, 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--brains", nargs="+", required=True)
    parser.add_argument("--spacing", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    pairs = [from_study(open_study(args.data / name), args.spacing) for name in args.brains]
    generator = torch.Generator().manual_seed(args.seed)

    def draw(simulator: Simulator) -> list[Sample]:
        simulator.healthy_share, simulator.spacing = 0.0, args.spacing
        return [simulator.sample(generator, range(4)) for _ in range(ROWS_EACH)]

    brains, sick = [b for b, _ in pairs], [r for _, r in pairs]
    real = Simulator(brains, sick, real_share=1.0, moved_share=0.0, template_share=0.0)
    moved = Simulator(brains, sick, real_share=1.0, moved_share=1.0, template_share=0.0)
    painted = Simulator(brains, real_share=0.0, template_share=0.0)
    made = Simulator([], maps=template(args.spacing), template_share=1.0)
    groups = {
        "real tumour": draw(real),
        "moved": draw(moved),
        "painted": draw(painted),
        "template": draw(made),
    }
    rows = [(f"{title} {k}", s) for title, group in groups.items() for k, s in enumerate(group, 1)]
    sheet = Image.new("RGB", (TILE * 5, (TILE + 14) * len(rows) + 16), "#101418")
    ink = ImageDraw.Draw(sheet)
    for column, name in enumerate([*(m.title for m in BRATS.modalities), "regions on FLAIR"]):
        ink.text((column * TILE + 6, 2), name, fill="#ffffff")
    for number, (title, sample) in enumerate(rows):
        top = 16 + number * (TILE + 14)
        ink.text((6, top), title, fill="#9fb3c8")
        for column, tile in enumerate(tiles(sample)):
            sheet.paste(tile, (column * TILE, top + 14))
    sheet.quantize(200).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


def tiles(sample: Sample) -> list[Image.Image]:
    """The four modalities at the axial slice with most tumour, then the regions on FLAIR."""
    level = int(sample.regions[0].sum((1, 2)).argmax())
    grey = [shade(image[level]) for image in sample.images]
    marked = np.stack([grey[0]] * 3, -1).astype(np.float32)
    for region, regions in zip(BRATS.regions, sample.regions, strict=True):
        label = next(la for la in BRATS.labels if la.code == region.paints)
        colour = np.array([int(label.colour[i : i + 2], 16) for i in (1, 3, 5)])
        inside = regions[level].numpy() > 0.5
        marked[inside] = 0.45 * marked[inside] + 0.55 * colour
    return [fit(np.stack([g] * 3, -1)) for g in grey] + [fit(marked.astype(np.uint8))]


def shade(image: Tensor) -> np.ndarray:
    """Normalised intensities from −2.5 to 4 as grey levels, background black."""
    scaled = ((image + 2.5) / 6.5).clamp(0.04, 1) * (image != 0)
    return (255 * scaled).numpy().astype(np.uint8)


def fit(pixels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(pixels)
    picture.thumbnail((TILE, TILE))
    factor = min(TILE / picture.width, TILE / picture.height)
    picture = picture.resize(
        (int(picture.width * factor), int(picture.height * factor)), Image.Resampling.BICUBIC
    )
    tile = Image.new("RGB", (TILE, TILE), "#000000")
    tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return tile


if __name__ == "__main__":
    main()
