"""Are the numbers of ``mrseg compare`` and of the window those that a plain script finds in the label files?

    mrseg compare ../shared/data/BraTS-GLI-00000-000 -o compared
    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/compare_tour.py ../shared/data/BraTS-GLI-00000-000 -o docs/images --tables window
    python benchmarks/same_numbers.py compared --window window --reference SEG.nii.gz

Nothing of napari-mrseg is used here: the label files are read with nibabel, Dice and HD95 are MONAI's. Compared are
each combination's volumes, Dice to all modalities' result, and Dice and HD95 to the reference, with ``table.json``,
``table.csv`` and ``result.json`` of ``mrseg compare``, and with the tables that the window exported. Exits with 1 if
a number differs by more than its rounding, or if one is missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance

REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
CODES = {4: 3}  # older data call enhancing tumour 4
# Tables round to six digits; MONAI interpolates its percentile in single precision (of 16 000 distances up to 90 mm).
TOLERANCE = {"size": 2e-6, "versus": 2e-6, "dice": 2e-6, "hd95": 1e-4}
Numbers = dict[tuple[str, str, str], float | None]  # (combination, kind, region) → value


def masks_of(path: Path) -> tuple[torch.Tensor, float, tuple[float, ...]]:
    """(1, 3, X, Y, Z) masks of a label file, its mL per voxel, and its spacing in mm."""
    image = nib.load(path)
    labels = np.asanyarray(image.dataobj).astype(np.int64)
    for old, new in CODES.items():
        labels[labels == old] = new
    masks = torch.from_numpy(np.stack([np.isin(labels, codes) for codes in REGIONS.values()])[None])
    return masks, abs(np.linalg.det(image.affine[:3, :3])) / 1000, image.header.get_zooms()[:3]


def found_in(folder: Path, reference: Path | None) -> Numbers:
    """All numbers, from the label files alone."""
    files = {path.name.removesuffix(".nii.gz"): path for path in folder.glob("*.nii.gz")}
    full = max(files, key=lambda name: name.count("+"))
    everything, truth = masks_of(files[full])[0], None if reference is None else masks_of(reference)[0]
    numbers: Numbers = {}

    def note(combination: str, kind: str, values: torch.Tensor) -> None:
        for region, value in zip(REGIONS, values.flatten().tolist(), strict=True):
            numbers[combination, kind, region] = value if math.isfinite(value) else None

    for combination, path in files.items():
        masks, ml, spacing = masks_of(path)
        note(combination, "size", masks.sum(dim=(0, 2, 3, 4)).double() * ml)
        note(combination, "versus", compute_dice(masks, everything, ignore_empty=False))
        if truth is not None:
            note(combination, "dice", compute_dice(masks, truth, ignore_empty=False))
            distances = compute_hausdorff_distance(
                masks, truth, include_background=True, percentile=95, spacing=[float(s) for s in spacing]
            )
            empty = ~(masks.flatten(2).any(2) & truth.flatten(2).any(2))
            note(combination, "hd95", distances.masked_fill(empty, math.nan))
    return numbers


def of_table(document: dict[str, Any]) -> Numbers:
    """The numbers of a ``table.json``."""
    numbers: Numbers = {}
    for row in document["rows"]:
        name = "+".join(row["combination"])
        for region in REGIONS:
            numbers[name, "size", region] = row["sizes"][region]["value"]
            for kind in ("versus", "dice", "hd95"):
                if row[kind] is not None:
                    numbers[name, kind, region] = row[kind][region]
    return numbers


def of_csv(path: Path) -> Numbers:
    """The numbers of a ``table.csv``."""
    ends = {"size": "_mL", "versus": "", "dice": "", "hd95": "_mm"}
    numbers: Numbers = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            for kind, end in ends.items():
                for region in REGIONS:
                    cell = row.get(f"{kind}_{region}{end}")
                    if cell is not None:
                        numbers[row["combination"], kind, region] = float(cell) if cell else None
    return numbers


def of_result(document: dict[str, Any]) -> Numbers:
    """The numbers of a ``result.json``: volumes, and Dice to a reference."""
    numbers: Numbers = {}
    for row in document["predictions"]:
        name = "+".join(row["combination"])
        for region in REGIONS:
            numbers[name, "size", region] = row["sizes"][region]["value"]
            if row["dice"] is not None:
                numbers[name, "dice", region] = row["dice"][region]
    return numbers


def held_against(title: str, found: Numbers, said: Numbers, kinds: tuple[str, ...]) -> bool:
    """Print the largest difference of each kind; True if all are within rounding and none is missing."""
    right = True
    print(title)
    for kind in kinds:
        wanted = {key: value for key, value in found.items() if key[1] == kind}
        if not wanted:
            continue
        missing = [k for k, v in wanted.items() if k not in said or (v is None) != (said[k] is None)]
        apart = {
            key: abs(value - there)
            for key, value in wanted.items()
            if value is not None and (there := said.get(key)) is not None
        }
        extra = sum(key[1] == kind and key not in wanted for key in said)
        worst = max(apart.values(), default=0.0)
        fine = worst <= TOLERANCE[kind] and not missing and not extra
        right &= fine
        empty = sum(value is None for value in wanted.values())
        print(
            f"  {kind:7}{len(apart):3} numbers, {empty} without a value, largest difference {worst:.1e}"
            + ("" if fine else f"  WRONG; not the same cells: {missing or extra or 'none'}")
        )
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("compared", type=Path, help="folder that mrseg compare wrote")
    parser.add_argument("--window", type=Path, help="folder with table.json and table.csv from the window")
    parser.add_argument("--reference", type=Path, help="the reference segmentation")
    asked = parser.parse_args()
    found = found_in(asked.compared, asked.reference)
    everything = tuple(TOLERANCE)
    right = True
    for folder in (asked.compared, asked.window):
        if folder is None:
            continue
        who = "mrseg compare" if folder == asked.compared else "window"
        document = json.loads((folder / "table.json").read_text())
        model = f"{document['model']['name']} {document['model']['version']}, {document['precision']}"
        title = f"{who}, table.json ({len(document['rows'])} combinations; {model})"
        right &= held_against(title, found, of_table(document), everything)
        right &= held_against(f"{who}, table.csv", found, of_csv(folder / "table.csv"), everything)
    result = json.loads((asked.compared / "result.json").read_text())
    right &= held_against("mrseg compare, result.json", found, of_result(result), ("size", "dice"))
    if asked.window is not None:
        tables = [json.loads((f / "table.json").read_text()) for f in (asked.compared, asked.window)]
        for part in ("agreement", "attribution", "sufficient"):
            same = tables[0][part] == tables[1][part]
            right &= same
            print(f"{part}: {'the same' if same else 'NOT the same'} in both tables")
    print("All numbers are the same." if right else "NOT all numbers are the same.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
