"""A modality that moved before its scan, put back by registration: whole-tumour Dice with it, and without it.

python benchmarks/registered_dice.py --data ../shared/data
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from registration import moved_by, random_motion

from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.io.align import Align
from napari_mrseg.models.store import load_model
from napari_mrseg.study import Grid, Image, Study

CASES = (
    *(("BraTS-GLI-00000-000", "flair"), ("BraTS2021_01477", "flair")),
    *(("BraTS2021_01478", "t2"), ("BraTS2021_01481", "flair")),
)
MOTIONS = 2  # a case
ASIDE_MM = 0.2  # another grid, so that the pose is looked for


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    engine = Engine(load_model())
    region = engine.model.task.regions[0]
    rng = np.random.default_rng(5)
    rows = []
    for case, name in CASES:
        study = open_study(args.data / case)
        assert study.reference is not None
        truth = study.reference.labels > 0

        def of(one: Study, truth: np.ndarray = truth) -> float:
            return dice(region_mask(engine.predict(one, one.present).labels, region), truth)

        centre = (study.grid.matrix @ [*(np.array(study.grid.shape) / 2), 1])[:3]
        for _ in range(MOTIONS):
            moved = moved_by(study.images[name], random_motion(rng, centre))
            aside = np.zeros((4, 4))
            aside[0, 3] = ASIDE_MM
            grid = Grid.of(moved.source.grid.shape, moved.source.grid.matrix + aside)
            images = {**study.images, name: Image(moved.data, replace(moved.source, grid=grid))}
            changed, _notes = Align("t1").apply(images, study.task)
            back = replace(study, images={**study.images, **changed})
            rest = study.only([other for other in study.present if other != name])
            rows.append((of(study), of(back), of(rest)))
            print(
                f"{case}, {name}: never moved {rows[-1][0]:.3f}, put back {rows[-1][1]:.3f}, without {rows[-1][2]:.3f}"
            )
    means = np.mean(rows, axis=0)
    print(f"mean of {len(rows)}: never moved {means[0]:.3f}, put back {means[1]:.3f}, without {means[2]:.3f}")


if __name__ == "__main__":
    main()
