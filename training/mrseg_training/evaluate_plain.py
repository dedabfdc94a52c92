"""How good a model is on one patient it never saw: Dice of all 15 combinations, and false alarms without a tumour.

    python -m mrseg_training.evaluate_plain MODEL STUDY [--no-tumour STUDY ...] [-o DIR] [--into-card]

MODEL is a model folder, STUDY a folder with scans and a reference segmentation. Prints a Markdown table; with ``-o``
also writes ``table.json`` and ``table.md``; with ``--into-card`` puts the rows into the model's card. The engine is
the viewer's own. Dice is computed on the label maps, on the scan's grid; a region absent from both counts as 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_mrseg.compare.metrics import region_dice
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io.open import open_study
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import key

Row = dict[str, Any]


def measure(engine: Engine, study: Study, empty: Sequence[Study] = ()) -> list[Row]:
    """One row per combination: Dice on ``study``, mL of whole tumour found in each of ``empty``.

    Raises ValueError if ``study`` has no reference.
    """
    if study.reference is None:
        raise ValueError(f"{study.case} has no reference segmentation to measure against.")
    rows = []
    outermost = study.task.regions[0].name
    for combination in study.task.combinations(study.present):
        found = engine.predict(study, combination)
        dice = region_dice(found.labels, study.reference.labels, study.task)
        row: Row = {
            "combination": list(combination),
            "case": study.case,
            "dice": {name: round(value, 4) for name, value in dice.items()},
            "estimated": [region.name for region in study.task.estimated(combination)],
            "spacing_mm": found.spacing,
        }
        if empty:
            row["false_positive_ml"] = {
                other.case: round(engine.predict(other, combination).sizes[outermost], 2)
                for other in empty
                if set(combination) <= set(other.present)
            }
        rows.append(row)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with mean and standard deviation over the combinations below."""
    regions = list(rows[0]["dice"])
    others = sorted({case for row in rows for case in row.get("false_positive_ml", {})})
    head = ["combination", *regions, *(f"{case}, mL" for case in others)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        dice = [f"{row['dice'][r]:.3f}" + ("*" if r in row["estimated"] else "") for r in regions]
        lines.append(
            [key(row["combination"]), *dice, *(_ml(row.get("false_positive_ml", {}), c) for c in others)]
        )
    for word, statistic in (("mean", _mean), ("standard deviation", _deviation)):
        dice = [f"{statistic(row['dice'][r] for row in rows):.3f}" for r in regions]
        lines.append([word, *dice, *("" for _ in others)])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = "\\* no contrast: not observable, an estimate."
    about = f"Dice on {rows[0]['case']}, {rows[0]['spacing_mm']:g} mm; a region absent from both counts as 1."
    return f"{about}\n\n{text}\n\n{note}\n"


def _ml(found: Mapping[str, float], case: str) -> str:
    return f"{found[case]:.1f}" if case in found else "–"


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _deviation(values: Iterable[float]) -> float:
    listed = list(values)
    return _mean((v - _mean(listed)) ** 2 for v in listed) ** 0.5


def main(argv: list[str] | None = None) -> None:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m mrseg_training.evaluate_plain", description=about)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("study", type=Path, help="folder with scans and a reference")
    parser.add_argument("--no-tumour", type=Path, nargs="*", default=[], help="patients without a tumour")
    parser.add_argument("-o", "--out", type=Path, help="folder for table.json and table.md")
    parser.add_argument("--into-card", action="store_true", help="put the rows into the model's card")
    args = parser.parse_args(argv)
    model = load_model(args.model)
    empty = [open_study(folder, task=model.task, reference=False) for folder in args.no_tumour]
    rows = measure(Engine(model), open_study(args.study, task=model.task), empty)
    text = markdown(rows)
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        (args.out / "table.md").write_text(text, encoding="utf-8")
    if args.into_card:
        save_model(args.model, model.network, model.card.model_copy(update={"measured": tuple(rows)}))


if __name__ == "__main__":
    main()
