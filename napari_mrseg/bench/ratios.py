"""From measurements to figures: shares, ratios, agreement, and the text for people.

The document: ``machine``, ``versions``, ``peak``, ``study``, ``runs`` (one per model: ``model``, ``combinations``
incomplete and complete, ``published``, ``tuned`` and ``one_window`` beside each, ``all``, ``waiting``, ``window``,
``against_fp32``, ``against_cpu``, ``ratios``) and, without a GPU, ``gpu_estimate``. Times in seconds, memory in MB of
10⁶ bytes. The headline is the incomplete combination, where the adapters are in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from napari_mrseg.inference.tiles import tile
from napari_mrseg.models.store import Model
from napari_mrseg.prepare import frame
from napari_mrseg.tasks import Task

Data = Mapping[str, Any]


def complete_run(run: dict[str, Any], model: Model, peak: Data, *, random: bool) -> dict[str, Any]:
    """Add what follows from the measurements: medians, operations, shares of ``peak``, ratios, the model."""
    from napari_mrseg.models.counting import count

    network, channels = model.network, len(model.task.channels)
    for row in run["combinations"].values():
        bounds = [tuple(side) for side in row["box"]]
        ndim, strides = model.task.ndim, network.stride
        size = frame(bounds, row["grid_spacing_mm"], row["spacing_mm"], ndim, strides).size
        windows = tile(size, model.card.validated[0].extents_max, strides)
        extents = [side.stop - side.start for side in windows[0]]
        counted = count(
            type(network),
            network.settings,
            extents,
            channels=channels,
            modalities=len(model.task.names),
            incomplete=row["adapters"],
        )
        flops = model.card.passes * len(windows) * counted.flops
        row["first_look_s"] = median(row["first_look_all_s"]) if row["first_look_all_s"] else None
        row["final_s"] = median(row["final_all_s"])
        row["frame"], row["windows"], row["tflop"] = list(size), len(windows), flops / 1e12
        row["tflops"] = row["tflop"] / row["final_s"]
        row["share_of_matmul"] = row["tflops"] / peak["matmul_tflops"]
        row["share_of_conv3d"] = row["tflops"] / peak["conv3d_tflops"]
    parameters = sum(p.numel() for p in network.parameters())
    weights = "random: times only" if random else "trained"
    about = {**model.info, "architecture": network.architecture, "parameters": parameters, "weights": weights}
    about["adapters"] = network.adapts
    return {"model": about, **run, "ratios": ratios(run)}


def ratios(run: Data) -> dict[str, Any]:
    """How many times longer the usual way takes, per combination; and for all, against as many published passes."""
    found: dict[str, Any] = {}
    for which, own in run["combinations"].items():
        found[which] = {
            way: run[way][which]["seconds"] / own["final_s"] for way in ("published", "tuned", "one_window")
        }
    number = run["all"]["combinations"]
    published = run["published"]
    if "complete" in published:
        passes = (number - 1) * published["incomplete"]["seconds"] + published["complete"]["seconds"]
    else:
        passes = number * published["incomplete"]["seconds"]
    found["all"] = {"published_seconds": passes, "published": passes / run["all"]["seconds"]}
    return found


def agreement(own: str, other: str, task: Task) -> dict[str, Any]:
    """Dice per region and voxels that differ between two saved label maps (.npy); Dice of two empty ones is 1."""
    a, b = np.load(own), np.load(other)
    dice = {}
    for region in task.regions:
        first, second = np.isin(a, region.codes), np.isin(b, region.codes)
        total = int(first.sum()) + int(second.sum())
        dice[region.name] = 2 * int((first & second).sum()) / total if total else 1.0
    return {
        "dice": dice,
        "flipped_voxels": int((a != b).sum()),
        "voxels": int(a.size),
        "labelled": int((b > 0).sum()),
    }


def summary(report: Data) -> str:
    """The document for people."""
    machine, study = report["machine"], report["study"]
    where = machine["gpu"] or f"{machine['processor']}, {machine['threads']} threads"
    lines = [
        f"Machine   {where}; bf16 {'yes' if machine['bf16'] else 'no'}; load before {machine['load'] or 0:.1f}",
        f"Versions  {', '.join(f'{name} {v}' for name, v in report['versions'].items() if v)}",
        f"Peak      {report['peak']['matmul_tflops']:.2f} TFLOP/s matrix product, "
        f"{report['peak']['conv3d_tflops']:.2f} 3³ convolution",
        f"Study     {study['case']}, {'×'.join(map(str, study['shape']))} voxels, {', '.join(study['modalities'])}",
    ]
    if (machine["load"] or 0) > 0.5:
        lines.append("BUSY      other programs were using the processor: measure again on a quiet machine")
    if report["quick"]:
        lines.append("QUICK     a small scan: these figures say nothing about a real one")
    for run in report["runs"]:
        lines += ["", *_run_lines(run)]
    if report.get("gpu_estimate"):
        lines += ["", *_estimate_lines(report["gpu_estimate"])]
    return "\n".join(lines)


def _run_lines(run: Data) -> list[str]:
    model, ratio = run["model"], run["ratios"]
    lines = [
        f"Model {model['name']} {model['version']}: {model['architecture']}, {model['parameters'] / 1e6:.2f} M "
        f"parameters, weights {model['weights']}"
    ]
    for which, row in run["combinations"].items():
        used = "adapters in use" if row["adapters"] else "no adapters in use"
        look = "none" if row["first_look_s"] is None else _seconds(row["first_look_s"])
        lines += [
            f"  {which} ({'+'.join(row['combination'])}, {used}; {row['device']}, {row['precision']}, "
            f"{row['windows']} window of {'×'.join(map(str, row['frame']))} at {row['spacing_mm']:g} mm)",
            f"    first look {look}, final {_seconds(row['final_s'])}; first run of all {_seconds(row['cold_s'][-1])}",
            f"    {row['tflop']:.3f} TFLOP at {row['tflops']:.3f} TFLOP/s: {row['share_of_matmul']:.0%} of the matrix "
            f"product's peak, {row['share_of_conv3d']:.0%} of the convolution's; {_memory(row)}",
        ]
        for way, title in (
            ("published", "as published"), ("tuned", "tuned sliding windows"), ("one_window", "one window, not folded"),
        ):  # fmt: skip
            other = run[way][which]
            scaled = f", {other['windows_timed']} timed and SCALED" if other["scaled"] else ""
            lines.append(
                f"    {title}: {_seconds(other['seconds'])} ({other['windows']} windows{scaled}; {other['precision']}, "
                f"{_memory(other)}): {ratio[which][way]:.1f}×"
            )
    every, passes = run["all"], ratio["all"]
    lines.append(
        f"  all {every['combinations']}: {_seconds(every['seconds'])} ({_memory(every)}); as many published passes "
        f"{_seconds(passes['published_seconds'])}: {passes['published']:.1f}×"
    )
    lines.append(f"  during the sweep, longest: {_waits(run['waiting'])}")
    for place, title in (("against_fp32", "fp32, same windows"), ("against_cpu", "the CPU")):
        if place in run:
            found = run[place]
            dice = ", ".join(f"{region} {value:.4f}" for region, value in found["dice"].items())
            doubt = (
                "" if model["weights"] == "trained" else " (random weights: says nothing of a trained model)"
            )
            lines.append(
                f"  against {title}: Dice {dice}; {found['flipped_voxels']} voxels differ, "
                f"{found['labelled']} are labelled{doubt}"
            )
    return lines + (_window_lines(run["window"]) if run.get("window") else [])


def _window_lines(window: Data) -> list[str]:
    gaps = window["gaps"]
    toggles = "; ".join(
        f"{title} {_milliseconds(window[place]['median'])} (longest {_milliseconds(window[place]['longest'])})"
        for place, title in (("toggle_2d_s", "2-D"), ("toggle_3d_s", "3-D"))
    )
    return [
        f"  in the window ({window['renderer']}, {'software' if window['software'] else 'hardware'} rendering)",
        f"    cached toggle until the canvas shows it: {toggles}",
        f"    event-loop gaps during the sweep: 99th percentile {_milliseconds(gaps['p99'])}, "
        f"longest {_milliseconds(gaps['longest'])}",
        f"    sweep of {window['sweep']['combinations']}: {_seconds(window['sweep']['seconds'])}; {_memory(window)}",
        f"    during the sweep, longest: {_waits(window['waiting'])}",
    ]


def _estimate_lines(found: Data) -> list[str]:
    machine = found["machine"]
    rates = f"{machine['tflops']:.0f} TFLOP/s, {machine['terabytes_per_s']:g} TB/s"
    lines = [
        f"No GPU was measured. On a machine with one: {found['command']}",
        f"Least times on {machine['name']} ({rates}), from counted operations and bytes:",
    ]
    for name, size in found["sizes"].items():
        for title, part in (("one", size["one"]), ("all", size["all"])):
            lines.append(
                f"  {name}, {title}: {part['tflop']:.2f} TFLOP, {part['gigabytes']:.1f} GB, "
                f"{_milliseconds(part['seconds'])} ({_milliseconds(part['seconds_operations_only'])} by operations)"
            )
        slow = sorted(size["blocks"], key=lambda block: -block["seconds"])[:4]
        lines.append(
            "    most in "
            + ", ".join(f"{block['block']} {_milliseconds(block['seconds'])}" for block in slow)
        )
    return lines


def _waits(found: Data) -> str:
    parts = []
    for place, title in (("first_look_s", "first look"), ("cancel_s", "Cancel")):
        longest = found[place]["longest"]
        parts.append(f"{title} {'not measured' if longest is None else _seconds(longest)}")
    return ", ".join(parts)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def _milliseconds(value: float | None) -> str:
    return "not measured" if value is None else f"{1000 * value:.1f} ms"


def _memory(row: Data) -> str:
    gpu = f", {row['gpu_peak_mb'] / 1000:.2f} GB on the GPU" if row.get("gpu_peak_mb") else ""
    return f"peak {row['peak_mb'] / 1000:.2f} GB{gpu}"
