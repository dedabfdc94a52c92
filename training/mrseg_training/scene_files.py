"""Training frames of colour and depth from photographs and real pairs, as files that any training can take.

    python -m mrseg_training.scene_files -o frames --photos photos --pairs pairs --count 3600 --seed 1

``photos``: pictures, and beside them ``masks/NAME.png`` of what is an object in each (255) or not (0), as a salient
object network gives it; a picture that it is unsure about is left out, and serves as a surface. ``pairs``: a folder for
each set, with RGB, depth and GT. ``--folds``/``--fold``: without one part of each set, which is for measuring.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mrseg_training.data.collage import Picture, Pool, picture_of
from mrseg_training.perturb import mix

LONGEST = 640  # pixels of a surface
PLAIN = 0.02  # of a picture whose mask holds less, all is surface
UNSURE = 0.12  # the same where the mask is unsure


def read_photos(folder: Path) -> tuple[list[Picture], list[np.ndarray]]:
    """Photographs with an object, and surfaces without."""
    photos, surfaces = [], []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        mask = folder / "masks" / f"{path.name}.png"
        found = picture_of(path, mask)
        with Image.open(mask) as image:
            share = float((np.asarray(image.convert("L")) > 127).mean())
        if found is not None and share >= PLAIN:
            photos.append(found)
        elif share < (PLAIN if found is not None else UNSURE):
            with Image.open(path) as image:
                seen = image.convert("RGB")
                seen.thumbnail((LONGEST, LONGEST))
            surfaces.append(np.asarray(seen, np.float32) / 255)
    return photos, surfaces


def read_pairs(folder: Path) -> Iterator[tuple[str, Path, Path, Path]]:
    """(set, colour, depth, mask) of each pair."""
    for each in sorted(p for p in folder.iterdir() if p.is_dir()):
        for colour in sorted((each / "RGB").iterdir()):
            yield each.name, colour, each / "depth" / f"{colour.stem}.png", each / "GT" / f"{colour.stem}.png"


def fold_of(folder: Path, folds: int) -> dict[Path, int]:
    """The fold of each pair, by its colour file: sets are cut by the order of names, so neighbours stay together."""
    found: dict[Path, int] = {}
    sets: dict[str, list[Path]] = {}
    for name, colour, _, _ in read_pairs(folder):
        sets.setdefault(name, []).append(colour)
    for files in sets.values():
        for place, path in enumerate(files):
            found[path] = place * folds // len(files)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--share", type=float, default=0.6, help="of the frames that show a real pair")
    parser.add_argument("--count", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--fold", type=int, help="the part that is left out")
    args = parser.parse_args()
    photos, surfaces = read_photos(args.photos)
    pairs = []
    if args.pairs is not None:
        folds = fold_of(args.pairs, args.folds)
        for _, colour, depth, mask in read_pairs(args.pairs):
            found = picture_of(colour, mask, depth) if folds[colour] != args.fold else None
            if found is not None:
                pairs.append(found)
    print(f"{len(photos)} photographs, {len(surfaces)} surfaces, {len(pairs)} pairs")
    pool = Pool(photos, surfaces, pairs, args.share)
    for role in ("rgb", "depth", "gt"):
        (args.out / role).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for number in range(args.count):
        scene = pool.frame(np.random.default_rng(mix(args.seed, 7, number)))
        Image.fromarray(scene.colour).save(args.out / "rgb" / f"{number:05d}.png", compress_level=1)
        Image.fromarray(scene.depth).save(args.out / "depth" / f"{number:05d}.png", compress_level=1)
        Image.fromarray(scene.truth.astype(np.uint8) * 255).save(args.out / "gt" / f"{number:05d}.png")


if __name__ == "__main__":
    main()
