"""The bundled model from an empty folder: a base, a model for each fold of the subjects, and the table they earn.

    python -m mrseg_training.bundled -o runs/bundled --data ../shared/data [key=value ...]

``splits/folds.json`` says who tests what. The base (``configs/bundled.yaml``) learns tumours painted into brains of no
test fold. A fold's model goes on from it with the brains and true lesions of the *other* fold added; it is measured on
its fold, of which it has seen no voxel. Of the brains without a tumour, too, each fold learns the other's. The model
of fold a, which has not seen BraTS-GLI-00000-000, is to be shipped.

Run it again with the same settings and it goes on where it stopped. ``table.md`` has every subject, by the model that
had not seen it, and what is found in scans without a tumour; ``model`` is the one to ship, with its card.

``key=value`` changes the settings of ``--config`` for all runs, ``fold.key=value`` for the folds only, ``a.key=value``
for fold a. ``--only base``,
then ``--only a`` and ``--only b`` train one of them, so that the folds can run beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrseg_training.bundled_card import bundled_card
from mrseg_training.bundled_measure import false_positives, measure, simulated, whole_tumour
from mrseg_training.bundled_table import SHIPPED, measured, pooled, report
from mrseg_training.config import changed, load_config
from mrseg_training.files import write_atomically
from mrseg_training.fit import train
from mrseg_training.settings import Config
from napari_mrseg.models.store import load_model, save_model

FOLDS = Path(__file__).parent / "splits" / "folds.json"
# What the base's run changes of the settings: it has brains, and their own lesions with them.
BASE: dict[str, Any] = {"real_share": 0.15, "template_share": 0.4}
# What a fold's run changes: fewer steps at a lower rate, and real lesions for half of its subjects.
FOLD: dict[str, Any] = {
    "data": {"simulate": {"real_share": 0.5, "template_share": 0.15}},
    "stages": {"supervised": {"steps": 3000, "learning_rate": 1.0e-3}},
}


def read_folds() -> dict[str, Any]:
    """Who tests what: ``base``, ``test`` by fold, ``no_tumour`` by fold, ``whole_tumour``."""
    folds: dict[str, Any] = json.loads(FOLDS.read_text(encoding="utf-8"))
    return folds


def configs(
    data: Path, out: Path, overrides: Sequence[str] = (), *, settings: str = "bundled"
) -> dict[str, Config]:
    """The settings of each run by name: base, a, b. Raises InputError for a setting that is wrong."""
    folds = read_folds()
    only = tuple(f"{name}." for name in ("fold", *folds["test"]))
    shared = [o for o in overrides if not o.startswith(only)]
    plan = load_config(settings)
    drawn = {"brains": folds["base"], "labelled": folds["base"], **BASE}
    named = {"name": f"{plan.model.name}-base"}
    base = changed(plan, {"model": named, "data": {"path": str(data), "simulate": drawn}})
    base = changed(base, shared)
    found = {"base": base}
    every = [o.removeprefix("fold.") for o in overrides if o.startswith("fold.")]
    for name, test in folds["test"].items():
        brains = [*folds["base"]]
        brains += [subject for other in folds["test"].values() if other is not test for subject in other]
        free = [case for other, cases in folds["no_tumour"].items() if other != name for case in cases]
        seed = base.data.simulate.seed + 1
        drawn = {"brains": brains, "labelled": brains, "tumour_free": free, "seed": seed}
        fold = changed(changed(base, {"data": {"simulate": drawn}}, name), FOLD, name)
        own = [*every, *(o.removeprefix(f"{name}.") for o in overrides if o.startswith(f"{name}."))]
        start = {"start": str(out / "base" / "model"), "model": {"name": f"{plan.model.name}-{name}"}}
        found[name] = changed(changed(fold, start, name), [*shared, *own])
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.bundled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and their tables")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MRSEG_DATA", "../shared/data")))
    parser.add_argument("--config", default="bundled", help="a shipped configuration or a settings file")
    parser.add_argument("--only", choices=("base", "a", "b"), help="train this one, and measure nothing")
    parser.add_argument(
        "--measure",
        type=Path,
        help="train nothing: the folds' models are in this folder, as a and b; one that is not there is left out",
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="changes of the settings")
    args = parser.parse_args(argv)
    folds = read_folds()
    documents, false_volumes, whole = {}, {}, {}
    runs = configs(args.data, args.out, args.settings, settings=args.config)
    for name, config in runs.items():
        if args.only not in (None, name) or (args.measure and not (args.measure / name).is_dir()):
            continue
        trained = args.measure / name if args.measure else train(config, args.out / name, resume=True)
        if name in folds["test"] and args.only is None:
            documents[name] = measure(trained, args.data, args.out / name / "table", folds["test"][name])
            false_volumes[name] = false_positives(trained, args.data, folds["no_tumour"][name])
            whole[name] = whole_tumour(trained, args.data, folds["whole_tumour"])
    if args.only is not None:
        return
    shipped = args.measure / SHIPPED if args.measure else args.out / SHIPPED / "model"
    synthetic = measure(
        shipped, simulated(runs["base"], args.out / "simulated"), args.out / SHIPPED / "simulated"
    )
    summary = pooled(documents)
    table = {
        "mean": summary,
        "false_ml": false_volumes,
        "whole_tumour": whole,
        "simulated": pooled({SHIPPED: synthetic}),
    }
    write_atomically(args.out / "table.json", json.dumps(table, indent=1).encode())
    write_atomically(
        args.out / "table.md", report(summary, documents, false_volumes, synthetic, whole).encode()
    )
    model = load_model(shipped)
    unseen = [*folds["test"][SHIPPED], *folds["no_tumour"][SHIPPED], *folds["whole_tumour"]]
    rows = measured(documents, false_volumes)
    card = bundled_card(model.card, runs["base"], runs[SHIPPED], unseen, rows, summary)
    save_model(args.out / "model", model.network, card)
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
