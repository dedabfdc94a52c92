"""Write docs/ablation.md from what ``mrseg ablate ablation -o DIR`` measured.

python benchmarks/write_ablation_doc.py DIR --commit HASH --core-minutes 57 [--norms FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrseg_training.ablate import tabulate
from mrseg_training.rows import BENCHMARK, ROWS

CLAIMS = (
    ("stage1", "baseline", "the paper has stage 1 better than the plain U-Net"),
    ("stage12", "stage1", "the paper has stages 1+2 better than stage 1"),
    ("full", "stage12", "the paper has all three better than stages 1+2"),
    ("full", "dropout-unet", "the question a reader has: all three stages against (0b)"),
    ("full-truth", "full", "truth Dice on incomplete predictions added to stage 3"),
    ("full-truth", "dropout-unet", "the same against (0b)"),
    ("unfrozen", "full", "the paper has the frozen encoder better"),
)

INTRO = """# The ablation, on simulated subjects

What each stage of the recipe is worth, measured on subjects of this project's generator, on a CPU. It says
nothing about the published numbers, which are for BraTS, the full width and 300 epochs a stage; it says how
the ingredients compare when each gets the same, small, effort. A negative result is a result.

**Set before the first run** (commit `{commit}`, `training/mrseg_training/configs/ablation.yaml`, not
changed after): {train} training and {test} test subjects of generator seed {data_seed} at {spacing:g} mm,
tumours in a template's tissue maps, about a fifth without a tumour; network of width {width}; crops of
{crop}³ voxels; {reconstruct} + {contrast} + {adapt} updates for the three stages, each of {passes} sample
passes (forward and backward of one version of one sample); learning rates; seeds 0 to {last_seed}, the same
for all rungs. An earlier benchmark with a quarter of the updates was given up after one seed: no network had
learned to call a voxel tumour in its first hundreds of updates, and rows with stage 3 found nothing. The
settings here were tried on subjects of another seed.

**Equal effort.** Every rung makes {total} sample passes. Rungs with stage 1 make {segmenting} segmentation
updates; (0) makes as many, of {wide} passes each; (0b) makes {long} updates of {passes}, all of them
segmentation: the full recipe's total steps, which favours it. All rungs learn from the same truth loss
(Dice + cross-entropy); the other weights are the recipe's (feature {feature:g}, prediction 1, contrast 1, τ 0.5).
Rungs 1 and (0) see complete inputs only in segmentation. Stage 3 draws one incomplete combination per
sample and step. With two subjects a step NT-Xent has two negatives, far fewer than on a large machine.

{weighting}**Measured** in whole volumes at the training grid, 15 combinations, the network in bf16 as the viewer runs
it; crop and normalisation from all modalities (the engine crops by those in use, which needs a file per
subject).

## Result

"""

WEIGHTING = """\
**Stage 3 here has the weighting of versions up to 0.6** (feature : prediction : truth as 0.2 : 1 : 1, means
over the drawn combinations), not the paper's sums over 14 combinations (14 : 14 : 1). The rows `full`,
`full-truth` and `unfrozen`, and every verdict on them, are of that weighting; [the command for the
paper's](training-details.md#how-stage-3-weighs-its-terms) has not been run.

"""

SPREAD = """
## What stands behind the spread between the seeds

Mean over WT, TC and ET by seed:

{by_seed}

With seed 2 the rows that share its stage 2 nearly fail, though their training losses are those of the other
seeds. Looked at afterwards: `python benchmarks/ablation_norms.py runs/ablation`, whole-tumour Dice on the first
eight test subjects and four combinations, with the norms' running statistics, as a model is used, and with the
decoder's norms taking the statistics of the head at hand:

{norms}

Where the second number is much the higher, the weights are sound and the norms are not: trained on crops around
tumours in batches of two, whose statistics each batch takes from itself, a decoder can come to lean on them, and
has others in a whole volume. Taking the running statistics anew over 50 batches of crops did not help (tried on
the same weights, first 20 subjects: `full` with seed 2 stays at 2 %). What is likely to help is more samples a
batch and whole volumes among the extents, as in `tiny`, `compact` and `bundled`; this benchmark keeps its
settings. Since then stage 2 puts both versions of a subject through the network as one batch, so that the running
statistics fit both; the ladder has not been run again.
"""

OUTRO = """
## Against the paper's claims

{claims}

"Better" and "worse" only where the 95 % interval of the mean over WT, TC and ET excludes zero; {seeds}
paired seeds is few, so an interval that covers zero means only that nothing was shown at this size.

## Again

```
mrseg ablate ablation -o runs/ablation              # this table: {minutes} core-minutes, resumable
mrseg ablate ablation -o runs/ablation --rows full,no-reverse,no-mutual,conv-mixer
mrseg ablate ablation -o runs/ablation --rows dropout,shuffle,stage1,contrast,stage12
mrseg ablate ablation -o runs/ablation --rows feature,prediction,full,joint
```

The other rows of the paper's tables, {others}, are switches in `training/mrseg_training/rows.py`, each
tested for one step. Not run here. In the same folder they reuse the stages that are already trained. A row
with the three stages costs about {one:.0f} core-minutes a seed where its first two stages are there, twice
that from the start. At full size: the second configuration of the
[cost table](training-details.md#cost), times rows and seeds.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--core-minutes", type=int, required=True)
    parser.add_argument("--norms", type=Path, help="what benchmarks/ablation_norms.py printed")
    parser.add_argument("--out", type=Path, default=Path("docs/ablation.md"))
    args = parser.parse_args()
    measured = tabulate(args.run).read_text(encoding="utf-8")
    document = json.loads((args.run / "table.json").read_text(encoding="utf-8"))
    config = json.loads((args.run / "config.json").read_text(encoding="utf-8"))
    updates, base = config["updates"], config["base"]
    steps = [updates[name] for name in ("reconstruct", "contrast", "adapt")]
    seeds = document["seeds"]
    adapt = base["stages"]["adapt"]  # a run of before the setting has none
    intro = INTRO.format(
        weighting=WEIGHTING if adapt.get("over_combinations", "mean") == "mean" else "",
        feature=adapt["feature"],
        commit=args.commit[:10],
        train=base["data"]["simulate"]["train"],
        test=base["data"]["simulate"]["test"],
        data_seed=base["data"]["simulate"]["seed"],
        spacing=base["data"]["spacing"],
        width=base["model"]["width"],
        crop=base["stages"]["contrast"]["extents"][0][0],
        **updates,
        last_seed=max(seeds),
        total=sum(steps) * updates["passes"],
        segmenting=steps[1] + steps[2],
        wide=sum(steps) * updates["passes"] // (steps[1] + steps[2]),
        long=sum(steps),
    )
    outro = OUTRO.format(
        claims="\n".join(_claims(document)),
        seeds=len(seeds),
        minutes=args.core_minutes,
        others=", ".join(f"`{row}`" for row in ROWS if row not in BENCHMARK),
        one=args.core_minutes / len(seeds) / 7,
    )
    spread = ""
    if args.norms is not None:
        table = [line for line in args.norms.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        spread = SPREAD.format(by_seed=_by_seed(args.run, seeds), norms="\n".join(table))
    args.out.write_text(intro + measured + spread + outro, encoding="utf-8")


def _by_seed(run: Path, seeds: Sequence[int]) -> str:
    """Rows against seeds, Dice in %."""
    lines = ["| row | " + " | ".join(f"seed {s}" for s in seeds) + " |", "|---|" + "--:|" * len(seeds)]
    for row in BENCHMARK:
        cells = []
        for seed in seeds:
            measured = json.loads((run / f"seed-{seed}" / f"{row}.json").read_text(encoding="utf-8"))
            by_region = np.nanmean(np.array(measured["dice"], dtype=float), axis=(0, 1))
            cells.append(f"{100 * by_region.mean():.1f}")
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _claims(document: Mapping[str, Any]) -> list[str]:
    found = {
        (entry["row"], entry["against"]): entry["by_region"]["mean"] for entry in document["differences"]
    }
    lines = []
    for row, against, claim in CLAIMS:
        value = found[row, against]
        verdict = "better" if value["low"] > 0 else "worse" if value["high"] < 0 else "no difference shown"
        interval = (
            f"{100 * value['mean']:+.1f} points [{100 * value['low']:+.1f}, {100 * value['high']:+.1f}]"
        )
        lines.append(f"* {row} − {against}: **{verdict}**, {interval} ({claim}).")
    return lines


if __name__ == "__main__":
    main()
