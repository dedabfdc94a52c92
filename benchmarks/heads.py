"""Whole tumour in native low-grade studies, the brain cut out by the masks that lie beside them.

    python benchmarks/heads.py MODEL --heads ../shared/scans/heads -o heads.json

Each folder holds ``flair``, most ``t1`` and ``t1ce``, ``brain`` and ``seg`` (whole tumour drawn on FLAIR). Prints the
mean Dice by combination over the studies that have it, with a 95 % interval over studies. For measuring only: the
segmentations' licence lets no weights learn from them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import BRATS, key


def masked(folder: Path, mask: Path, out: Path) -> list[str]:
    """Write the scans with everything outside ``mask`` 0; returns them as ``modality=file``."""
    brain = np.asarray(nib.load(mask).dataobj) > 0
    pairs = [f"reference={folder / 'seg.nii.gz'}"]
    for name in BRATS.names:
        path = folder / f"{name}.nii.gz"
        if path.is_file():
            image = nib.load(path)
            data = np.where(brain, np.asarray(image.dataobj), 0)
            nib.save(nib.Nifti1Image(data, image.affine, image.header), out / path.name)
            pairs.append(f"{name}={out / path.name}")
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model folder or the name of an installed model")
    parser.add_argument("--heads", type=Path, default=Path("../shared/scans/heads"))
    parser.add_argument(
        "--masks", type=Path, help="a folder with NAME.nii.gz in place of each head's own brain"
    )
    parser.add_argument("--complete", action="store_true", help="only all contrasts of a head together")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    engine, whole = Engine(load_model(args.model)), BRATS.regions[0]
    found: dict[str, dict[str, float]] = {}
    for folder in sorted(path for path in args.heads.iterdir() if path.is_dir()):
        with tempfile.TemporaryDirectory() as temporary:
            mask = args.masks / f"{folder.name}.nii.gz" if args.masks else folder / "brain.nii.gz"
            study = open_study(masked(folder, mask, Path(temporary)), brain="none")
            assert study.reference is not None
            truth = study.reference.labels > 0
            for combination in [study.present] if args.complete else engine.combinations(study):
                labels = engine.predict(study, combination).labels
                value = dice(region_mask(labels, whole), truth)
                found.setdefault(key(combination), {})[folder.name] = value
    summary = {}
    for name, values in found.items():
        each = np.array([*values.values()])
        summary[name] = bootstrap(each[None, :, None]) | {"median": float(np.median(each)), "n": len(each)}
        print(name, json.dumps(summary[name]))
    args.out.write_text(json.dumps({"mean": summary, "by_study": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
