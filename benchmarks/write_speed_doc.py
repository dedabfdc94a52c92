"""Write docs/speed.md from measured runs; every figure in it comes from these files.

mrseg bench --size compact --window -o bench.json
python benchmarks/cost_against_size.py -o cost.json --plot docs/cost-against-size.svg
xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/memory_growth.py -o growth.json
python benchmarks/write_speed_doc.py bench.json --cost cost.json --growth growth.json -o docs/speed.md

Several bench files (another model, a GPU) make a section each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_mrseg.bench import summary

HOW = """# Speed

How fast a toggle becomes an overlay, and what it costs. This file is written by `benchmarks/write_speed_doc.py` from
measured runs; nothing in it is typed by hand.

## How it is measured

* `mrseg bench --window -o bench.json` measures everything in one run, each measurement in a process of its own, so that
  peak memory is that measurement's own. Without `--study PATH` the scan is synthetic: 240 × 240 × 155 voxels, four
  modalities, a brain of 139 × 171 × 139 mm. `--size compact` or `--size paper` takes random weights: good for times,
  not for agreement.
* The headline is an incomplete combination, where the adapters are in use; the complete one stands beside it.
* *First look* and *final* are what a toggle costs once the study is open (median of three); the first run of all, with
  intensities to measure and kernels to prepare, is given too. Ours include normalisation, labelling and the way back to
  the scan's grid; the usual ways are timed without them.
* *As published*: MONAI's `sliding_window_inference` over the whole volume, 128³ windows, overlap 0.5, fp32, plain
  layout, norms not folded. One window warms up, two are timed, their mean is scaled by the number of windows;
  joining is timed for all. *Tuned*: the brain's box, the engine's precision, channels last, overlap 0.25, every window
  timed. *One window*: the brain's box at once. All with the same weights; the engine's setting of the C library's
  memory is left out.
* Operations are counted with PyTorch's own formulas (a multiplication and an addition are two); the machine's peak is
  measured in the same run.
* In the window: a cached toggle ends when the frame that shows it has been swapped onto the screen; event-loop gaps are
  times between ticks of a 5 ms timer; Cancel ends when the computing thread has stopped using the processor.

## What a user can set

* Device and precision: `auto` takes the first GPU, and bf16 where the processor has instructions for it. A choice that
  is slower than it need be (the CPU beside a GPU, fp32 where bf16 is faster, bf16 without instructions for it, a large
  model on a CPU, with the least seconds it takes by counted operations) is said with every result: in the dock, on the
  command line, in `result.json`.
* Memory for finished combinations: napari's Preferences, MRSeg, “Results kept in memory (GB)”, 2 GB by default; in
  Python, `Session(cache=PredictionCache(budget))` in bytes.
* `mrseg demo --cache DIR`, `mrseg view --cache DIR`: finished combinations are also kept on disk, so that the next
  start needs no computation.
* When a GPU's memory ends, combinations go through in smaller groups, then windows are joined on the CPU, then the CPU
  computes; each step is said once, and none changes the windows.
"""


def section(report: dict[str, Any]) -> str:
    """One bench run: the table of ratios, then the whole summary as printed."""
    parts = []
    for run in report["runs"]:
        title = f"{run['model']['name']} on {report['machine']['gpu'] or report['machine']['processor']}"
        parts += [f"## {title}", "", *table(run), ""]
        if run.get("window"):
            parts += [*window_table(run["window"]), ""]
    return "\n".join([*parts, "As printed:", "", "```", summary(report), "```", ""])


def table(run: dict[str, Any]) -> list[str]:
    lines = [
        "| | first look | final | as published | tuned | one window | share of peak | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for which, row in run["combinations"].items():
        ratio = run["ratios"][which]
        look = "none" if row["first_look_s"] is None else f"{row['first_look_s']:.2f} s"
        marks = {
            way: "*" if run[way][which]["scaled"] else "" for way in ("published", "tuned", "one_window")
        }
        ways = " | ".join(
            f"{run[w][which]['seconds']:.1f} s{m}, **{ratio[w]:.1f}×**" for w, m in marks.items()
        )
        lines.append(
            f"| {which} ({'+'.join(row['combination'])}) | {look} | {row['final_s']:.2f} s | {ways} | "
            f"{row['share_of_matmul']:.0%} | {row['peak_mb'] / 1000:.2f} GB |"
        )
    every, passes = run["all"], run["ratios"]["all"]
    lines.append(
        f"| all {every['combinations']} | | {every['seconds']:.1f} s | {passes['published_seconds']:.0f} s*, "
        f"**{passes['published']:.1f}×** | | | | {every['peak_mb'] / 1000:.2f} GB |"
    )
    return [*lines, "", "\\* scaled from timed windows by their number."]


def window_table(window: dict[str, Any]) -> list[str]:
    waits = window["waiting"]
    rows = [
        ("cached toggle, 2-D, until the canvas shows it", window["toggle_2d_s"]),
        ("cached toggle, 3-D", window["toggle_3d_s"]),
        ("first look during the sweep", waits["first_look_s"]),
        ("Cancel during the sweep", waits["cancel_s"]),
    ]
    lines = ["| in the window | median | longest |", "|---|---|---|"]
    for title, found in rows:
        if found["count"]:
            lines.append(f"| {title} | {1000 * found['median']:.0f} ms | {1000 * found['longest']:.0f} ms |")
    gaps, kind = window["gaps"], "software" if window["software"] else "hardware"
    sweep = window["sweep"]
    return [
        *lines,
        "",
        f"Event-loop gaps during the sweep: 99th percentile {1000 * gaps['p99']:.0f} ms, longest "
        f"{1000 * gaps['longest']:.0f} ms. Sweep of {sweep['combinations']} in the window: {sweep['seconds']:.1f} s, "
        f"peak memory {window['peak_mb'] / 1000:.2f} GB. Drawn by {window['renderer']} ({kind} rendering).",
    ]


def cost(found: dict[str, Any], picture: str) -> str:
    lines = ["## Cost against size", "", f"![Seconds and memory against volume]({picture})", ""]
    lines += [
        "| volume | network's frame | windows | first look | final | complete | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for p in found["points"]:
        look = "none" if p["first_look_s"] is None else f"{p['first_look_s']:.2f} s"
        lines.append(
            f"| {p['factor']:g}× | {'×'.join(map(str, p['frame']))} | {p['windows']} | {look} | {p['final_s']:.2f} s | "
            f"{p['final_complete_s']:.2f} s | {p['peak_mb'] / 1000:.2f} GB |"
        )
    return "\n".join(
        [*lines, "", "From `benchmarks/cost_against_size.py`; memory is the process's peak.", ""]
    )


def growth(found: dict[str, Any]) -> str:
    lines = [
        "## Memory over time",
        "",
        "| | after the first | after the last | slope over the second half |",
        "|---|---|---|---|",
    ]
    for name, what in (("toggles", "toggles"), ("studies", "studies opened and closed")):
        part = found[name]
        lines.append(
            f"| {len(part['mb'])} {what} | {part['first_mb']:.0f} MB | {part['last_mb']:.0f} MB | "
            f"{part['slope_mb']:+.2f} MB each |"
        )
    text = "From `benchmarks/memory_growth.py`, in the window. Predictions stay in memory up to a budget, here 600 MB,"
    return "\n".join([*lines, "", text, "which fills in the first half of either part.", ""])


def document(
    reports: Sequence[dict[str, Any]],
    costs: dict[str, Any] | None,
    grown: dict[str, Any] | None,
    picture: str,
) -> str:
    if any(report["quick"] for report in reports):
        raise SystemExit(
            "A quick run's figures say nothing about a real scan; run mrseg bench without --quick."
        )
    parts = [HOW, *(section(report) for report in reports)]
    if costs is not None:
        parts.append(cost(costs, picture))
    if grown is not None:
        parts.append(growth(grown))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", type=Path, nargs="+", help="what mrseg bench -o wrote")
    parser.add_argument("--cost", type=Path, help="what cost_against_size.py -o wrote")
    parser.add_argument("--growth", type=Path, help="what memory_growth.py -o wrote")
    parser.add_argument(
        "--picture", default="cost-against-size.svg", help="the plot, relative to the document"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/speed.md"))
    args = parser.parse_args()
    costs, grown = (json.loads(p.read_text()) if p else None for p in (args.cost, args.growth))
    text = document([json.loads(p.read_text()) for p in args.bench], costs, grown, args.picture)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text)


if __name__ == "__main__":
    main()
