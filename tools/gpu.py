"""The bundled recipe in the minutes of one GPU that has no network: packed here, trained there.

    python -m tools.gpu pack -o runs/gpu-pack --data ../shared/data --data ../shared/scans/gliomas
    python -m tools.gpu train --pack runs/gpu-pack -o OUT    # on the GPU machine, from the clone's root

The pack holds every brain of ``folds.json`` at 2 mm with its lesion covered, which takes a registration, and
the wheels that a bare machine with PyTorch, Lightning, NumPy and SciPy lacks. ``train`` trains the folds beside each
other, each from ``a.start`` or ``b.start``, a model folder, or from nothing: a network as small as this one leaves
half of the GPU idle. Each draws its subjects on its share of the cores first and trains for the minutes that are then
left. Every two minutes the model in training is in ``OUT/NAME``, so that a machine that goes away leaves what it had.
A fold without time is left out, and ``told.json`` says so. ``python -m tools.bundled --measure OUT`` measures
what came back.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from mrseg_training.atomic import add_data, one_folder, write_atomically
from mrseg_training.config import changed
from mrseg_training.data.anatomy import from_study, save_pair
from mrseg_training.data.datasets import find_data
from mrseg_training.data.prepared import fill_cache
from mrseg_training.loop import train
from mrseg_training.settings import Config
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model, save_model
from tools.bundled import configs, read_folds

WHEELS = (
    *("annotated-types", "monai", "nibabel", "platformdirs", "psygnal"),
    *("pydantic", "pydantic-core", "typing-inspection"),
)
# What the bundled settings become where a GPU has a dozen cores beside it: larger batches, and a start from nothing.
HERE = (
    *(
        "run.device=auto",
        f"data.workers={max(1, (os.cpu_count() or 2) // 2)}",
        "run.checkpoint_every=1000000",
    ),
    *("fold.start=null", "fold.data.simulate.train=600", "stages.supervised.batch=8"),
    "data.simulate.grow=0",  # a GPU would wait for what a process draws
    "fold.stages.supervised.learning_rate=2.0e-3",
)
COPIED = 110.0  # seconds between two copies of the model in training
LEAST = 0.1  # minutes under which a fold is not begun
KEPT = 0.3  # minutes of a fold's own for reading its subjects again and writing its model


def pack(out: Path, data: Path, python: str = "3.12") -> int:
    """Write the pack; returns its bytes. The wheels are those of this environment, for ``python`` on Linux."""
    folds = read_folds()
    out.mkdir(parents=True, exist_ok=True)
    free = [name for cases in folds["no_tumour"].values() for name in cases]
    for name in [*folds["base"], *(s for test in folds["test"].values() for s in test), *free]:
        study = open_study(data / name, reference=name not in free)
        save_pair(out / f"{name}.npz", from_study(study, tumour_free=name in free))
        print(f"packed {name}")
    pinned = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    wanted = [line for line in pinned if line.partition("==")[0].lower().replace("_", "-") in WHEELS]
    where = [
        "--python-version",
        python,
        "--platform",
        "manylinux2014_x86_64",
        "--platform",
        "manylinux_2_28_x86_64",
    ]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            *where,
            "-d",
            out,
            *wanted,
        ],
        check=True,
    )
    return sum(path.stat().st_size for path in out.iterdir())


def train_within(pack: Path, out: Path, minutes: float, work: Path, overrides: list[str]) -> dict[str, Any]:
    """Train the folds for ``minutes`` in all, in ``work``; the models go into ``out`` as they grow."""
    deadline = time.monotonic() + 60 * minutes
    runs = configs(pack, work, [*HERE, *overrides])
    folds = [*read_folds()["test"]]
    context = multiprocessing.get_context("spawn")  # a process that has seen CUDA cannot be forked
    with ProcessPoolExecutor(len(folds), context) as pool:
        begun = {name: pool.submit(_fold, runs[name], work / name, out / name, deadline) for name in folds}
        told = {name: future.result() for name, future in begun.items()}
    write_atomically(out / "told.json", json.dumps(told, indent=1).encode())
    return told


def _fold(
    config: Config, work: Path, out: Path, deadline: float, clock: Callable[[], float] = time.monotonic
) -> dict[str, float] | str:
    """One fold until ``deadline``, in seconds of ``clock``; what its parts took, in minutes."""
    began = clock()
    source, split = find_data(config)
    fill_cache(source, split["train"], work / "cache", workers=config.data.workers)
    drawn = clock()
    left = (deadline - drawn) / 60 - KEPT
    if left < LEAST:
        return "no time left"
    config = changed(config, _within(config, left), out.name)
    train(config, work, resume=True, report=_copying(work, out), clock=clock)
    _copy(work / "model", out)
    return {"minutes": (clock() - began) / 60, "drawing": (drawn - began) / 60, "training": left}


def _within(config: Config, minutes: float) -> Mapping[str, Any]:
    """Every stage of the recipe gets its part of the minutes instead of steps."""
    each = {"steps": None, "epochs": None, "minutes": minutes / len(config.recipe)}
    return {"stages": {stage: each for stage in config.recipe}, "run": {"checkpoint_seconds": COPIED}}


def _copying(folder: Path, out: Path) -> Any:
    """A report that copies each new checkpoint's weights to ``out`` as a model folder."""
    copied = 0

    def report(event: Mapping[str, Any]) -> None:
        nonlocal copied
        if event["kind"] == "step":
            print(
                f"{out.name} {event['stage']} step {event['step']} loss {event['loss']:.3f} {event['rate']:.2f}/s",
                flush=True,
            )
        found = max(folder.glob("*/model/model.json"), key=_changed, default=None)
        if found is not None and _changed(found) > copied:
            copied = _changed(found)
            _copy(found.parent, out)

    return report


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def _copy(model: Path, out: Path) -> None:
    loaded = load_model(model)
    save_model(out, loaded.network, loaded.card)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    one = jobs.add_parser("pack", help="here, before: the brains and the wheels, in one folder")
    one.add_argument("-o", "--out", type=Path, required=True)
    add_data(one)
    one = jobs.add_parser("train", help="there: as much of the recipe as the minutes allow")
    one.add_argument("--pack", type=Path, required=True)
    one.add_argument("-o", "--out", type=Path, required=True)
    one.add_argument("--minutes", type=float, default=9.0)
    one.add_argument(
        "--work", type=Path, default=Path("runs/gpu-work"), help="folder for pools and checkpoints"
    )
    one.add_argument("settings", nargs="*", metavar="key=value", help="changes of the settings")
    args = parser.parse_args(argv)
    if args.job == "pack":
        data = one_folder(args.data, args.out.with_name(f"{args.out.name}-subjects"))
        print(f"{pack(args.out, data) / 2**20:.1f} MiB in {args.out}")
    else:
        print(json.dumps(train_within(args.pack, args.out, args.minutes, args.work, args.settings), indent=1))


if __name__ == "__main__":
    main()
