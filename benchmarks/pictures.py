"""A model of colour and depth on labelled pictures, beside a salient-object network of colour, picture by picture.

python benchmarks/pictures.py /data/pairs --models runs/fold0/model runs/fold1/model --beside u2netp.onnx -o table

``pairs``: a folder for each set, with RGB, depth (or T) and GT. With several models the pictures of fold k, as
mrseg_training.scene_files cuts them, are shown to model k, which has not seen them. ``--beside`` an ONNX file of
U²-Net's kind (needs onnxruntime) is measured in the same run. IoU of what is found at 0.5; S-measure, highest F and E
of the mean curve, and MAE by our own functions and, where it is installed, by pysodmetrics. Writes table.md,
pictures.csv and pictures.png: each picture with its three results.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from mrseg_training.scene_files import fold_of, read_pairs
from mrseg_training.u2net import U2Net
from napari_mrseg.compare.saliency import saliency_and_curves
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import key

BESIDE = "beside"
MEASURES = ("iou", "s", "f_max", "e_max", "mae")
Map = npt.NDArray[np.floating[Any]]


def measured(found: Map, truth: npt.NDArray[np.bool_]) -> dict[str, Any]:
    cut = found > 0.5
    one, curves = saliency_and_curves(found.astype(np.float64), truth)
    union = int((cut | truth).sum())
    return {
        "iou": float((cut & truth).sum() / union) if union else 1.0,
        "s": one.s,
        "mae": one.mae,
        "curves": curves,
    }


def theirs(maps: Sequence[Map], truths: Sequence[npt.NDArray[np.bool_]]) -> dict[str, float]:
    """The same by pysodmetrics, or nothing where it is not installed."""
    try:
        import py_sod_metrics as sod
    except ImportError:
        return {}
    s, f, e, mae = sod.Smeasure(), sod.Fmeasure(), sod.Emeasure(), sod.MAE()
    for found, truth in zip(maps, truths, strict=True):
        grey = np.round(np.clip(found, 0, 1) * 255).astype(np.uint8)
        for one in (s, f, e, mae):
            one.step(grey, truth.astype(np.uint8) * 255)
    return {
        "s": float(s.get_results()["sm"]),
        "f_max": float(f.get_results()["fm"]["curve"].max()),
        "e_max": float(e.get_results()["em"]["curve"].max()),
        "mae": float(mae.get_results()["mae"]),
    }


def overlaid(colour: npt.NDArray[np.uint8], found: Map) -> Image.Image:
    seen = colour.copy()
    inside = found > 0.5
    seen[inside] = (0.45 * seen[inside] + 0.55 * np.array([255, 0, 255])).astype(np.uint8)
    return Image.fromarray(seen)


def shown(depth: Map) -> Image.Image:
    """A measurement in grey, holes black."""
    there = depth > 0
    low, high = np.percentile(depth[there], [2, 98]) if there.any() else (0.0, 1.0)
    grey = 40 + 215 * np.clip((depth - low) / max(high - low, 1e-6), 0, 1)
    return Image.fromarray((grey * there).astype(np.uint8)).convert("RGB")


def sheet(rows: Sequence[Sequence[Image.Image]], path: Path, width: int = 200) -> None:
    """Rows of pictures under each other."""
    tall = [round(row[0].height * width / row[0].width) for row in rows]
    whole = Image.new("RGB", (width * max(map(len, rows)), sum(tall)), "white")
    top = 0
    for row, height in zip(rows, tall, strict=True):
        for column, picture in enumerate(row):
            whole.paste(picture.resize((width, height)), (column * width, top))
        top += height
    whole.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--models", nargs="+", default=[None])
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--shown", type=int, default=3, help="pictures of each set in pictures.png")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    engines = [Engine(load_model(name), device="cpu") for name in args.models]
    task = engines[0].task
    beside = U2Net(args.beside, torch.get_num_threads()) if args.beside else None
    folds = fold_of(args.pairs, len(engines))
    second = task.names[1]
    rows: list[dict[str, Any]] = []
    pictures: list[list[Image.Image]] = []
    for name, colour, depth, truth in read_pairs(args.pairs):
        study = open_study({"rgb": colour, second: depth, "reference": truth}, task=task)
        assert study.reference is not None
        inside = study.reference.labels[0] > 0
        seen = study.images["rgb"].data[0].astype(np.uint8)
        found = {
            key(c): engines[folds[colour]].predict(study, c).probability("object")[0].astype(np.float32)
            for c in task.combinations()
        }
        if beside is not None:
            found[BESIDE] = beside(seen)[0]
        rows += [
            {
                "set": name,
                "picture": colour.stem,
                "by": by,
                "map": map_,
                "truth": inside,
                **measured(map_, inside),
            }
            for by, map_ in found.items()
        ]
        if sum(r["set"] == name for r in rows) <= args.shown * len(found):
            pictures.append(
                [
                    Image.fromarray(seen),
                    shown(study.images[second].data[0]),
                    overlaid(seen, inside.astype(float)),
                ]
                + [overlaid(seen, map_) for map_ in found.values()]
            )
        print(
            name,
            colour.stem,
            {by: round(measured(m, inside)["iou"], 3) for by, m in found.items()},
            flush=True,
        )
    args.out.mkdir(parents=True, exist_ok=True)
    sheet(pictures, args.out / "pictures.png")
    with open(args.out / "pictures.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "picture", "by", "iou", "s", "mae"])
        writer.writerows(
            [r["set"], r["picture"], r["by"], *(f"{r[m]:.4f}" for m in ("iou", "s", "mae"))] for r in rows
        )
    text = table(rows)
    (args.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """IoU by set, then all measures over all pictures, ours and pysodmetrics', and the spread over combinations."""
    sets, ways = list(dict.fromkeys(r["set"] for r in rows)), list(dict.fromkeys(r["by"] for r in rows))

    def of(by: str, name: str | None = None) -> list[dict[str, Any]]:
        return [r for r in rows if r["by"] == by and name in (None, r["set"])]

    lines = ["| IoU | " + " | ".join(f"{s} ({len(of(ways[0], s))})" for s in sets) + " | mean of sets |"]
    lines.append("|---" + "|--:" * (len(sets) + 1) + "|")
    for by in ways:
        each = [fmean(r["iou"] for r in of(by, s)) for s in sets]
        lines.append(f"| {by} | " + " | ".join(f"{v:.3f}" for v in (*each, fmean(each))) + " |")
    lines += ["", "| all pictures | IoU | S | max F | max E | MAE | S, max F, max E, MAE by pysodmetrics |"]
    lines.append("|---|--:|--:|--:|--:|--:|---|")
    means: dict[str, dict[str, float]] = {}
    for by in ways:
        mine = of(by)
        means[by] = {
            "iou": fmean(r["iou"] for r in mine),
            "s": fmean(r["s"] for r in mine),
            "f_max": float(np.mean([r["curves"].f for r in mine], 0).max()),
            "e_max": float(np.mean([r["curves"].e for r in mine], 0).max()),
            "mae": fmean(r["mae"] for r in mine),
        }
        other = theirs([r["map"] for r in mine], [r["truth"] for r in mine])
        said = ", ".join(f"{other[m]:.3f}" for m in MEASURES[1:]) if other else "not installed"
        lines.append(f"| {by} | " + " | ".join(f"{means[by][m]:.3f}" for m in MEASURES) + f" | {said} |")
    own = [by for by in ways if by != BESIDE]
    spread = " | ".join(
        f"{fmean(means[by][m] for by in own):.3f} ({pstdev(means[by][m] for by in own):.3f})"
        for m in MEASURES
    )
    lines.append(f"| average (standard deviation) of the combinations | {spread} | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
