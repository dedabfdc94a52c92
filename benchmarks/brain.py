"""The brain found in native heads, against HD-BET's masks: by folds, alone by contrast, and what is no brain.

    python benchmarks/brain.py MODEL [MODEL ...] --heads ../shared/scans/heads -o brain.json

A MODEL is a model folder of the task brain, or ``bundled``; with ``FOLDER@NAMES.txt`` it is measured on the heads named
in that file, one a line: those it was not trained on. Each head's folder holds ``brain``, the mask, and scans; ``seg``,
where it is there, tells how much of the tumour is cut away. Prints mean and worst by contrast, and of all contrasts
together; the rows go to ``-o``, and with ``--masks`` the masks of all contrasts together into that folder, one a head,
for ``benchmarks/heads.py --masks``. ``--brains FOLDER``: each scan of each folder in it, cut to the brain already: is
it said to be one? ``--others FOLDER``: a study that shows none.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from napari_mrseg.extraction import Brain, find_brain, network
from napari_mrseg.io import open_study
from napari_mrseg.models.store import Model, load_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS


def opened(folder: Path) -> Study:
    """The head with its brain mask as reference."""
    scans = [f"{m}={path}" for m in BRATS.names if (path := folder / f"{m}.nii.gz").is_file()]
    return open_study(scans, reference=folder / "brain.nii.gz", brain="none")


def tumour(folder: Path, study: Study) -> np.ndarray | None:
    path = folder / "seg.nii.gz"
    if not path.is_file():
        return None
    source = study.images[study.present[0]].source
    return np.asarray(source.to_ipl(np.asarray(nib.load(path).dataobj))) > 0


def row(found: Brain, truth: np.ndarray, drawn: np.ndarray | None, voxel_ml: float) -> dict[str, Any]:
    both = 2 * float((found.mask & truth).sum()) / max(1.0, float(found.mask.sum() + truth.sum()))
    cut = None if drawn is None else float((drawn & ~found.mask).sum()) / max(1.0, float(drawn.sum()))
    return {
        "dice": both,
        "cut_away": cut,
        "sure": found.sure,
        "there": found.there,
        "ml": found.ml,
        "truth_ml": float(truth.sum()) * voxel_ml,
        "is_one": found.is_one,
        "cut_at": list(found.cut_at),
    }


def measured(model: Model, folder: Path, masks: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each contrast alone, and one for all of them; its mask is written to ``masks``."""
    study = opened(folder)
    assert study.reference is not None
    truth, drawn = study.reference.labels > 0, tumour(folder, study)
    spacing = study.grid.spacing
    each = [(name, [study.images[name].data]) for name in study.present]
    if len(each) > 1:
        each.append(("all", [image.data for image in study.images.values()]))
    for name, scans in each:
        began = time.perf_counter()
        found = find_brain(scans, spacing, model)
        seconds = time.perf_counter() - began
        if masks is not None and name == each[-1][0]:
            source = study.images[study.present[0]].source
            data = np.ascontiguousarray(source.from_ipl(found.mask.astype(np.uint8)))
            nib.save(nib.Nifti1Image(data, source.grid.matrix), masks / f"{folder.name}.nii.gz")
        yield name, row(found, truth, drawn, study.grid.voxel_ml) | {"seconds": seconds}


def judged(model: Model, folder: Path) -> Iterator[tuple[str, Brain]]:
    """What is found in each scan of a study, as it is."""
    study = open_study(folder, brain="none", reference=False)
    for name, image in study.images.items():
        yield name, find_brain([image.data], study.grid.spacing, model)


def loaded(name: str) -> Model:
    if name == "bundled":
        return network()
    from dataclasses import replace

    model = load_model(Path(name))
    return replace(model, network=model.network.for_inference())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--heads", type=Path, default=Path("../shared/scans/heads"))
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--brains", type=Path, nargs="*", default=[])
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    if args.masks:
        args.masks.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for each in args.models:
        name, _, names = each.partition("@")
        wanted = Path(names).read_text().split() if names else None
        model = loaded(name)
        for folder in sorted(p for p in args.heads.iterdir() if (p / "brain.nii.gz").is_file()):
            if wanted is None or folder.name in wanted:
                for contrast, found in measured(model, folder, args.masks):
                    rows.append({"head": folder.name, "contrast": contrast, "model": name, **found})
    for contrast in dict.fromkeys(r["contrast"] for r in rows):
        some = [r for r in rows if r["contrast"] == contrast]
        dice = [r["dice"] for r in some]
        cut = [r["cut_away"] for r in some if r["cut_away"] is not None] or [float("nan")]
        seconds = float(np.median([r["seconds"] for r in some]))
        print(
            f"{contrast}: {len(some)} heads, Dice {np.mean(dice):.4f}, worst {min(dice):.4f}; tumour cut away "
            f"{np.mean(cut):.2%}, at most {max(cut):.2%}; {seconds:.2f} s; no brain said of "
            f"{sum(not r['is_one'] for r in some)}"
        )
    if len(rows) > 2:
        sure, dice = (np.array([r[k] for r in rows]) for k in ("sure", "dice"))
        print(
            f"expected Dice {sure.mean():.3f}, reached {dice.mean():.3f}, r {np.corrcoef(sure, dice)[0, 1]:.2f}"
        )
    folders = [folder for root in args.brains for folder in sorted(root.iterdir()) if folder.is_dir()]
    said = [(f"{folder.name} {name}", found) for folder in folders for name, found in judged(model, folder)]
    if said:
        missed = [name for name, found in said if not found.is_one]
        least = min(said, key=lambda pair: pair[1].there)
        print(
            f"{len(said)} scans of brains: said to be none: {missed or 'none of them'}; least likely one "
            f"{least[0]} ({least[1].there:.2f})"
        )
    for folder in args.others:
        for name, found in judged(model, folder):
            what = "a brain" if found.is_one else "no brain"
            print(
                f"{folder.name} {name}: {what} ({found.there:.2f}), {found.ml:.0f} mL, expected Dice {found.sure:.2f}"
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
