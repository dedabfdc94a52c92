"""How much does the result depend on the side? WT Dice to the reference, as it is and with left and right exchanged.

    python benchmarks/mirror.py ../shared/data/BraTS-GLI-00000-000 ../shared/data/BraTS2021_01481 --use flair --use t1ce

The mirrored scan is that of another patient, whose tumour lies on the other side; the reference is mirrored with it.
Default: all 15 combinations. The goal is a mean change of at most 0.02.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_mrseg.compare.metrics import dice
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import BRATS, key


def mirrored(study: Study) -> Study:
    """Left and right exchanged, on the same grid."""
    images = {
        name: Image(
            np.ascontiguousarray(image.data[:, :, ::-1]),
            replace(image.source, sha256=f"{image.source.sha256}-mirrored"),
        )
        for name, image in study.images.items()
    }
    return Study(study.task, f"{study.case}-mirrored", images)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="subjects with a reference")
    parser.add_argument("--model", help="a model's name or folder")
    parser.add_argument("--use", action="append", help="a combination, e.g. flair,t1ce; may be repeated")
    asked = parser.parse_args()
    used = [BRATS.combination(text.split(",")) for text in asked.use or ()] or BRATS.combinations()
    engine = Engine(load_model(asked.model), device="cpu")
    changes = []
    print("| subject | combination | as it is | mirrored | change |\n|---|---|---:|---:|---:|")
    for folder in asked.folders:
        study = open_study(folder)
        if study.reference is None:
            sys.exit(f"{folder.name} has no reference; choose a subject with one.")
        truth = study.reference.labels > 0
        other = mirrored(study)
        for combination in used:
            plain = dice(engine.predict(study, combination).labels > 0, truth)
            turned = dice(engine.predict(other, combination).labels[:, :, ::-1] > 0, truth)
            changes.append(turned - plain)
            print(
                f"| {study.case} | {key(combination)} | {plain:.3f} | {turned:.3f} | {changes[-1]:+.3f} |",
                flush=True,
            )
    print(f"\nmean change {np.mean(changes):+.4f}, largest {max(np.abs(changes)):.4f}, n = {len(changes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
