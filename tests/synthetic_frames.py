"""Small synthetic frames of colour and depth for the tests: a near, coloured disc before a far, textured wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (40, 56)


def write_frame(folder: Path, seed: int = 0, *, mask: bool = True) -> Path:
    """<folder>/rgb.png (8 bits), depth.png (16 bits, mm, with holes) and gt.png (0 and 255)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    centre = rng.uniform((12, 14), (28, 42))
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < rng.uniform(7, 10) ** 2
    wall = 90 + 25 * rng.standard_normal((*SIZE, 1)) + rng.uniform(-20, 20, 3)
    colour = np.where(disc[..., None], rng.uniform(150, 250, 3) + 10 * rng.standard_normal((*SIZE, 3)), wall)
    depth = np.where(disc, 900, 2500) + 30 * rng.standard_normal(SIZE)
    depth[rng.random(SIZE) < 0.02] = 0  # what the sensor did not see
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour.clip(0, 255).astype(np.uint8)).save(folder / "rgb.png")
    Image.fromarray(depth.astype(np.uint16)).save(folder / "depth.png")
    if mask:
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "gt.png")
    return folder


def write_frames(root: Path, count: int) -> Path:
    for k in range(count):
        write_frame(root / f"frame-{k:03d}", k)
    return root
