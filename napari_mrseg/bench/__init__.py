"""Speed on this machine, beside the usual way with the same weights in the same run.

Knows no Qt; the part in the window runs in a process of its own (:mod:`napari_mrseg._qt.timing`).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from napari_mrseg.bench.ratios import agreement, complete_run, summary
from napari_mrseg.bench.synthetic import Subject, headline, random_model
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model
from napari_mrseg.tasks import DEFAULT, Task

__all__ = ["Subject", "bench", "summary"]

Size = Literal["compact", "paper"]
GPU_COMMAND = "mrseg bench --device cuda --json -o bench-gpu.json"
_SMALL = ((40, 48, 48), (30, 38, 30))  # scan and brain of a quick look


def _silent(_: str) -> None:
    return None


def bench(
    model: Model | None,
    *,
    task: Task | None = None,
    device: str = "auto",
    precision: str = "auto",
    size: Size | None = None,
    study: Sequence[str] = (),
    quick: bool = False,
    window: bool = False,
    report: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """Measure, and return what was measured as one JSON-able document (see :mod:`napari_mrseg.bench.ratios`).

    ``task``: default is the model's.

    ``model``: which to measure; None with ``size`` (default compact): random weights, good for times only. On a
    GPU the published size is measured as well. ``study``: paths of a real one; none: a synthetic scan of 240 × 240 ×
    155 voxels. ``quick``: a small synthetic scan, for a look at the command itself. ``window``: measure in the
    viewer's window too. ``report`` takes a line before each measurement. Raises MrsegError.
    """
    from napari_mrseg.bench.jobs import run_job
    from napari_mrseg.inference.device import resolve_device, resolve_precision

    chosen = resolve_device(device)
    resolve_precision(precision, chosen)
    if model is not None and size is not None:
        raise InputError("--model and --size exclude each other; give one of them.")
    if model is None and task is not None and task != DEFAULT:
        raise InputError(
            f"There are random weights for {DEFAULT.name} only, not for {task.name}; give --model."
        )
    asked = task or (DEFAULT if model is None else model.task)
    subject = Subject(tuple(study), task=asked.name)
    if quick and not study:
        subject = replace(subject, shape=_SMALL[0], brain=_SMALL[1])
    read = subject.open()
    about = {
        "case": read.case,
        "synthetic": not study,
        "shape": list(read.grid.shape),
        "spacing_mm": list(read.grid.spacing),
        "modalities": list(read.present),
    }
    incomplete, complete = headline(read)
    del read
    common = {"device": str(chosen), "precision": precision, "subject": asdict(subject)}
    report("the machine's peak")
    found = run_job({"kind": "machine", "scale": 4 if quick else 1, **common})
    document: dict[str, Any] = {"format": 1, "quick": quick, "study": about, **found, "runs": []}
    with tempfile.TemporaryDirectory(prefix="mrseg-bench-") as folder:
        models: list[tuple[Model, bool]] = []
        if model is None:
            models.append((random_model(Path(folder) / "first", size or "compact"), True))
        else:
            models.append((model, False))
        if chosen.type == "cuda" and size is None and not quick:
            models.append((random_model(Path(folder) / "paper", "paper"), True))
        for which, random in models:
            run = _measure(which, incomplete, complete, common, Path(folder), quick, report)
            if window:
                report(f"{which.card.name}: in the window")
                run["window"] = _in_window(
                    {"kind": "window", "model": str(which.folder), "quick": quick, **common}
                )
            document["runs"].append(complete_run(run, which, found["peak"], random=random))
    if chosen.type != "cuda":
        document["gpu_estimate"] = None if quick else _estimate()
    return document


def _measure(
    model: Model,
    incomplete: tuple[str, ...],
    complete: tuple[str, ...] | None,
    common: dict[str, Any],
    folder: Path,
    quick: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Every measurement of one model, each in a process of its own."""
    from napari_mrseg.bench.jobs import run_job

    common = {**common, "model": str(model.folder)}
    repeats = 2 if quick else 3
    labels = {which: str(folder / f"{model.card.name}-{which}.npy") for which in ("own", "fp32", "cpu")}
    run: dict[str, Any] = {"combinations": {}, "published": {}, "tuned": {}, "one_window": {}}

    def measured(text: str, **job: Any) -> dict[str, Any]:
        report(f"{model.card.name}: {text}")
        return run_job({**common, **job})

    for which, combination in (("incomplete", incomplete), ("complete", complete)):
        if combination is None:
            continue
        job = {"combination": list(combination), "repeats": repeats}
        saved = labels["own"] if which == "incomplete" else None
        run["combinations"][which] = measured(f"one combination, {which}", kind="one", labels=saved, **job)
        for way, name, windows in (
            ("published", "published", 2),
            ("tuned", "tuned", None),
            ("one_window", "one window", None),
        ):
            run[way][which] = measured(
                f"MONAI's sliding windows, {name}, {which}",
                kind="sliding",
                way=name,
                windows=windows,
                roi=32 if quick else 128,
                combination=list(combination),
            )
    job = {"combination": list(incomplete), "repeats": 1}
    if run["combinations"]["incomplete"]["precision"] != "fp32":
        measured("the same in fp32", kind="one", **{**job, "labels": labels["fp32"], "precision": "fp32"})
        run["against_fp32"] = agreement(labels["own"], labels["fp32"], model.task)
    if common["device"] != "cpu":
        measured("the same on the CPU", kind="one", **{**job, "labels": labels["cpu"], "device": "cpu"})
        run["against_cpu"] = agreement(labels["own"], labels["cpu"], model.task)
    run["all"] = measured("all combinations", kind="all")
    run["waiting"] = measured(
        "first look and Cancel during the sweep", kind="waiting", repeats=1 if quick else 3
    )
    return run


def _in_window(job: dict[str, Any]) -> dict[str, Any]:
    """The part in the real window; where there is no display, on a virtual one."""
    import os

    from napari_mrseg.bench.jobs import run_job

    before: tuple[str, ...] = ()
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if shutil.which("xvfb-run") is None:
            raise InputError(
                "There is no display here, and no virtual one; install Xvfb (Debian: apt-get install xvfb)."
            )
        before = ("env", "QT_QPA_PLATFORM=xcb", "xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")
    return run_job(job, module="napari_mrseg._qt.timing", before=before)


def _estimate() -> dict[str, Any]:
    """What a GPU that is not here would take at least, from counted operations and bytes."""
    from napari_mrseg.bench.roofline import H200, estimate
    from napari_mrseg.models.unimrseg import SIZES

    return {
        "command": GPU_COMMAND,
        "machine": {"name": H200.name, "tflops": H200.flops / 1e12, "terabytes_per_s": H200.bytes / 1e12},
        "sizes": {name: estimate(SIZES[name], (144, 176, 144)) for name in ("compact", "paper")},
    }
