"""Training throughput of stage 3 against a plain loop that does what the published trainer does; same network.

    python benchmarks/training_throughput.py                      small crops, this machine
    python benchmarks/training_throughput.py --width 64 --extent 128 --in-memory --json      on a GPU

The plain loop: fp32, default memory layout, subjects read from their NIfTI files and normalised each time, flips and
rotation on the CPU with scipy, and every one of the 14 incomplete combinations in every step. Ours: a cache in memory,
augmentation and perturbation batched on the device, bf16 where the processor has it, channels last, and
``combinations_per_step`` of them drawn (4 by default). Times are given per step and per sample pass (one combination
of one sample, forward and backward), so that what comes from drawing fewer combinations can be told from the rest.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from mrseg_training import losses, perturb
from mrseg_training.config import load_config
from mrseg_training.data.loader import Loader
from mrseg_training.data.prepared import Volumes, fill_cache
from mrseg_training.data.subjects import Files, find_brats
from mrseg_training.settings import Config
from mrseg_training.stages import Stage, make_stage
from napari_mrseg.inference.device import resolve_device, resolve_precision
from napari_mrseg.inference.fill import fill
from napari_mrseg.prepare import normalise
from napari_mrseg.tasks import BRATS

REGIONS = tuple(region.codes for region in BRATS.regions)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--extent", type=int, default=48)
    parser.add_argument("--head", type=int, default=96, help="extent of the synthetic scans, voxels")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--combinations", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    device = resolve_device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_scans(root / "data", args.head)
        files = Files(find_brats(root / "data"), BRATS, 1.0)
        result: dict[str, Any] = {
            "width": args.width,
            "extent": args.extent,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "seconds": "clock" if device.type == "cuda" else "processor time",
        }
        volumes = Volumes(fill_cache(files, files.ids, root / "cache"), "yes")
        bf16 = resolve_precision("auto", device) == "bf16"
        # Smallest first: the peak of a process's memory only grows.
        for name, combinations in (("ours", args.combinations), ("ours_all_14", 14), ("plain", 14)):
            config = _config(args, combinations)
            stage = make_stage("adapt", config).to(device).train()
            before = _memory_mb(device)
            step: Callable[[int], None]
            if name == "plain":
                step = partial(_plain_step, stage, files, extent=args.extent, device=device)
            else:
                stage = stage.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
                loader = Loader(volumes, config.stage("adapt"), BRATS, seed=0, stage=2, device=device)
                step = _our_step(stage, loader, device, bf16, args.steps)
            result[name] = _measure(step, args.steps, device)
            result[name] |= {"passes": 1 + combinations, "memory_mb": _memory_mb(device) - before}
    for name in ("plain", "ours", "ours_all_14"):
        result[name]["seconds_per_pass"] = result[name]["seconds_per_step"] / result[name]["passes"]
    result["steps_ratio"] = result["plain"]["seconds_per_step"] / result["ours"]["seconds_per_step"]
    result["same_work_ratio"] = (
        result["plain"]["seconds_per_step"] / result["ours_all_14"]["seconds_per_step"]
    )
    if args.json:
        json.dump(result, sys.stdout, indent=1)
        return
    for name in ("plain", "ours_all_14", "ours"):
        row = result[name]
        print(
            f"{name:12} {row['seconds_per_step']:8.3f} s a step, {row['passes']:2} passes, "
            f"{row['seconds_per_pass']:.3f} s a pass, +{row['memory_mb']} MB"
        )
    print(f"steps per second: {result['steps_ratio']:.1f} times the plain loop")
    print(f"all 14 combinations in both: {result['same_work_ratio']:.1f} times")


def _config(args: argparse.Namespace, combinations: int) -> Config:
    extents = f"[[{args.extent}, {args.extent}, {args.extent}]]"
    return load_config(
        "compact",
        [
            f"model.width={args.width}",
            f"stages.adapt.extents={extents}",
            "stages.adapt.batch=1",
            "stages.adapt.incomplete=0",
            "stages.adapt.truth={dice: 1.0}",
            f"stages.adapt.combinations_per_step={combinations}",
        ],
    )


def _write_scans(root: Path, extent: int) -> None:
    random = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1, 1, extent)] * 3, indexing="ij")
    head = np.sum([a**2 for a in axes], axis=0) < 0.9
    ball = np.sum([(a - 0.2) ** 2 for a in axes], axis=0)
    for k in range(2):
        folder = root / f"BraTS2021_{k:05d}"
        folder.mkdir(parents=True)
        for name in BRATS.names:
            data = (400 + 50 * random.standard_normal(head.shape)) * head
            nib.save(
                nib.Nifti1Image(data.astype(np.int16), np.diag([-1.0, -1, 1, 1])),
                folder / f"{folder.name}_{name}.nii.gz",
            )
        labels = np.select([ball < 0.02, ball < 0.05, ball < 0.1], [1, 4, 2], 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, np.diag([-1.0, -1, 1, 1])), folder / f"{folder.name}_seg.nii.gz")


def _measure(step: Callable[[int], None], steps: int, device: torch.device) -> dict[str, float]:
    """Seconds of a step, mean of ``steps`` after one to warm up.

    On a GPU seconds by the clock; on a CPU seconds of processor time, which other work on the machine does not change.
    """
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    step(0)
    _wait(device)
    began = clock()
    for number in range(1, steps + 1):
        step(number)
    _wait(device)
    return {"seconds_per_step": (clock() - began) / steps}


def _plain_step(stage: Stage, files: Files, step: int, *, extent: int, device: torch.device) -> None:
    """Read, normalise, augment on the CPU, then every combination in one graph, fp32."""
    random = np.random.default_rng(step)
    study = files.open(files.ids[step % len(files.ids)])
    assert study.reference is not None
    images = np.stack([normalise(torch.tensor(study.images[name].data)).numpy() for name in BRATS.names])
    labels = study.reference.labels
    for axis in range(3):
        if random.random() < 0.5:
            images, labels = np.flip(images, axis + 1), np.flip(labels, axis)
    angle = random.uniform(-10, 10)
    images = scipy.ndimage.rotate(images, angle, axes=(2, 3), reshape=False, order=1)
    labels = scipy.ndimage.rotate(labels, angle, axes=(1, 2), reshape=False, order=0)
    start = [int(random.integers(0, n - extent + 1)) for n in labels.shape]
    box = tuple(slice(s, s + extent) for s in start)
    x = torch.from_numpy(np.ascontiguousarray(images[(slice(None), *box)]))[None].to(device)
    truth = torch.stack([torch.from_numpy(np.isin(labels[box], codes)).float() for codes in REGIONS])[
        None
    ].to(device)
    network = stage.network
    network.zero_grad(set_to_none=True)
    whole = network.encode(x)
    logits = network.decode(whole, x)
    weights, valid = torch.ones(1, 3, device=device), torch.ones(1, dtype=torch.bool, device=device)
    loss: Tensor = losses.truth_dice(logits, truth, weights)
    targets, prediction = [f.detach() for f in whole], logits.detach().sigmoid()
    for row in perturb.incomplete_combinations(4):
        kept = row[None].to(device)
        features = network.encode(fill(x, row[None], BRATS), kept)
        consistency = losses.feature_consistency(features, targets, valid)
        agreement = losses.prediction_consistency(network.decode(features, x), prediction, valid)
        loss = loss + consistency + agreement
    loss.backward()


def _our_step(
    stage: Stage, loader: Loader, device: torch.device, bf16: bool, steps: int
) -> Callable[[int], None]:
    batches = loader.batches(0, steps + 1)

    def step(_: int) -> None:
        stage.network.zero_grad(set_to_none=True)
        batch = next(batches)
        for part in range(stage.parts):
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                terms = stage(batch, part)
            loss = sum(stage.weights[k] * v for k, v in terms.items() if stage.weights.get(k))
            assert isinstance(loss, Tensor)
            loss.backward()

    return step


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory_mb(device: torch.device) -> int:
    """Peak so far; on a GPU the counter starts anew with each call."""
    if device.type == "cuda":
        peak = int(torch.cuda.max_memory_allocated(device) / 1e6)
        torch.cuda.reset_peak_memory_stats(device)
        return peak
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    main()
