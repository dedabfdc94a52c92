"""Imagined scans beside the real ones, and beside three simpler ways to make them; how often the interval holds.

    python benchmarks/imagining.py --unseen FOLDER --seen FOLDER -o imagining.json

FOLDER: a folder per subject, cut to the brain, with a segmentation where there is one. ``--unseen``: subjects that the
model (default: the bundled one) has learnt nothing from; ``--seen``: those the simpler ways are fitted on, which should
be the model's own. Every modality is imagined from every combination of the others that the subject has. The simpler
ways:

* mean: the mean of the modality over the seen subjects, their brains' boxes laid over each other;
* regression: of each voxel on those of the given scans, a constant added, least squares;
* nearest: the given scan that goes best with the modality, scaled and shifted, by the same least squares.

PSNR and SSIM as in ``compare/likeness.py``, over the brain and over the tumour. Prints means over the subjects, by
modality and by how many are given; rows go to ``-o``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

from napari_mrseg.compare.likeness import Likeness, likeness
from napari_mrseg.inference.imagining import Imaginer
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS, Combination, key

COMMON = (64, 80, 64)  # voxels of the box in which means are taken
DRAWN = 20_000  # voxels of each seen subject that the least squares see
WAYS = ("ours", "mean", "regression", "nearest")

Array = npt.NDArray[np.float32]
Sides = tuple[slice, ...]


def box(inside: npt.NDArray[np.bool_]) -> Sides:
    sides = []
    for axis in range(3):
        places = np.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))
        sides.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(sides)


def fitted(array: Array, shape: tuple[int, ...]) -> Array:
    """``array`` stretched to ``shape``."""
    found: Array = zoom(
        array,
        [n / m for n, m in zip(shape, array.shape, strict=True)],
        order=1,
        mode="nearest",
        grid_mode=True,
    )
    return found


class Simple:
    """The simpler ways, fitted on the studies seen."""

    def __init__(self, imaginer: Imaginer, folders: list[Path]) -> None:
        total = {name: np.zeros(COMMON) for name in BRATS.names}
        count = dict.fromkeys(BRATS.names, 0)
        drawn = []
        rng = np.random.default_rng(0)
        for folder in folders:
            study = open_study([folder], reference=False)
            scans = {name: imaginer.real(study, name) for name in study.present}
            inside = np.any([imaginer.shown(study, name) for name in study.present], 0)
            for name, scan in scans.items():
                total[name] += fitted(scan[box(inside)], COMMON)
                count[name] += 1
            if len(scans) == len(BRATS.names):
                places = rng.choice(np.flatnonzero(inside), min(DRAWN, int(inside.sum())), replace=False)
                drawn.append(np.stack([scans[name].ravel()[places] for name in BRATS.names], 1))
            print(".", end="", file=sys.stderr, flush=True)
        self.means = {name: (total[name] / max(1, count[name])).astype(np.float32) for name in BRATS.names}
        self.voxels = np.concatenate(drawn)
        self.matched = np.corrcoef(self.voxels.T)

    def fit(self, given: Combination, target: str) -> npt.NDArray[np.float64]:
        """Weights of the given scans, and what is added."""
        names = list(BRATS.names)
        x = np.column_stack([self.voxels[:, [names.index(g) for g in given]], np.ones(len(self.voxels))])
        found: npt.NDArray[np.float64] = np.linalg.lstsq(x, self.voxels[:, names.index(target)], rcond=None)[
            0
        ]
        return found

    def nearest(self, given: Combination, target: str) -> str:
        names = list(BRATS.names)
        row = self.matched[names.index(target)]
        return max(given, key=lambda name: abs(row[names.index(name)]))


def mixed(weights: npt.NDArray[np.float64], scans: list[Array]) -> Array:
    found: Array = sum(
        (np.float32(w) * s for w, s in zip(weights, scans, strict=False)), np.float32(weights[-1])
    )
    return found


def rows(imaginer: Imaginer, simple: Simple, study: Study) -> list[dict[str, Any]]:
    scans = {name: imaginer.real(study, name) for name in study.present}
    shown = {name: imaginer.shown(study, name) for name in study.present}
    inside = np.any(list(shown.values()), 0)
    found = []
    for target in study.present:
        parts = {"brain": shown[target]}
        if study.reference is not None:
            parts["tumour"] = shown[target] & (study.reference.labels > 0)

        def compared(
            array: Array, target: str = target, parts: dict[str, Any] = parts
        ) -> dict[str, Likeness]:
            return likeness(np.where(inside, array, np.float32(0)), scans[target], shown[target], parts)

        average = np.zeros_like(scans[target])
        average[box(inside)] = fitted(simple.means[target], average[box(inside)].shape)
        always = {"mean": compared(average)}
        nearest = {
            near: compared(mixed(simple.fit((near,), target), [scans[near]]))
            for near in scans
            if near != target
        }
        others = [name for name in study.present if name != target]
        for given in (c for number in range(1, len(others) + 1) for c in combinations(others, number)):
            made = imaginer.imagine(study, target, given)
            straight = mixed(simple.fit(given, target), [scans[name] for name in given])
            alike = {
                "ours": compared(made.middle),
                "regression": compared(straight),
                "nearest": nearest[simple.nearest(given, target)],
                **always,
            }
            for way, scores in alike.items():
                for part, like in scores.items():
                    row = {"case": study.case, "target": target, "given": key(given), "number": len(given)}
                    row |= {"way": way, "part": part, "psnr": like.psnr, "ssim": like.ssim}
                    if way == "ours":
                        mask = parts[part] & made.inside
                        real = scans[target][mask]
                        row["held"] = float(((real >= made.low[mask]) & (real <= made.high[mask])).mean())
                        row["unsure"] = float(made.unsure[mask].mean())
                        row["seconds"] = made.seconds
                    found.append(row)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Means over the subjects: a line for each modality and number of given ones."""
    lines = []
    for part in ("brain", "tumour"):
        lines += [
            "",
            part,
            "",
            "| imagined | given | "
            + " | ".join(f"{way} PSNR, SSIM" for way in WAYS)
            + " | 80 % interval holds |",
        ]
        lines.append("|---|--:|" + "--:|" * (len(WAYS) + 1))
        for target in BRATS.names:
            for number in (1, 2, 3):
                means = defaultdict(list)
                for row in found:
                    if (row["part"], row["target"], row["number"]) == (part, target, number):
                        means[row["way"]].append((row["psnr"], row["ssim"], row.get("held", 0)))
                if not means:
                    continue
                each = {way: np.mean(values, 0) for way, values in means.items()}
                cells = [f"{each[way][0]:.1f}, {each[way][1]:.3f}" for way in WAYS]
                lines.append(f"| {target} | {number} | {' | '.join(cells)} | {100 * each['ours'][2]:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unseen", type=Path, required=True, help="folder of subjects to measure on")
    parser.add_argument(
        "--seen", type=Path, required=True, help="folder of subjects to fit the simpler ways on"
    )
    parser.add_argument("--model", help="model folder; default: the bundled one")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows as JSON here")
    args = parser.parse_args()
    imaginer = Imaginer(load_model(args.model, segments=False) if args.model else None, device="cpu")
    simple = Simple(imaginer, sorted(f for f in args.seen.iterdir() if f.is_dir()))
    found = []
    for folder in sorted(f for f in args.unseen.iterdir() if f.is_dir()):
        found += rows(imaginer, simple, open_study([folder]))
        print(folder.name, file=sys.stderr, flush=True)
        if args.output:
            args.output.write_text(json.dumps(found, indent=0))
    print(table(found))


if __name__ == "__main__":
    main()
