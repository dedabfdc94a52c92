"""The bundled model from an empty folder: a base, a model for each fold of the subjects, and the table they earn.

    python -m tools.bundled -o runs/bundled --data ../shared/data --data ../shared/scans/gliomas

``folds.json`` says who tests what. The base (``bundled.yaml``) learns tumours painted into brains of no
test fold. A fold's model goes on from it with the brains and true lesions of the *other* fold added; it is measured on
its fold, of which it has seen no voxel. Of the brains without a tumour, too, each fold learns the other's. ``all`` goes
on from fold a with every subject, which the folds' models stand for in the table: it is the one to ship, and what no
model was trained on is measured with it directly. Without it, fold a's, which has not seen BraTS-GLI-00000-000.

Run it again with the same settings and it goes on where it stopped. ``table.md`` has every subject, by the model that
had not seen it, and what is found in scans without a tumour; ``model`` is the one to ship, with its card.

``key=value`` changes the settings of ``--config`` for all runs, ``fold.key=value`` for the folds only, ``a.key=value``
for fold a. ``--only base``,
then ``--only a`` and ``--only b``, then ``--only all`` train one of them, so that the folds can run beside each other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrseg_training.atomic import add_data, one_folder, write_atomically
from mrseg_training.config import changed, load_config
from mrseg_training.loop import train
from mrseg_training.settings import Config
from napari_mrseg.models.store import load_model, save_model
from tools.bundled_card import bundled_card
from tools.bundled_measure import false_positives, measure, simulated, whole_tumour
from tools.bundled_table import SHIPPED, measured, pooled, report

ALL = "all"  # the run that learns from every subject
FOLDS = Path(__file__).with_name("folds.json")
SETTINGS = Path(__file__).with_name("bundled.yaml")
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
    data: Path, out: Path, overrides: Sequence[str] = (), *, settings: str | Path = SETTINGS
) -> dict[str, Config]:
    """The settings of each run by name: base, each fold, all. Raises InputError for a setting that is wrong."""
    folds = read_folds()
    only = tuple(f"{name}." for name in ("fold", *folds["test"], ALL))
    shared = [o for o in overrides if not o.startswith(only)]
    plan = load_config(settings)
    drawn = {"brains": folds["base"], "labelled": folds["base"], **BASE}
    named = {"name": f"{plan.model.name}-base"}
    base = changed(plan, {"model": named, "data": {"path": str(data), "simulate": drawn}})
    base = changed(base, shared)
    found = {"base": base}
    every = [o.removeprefix("fold.") for o in overrides if o.startswith("fold.")]
    for name in (*folds["test"], ALL):
        brains = [*folds["base"]]
        brains += [subject for fold, test in folds["test"].items() if fold != name for subject in test]
        # What has no tumour and is left for the fold to ship is left for "all" as well.
        own_free = SHIPPED if name == ALL else name
        free = [case for other, cases in folds["no_tumour"].items() if other != own_free for case in cases]
        seed = base.data.simulate.seed + (2 if name == ALL else 1)
        drawn = {"brains": brains, "labelled": brains, "tumour_free": free, "seed": seed}
        fold = changed(changed(base, {"data": {"simulate": drawn}}, name), FOLD, name)
        before = out / (SHIPPED if name == ALL else "base") / "model"
        start = {"start": str(before), "model": {"name": f"{plan.model.name}-{name}"}}
        own = [*every, *(o.removeprefix(f"{name}.") for o in overrides if o.startswith(f"{name}."))]
        found[name] = changed(changed(fold, start, name), [*shared, *own])
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bundled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and their tables")
    add_data(parser)
    parser.add_argument("--config", default=SETTINGS, help="a shipped configuration or a settings file")
    parser.add_argument(
        "--only", choices=("base", *read_folds()["test"], ALL), help="train this one, and measure nothing"
    )
    parser.add_argument(
        "--measure",
        type=Path,
        help="train nothing: the models are in this folder, by their names; one that is not there is left out",
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="changes of the settings")
    args = parser.parse_args(argv)
    folds, data = read_folds(), one_folder(args.data, args.out / "subjects")
    documents, false_volumes, whole, models = {}, {}, {}, {}
    runs = configs(data, args.out, args.settings, settings=args.config)
    for name, config in runs.items():
        if args.only not in (None, name) or (args.measure and not (args.measure / name).is_dir()):
            continue
        trained = args.measure / name if args.measure else train(config, args.out / name, resume=True)
        if name == "base" or args.only is not None:
            continue
        models[name] = trained
        if name in folds["test"]:
            documents[name] = measure(trained, data, args.out / name / "table", folds["test"][name])
        unseen_free = folds["no_tumour"][SHIPPED if name == ALL else name]
        false_volumes[name] = false_positives(trained, data, unseen_free)
        whole[name] = whole_tumour(trained, data, folds["whole_tumour"])
    if args.only is not None:
        return
    ship = ALL if ALL in models else SHIPPED
    shipped = models[ship]
    synthetic = measure(
        shipped, simulated(runs["base"], args.out / "simulated"), args.out / ship / "simulated"
    )
    summary = pooled(documents)
    table = {
        "mean": summary,
        "false_ml": false_volumes,
        "whole_tumour": whole,
        "simulated": pooled({ship: synthetic}),
    }
    write_atomically(args.out / "table.json", json.dumps(table, indent=1).encode())
    write_atomically(
        args.out / "table.md", report(summary, documents, false_volumes, (ship, synthetic), whole).encode()
    )
    model = load_model(shipped)
    unseen = [*folds["test"].get(ship, ()), *folds["no_tumour"][SHIPPED], *folds["whole_tumour"]]
    rows = measured(documents, {ship: false_volumes[ship]})
    card = bundled_card(model.card, runs["base"], runs[ship], unseen, rows, summary)
    save_model(args.out / "model", model.network, card)
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
