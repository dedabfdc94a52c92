"""Known rigid motions put on one contrast of a real case: how well each is found, and whether a wrong one is believed.

    python benchmarks/registration.py ../shared/data/BraTS-GLI-00000-000 t1 flair [--motions 20] [--seed 7]

What the contrasts were off before counts as an error here, too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.io import open_study
from napari_mrseg.io.align import find_motion, sample
from napari_mrseg.study import Image

MOST_DEGREES, MOST_MM = 15.0, 20.0
FOUND, WRONG = (0.5, 1.0), (2.0, 3.0)  # degrees, mm


@dataclass(frozen=True)
class Try:
    degrees: float
    mm: float
    believed: bool

    @property
    def found(self) -> bool:
        return self.degrees <= FOUND[0] and self.mm <= FOUND[1]

    @property
    def wrong(self) -> bool:
        return self.believed and (self.degrees > WRONG[0] or self.mm > WRONG[1])


def random_motion(rng: np.random.Generator, centre: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(4, 4): a turn about ``centre`` and a shift, of any direction, evenly up to the most."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = np.radians(rng.uniform(0, MOST_DEGREES))
    shift = rng.normal(size=3)
    shift *= rng.uniform(0, MOST_MM) / np.linalg.norm(shift)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = centre + shift - turn @ centre
    return motion


def moved_by(image: Image, motion: npt.NDArray[np.float64]) -> Image:
    """The scan as if the head had moved: same grid, other voxels."""
    grid = image.source.ipl_grid
    return Image(sample(image.data, grid, grid, np.linalg.inv(motion)), image.source)


def try_motion(fixed: Image, moving: Image, motion: npt.NDArray[np.float64]) -> Try:
    grid = moving.source.ipl_grid
    centre = grid.matrix @ [*(np.array(grid.shape) / 2), 1]
    found = find_motion(fixed, moved_by(moving, motion))
    matrix = np.array(found.matrix)
    rest = (matrix @ np.linalg.inv(motion))[:3, :3]
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(rest) - 1) / 2, -1, 1))))
    return Try(degrees, float(np.linalg.norm(((matrix - motion) @ centre)[:3])), found.believed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", type=Path)
    parser.add_argument("moving")
    parser.add_argument("fixed")
    parser.add_argument("--motions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    study = open_study(args.case, reference=False)
    fixed, moving = study.images[args.fixed], study.images[args.moving]
    grid = moving.source.ipl_grid
    centre = (grid.matrix @ [*(np.array(grid.shape) / 2), 1])[:3]
    rng = np.random.default_rng(args.seed)
    tries, began = [], time.monotonic()
    for _ in range(args.motions):
        tries.append(try_motion(fixed, moving, random_motion(rng, centre)))
        print(
            f"off by {tries[-1].degrees:.2f}° and {tries[-1].mm:.2f} mm, believed: {tries[-1].believed}",
            flush=True,
        )
    seconds = (time.monotonic() - began) / len(tries)
    found, believed, wrong = (
        sum(values) for values in zip(*((t.found, t.believed, t.wrong) for t in tries), strict=True)
    )
    print(
        f"{args.case.name}: {args.moving} onto {args.fixed}: {found} of {len(tries)} within 0.5° and 1 mm, {believed} "
        f"believed, {wrong} of them off by more than 2° or 3 mm; {seconds:.1f} s each"
    )


if __name__ == "__main__":
    main()
