"""Seconds and memory against the size of the volume: half, one, two and four times a brain of 139 × 171 × 139 mm.

python benchmarks/cost_against_size.py -o cost.json --plot docs/cost-against-size.svg
python benchmarks/cost_against_size.py --model ./my-model --device cuda

Synthetic scans of 1 mm; without --model random weights of the compact size, which take at most 192 × 224 × 192 voxels
in one window. One process a point.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from napari_mrseg.bench.jobs import run_job
from napari_mrseg.bench.synthetic import BRAIN, SHAPE, Subject, random_model
from napari_mrseg.inference.tiles import tile
from napari_mrseg.models.store import load_model
from napari_mrseg.prepare import frame
from napari_mrseg.tasks import BRATS

FACTORS = (0.5, 1.0, 2.0, 4.0)
INCOMPLETE = BRATS.names[:-1]


def point(model: Path, factor: float, device: str, precision: str, repeats: int) -> dict[str, Any]:
    """One size: first look, final of an incomplete and of the complete combination, peak memory."""
    stretch = factor ** (1 / 3)
    brain, shape = (tuple(round(n * stretch) for n in extents) for extents in (BRAIN, SHAPE))
    common = {
        "kind": "one",
        "model": str(model),
        "device": device,
        "precision": precision,
        "subject": asdict(Subject(shape=shape, brain=brain)),
        "repeats": repeats,
    }
    incomplete, complete = (run_job({**common, "combination": list(c)}) for c in (INCOMPLETE, BRATS.names))
    size = frame([tuple(side) for side in incomplete["box"]], (1.0, 1.0, 1.0), incomplete["spacing_mm"]).size
    looks = incomplete["first_look_all_s"]
    return {
        "factor": factor,
        "brain": list(brain),
        "frame": list(size),
        "windows": len(tile(size, load_model(model).card.validated[0].extents_max)),
        "first_look_s": median(looks) if looks else None,
        "final_s": median(incomplete["final_all_s"]),
        "final_complete_s": median(complete["final_all_s"]),
        "peak_mb": incomplete["peak_mb"],
        "gpu_peak_mb": incomplete["gpu_peak_mb"],
        "device": incomplete["device"],
        "precision": incomplete["precision"],
    }


def plot(points: Sequence[dict[str, Any]]) -> str:
    """An SVG of two panels over the factor: seconds, and gigabytes."""
    on_gpu = any(p["gpu_peak_mb"] for p in points)
    lines = [
        ("final, incomplete", "#0072B2", [p["final_s"] for p in points]),
        ("final, complete", "#009E73", [p["final_complete_s"] for p in points]),
    ]
    if all(p["first_look_s"] is not None for p in points):
        lines.append(("first look", "#D55E00", [p["first_look_s"] for p in points]))
    memory = [p["gpu_peak_mb" if on_gpu else "peak_mb"] / 1000 for p in points]
    factors = [p["factor"] for p in points]
    where = f"{points[0]['device']}, {points[0]['precision']}"
    ticks = [f"{p['factor']:g}×" + (f" ({p['windows']} windows)" if p["windows"] > 1 else "") for p in points]
    parts = [
        _panel(60, f"seconds ({where})", factors, ticks, lines),
        _panel(
            440,
            "peak memory, GB" + (" on the GPU" if on_gpu else ""),
            factors,
            ticks,
            [("", "#0072B2", memory)],
        ),
    ]
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="780" height="340" font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="780" height="340" fill="white"/>', *parts, "</svg>\n"])


def _panel(
    left: int,
    title: str,
    xs: Sequence[float],
    ticks: Sequence[str],
    lines: Sequence[tuple[str, str, Sequence[float]]],
) -> str:
    """One panel, 300 × 230, both axes from zero, so that proportional cost is a straight line."""
    most = 1.1 * max(v for _, _, values in lines for v in values)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + 300 * x / (1.05 * max(xs)), 280 - 230 * y / most

    parts = [
        f'<text x="{left}" y="30" font-weight="bold">{title}</text>',
        f'<path d="M{left} 50V280H{left + 300}" fill="none" stroke="black"/>',
        f'<text x="{left + 150}" y="325" text-anchor="middle">volume</text>',
    ]
    for x, tick in zip(xs, ticks, strict=True):
        across, _ = at(x, 0)
        anchor = "end" if x == max(xs) and len(tick) > 4 else "middle"
        parts.append(f'<path d="M{across:.1f} 280v5" stroke="black"/>')
        parts.append(f'<text x="{across:.1f}" y="300" text-anchor="{anchor}">{tick}</text>')
    for step in range(5):
        value = most / 1.1 * step / 4
        _, down = at(0, value)
        parts.append(f'<path d="M{left} {down:.1f}h-5" stroke="black"/>')
        parts.append(f'<text x="{left - 8}" y="{down + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    for row, (name, colour, values) in enumerate(lines):
        places = [at(x, y) for x, y in zip(xs, values, strict=True)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        if name:
            parts.append(f'<path d="M{left + 15} {60 + 18 * row}h20" stroke="{colour}" stroke-width="2"/>')
            parts.append(f'<text x="{left + 40}" y="{64 + 18 * row}">{name}</text>')
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="name or folder; default: random weights of the compact size")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--factors", type=float, nargs="+", default=list(FACTORS))
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write JSON here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write an SVG here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(args.model) if args.model else random_model(Path(folder) / "random", "compact")
        points = []
        for factor in args.factors:
            points.append(point(model.folder, factor, args.device, args.precision, args.repeats))
            print(json.dumps(points[-1]), flush=True)
    if args.output:
        args.output.write_text(json.dumps({"model": model.info, "points": points}, indent=2) + "\n")
    if args.plot:
        args.plot.write_text(plot(points))


if __name__ == "__main__":
    main()
