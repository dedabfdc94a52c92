"""The three stages against modality dropout alone, on generated scenes of colour and depth.

python benchmarks/scene_stages.py -o runs/scene-stages --updates 800 --seeds 3

Both have the same encoder and decoder, for a seed the same scenes in the same order, and the same number of
updates; the stages share theirs out and also train the adapters. Measured on held-out scenes with the viewer's
engine: the S-measure, mean and standard deviation over the three combinations. Run it again and it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from mrseg_training.atomic import write_atomically
from mrseg_training.config import load_config
from mrseg_training.data.scene_generator import write_scenes
from mrseg_training.evaluate import evaluate
from mrseg_training.loop import train
from napari_mrseg.tasks import RGBD_SOD

SHARES = {"reconstruct": 0.2, "contrast": 0.4, "adapt": 0.4}
METHODS = ("modality dropout", "three stages")


def settings(method: str, seed: int, args: argparse.Namespace) -> list[str]:
    """What is changed of the config ``scenes``."""
    common = {
        "batch": args.batch,
        "learning_rate": 2e-3,
        "weight_decay": 1e-4,
        "warmup": 0.05,
        "floor": 0.01,
        "clip": 5.0,
        "extents": [[1, 240, 320]],
        "augment": {"flip": "left-right", "rotate": 10, "centred": 0.0, "gain": 0.12, "shift": 0.15},
    }
    truth = {"dice": 1.0, "smooth": 20.0, "cross_entropy": 0.4, "cross_entropy_over": "region"}
    own: dict[str, dict[str, Any]] = {
        "supervised": {"dropout": 0.67, "sampling_weights": {"rgb": 1, "depth": 1}, "truth": truth},
        "reconstruct": {"perturb": {"mask_size": 24}},
        "contrast": {"contrast": 0.1, "truth": truth},
        # The weighting up to version 0.6, with which docs/rgbd.md was measured; the paper's: --paper-weights.
        "adapt": {
            "combinations_per_step": 2,
            "over_combinations": "sum" if args.paper_weights else "mean",
            "feature": 1.0 if args.paper_weights else 0.2,
            "incomplete": 0.5,
            "truth": truth,
        },
    }
    recipe = ["supervised"] if method == METHODS[0] else list(SHARES)
    changes = [
        f"seed={seed}",
        f"recipe={json.dumps(recipe)}",
        f"data.simulate.train={args.scenes}",
        "data.workers=1",
        f"data.cache={(args.out / 'scenes').resolve()}",
    ]
    for stage in own:
        if stage not in recipe:
            changes.append(f"stages.{stage}=null")
            continue
        steps = args.updates if stage == "supervised" else round(SHARES[stage] * args.updates)
        changes.append(f"stages.{stage}={json.dumps({**common, **own[stage], 'steps': steps})}")
    return changes


def run(method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure once."""
    out = args.out / f"{method.replace(' ', '-')}-{seed}"
    done = out / "found.json"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return found
    config = load_config("scenes", settings(method, seed, args))
    model = train(config, out / "run", resume=True)
    document = evaluate(model, args.out / "held-out", out / "table", hd95=False, shuffles=0, overwrite=True)
    found = {
        "mean": document["average"]["saliency"]["s"],
        "sd": document["sd"]["saliency"]["s"],
        "rows": {"+".join(row["combination"]): row["saliency"]["s"] for row in document["rows"]},
    }
    write_atomically(done, json.dumps(found, indent=1).encode())
    return found


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of paired differences (Student's t)."""
    values = np.array(differences)
    half = (
        student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        if len(values) > 1
        else np.nan
    )
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def table(found: dict[str, list[dict[str, Any]]], scenes: int) -> str:
    lines = [
        f"S-measure on {scenes} scenes held out, mean over seeds.",
        "",
        "| | both | colour | depth | mean | sd over combinations |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for method, runs in found.items():
        cells = [np.mean([r["rows"][c] for r in runs]) for c in ("rgb+depth", "rgb", "depth")]
        cells += [np.mean([r["mean"] for r in runs]), np.mean([r["sd"] for r in runs])]
        lines.append(f"| {method} | " + " | ".join(f"{c:.3f}" for c in cells) + " |")
    for kind in ("mean", "sd"):
        pairs = zip(*(found[method] for method in METHODS), strict=False)
        mean, low, high = interval([stages[kind] - plain[kind] for plain, stages in pairs])
        lines.append("")
        lines.append(f"Stages minus dropout, {kind}: {mean:+.3f} (95 % interval {low:+.3f} to {high:+.3f}).")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=800)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--paper-weights", action="store_true", help="stage 3's consistencies summed over the combinations"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    part = load_config(
        "scenes", [f"data.simulate.test={args.held_out}", "data.simulate.seed=77"]
    ).data.simulate
    if not (args.out / "held-out").is_dir():
        write_scenes(part, RGBD_SOD, args.out / "held-out")
    found: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for seed in range(args.seeds):
        for method in METHODS:
            found[method].append(run(method, seed, args))
        write_atomically(args.out / "table.md", table(found, args.held_out).encode())
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
