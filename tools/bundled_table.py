"""What the models of the folds earn: each subject by the model that had not seen it, with intervals, in Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrseg_training.calibration import scaled_error, temperature
from mrseg_training.markdown import NOTHING, number, table
from mrseg_training.measure import FAR_MM
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.tasks import key

SHIPPED = "a"  # the fold whose test has BraTS-GLI-00000-000, so that anyone can measure it again
LEAST_ML = 0.5  # a region counts where the reference has this much of it

Summary = dict[str, Any]


def pooled(folds: Mapping[str, Mapping[str, Any]]) -> Summary:
    """Mean Dice over subjects and combinations, with a 95 % interval over subjects, by region.

    ``folds``: documents of :func:`~mrseg_training.evaluate.evaluate`. A subject counts for a region of which its
    reference has at least ``LEAST_ML``.
    """
    rows = [row for document in folds.values() for row in document["by_subject"]]
    summary: Summary = {}
    for region in rows[0]["dice"]:
        counted = [row for row in rows if row["reference"][region] >= LEAST_ML]
        subjects = list(dict.fromkeys(row["subject"] for row in counted))
        if not subjects:
            continue
        means = np.array(
            [np.mean([r["dice"][region] for r in counted if r["subject"] == s]) for s in subjects]
        )
        summary[region] = bootstrap(means[None, :, None]) | {"n": len(means)}
        summary[region]["by_subject"] = dict(zip(subjects, means.tolist(), strict=True))
    return summary


def measured(
    folds: Mapping[str, Mapping[str, Any]], false_volumes: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows for the card, one per case and combination: Dice where the reference has enough, else None; false mL."""
    rows: list[dict[str, Any]] = []
    for fold, document in folds.items():
        for row in document["by_subject"]:
            counted = {r: row["reference"][r] >= LEAST_ML for r in row["dice"]}
            rows.append(
                {
                    "combination": list(row["combination"]),
                    "case": row["subject"],
                    "weights": fold,
                    "dice": {r: round(v, 4) if counted[r] else None for r, v in row["dice"].items()},
                    "false_ml": {r: round(row["size"][r], 2) for r in row["dice"] if not counted[r]},
                    "far_ml": round(row["far"], 2),
                }
            )
    names = dict.fromkeys(tuple(row["combination"]) for row in rows)
    for weights, cases in false_volumes.items():
        for case, found in cases.items():
            rows += [
                {
                    "combination": list(c),
                    "case": case,
                    "weights": weights,
                    "false_ml": {"WT": round(found[key(c)], 2)},
                }
                for c in names
                if key(c) in found
            ]
    return rows


def report(
    summary: Summary,
    folds: Mapping[str, Mapping[str, Any]],
    false_volumes: Mapping[str, Mapping[str, Any]],
    synthetic: tuple[str, Mapping[str, Any]],
    whole: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> str:
    """The Markdown of ``table.md``: pooled means, each subject, and each combination with its false positives.

    ``synthetic``: which model was measured on simulated subjects, and that.
    """
    ship, made_of = synthetic
    regions = list(summary)
    rows = [row for document in folds.values() for row in document["by_subject"]]
    fake = pooled({ship: made_of})
    subjects = [["**mean**", *(_interval(summary[r]) for r in regions), "", ""]]
    for fold, document in folds.items():
        for subject in document["subjects"]:
            own = [row for row in document["by_subject"] if row["subject"] == subject]
            last = list(own[0]["dice"])[-1]
            absent = own[0]["reference"][last] < LEAST_ML
            false = max(row["size"][last] for row in own) if absent else None
            cells = [number(summary[r]["by_subject"].get(subject)) for r in regions]
            cells += [number(false, 1), number(max(row["far"] for row in own), 1)]
            subjects.append([f"{subject} (model {fold})", *cells])
    made = [_interval(fake[r]) if r in fake else NOTHING for r in regions]
    subjects.append([f"*simulated (model {ship})*", *made, "", ""])
    cases = {
        f"{case}, model {fold}": found for fold, all_ in false_volumes.items() for case, found in all_.items()
    }
    combinations = [
        [
            name,
            *(_mean_of(rows, name, r) for r in regions),
            *(_mean_of(made_of["by_subject"], name, r) for r in regions),
            *(number(found.get(name), 1) for found in cases.values()),
        ]
        for name in dict.fromkeys(key(row["combination"]) for row in rows)
    ]
    errors = [
        [
            count,
            *(
                number(document["calibration"][count][r]["ece_from_0.05"])
                for document in folds.values()
                for r in regions
            ),
        ]
        for count in next(iter(folds.values()))["calibration"]
    ]
    lines = [
        "Dice of subjects by the model that had not seen them, mean over the combinations; a region counts where its "
        f"reference has at least {LEAST_ML:g} mL. 95 % interval: subjects drawn again. Far: whole tumour found more "
        f"than {FAR_MM:g} mm from the reference, the most of any combination.",
        "",
        *table(["", *regions, "false ET, mL", "far, mL"], subjects),
        "",
        "Mean over the subjects by combination, Dice on the simulated benchmark (s.), and mL found in scans without "
        "a tumour:",
        "",
        *table(["combination", *regions, *(f"{r} s." for r in regions), *cases], combinations),
        "",
        "Expected calibration error over voxels with a probability of at least 0.05, by number of modalities:",
        "",
        *table(["modalities", *(f"{r}, model {fold}" for fold in folds for r in regions)], errors),
        "",
        *_temperatures(folds, regions),
        "Whole tumour in scans that have no other labels, and that no model was trained on:",
        "",
    ]
    for fold, found_in in whole.items():
        names = list(dict.fromkeys(name for found in found_in.values() for name in found))
        means = [float(np.mean([found[n] for found in found_in.values()])) for n in names]
        each = [[case, *(number(found[n]) for n in names)] for case, found in found_in.items()]
        lines += table([f"model {fold}", *names], [*each, ["**mean**", *map(number, means)]])
        lines.append("")
    seconds = sorted(row["seconds"] for row in rows)
    lines += [
        f"A final took {seconds[len(seconds) // 2]:.2f} s in the median and {seconds[-1]:.2f} s at most "
        f"({next(iter(folds.values()))['device']}, {os.cpu_count()} processors).",
    ]
    return "\n".join(lines) + "\n"


def _temperatures(folds: Mapping[str, Mapping[str, Any]], regions: Sequence[str]) -> list[str]:
    """Whether a temperature from the other folds' subjects makes a fold's probabilities truer."""
    if len(folds) < 2:
        return []
    rows, counts = [], list(next(iter(folds.values()))["calibration"])
    for count in counts:
        cells = [count]
        for fold, document in folds.items():
            others = [other["calibration"][count] for name, other in folds.items() if name != fold]
            for region in regions:
                sums = [np.sum([other[region]["fine"][k] for other in others], axis=0) for k in (0, 1)]
                by, (voxels, hits) = temperature(*sums), document["calibration"][count][region]["fine"]
                errors = scaled_error(voxels, hits, 1.0), scaled_error(voxels, hits, by)
                cells.append(f"{by:.2f}: {number(errors[0])} → {number(errors[1])}")
        rows.append(cells)
    return [
        "The temperature that suits the other fold's subjects best, and that error without and with it:",
        "",
        *table(["modalities", *(f"{r}, model {fold}" for fold in folds for r in regions)], rows),
        "",
    ]


def _interval(of: Mapping[str, Any]) -> str:
    return f"{of['mean']:.3f} [{of['low']:.3f}, {of['high']:.3f}], n = {of['n']}"


def _mean_of(rows: Sequence[Mapping[str, Any]], name: str, region: str) -> str:
    values = [
        row["dice"][region]
        for row in rows
        if key(row["combination"]) == name and row["reference"][region] >= LEAST_ML
    ]
    return number(float(np.mean(values)) if values else None)
