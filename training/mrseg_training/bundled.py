"""The bundled model from an empty folder: a base from simulation alone, a model for each fold, and the table they earn.

    python -m mrseg_training.bundled [--config first] -o runs/bundled --data ../shared/data [key=value ...]

``splits/folds.json`` says who tests what. The base paints tumours into brains of no test fold. A fold's model goes on
from it with the brains of the *other* fold added, whose own tumours join for a small share; it is measured on its
fold, which it has seen in no form. The model of fold a, which has not seen BraTS-GLI-00000-000, is the one to ship.

Run it again with the same settings and it goes on where it stopped. ``table.md`` has every subject, by the model that
had not seen it, and mL of tumour found in scans without one. ``key=value`` changes the settings of ``--config``
(bundled: for a GPU; first: for two CPU cores) for all runs, ``fold.key=value`` for the folds only. ``--only base``, then
``--only a`` and ``--only b`` train one of them, so that the folds can run beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrseg_training.config import changed, load_config
from mrseg_training.evaluate import evaluate
from mrseg_training.files import write_atomically
from mrseg_training.fit import train
from mrseg_training.settings import Config
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import key

FOLDS = Path(__file__).parent / "splits" / "folds.json"
REAL_SHARE = 0.15  # of a fold's subjects come with their own tumour
TEMPLATE_SHARE = {"base": 0.4, "fold": 0.2}  # come from the template's tissue maps
LEAST_ML = 0.5  # a region counts where the reference has this much of it
DRAWS = 4000

Summary = dict[str, Any]


def configs(
    data: Path, out: Path, overrides: Sequence[str] = (), *, settings: str = "bundled"
) -> dict[str, Config]:
    """The settings of each run by name: base, a, b. Raises InputError for a setting that is wrong."""
    folds = json.loads(FOLDS.read_text(encoding="utf-8"))
    shared = [o for o in overrides if not o.startswith("fold.")]
    plan = load_config(settings, shared)
    drawn = {"brains": folds["base"], "template_share": TEMPLATE_SHARE["base"]}
    named = {"name": f"{plan.model.name}-base"}
    base = changed(plan, {"model": named, "data": {"path": str(data), "simulate": drawn}})
    found = {"base": base}
    for name, test in folds["test"].items():
        learnt = [subject for other in folds["test"].values() if other is not test for subject in other]
        fold: dict[str, Any] = {
            "start": str(out / "base" / "model"),
            "model": {"name": f"{plan.model.name}-{name}"},
            "recipe": ["adapt"],
            # Whole heads, one or two a step: their own statistics would not be those it segments by.
            "run": {"norm_statistics": "running"},
            "data": {
                "simulate": {
                    "brains": [*folds["base"], *learnt],
                    "labelled": learnt,
                    "real_share": REAL_SHARE,
                    "template_share": TEMPLATE_SHARE["fold"],
                    "seed": base.data.simulate.seed + 1,
                }
            },
        }
        own = [o.removeprefix("fold.") for o in overrides if o.startswith("fold.")]
        found[name] = changed(changed(base, fold, name), own)
    return found


def measure(model: Path, data: Path, out: Path, subjects: Sequence[str]) -> dict[str, Any]:
    """``evaluate`` of a fold's model on its test subjects, done once."""
    if (out / "table.json").is_file():
        document: dict[str, Any] = json.loads((out / "table.json").read_text(encoding="utf-8"))
        if document["model"]["sha256"] == load_model(model).info["sha256"]:
            return document
    return evaluate(model, data, out, subjects=subjects, overwrite=True, say=print)


def false_alarms(model: Path, data: Path, cases: Sequence[str]) -> dict[str, dict[str, float]]:
    """mL of whole tumour found in each of ``cases``, which have none, by combination."""
    engine = Engine(load_model(model))
    found = {}
    for case in cases:
        study = open_study(data / case, task=engine.model.task, reference=False)
        outermost = study.task.regions[0].name
        found[case] = {
            key(c): engine.predict(study, c).sizes[outermost] for c in study.task.combinations(study.present)
        }
    return found


def pooled(folds: Mapping[str, Mapping[str, Any]]) -> Summary:
    """Mean Dice over subjects and combinations, with a 95 % interval over subjects, by region.

    ``folds``: documents of :func:`~mrseg_training.evaluate.evaluate`. A subject counts for a region of which its
    reference has at least ``LEAST_ML``.
    """
    rows = [row for document in folds.values() for row in document["by_subject"]]
    random = np.random.default_rng(0)
    summary: Summary = {}
    for region in rows[0]["dice"]:
        counted = [row for row in rows if row["reference"][region] >= LEAST_ML]
        subjects = list(dict.fromkeys(row["subject"] for row in counted))
        if not subjects:
            continue
        means = np.array(
            [np.mean([r["dice"][region] for r in counted if r["subject"] == s]) for s in subjects]
        )
        draws = means[random.integers(0, len(means), (DRAWS, len(means)))].mean(1)
        low, high = np.quantile(draws, (0.025, 0.975))
        summary[region] = {
            "mean": float(means.mean()),
            "low": float(low),
            "high": float(high),
            "n": len(means),
        }
        summary[region]["by_subject"] = dict(zip(subjects, means.tolist(), strict=True))
    return summary


def report(
    summary: Summary, folds: Mapping[str, Mapping[str, Any]], alarms: Mapping[str, Mapping[str, Any]]
) -> str:
    """The Markdown of ``table.md``: pooled means, each subject, false alarms by combination."""
    regions = list(summary)
    lines = [
        "Dice of subjects by the model that had not seen them, mean over 15 combinations; a region counts where its "
        f"reference has at least {LEAST_ML:g} mL. 95 % interval: subjects drawn again.",
        "",
        "| | " + " | ".join(regions) + " |",
        "|---|" + "--:|" * len(regions),
    ]
    means = [
        f"{s['mean']:.3f} [{s['low']:.3f}, {s['high']:.3f}], n = {s['n']}"
        for s in (summary[r] for r in regions)
    ]
    lines.append("| **mean** | " + " | ".join(means) + " |")
    for fold, document in folds.items():
        for subject in document["subjects"]:
            cells = [summary[r]["by_subject"].get(subject) for r in regions]
            shown = ["–" if cell is None else f"{cell:.3f}" for cell in cells]
            lines.append(f"| {subject} (model {fold}) | " + " | ".join(shown) + " |")
    rows = [row for document in folds.values() for row in document["by_subject"]]
    combinations = list(dict.fromkeys(key(row["combination"]) for row in rows))
    cases = {f"{case}, model {fold}": found for fold, all_ in alarms.items() for case, found in all_.items()}
    lines += [
        "",
        "| combination | "
        + " | ".join([*(f"{r} Dice" for r in regions), *(f"{c}, mL" for c in cases)])
        + " |",
        "|---|" + "--:|" * (len(regions) + len(cases)),
    ]
    for name in combinations:
        own = [row for row in rows if key(row["combination"]) == name]
        cells = []
        for region in regions:
            values = [r["dice"][region] for r in own if r["reference"][region] >= LEAST_ML]
            cells.append(f"{np.mean(values):.3f}" if values else "–")
        cells += [f"{found[name]:.1f}" if name in found else "–" for found in cases.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.bundled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and their tables")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MRSEG_DATA", "../shared/data")))
    parser.add_argument("--config", default="bundled", help="bundled, first, or a settings file")
    parser.add_argument("--only", choices=("base", "a", "b"), help="train this one, and measure nothing")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="changes of the settings")
    args = parser.parse_args(argv)
    folds = json.loads(FOLDS.read_text(encoding="utf-8"))
    documents, alarms = {}, {}
    for name, config in configs(args.data, args.out, args.settings, settings=args.config).items():
        if args.only not in (None, name):
            continue
        model = train(config, args.out / name, resume=True)
        if name in folds["test"] and args.only is None:
            documents[name] = measure(model, args.data, args.out / name / "table", folds["test"][name])
            alarms[name] = false_alarms(model, args.data, folds["no_tumour"])
    if args.only is not None:
        return
    summary = pooled(documents)
    write_atomically(
        args.out / "table.json", json.dumps({"mean": summary, "false_ml": alarms}, indent=1).encode()
    )
    write_atomically(args.out / "table.md", report(summary, documents, alarms).encode())
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
