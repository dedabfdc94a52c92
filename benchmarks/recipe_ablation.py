"""What each ingredient of the bundled model's recipe is worth: one run each, at equal time, on a fold of real subjects.

python benchmarks/recipe_ablation.py -o runs/recipe --data ../shared/data --minutes 12

Each row trains from no weights for the same minutes of one core's own time (other work on the machine only delays it)
and is measured on fold a's subjects, of which it has seen no voxel. Rows differ from the first in one setting. Run it
again and it goes on where it stopped; ``table.md`` grows by a row at a time. One seed and few minutes: it says what
helps early, not what is best in the end.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from mrseg_training.atomic import write_atomically
from mrseg_training.loop import train
from tools.bundled import configs, read_folds
from tools.bundled_measure import false_positives, measure, whole_tumour
from tools.bundled_table import pooled

FOLD = "a"
ROWS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "full resolution, no stem": ("model.stem=1",),
    "head without the input": ("model.head_input=false",),
    "no deep supervision": ("stages.supervised.truth.deep=[]",),
    "batch norm": ("model.norm=batch",),
    "no real lesions": ("data.simulate.real_share=0", "data.simulate.labelled=[]"),
    "85 % real lesions": ("data.simulate.real_share=0.85",),
}


def run_row(row: str, changes: tuple[str, ...], args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one row in its own folder, once."""
    out = args.out / row.replace(" ", "-").replace(",", "").replace("%", "percent")
    done = out / "row.json"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return found
    own = [
        "data.simulate.real_share=0.3",
        "data.simulate.healthy_share=0.18",
        "data.simulate.pale_share=0",
        "data.simulate.grow=0",
        f"data.simulate.train={args.subjects}",
        "stages.supervised.steps=null",
        f"stages.supervised.minutes={args.minutes}",
        "stages.supervised.learning_rate=2.0e-3",
        "data.workers=1",
        *changes,
    ]
    config = configs(args.data, out, [f"{FOLD}.{change}" for change in own])[FOLD]
    simulate = config.data.simulate
    # Rows that draw the same subjects share them.
    pool = (args.out / f"pool-{simulate.real_share}").resolve()
    config = config.model_copy(update={"start": None, "data": config.data.model_copy(update={"cache": pool})})
    model = train(config, out / "run", resume=True, clock=time.process_time)
    found = {"row": row, "steps": steps_of(out / "run"), **figures(model, args.data, out / "table")}
    write_atomically(done, json.dumps(found, indent=1).encode())
    return found


def steps_of(run: Path) -> int:
    """How many steps a run made, of all its stages."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    by_stage = {line["stage"]: line["step"] for line in lines if line["kind"] == "step"}
    return sum(by_stage.values())


def figures(model: Path, data: Path, out: Path) -> dict[str, Any]:
    """What a model of fold a reaches on what it has not seen: the columns of :func:`table`."""
    folds = read_folds()
    document = measure(model, data, out, folds["test"][FOLD])
    free = false_positives(model, data, folds["no_tumour"][FOLD])
    six = whole_tumour(model, data, folds["whole_tumour"])
    return {
        "pooled": pooled({FOLD: document}),
        "false_ml": max(max(case.values()) for case in free.values()),
        "flair": sum(case["flair"] for case in six.values()) / len(six),
        "t1": sum(case["t1"] for case in six.values()) / len(six),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| row | steps | WT | TC | ET | six scans: FLAIR | T1 | `ms-cross-07`, most mL |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for found in rows:
        regions = " | ".join(f"{found['pooled'][r]['mean']:.3f}" for r in ("WT", "TC", "ET"))
        lines.append(
            f"| {found['row']} | {found['steps']} | {regions} | {found['flair']:.3f} | {found['t1']:.3f} |"
            f" {found['false_ml']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--subjects", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for row, changes in ROWS.items():
        rows.append(run_row(row, changes, args))
        write_atomically(args.out / "table.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
