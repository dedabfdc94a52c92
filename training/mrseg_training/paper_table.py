"""The table as the papers print it, and two figures: reliability, and mean activation by level."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrseg_training.markdown import number, table
from napari_mrseg.compare.drawing import Drawing
from napari_mrseg.compare.metrics import PENALTY_MM, penalised
from napari_mrseg.tasks import Task

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito


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


def summarise(rows: Sequence[Mapping[str, Any]], task: Task) -> dict[str, Any]:
    """Rows by combination with means over subjects; average and standard deviation over combinations.

    ``dice``: an absent region found absent counts as 1 (BraTS challenge, RFNet family). ``dice_present``: only
    subjects that have the region, as MONAI's DiceMetric does. ``n`` counts the latter. ``hd95``: where both have the
    region; ``hd95_penalised``: over all subjects, 374 mm where one lacks it, 0 where both do (BraTS challenges).
    """
    regions = [region.name for region in task.regions]
    table = []
    for combination in task.combinations():
        own = [row for row in rows if tuple(row["combination"]) == combination]
        if not own:
            continue
        entry: dict[str, Any] = {"combination": list(combination), "subjects": len(own)}
        for name in regions:
            having = [row for row in own if row["present"][name]]
            entry[name] = {
                "dice": _mean([row["dice"][name] for row in own]),
                "dice_present": _mean([row["dice"][name] for row in having]),
                "n": len(having),
                "hd95": _mean([row["hd95"].get(name, np.nan) for row in having]),
                "hd95_penalised": _mean([_penalised(row, name, task) for row in own]),
                "missed": sum(row["size"][name] == 0 for row in having),
                "false_size": _mean([row["size"][name] for row in own if not row["present"][name]]),
            }
            if "lesions" in own[0]:
                each = [row["lesions"][name] for row in own]
                entry[name]["lesions"] = {kind: _mean([float(one[kind]) for one in each]) for kind in each[0]}
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
        for kind in ("dice", "dice_present", "hd95", "hd95_penalised"):
            values = np.array([entry[name][kind] for entry in table], dtype=float)
            values = values[~np.isnan(values)]
            foot["average"].setdefault(name, {})[kind] = float(values.mean()) if len(values) else float("nan")
            foot["sd"].setdefault(name, {})[kind] = float(values.std()) if len(values) else float("nan")
    for name, function in (("average", np.mean), ("sd", np.std)):
        if is_saliency(task):
            values_of = {m: [entry["saliency"][m] for entry in table] for m in SALIENCY}
            foot[name]["saliency"] = {m: float(function(values)) for m, values in values_of.items()}
        if is_classes(task):
            foot[name]["mean_iou"] = float(function([entry["mean_iou"] for entry in table]))
    return {"rows": table, **foot}


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


def table_markdown(document: Mapping[str, Any], task: Task, seen: str) -> str:
    """Dots, Dice in % by both conventions, HD95; average and standard deviation; what else was found, in words.

    ``seen``: how many of the subjects the model has seen, as a sentence.
    """
    regions = [] if is_classes(task) else [region.name for region in task.regions]
    heads = [m.title for m in task.modalities]
    heads += list(SALIENCY.values()) if is_saliency(task) else []
    heads += ["mean IoU"] if is_classes(task) else []
    distance = f"HD95 or {PENALTY_MM:g}" if task.ndim == 3 else ""
    kinds = {"dice": "Dice", "dice_present": "Dice, present", "hd95": "HD95"}
    kinds |= {"hd95_penalised": distance} if distance else {}
    heads += [f"{r} {title}" for title in kinds.values() for r in regions]
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
        rows.append(cells)
    for title in ("average", "sd"):
        cells = [title, *[""] * (len(task.names) - 1), *_images(document[title], task)]
        cells += [_number(document[title][name][kind], kind) for kind in kinds for name in regions]
        rows.append(cells)
    penalty = (
        f"; HD95 or {PENALTY_MM:g}: over all subjects, {PENALTY_MM:g} where one lacks it, 0 where both do"
    )
    penalty = penalty if distance else ""
    lines = table(heads, rows, words=len(task.names))
    lines += [
        "",
        f"{len(document['subjects'])} subjects of {document['data']}, model {document['model']['name']} "
        f"{document['model']['version']}, network at {document['spacing_mm']:g} {task.length_unit}, scored on the "
        f"{'scans' if task.ndim == 3 else 'images'}' own grid. "
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
    lines += _lesion_lines(document["rows"], regions)
    if document["order"]:
        fixed, shuffled = document["order"]["fixed"], document["order"]["shuffled"]
        lines += ["", f"Order of the inputs: Dice {100 * fixed:.2f} in order, {100 * shuffled:.2f} shuffled."]
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


def _lesion_lines(rows: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> list[str]:
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
    ]


def _images(row: Mapping[str, Any], task: Task) -> list[str]:
    """Cells of what only papers on images report."""
    cells = [f"{row['saliency'][m]:.3f}" for m in SALIENCY] if is_saliency(task) else []
    return cells + ([_number(row["mean_iou"], "dice")] if is_classes(task) else [])


def reliability_figure(document: Mapping[str, Any]) -> Drawing:
    """Frequency against probability: a panel per number of modalities, a line per region."""
    calibration = document["calibration"]
    drawing = Drawing(60 + 210 * len(calibration), 270)
    for panel, (count, by_region) in enumerate(calibration.items()):
        x, y, side = 50 + 210 * panel, 30, 170
        drawing.rect(x, y, side, side, None, "#999999")
        drawing.line(x, y + side, x + side, y, "#bbbbbb")
        drawing.words(
            x + side / 2, 20, f"{count} modalities" if count != "1" else "1 modality", anchor="middle"
        )
        for r, (region, entry) in enumerate(by_region.items()):
            points = [
                (x + side * p, y + side * (1 - f))
                for p, f in zip(entry["probability"], entry["frequency"], strict=True)
                if p is not None
            ]
            for (x0, y0), (x1, y1) in itertools.pairwise(points):
                drawing.line(x0, y0, x1, y1, COLOURS[r % len(COLOURS)])
            for px, py in points:
                drawing.circle(px, py, 2.5, COLOURS[r % len(COLOURS)])
            if panel == 0:
                drawing.words(x + 60 * r, y + side + 45, region, fill=COLOURS[r % len(COLOURS)])
        drawing.words(x + side / 2, y + side + 20, "predicted probability", size=10, anchor="middle")
    drawing.words(8, 22, "frequency", size=10)
    return drawing


def feature_figure(document: Mapping[str, Any]) -> Drawing:
    """Mean activation of each level, a dot per combination; the complete one is the filled black dot."""
    activations: Mapping[str, Sequence[float]] = document["activations"]
    drawing = Drawing(560, 260)
    if not activations:
        return drawing
    most = max(range(len(activations)), key=lambda i: list(activations)[i].count("+"))
    complete = list(activations)[most]
    levels = len(activations[complete])
    top = max(max(values) for values in activations.values()) or 1.0
    drawing.words(10, 18, "mean activation by level; black: all modalities, colours: number of modalities")
    for level in range(levels):
        x = 60 + 100 * level
        drawing.line(x, 30, x, 220, "#dddddd")
        drawing.words(x, 240, f"level {level + 1}", size=11, anchor="middle")
        for name, values in activations.items():
            count = name.count("+") + 1
            y = 220 - 180 * values[level] / top
            whole = name == complete
            offset = 0 if whole else 8 * count
            drawing.circle(x + offset, y, 4 if whole else 3, "#000000" if whole else COLOURS[count - 1])
    return drawing


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _number(value: float | None, kind: str) -> str:
    return number(value if value is None or kind.startswith("hd95") else 100 * value, 1)
