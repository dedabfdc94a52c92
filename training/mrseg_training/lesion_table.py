"""Lesions one by one: their scores, and how many were found by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mrseg_training.markdown import number, table
from napari_mrseg.compare.metrics import PENALTY_MM

SIZES = {"≤ 0.5 mL": (0.0, 500.0), "≤ 5 mL": (500.0, 5000.0), "> 5 mL": (5000.0, float("inf"))}
"""Ranges of volume in mm³: more than the first, up to the second. Lesions up to 50 mm³ do not count at all."""


def lesion_lines(rows: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> list[str]:
    """A table of lesion-wise scores by combination, where they were measured."""
    if not rows or not regions or "lesions" not in rows[0][regions[0]]:
        return []
    titles = {"dice": "lesion Dice", "hd95": "lesion HD95", "missed": "missed", "false": "false"}
    titles |= {"surface_dice": "surface Dice"}
    heads = ["combination", *(f"{r} {title}" for title in titles.values() for r in regions)]
    cells = [
        [
            "+".join(row["combination"]),
            *(
                number(row[r]["lesions"][kind] * (100 if kind.endswith("dice") else 1), 1)
                for kind in titles
                for r in regions
            ),
        ]
        for row in rows
    ]
    return [
        "",
        "Lesion by lesion as BraTS 2023 (parts within 6 voxels are one lesion, up to 50 mm³ do not count; a lesion "
        f"that is missed or made up has Dice 0 and HD95 {PENALTY_MM:g}); missed and false ones a subject; surface "
        "Dice at 1 mm:",
        "",
        *table(heads, cells),
        *_sensitivity_lines(rows, regions),
    ]


def sensitivity(each: Sequence[Sequence[Sequence[float]]]) -> dict[str, list[int]]:
    """How many lesions of each range in :data:`SIZES` were found, and how many there are.

    ``each``: of every subject (volume in mm³, 1 if found) by lesion.
    """
    lesions = [lesion for subject in each for lesion in subject]
    found = {}
    for title, (low, high) in SIZES.items():
        own = [seen for size, seen in lesions if low < size <= high]
        found[title] = [int(sum(own)), len(own)]
    return found


def _sensitivity_lines(rows: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> list[str]:
    heads = ["combination", *(f"{r} {size}" for r in regions for size in SIZES)]
    cells = [
        [
            "+".join(row["combination"]),
            *("{} of {}".format(*row[r]["lesions"]["sensitivity"][size]) for r in regions for size in SIZES),
        ]
        for row in rows
    ]
    return ["", "Lesions of which anything was found, by their volume:", "", *table(heads, cells)]
