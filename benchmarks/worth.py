"""Is the gain of one more scan predicted well, and does anything of the patient at hand help?

    python benchmarks/worth.py ROWS.json [ROWS.json ...]

ROWS: a list of ``{"case", "combination", "dice": {region: number or null}, "seen": {region: [numbers]}}``, written by
``--measure MODEL FOLDER -o ROWS.json`` from subjects with a segmentation that the model has not seen; ``seen`` is what
its prediction shows without the truth: expected Dice from its probabilities, volumes, agreement with its parts.

Each subject is left out in turn. Errors are absolute, of the gain in Dice; "right" is the share of times in which the
scan with the largest predicted gain is the one that gains most, "regret" what is lost in Dice where it is not.

* none: no gain is predicted; table: the mean gain of the other subjects (what is shown); patient: the table, corrected
  by a ridge regression on ``seen``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.comparison import Comparison, dice_to_reference
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.compare.worth import interval
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import BRATS

LEAST_ML = 0.5
PENALTY = 100.0
COMBINATIONS = BRATS.combinations()
STEPS = [(c, m) for c in COMBINATIONS for m in BRATS.names if m not in c]

Floats = npt.NDArray[np.float64]


def measured(model: str, folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """A row for each subject and combination."""
    engine = Engine(load_model(model), device="cpu")
    rows = []
    for path in sorted(p for p in folder.iterdir() if p.name in names or not names):
        study = open_study([path])
        assert study.reference is not None
        predictions = list(engine.run_all(study, study.task.combinations(study.present)))
        comparison = Comparison(study, predictions)
        dice_of = dice_to_reference(study)
        assert dice_of is not None
        for prediction in predictions:
            dice = dict(dice_of(prediction) or {})
            seen = {}
            for number, region in enumerate(BRATS.regions):
                truth = region_mask(study.reference.labels, region)
                if float(truth.sum()) * study.grid.voxel_ml < LEAST_ML:
                    dice[region.name] = None
                p = prediction.probabilities[number].astype(np.float32)
                inside = region_mask(prediction.labels, region)[prediction.box]
                expected = 2 * float(p[inside].sum()) / max(1e-6, float(p.sum()) + float(inside.sum()))
                unsure = float(((p > 0.1) & (p < 0.9)).sum()) / (float(inside.sum()) + 1)
                parts = [
                    q
                    for q in comparison.predictions.values()
                    if set(q.combination) < set(prediction.combination)
                ]
                alike = [_dice(region_mask(q.labels, region)[prediction.box], inside) for q in parts]
                agreement = float(np.mean(alike)) if alike else -1.0
                sizes = [np.log1p(float(v.sum()) * study.grid.voxel_ml) for v in (inside, p)]
                seen[region.name] = [expected, *sizes, float(p.max()), unsure, agreement]
            rows.append(
                {"case": study.case, "combination": list(prediction.combination), "dice": dice, "seen": seen}
            )
        print(study.case, flush=True)
    return rows


def _dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def leave_out(rows: list[dict[str, Any]], region: str) -> str:
    """The line of a region."""
    by = {(row["case"], tuple(row["combination"])): row for row in rows}
    cases, steps, gains, seen = [], [], [], []
    for case in sorted({row["case"] for row in rows}):
        for number, (combination, missing) in enumerate(STEPS):
            before, after = (
                by.get((case, c)) for c in (combination, BRATS.combination([*combination, missing]))
            )
            if before and after and None not in (before["dice"][region], after["dice"][region]):
                cases.append(case)
                steps.append(number)
                gains.append(after["dice"][region] - before["dice"][region])
                seen.append(before["seen"][region])
    who, step, gain, shown = np.array(cases), np.array(steps), np.array(gains), np.array(seen)
    predicted = {way: np.zeros(len(gain)) for way in ("none", "table", "patient")}
    held = []
    for case in set(cases):
        out = who == case
        means = np.array([gain[~out & (step == k)].mean() for k in range(len(STEPS))])
        predicted["table"][out] = means[step[out]]
        predicted["patient"][out] = means[step[out]] + _ridge(shown, gain, means[step], out)
        for place in np.flatnonzero(out):
            low, high = interval(list(gain[~out & (step == step[place])]))
            held.append(low <= gain[place] <= high)
    cells = []
    for values in predicted.values():
        right, regret = _choices(values, gain, who, step)
        cells.append(f"{np.abs(values - gain).mean():.3f}, {100 * right:.0f} %, {regret:.3f}")
    return f"| {region} | {len(set(cases))} | {' | '.join(cells)} | {100 * np.mean(held):.0f} % |"


def _ridge(seen: Floats, gain: Floats, means: Floats, out: npt.NDArray[np.bool_]) -> Floats:
    """What is to be added to the table for the subject left out."""
    scaled = (seen - seen[~out].mean(0)) / (seen[~out].std(0) + 1e-6)
    x = np.concatenate([scaled, scaled * means[:, None]], 1)
    inside = x[~out]
    weights = np.linalg.solve(
        inside.T @ inside + PENALTY * np.eye(x.shape[1]), inside.T @ (gain - means)[~out]
    )
    found: Floats = x[out] @ weights
    return found


def _choices(
    values: Floats, gain: Floats, who: npt.NDArray[np.str_], step: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """(share of choices that are right, mean regret) over subjects and combinations that lack two scans or more."""
    right, regret = [], []
    for case in set(who):
        for combination in COMBINATIONS:
            mine = [i for i in np.flatnonzero(who == case) if STEPS[step[i]][0] == combination]
            if len(mine) > 1:
                chosen, best = (max(mine, key=lambda i, v=v: v[i]) for v in (values, gain))  # type: ignore[misc]
                right.append(chosen == best)
                regret.append(gain[best] - gain[chosen])
    return float(np.mean(right)), float(np.mean(regret))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "FOLDER"))
    parser.add_argument("--subjects", nargs="*", default=[], help="of the folder; default: all")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    if args.measure:
        rows = measured(args.measure[0], Path(args.measure[1]), args.subjects)
        args.output.write_text(json.dumps(rows))
        return
    rows = [row for path in args.rows for row in json.loads(path.read_text())]
    print("| region | subjects | none: error, right, regret | table | patient | 80 % interval holds |")
    print("|---|--:|--:|--:|--:|--:|")
    for region in BRATS.regions:
        print(leave_out(rows, region.name))


if __name__ == "__main__":
    main()
