"""Fingerprints of what must not change by accident: predictions, prepared subjects, generated samples.

    python benchmarks/golden.py ../shared/data -o before.json     # in the old tree: PYTHONPATH=OLD:OLD/training
    python benchmarks/golden.py ../shared/data --against before.json

Bit for bit, so only on one machine, with one number of threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrseg_training.data.simulated_subjects import Simulated
from mrseg_training.data.subjects import find_folders, prepare
from mrseg_training.settings import SimulatePart
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import get_task, key

CASES = ("BraTS-GLI-00000-000", "BraTS2021_01476")
COMBINATIONS = (("flair", "t1", "t1ce", "t2"), ("flair", "t1ce"), ("t2",))
BRAINS = ("BraTS2021_01476", "BraTS-GLI-00001-000")


def digest(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        found.update(np.ascontiguousarray(array if array.dtype == bool else array + 0).tobytes())  # −0 is 0
    return found.hexdigest()[:16]


def golden(data: Path, model: str) -> dict[str, str]:
    """A digest for each thing by name."""
    torch.set_num_threads(1)
    task, found = get_task("brats"), {}
    engine = Engine(load_model(model), device="cpu")
    for case in CASES:
        study = open_study(data / case, task=task)
        for combination in COMBINATIONS:
            made = engine.predict(study, combination)
            found[f"predict {case} {key(combination)}"] = digest(made.labels, made.probabilities)
        for spacing in (1.0, 2.0, 3.0):
            made = prepare(study, spacing)
            found[f"prepare {case} {spacing:g} mm"] = digest(made.images.half(), made.labels, made.available)
    assert find_folders(data, CASES[0], task)
    for spacing in (1.0, 2.0, 3.0):
        for brains in ((), BRAINS) if spacing == 2.0 else ((),):
            part = SimulatePart(
                seed=3,
                brains=brains,
                labelled=brains,
                real_share=0.5 if brains else 0,
                template_share=0.3 if brains else 1,
            )
            source = Simulated(part, task, spacing, data)
            for number in range(1 if spacing == 1 else 3):
                made = source.load(f"sim-train-{number:04d}")
                name = f"simulate {spacing:g} mm {'brains' if brains else 'template'} {number}"
                found[name] = digest(made.images, made.labels)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--model", default="compact")
    args = parser.parse_args()
    found = golden(args.data, args.model)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.against:
        before = json.loads(args.against.read_text(encoding="utf-8"))
        other = [name for name in before if found.get(name) != before[name]]
        print(f"{len(before) - len(other)} of {len(before)} equal", *other, sep="\n")
        raise SystemExit(bool(other))


if __name__ == "__main__":
    main()
