"""The bundled model from an empty folder: a base from simulation alone, a model for each fold, and the table they earn.

    python -m mrseg_training.bundled [--config bundled-cpu] -o runs/bundled --data ../shared/data [key=value ...]

``splits/folds.json`` says who tests what. The base paints tumours into brains of no test fold. A fold's model goes on
from it with the brains of the *other* fold added, whose own tumours join for a small share; it is measured on its
fold, of which it has seen no voxel (the generator's ranges, though, were set beside some of these scans, see
docs/bundled-model.md). The model of fold a, which has not seen BraTS-GLI-00000-000, is the one to ship.

Run it again with the same settings and it goes on where it stopped. ``table.md`` has every subject, by the model that
had not seen it, and mL of tumour found in scans without one; ``model`` is the one to ship, with its card.

``key=value`` changes the settings of ``--config`` (bundled: for a GPU; bundled-cpu: for two CPU cores) for all runs,
``fold.key=value`` for the folds only. ``--only base``, then ``--only a`` and ``--only b`` train one of them, so that
the folds can run beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrseg_training.bundled_card import bundled_card
from mrseg_training.bundled_table import SHIPPED, measured, pooled, report
from mrseg_training.config import changed, load_config
from mrseg_training.data.simulated import write_studies
from mrseg_training.evaluate import evaluate
from mrseg_training.files import write_atomically
from mrseg_training.fit import train
from mrseg_training.settings import Config
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.tasks import key

FOLDS = Path(__file__).parent / "splits" / "folds.json"
REAL_SHARE = 0.15  # of a fold's subjects come with their own tumour
TEMPLATE_SHARE = {"base": 0.4, "fold": 0.2}  # come from the template's tissue maps


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


def measure(model: Path, data: Path, out: Path, subjects: Sequence[str] | None = None) -> dict[str, Any]:
    """``evaluate`` of ``model`` on ``subjects`` (default: all) under ``data``, done once."""
    if (out / "table.json").is_file():
        document: dict[str, Any] = json.loads((out / "table.json").read_text(encoding="utf-8"))
        if document["model"]["sha256"] == load_model(model).info["sha256"]:
            return document
    return evaluate(model, data, out, subjects=subjects, overwrite=True, hd95=False, shuffles=0, say=print)


def simulated(config: Config, out: Path) -> Path:
    """The simulated benchmark: the test subjects of ``config``'s seed in the template, as folders of NIfTI files."""
    drawn = config.data.simulate
    part = drawn.model_copy(update={"brains": (), "labelled": (), "real_share": 0.0, "template_share": 1.0})
    if not out.is_dir():
        write_studies(part, config.model_task, out)
    return out


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.bundled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and their tables")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MRSEG_DATA", "../shared/data")))
    parser.add_argument("--config", default="bundled", help="bundled, bundled-cpu, or a settings file")
    parser.add_argument("--only", choices=("base", "a", "b"), help="train this one, and measure nothing")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="changes of the settings")
    args = parser.parse_args(argv)
    folds = json.loads(FOLDS.read_text(encoding="utf-8"))
    documents, alarms = {}, {}
    runs = configs(args.data, args.out, args.settings, settings=args.config)
    for name, config in runs.items():
        if args.only not in (None, name):
            continue
        trained = train(config, args.out / name, resume=True)
        if name in folds["test"] and args.only is None:
            documents[name] = measure(trained, args.data, args.out / name / "table", folds["test"][name])
            alarms[name] = false_alarms(trained, args.data, folds["no_tumour"])
    if args.only is not None:
        return
    shipped = args.out / SHIPPED / "model"
    made_up = measure(
        shipped, simulated(runs["base"], args.out / "simulated"), args.out / SHIPPED / "simulated"
    )
    summary = pooled(documents)
    table = {"mean": summary, "false_ml": alarms, "simulated": pooled({SHIPPED: made_up})}
    write_atomically(args.out / "table.json", json.dumps(table, indent=1).encode())
    write_atomically(args.out / "table.md", report(summary, documents, alarms, made_up).encode())
    model = load_model(shipped)
    unseen = [*folds["test"][SHIPPED], *folds["no_tumour"]]
    rows = measured(documents, alarms)
    card = bundled_card(model.card, runs["base"], runs[SHIPPED], unseen, rows, summary)
    save_model(args.out / "model", model.network, card)
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
