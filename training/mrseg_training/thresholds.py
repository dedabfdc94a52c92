"""Thresholds that decide from which probability on a voxel belongs to a region, chosen so that Dice is largest.

    python -m mrseg_training.thresholds MODEL --data DIR [--subjects FILE] -o thresholds.json

A threshold of 0.5 is best for accuracy, not for Dice: there the best one is half of the Dice reached (Lipton et al.
2014, arXiv 1402.1892). Regions are nested, so a region's voxels follow from its own threshold and those of the regions
around it. One threshold serves a group of combinations: with a region's needed modality or without it, and by the
number of modalities, since a threshold for each of 15 combinations would follow the few subjects at hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrseg_training.atomic import write_atomically
from mrseg_training.evaluate import find_labelled
from mrseg_training.log import Count, Say, silent
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import Combination, Region, Task, key

GRID = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
LEAST_ML = 0.5  # a subject counts for a region of which its reference has this much
GAIN = 0.002  # a threshold other than 0.5 is taken only for this much more Dice
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Voxels of one prediction by how many thresholds each region's probability reaches, and by truth.

    ``voxels`` (n + 1, ..., n + 1, 2^R) for n thresholds and R regions; the last axis counts in bits which regions of
    the truth a voxel is in. ``reference``: mL of each region.
    """

    subject: str
    combination: Combination
    voxels: Floats
    reference: Mapping[str, float]


def count(
    subject: str,
    combination: Combination,
    probabilities: npt.NDArray[Any],
    truth: npt.NDArray[np.bool_],
    missed: Sequence[int],
    reference: Mapping[str, float],
) -> Counts:
    """``probabilities``, ``truth``: (R, ...) inside a box; ``missed``: voxels of each region's truth outside of it."""
    regions, n = len(probabilities), len(GRID)
    place = np.zeros(probabilities[0].size, dtype=np.int64)
    for p in probabilities:
        place = place * (n + 1) + np.searchsorted(GRID, p.ravel().astype(np.float32), side="right")
    bits = sum(t.ravel().astype(np.int64) << r for r, t in enumerate(truth))
    shape = (*(n + 1,) * regions, 2**regions)
    voxels = np.bincount(place * 2**regions + bits, minlength=int(np.prod(shape))).reshape(shape)
    voxels = voxels.astype(np.float64)
    for region in range(regions):  # truth that the box does not reach is found by no threshold
        inner = missed[region + 1] if region + 1 < regions else 0
        voxels[(*(0,) * regions, 2 ** (region + 1) - 1)] += missed[region] - inner
    return Counts(subject, combination, voxels, reference)


def dice_at(counts: Counts, region: int, thresholds: Sequence[int]) -> float:
    """Dice of ``region`` (its number) where each region's threshold is ``GRID[thresholds[r]]``."""
    regions = counts.voxels.ndim - 1
    found = tuple(slice(thresholds[r] + 1, None) if r <= region else slice(None) for r in range(regions))
    bit = (np.arange(2**regions) >> region & 1).astype(bool)
    inside = counts.voxels[found].reshape(-1, 2**regions).sum(0)
    whole = counts.voxels.reshape(-1, 2**regions).sum(0)
    size = inside.sum() + whole[bit].sum()
    return float(2 * inside[bit].sum() / size) if size else 1.0


def group(task: Task, region: Region, combination: Combination) -> str:
    """Which combinations share a threshold for ``region``: by what it needs, and the number of modalities."""
    if region.needs and not set(region.needs) <= set(combination):
        return "not observable"
    return "one" if len(combination) == 1 else "several"


def choose(counts: Iterable[Counts], task: Task) -> dict[str, dict[str, float]]:
    """The thresholds for the largest mean Dice over subjects, from the outermost region inwards; 0.5 is left out.

    Every subject weighs alike in a group, whatever its number of combinations.
    """
    at = {c: [GRID.index(0.5)] * len(task.regions) for c in task.combinations()}
    counts = list(counts)
    chosen: dict[str, dict[str, float]] = {}
    for number, region in enumerate(task.regions):
        groups: dict[str, list[Counts]] = {}
        for one in counts:
            if one.reference[region.name] >= LEAST_ML:
                groups.setdefault(group(task, region, one.combination), []).append(one)
        for name, members in groups.items():
            scores = [_mean(members, number, t, at) for t in range(len(GRID))]
            best = int(np.argmax(scores))
            if scores[best] < scores[GRID.index(0.5)] + GAIN:
                continue
            for combination in task.combinations():
                if group(task, region, combination) == name:
                    at[combination][number] = best
                    chosen.setdefault(region.name, {})[key(combination)] = GRID[best]
    return chosen


def _mean(
    members: Sequence[Counts], region: int, threshold: int, at: Mapping[Combination, Sequence[int]]
) -> float:
    by_subject: dict[str, list[float]] = {}
    for one in members:
        where = [*at[one.combination]]
        where[region] = threshold
        by_subject.setdefault(one.subject, []).append(dice_at(one, region, where))
    return float(np.mean([np.mean(values) for values in by_subject.values()]))


def scores(
    counts: Iterable[Counts], task: Task, thresholds: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Rows of subject, combination, Dice by region (None under ``LEAST_ML``) with these thresholds."""
    rows = []
    for one in counts:
        where = [GRID.index(thresholds.get(r.name, {}).get(key(one.combination), 0.5)) for r in task.regions]
        dice = {
            r.name: dice_at(one, n, where) if one.reference[r.name] >= LEAST_ML else None
            for n, r in enumerate(task.regions)
        }
        rows.append({"subject": one.subject, "combination": key(one.combination), "dice": dice})
    return rows


def left_out(counts: Sequence[Counts], task: Task) -> list[dict[str, Any]]:
    """:func:`scores` of each subject with the thresholds chosen on all the others."""
    rows = []
    for subject in dict.fromkeys(one.subject for one in counts):
        others = choose([one for one in counts if one.subject != subject], task)
        rows += scores([one for one in counts if one.subject == subject], task, others)
    return rows


def means(rows: Sequence[Mapping[str, Any]], only: Iterable[str] | None = None) -> dict[str, float]:
    """Mean over subjects of the mean over combinations (``only`` these), by region."""
    wanted = None if only is None else set(only)
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if wanted is None or row["combination"] in wanted:
            for region, value in row["dice"].items():
                if value is not None:
                    found.setdefault(region, {}).setdefault(row["subject"], []).append(value)
    return {r: float(np.mean([np.mean(v) for v in each.values()])) for r, each in found.items()}


def counted(
    model: Path | str,
    data: Path,
    subjects: Sequence[str] | None = None,
    *,
    device: str = "auto",
    say: Say = silent,
) -> list[Counts]:
    """The counts of every combination of the subjects under ``data``. Raises InputError if there are none."""
    loaded = load_model(model)
    engine, task = Engine(loaded, device=device), loaded.task
    source = find_labelled(data, task, subjects)
    found = []
    for number, subject in enumerate(source.ids, start=1):
        study = source.open(subject)
        assert study.reference is not None
        labels = study.reference.labels
        there = [np.isin(labels, region.codes) for region in task.regions]
        sizes = [int(mask.sum()) for mask in there]
        reference = {r.name: n * study.grid.voxel_ml for r, n in zip(task.regions, sizes, strict=True)}
        for combination in engine.combinations(study):
            prediction = engine.predict(study, combination)
            inside = np.stack([mask[prediction.box] for mask in there])
            missed = [n - int(mask.sum()) for n, mask in zip(sizes, inside, strict=True)]
            found.append(count(subject, combination, prediction.probabilities, inside, missed, reference))
        say(Count("measured", number, len(source.ids)))
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.thresholds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model folder or the name of an installed model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", nargs="*", help="folder names; default: all with a reference")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(argv)
    task = load_model(args.model).task
    counts = counted(args.model, args.data, args.subjects)
    plain, others = scores(counts, task, {}), left_out(counts, task)
    document = {
        "thresholds": choose(counts, task),
        "subjects": list(dict.fromkeys(one.subject for one in counts)),
        "mean_at_0.5": means(plain),
        "mean_with_thresholds_of_the_other_subjects": means(others),
        "by_combination": {
            key(c): {"0.5": means(plain, [key(c)]), "chosen": means(others, [key(c)])}
            for c in task.combinations()
        },
    }
    write_atomically(args.out, json.dumps(document, indent=1).encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
