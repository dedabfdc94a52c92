"""The picture of photographs in docs/rgbd.md: what the bundled model finds in four that anybody may show.

python benchmarks/photographs.py

In the package scikit-image: coffee (Rachel Michetti, CC0), chelsea (Stefan van der Walt, CC0), astronaut (NASA)
and rocket (SpaceX), both in the public domain.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage
from pictures import overlaid, sheet
from PIL import Image

from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import RGBD_SOD

NAMES = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
OUT = Path("docs/images/rgbd/photographs.png")
HEIGHT, WIDTH = 240, 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    args = parser.parse_args()
    engine = Engine(load_model(args.model, task=RGBD_SOD), device="cpu")
    rows: list[list[Image.Image]] = [[], []]
    for name in NAMES:
        study = open_study({"rgb": Path(skimage.__file__).parent / "data" / name}, task=RGBD_SOD)
        seen = study.images["rgb"].data[0].astype(np.uint8)
        found = engine.predict(study).probability("object")[0].astype(np.float32)
        for row, picture in zip(rows, (Image.fromarray(seen), overlaid(seen, found)), strict=True):
            fitted = Image.new("RGB", (WIDTH, HEIGHT), "white")
            picture.thumbnail((WIDTH, HEIGHT))
            fitted.paste(picture, ((WIDTH - picture.width) // 2, (HEIGHT - picture.height) // 2))
            row.append(fitted)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        sheet(rows, Path(place) / "sheet.png", width=WIDTH)
        with Image.open(Path(place) / "sheet.png") as image:
            image.quantize(128).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
