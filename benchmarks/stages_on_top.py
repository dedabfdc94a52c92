"""Does a stage of the paper on top of the bundled model's trunk earn its place? One run each, at equal time, on fold a.

python benchmarks/stages_on_top.py -o runs/on-top --data ../shared/data --start FOLD_A_MODEL --pool FOLD_A_RUN/cache

Each row goes on from the same weights, those of a trunk that was trained on fold a, for the same minutes of one core's
own time, and is measured on fold a's subjects, of which it has seen no voxel. Run it again and it goes on where it
stopped; ``table.md`` grows by a row at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from recipe_ablation import FOLD, figures, steps_of, table

from mrseg_training.atomic import write_atomically
from mrseg_training.config import changed
from mrseg_training.loop import train
from tools.bundled import configs

ROWS: dict[str, dict[str, float]] = {
    "more of the same": {"supervised": 1.0},
    "stage 2": {"contrast": 1.0},
    "stage 3": {"adapt": 1.0},
    "stages 2 and 3": {"contrast": 0.5, "adapt": 0.5},
}
"""Which stages follow, and each one's share of the time."""
OWN: dict[str, dict[str, Any]] = {
    "supervised": {},
    "contrast": {"contrast": 0.1},
    # The weighting up to version 0.6, with which docs/recipe.md was measured; the paper's: --paper-weights.
    "adapt": {
        "combinations_per_step": 2,
        "over_combinations": "mean",
        "feature": 0.2,
        "incomplete": 0.5,
        "learning_rate": 5.0e-4,
    },
}
"""What a stage has beside what all have; the weights of its terms are those of mrseg train compact."""
PAPER = {"over_combinations": "sum", "feature": 1.0}
SHARED = (
    "batch",
    "weight_decay",
    "warmup",
    "floor",
    "average",
    "clip",
    "extents",
    "augment",
    "truth",
    "sampling_weights",
)
RATE = 8.0e-4


def run_row(row: str, shares: dict[str, float], args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one row in its own folder, once."""
    out = args.out / row.replace(" ", "-")
    done = out / "row.json"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return found
    own = [f"{FOLD}.{change}" for change in ("data.simulate.grow=0", *args.settings)]
    config = configs(args.data, out, own)[FOLD]
    values = config.stages.model_dump(mode="json")["supervised"]
    common = {key: values[key] for key in SHARED} | {"learning_rate": RATE}
    weights = PAPER if args.paper_weights else {}
    stages = {
        stage: {
            **common,
            **OWN[stage],
            **(weights if stage == "adapt" else {}),
            "minutes": args.minutes * share,
            "steps": None,
            "epochs": None,
        }
        for stage, share in shares.items()
    }
    if "supervised" in stages:
        stages["supervised"]["dropout"] = values["dropout"]
    plan = {"recipe": list(shares), "stages": {**dict.fromkeys(config.stages.model_dump(), None), **stages}}
    more = {"start": str(args.start.resolve()), "data": {"cache": str(args.pool.resolve())}}
    model = train(changed(changed(config, plan), more), out / "run", resume=True, clock=time.process_time)
    found = {"row": row, "steps": steps_of(out / "run"), **figures(model, args.data, out / "table")}
    write_atomically(done, json.dumps(found, indent=1).encode())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="the trunk: a model folder of fold a")
    parser.add_argument("--pool", type=Path, required=True, help="the prepared subjects that it learnt from")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument(
        "--paper-weights", action="store_true", help="stage 3's consistencies summed over the combinations"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="those of fold a that draw the pool")
    args = parser.parse_args()
    torch.set_num_threads(1)
    before = {"row": "the trunk", "steps": 0, **figures(args.start, args.data, args.out / "trunk" / "table")}
    rows = [before]
    for row, shares in ROWS.items():
        rows.append(run_row(row, shares, args))
        write_atomically(args.out / "table.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
