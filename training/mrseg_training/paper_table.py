"""The table as the papers print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrseg_training.lesion_table import lesion_lines, sensitivity
from mrseg_training.markdown import number, table
from mrseg_training.volume_agreement import agreement, volume_lines
from napari_mrseg.compare.metric import of_other_packages
from napari_mrseg.compare.metrics import PENALTY_MM, penalised
from napari_mrseg.compare.statistics import interval, resampled_means
from napari_mrseg.tasks import Task

SALIENCY = {
    "s": "S",
    "mae": "MAE",
    "f": "F",
    "e": "E",
    "f_max": "max F",
    "e_max": "max E",
    "f_adaptive": "adaptive F",
    "e_adaptive": "adaptive E",
    "f_weighted": "weighted F",
}
"""Columns of the measures of :mod:`napari_mrseg.compare.saliency`."""


def is_saliency(task: Task) -> bool:
    """Whether its papers score a map of probabilities: images with one region."""
    return task.ndim == 2 and len(task.regions) == 1


def is_classes(task: Task) -> bool:
    """Whether its papers report the mean over classes alone."""
    return len(task.regions) > 4


def shown_regions(task: Task) -> list[str]:
    """The regions that figures have room for: of dozens of classes the first four."""
    return [region.name for region in task.regions][:4]


def summarise(rows: Sequence[Mapping[str, Any]], task: Task) -> dict[str, Any]:
    """Rows by combination with means over subjects; average and standard deviation over combinations.

    ``dice``: an absent region found absent counts as 1 (BraTS challenge, RFNet family). ``dice_present``: only
    subjects that have the region, as MONAI's DiceMetric does. ``n`` counts the latter. ``hd95``: where both have the
    region; ``hd95_penalised``: over all subjects, 374 mm where one lacks it, 0 where both do (BraTS challenges).
    ``metrics``: of other packages, by name, where both have the region.
    ``interval``: of the mean in ``dice``, 95 %, by bootstrap over subjects; at the foot, of the mean over the
    combinations that each subject has.
    """
    regions = [region.name for region in task.regions]
    table = []
    for combination in task.combinations():
        own = [row for row in rows if tuple(row["combination"]) == combination]
        if not own:
            continue
        entry: dict[str, Any] = {"combination": list(combination), "subjects": len(own)}
        for name in regions:
            entry[name] = _of_region(own, name, task)
        if is_saliency(task):
            entry["saliency"] = {m: _mean([row["saliency"][m] for row in own]) for m in SALIENCY}
            # As papers state it: the maximum of the mean curve, not the mean of each image's own maximum.
            f, e = np.mean([row["curves"] for row in own], axis=0)
            entry["saliency"] |= {"f_max": float(f.max()), "e_max": float(e.max())}
        if is_classes(task):
            entry["mean_iou"] = mean_iou([row["overlap"] for row in own])
        table.append(entry)
    foot: dict[str, Any] = {"average": {}, "sd": {}}
    for name in regions:
        average, sd = foot["average"].setdefault(name, {}), foot["sd"].setdefault(name, {})
        for kind in ("dice", "dice_present", "hd95", "hd95_penalised"):
            average[kind], sd[kind] = _spread([entry[name][kind] for entry in table])
        average["metrics"], sd["metrics"] = {}, {}
        for kind in table[0][name]["metrics"] if table else ():
            values = [entry[name]["metrics"][kind] for entry in table]
            average["metrics"][kind], sd["metrics"][kind] = _spread(values)
        by_subject: dict[str, list[float]] = {}
        for row in rows:
            by_subject.setdefault(row["subject"], []).append(row["dice"][name])
        if len(by_subject) > 1:
            average["interval"] = _interval([_mean(dice) for dice in by_subject.values()])
    for name, function in (("average", np.mean), ("sd", np.std)):
        if is_saliency(task):
            values_of = {m: [entry["saliency"][m] for entry in table] for m in SALIENCY}
            foot[name]["saliency"] = {m: float(function(values)) for m, values in values_of.items()}
        if is_classes(task):
            foot[name]["mean_iou"] = float(function([entry["mean_iou"] for entry in table]))
    return {"rows": table, **foot}


def _of_region(own: Sequence[Mapping[str, Any]], name: str, task: Task) -> dict[str, Any]:
    """What the rows of one combination say of one region."""
    having = [row for row in own if row["present"][name]]
    found: dict[str, Any] = {
        "dice": _mean([row["dice"][name] for row in own]),
        "dice_present": _mean([row["dice"][name] for row in having]),
        "n": len(having),
        "hd95": _mean([row["hd95"].get(name, np.nan) for row in having]),
        "hd95_penalised": _mean([_penalised(row, name, task) for row in own]),
        "missed": sum(row["size"][name] == 0 for row in having),
        "false_size": _mean([row["size"][name] for row in own if not row["present"][name]]),
        "volume": agreement([(row["size"][name], row["reference"][name]) for row in own]),
        "metrics": {
            kind: _mean([row["metrics"][kind][name] for row in having]) for kind in own[0].get("metrics", {})
        },
    }
    if len(own) > 1:
        found["interval"] = _interval([row["dice"][name] for row in own])
    if "lesions" in own[0]:
        each = [row["lesions"][name] for row in own]
        kinds = [kind for kind in each[0] if kind != "each"]
        found["lesions"] = {kind: _mean([float(one[kind]) for one in each]) for kind in kinds}
        found["lesions"]["sensitivity"] = sensitivity([one["each"] for one in each])
    return found


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over the combinations that have a value."""
    known = np.array([v for v in values if not np.isnan(v)], dtype=float)
    return (float(known.mean()), float(known.std())) if len(known) else (float("nan"), float("nan"))


def _interval(values: Sequence[float]) -> list[float]:
    """The 95 % interval of the mean over subjects."""
    low, high = interval(resampled_means(np.array(values, dtype=float)))
    return [float(low), float(high)]


def _penalised(row: Mapping[str, Any], region: str, task: Task) -> float:
    """HD95 of a row with the challenges' penalty, which is of volumes; not a number where none was measured."""
    if region not in row["hd95"] or task.ndim == 2:
        return float("nan")
    return penalised(row["hd95"][region], row["size"][region] == 0, not row["present"][region])


def mean_iou(rows: Sequence[Mapping[str, Sequence[int]]]) -> float:
    """Mean over the classes that are there of the intersection over the union, both summed over all images."""
    each = []
    for name in rows[0]:
        both, either = (sum(row[name][i] for row in rows) for i in (0, 1))
        if either:
            each.append(both / either)
    return _mean(each)


def table_markdown(document: Mapping[str, Any], task: Task, made_by: str, seen: str) -> str:
    """Dots, Dice in % by both conventions, HD95; average and standard deviation; what else was found, in words.

    ``made_by``: what gave the results, and on which grid they were scored; ``seen``: how many of the subjects the model
    has seen, as a sentence.
    """
    regions = [] if is_classes(task) else [region.name for region in task.regions]
    heads = [m.title for m in task.modalities]
    heads += list(SALIENCY.values()) if is_saliency(task) else []
    heads += ["mean IoU"] if is_classes(task) else []
    distance = f"HD95 or {PENALTY_MM:g}" if task.ndim == 3 else ""
    kinds = {"dice": "Dice", "dice_present": "Dice, present", "hd95": "HD95"}
    kinds |= {"hd95_penalised": distance} if distance else {}
    further = {
        k: m
        for k, m in of_other_packages().items()
        if regions and k in document["average"][regions[0]]["metrics"]
    }
    heads += [
        f"{r} {title}" for title in (*kinds.values(), *(m.title for m in further.values())) for r in regions
    ]
    rows = []
    for row in document["rows"]:
        used = tuple(row["combination"])
        unseen = {region.name for region in task.estimated(used)}
        cells = ["●" if name in used else "○" for name in task.names]
        cells += _images(row, task)
        for kind in kinds:
            for name in regions:
                text = _number(row[name][kind], kind)
                cells.append(f"({text})" if name in unseen else text)
        cells += [number(row[name]["metrics"][kind], 3) for kind in further for name in regions]
        rows.append(cells)
    for title in ("average", "sd"):
        cells = [title, *[""] * (len(task.names) - 1), *_images(document[title], task)]
        cells += [_number(document[title][name][kind], kind) for kind in kinds for name in regions]
        cells += [number(document[title][name]["metrics"][kind], 3) for kind in further for name in regions]
        rows.append(cells)
    penalty = (
        f"; HD95 or {PENALTY_MM:g}: over all subjects, {PENALTY_MM:g} where one lacks it, 0 where both do"
    )
    penalty = penalty if distance else ""
    lines = table(heads, rows, words=len(task.names))
    lines += [
        "",
        f"{len(document['subjects'])} subjects of {document['data']}, {made_by}. "
        "Dice in %, mean over subjects: a region that is absent and found absent counts as 100; “present” counts "
        f"only subjects that have the region. HD95 in {task.length_unit}, where both have it"
        f"{penalty}. In parentheses: regions that the modalities in use cannot show.",
        "",
        seen,
    ]
    if is_saliency(task):
        lines += [
            "",
            "F and E: mean over 256 thresholds; max: of the mean curve over the images; adaptive: at twice a map's "
            "mean.",
        ]
    lines += _interval_lines(document, regions)
    lines += lesion_lines(document["rows"], regions)
    lines += volume_lines(document["rows"], regions, task.unit)
    if document.get("order"):
        fixed, shuffled = document["order"]["fixed"], document["order"]["shuffled"]
        lines += ["", f"Order of the inputs: Dice {100 * fixed:.2f} in order, {100 * shuffled:.2f} shuffled."]
    if document.get("calibration"):
        lines += [
            "",
            "Expected calibration error (voxels with a probability from 0.05), by number of modalities:",
            "",
        ]
        errors = document["calibration"].items()
        lines += table(
            ["modalities", *regions],
            ([count, *(number(by[r]["ece_from_0.05"]) for r in regions)] for count, by in errors),
        )
    return "\n".join(lines) + "\n"


def _interval_lines(document: Mapping[str, Any], regions: Sequence[str]) -> list[str]:
    """Dice with its interval by combination, where there is more than one subject."""
    named = [("+".join(row["combination"]), row) for row in document["rows"]]
    named = [(name, row) for name, row in named if regions and "interval" in row[regions[0]]]
    if not named:
        return []
    if "interval" in document["average"][regions[0]]:
        named.append(("average", document["average"]))
    rows = []
    for name, row in named:
        cells = [name]
        for region in regions:
            low, high = row[region].get("interval", (None, None))
            cells.append(
                f"{_number(row[region]['dice'], 'dice')} [{_number(low, 'dice')}, {_number(high, 'dice')}]"
            )
        rows.append(cells)
    return [
        "",
        "Dice in % with the 95 % interval of its mean (bootstrap over subjects), absent and found absent as 100:",
        "",
        *table(["combination", *regions], rows),
    ]


def _images(row: Mapping[str, Any], task: Task) -> list[str]:
    """Cells of what only papers on images report."""
    cells = [f"{row['saliency'][m]:.3f}" for m in SALIENCY] if is_saliency(task) else []
    return cells + ([_number(row["mean_iou"], "dice")] if is_classes(task) else [])


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _number(value: float | None, kind: str) -> str:
    return number(value if value is None or kind.startswith("hd95") else 100 * value, 1)
