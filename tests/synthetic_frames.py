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


# As the data sets are distributed: folders by role, names by role.
LAYOUTS = {
    "NJUD": ("RGB_left/{k:06d}_left.jpg", "depth/{k:06d}_left.png", "GT/{k:06d}_left.png"),
    "NLPR": ("RGB/{k}_02-14-28.jpg", "Depth/{k}_02-14-28_Depth.png", "groundtruth/{k}_02-14-28.jpg"),
    "STERE": ("RGB/{k:06d}_left.jpg", "depth/{k:06d}_left.png", "GT/{k:06d}_left.png"),
    "SUN-RGBD": ("image/{k:07d}.jpg", "depth_bfx/{k:07d}.png", "label/{k:07d}.png"),
}
THERMAL = {
    "VT5000": ("RGB/{k}.jpg", "T/{k}.jpg", "GT/{k}.png"),
    "VT1000": ("RGB/{k:04d}.jpg", "T/{k:04d}.jpg", "GT/{k:04d}.jpg"),
}


def lay_out(
    root: Path,
    patterns: tuple[str, str, str],
    count: int = 4,
    *,
    thermal: bool = False,
    drawn: Path | None = None,
) -> Path:
    """``count`` frames under names of a data set; frame k is ``write_frame``'s of seed k."""
    for k in range(count):
        frame = write_frame((drawn or root.parent / "drawn") / str(k), k)
        for name, pattern in zip(("rgb", "depth", "gt"), patterns, strict=True):
            target = root / pattern.format(k=k)
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(frame / f"{name}.png") as image:
                picture = image.convert("L") if name == "gt" else image.copy()
                if thermal and name == "depth":
                    picture = Image.fromarray((np.asarray(image) // 16).clip(0, 255).astype(np.uint8))
                picture.save(target)
    return root
