"""What is installed here, and what of it can be used."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from typing import Any

from platformdirs import user_cache_path, user_config_path

from napari_mrseg.errors import MrsegError

PACKAGES = (
    "napari-mrseg", "torch", "monai", "numpy", "nibabel", "SimpleITK", "napari", "PyQt6", "pydicom", "highdicom",
    "lightning",
)  # fmt: skip
LEAST_CUDNN = 91500  # earlier ones gave wrong or slow bf16 3-D convolutions


def versions() -> dict[str, str | None]:
    """Installed version of each package that matters; None where it is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def unwritable_folder() -> str | None:
    """A sentence that names the folder for the viewer's settings or cache that cannot be written, or None."""
    for folder in (user_config_path("napari"), user_cache_path("napari")):
        there = folder
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            return (
                f"{folder} cannot be written, where the viewer keeps its settings; set HOME (or XDG_CONFIG_HOME and "
                "XDG_CACHE_HOME) to a folder that you may write to."
            )
    return None


def examine() -> dict[str, Any]:
    """A JSON-able report. ``problems`` lists what will not work here, each with the fix."""
    import torch

    from napari_mrseg.inference.cost import seconds_on_cpu
    from napari_mrseg.inference.device import device_names, resolve_precision
    from napari_mrseg.models.precision import has_bf16
    from napari_mrseg.models.store import list_models, load_model

    problems = []
    found = versions()
    gpus = [
        torch.cuda.get_device_name(i)
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    cudnn = torch.backends.cudnn.version() if gpus else None
    if cudnn is not None and cudnn < LEAST_CUDNN:
        problems.append(
            f"cuDNN {cudnn} is older than {LEAST_CUDNN}: bf16 may be wrong or slow; update torch."
        )
    if found["PyQt6"] is None and not _has("PySide6"):
        problems.append('No Qt: the viewer will not open; pip install "napari-mrseg[all]".')
    settings = unwritable_folder()
    if settings is not None:
        problems.append(settings)
    display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform != "linux"
    xvfb = shutil.which("xvfb-run") is not None
    if not display and not xvfb:
        problems.append("No display and no xvfb-run: no pictures of the viewer; apt-get install xvfb.")
    cpu = torch.device("cpu")
    threads, precision = torch.get_num_threads(), resolve_precision("auto", cpu)
    models = []
    for name, folder, bundled in list_models():
        try:
            model = load_model(folder, segments=False)
            if not model.network.segments:
                continue
            seconds = seconds_on_cpu(model, precision, threads)
            models.append({**model.info, "bundled": bundled, "least_seconds_on_cpu": round(seconds, 2)})
        except MrsegError as error:
            problems.append(f"Model {name}: {error}")
    if not models:
        problems.append("No usable model is installed; mrseg models add DIR.")
    return {
        "versions": found,
        "system": platform.platform(),
        "processor": {"name": _processor(), "threads": threads, "bf16": has_bf16(cpu)},
        "devices": device_names(),
        "gpus": gpus,
        "cudnn": cudnn,
        "display": display,
        "xvfb": xvfb,
        "models": models,
        "problems": problems,
    }


def summary(report: dict[str, Any]) -> str:
    """The report for people."""
    processor = report["processor"]
    gpus = f" ({', '.join(report['gpus'])})" if report["gpus"] else ""
    bf16 = "bf16" if processor["bf16"] else "no bf16"
    rows = [
        *((name, version or "not installed") for name, version in report["versions"].items()),
        ("processor", f"{processor['name']}, {processor['threads']} threads, {bf16}"),
        ("devices", ", ".join(report["devices"]) + gpus),
        ("display", f"{'yes' if report['display'] else 'no'}, xvfb {'yes' if report['xvfb'] else 'no'}"),
        *(
            (
                "model",
                f"{m['name']} {m['version']}{' (bundled)' if m['bundled'] else ''}, one combination of a whole brain "
                f"at least {m['least_seconds_on_cpu']:.1f} s on the CPU",
            )
            for m in report["models"]
        ),
    ]
    lines = [f"{name:14} {value}" for name, value in rows]
    problems = report["problems"]
    return "\n".join(
        [*lines, *(f"Problem: {p}" for p in problems), "" if problems else "All is well."]
    ).rstrip()


def _has(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
