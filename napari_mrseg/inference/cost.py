"""Choices that work but are slow: said in a sentence beside every result, never decided for the user."""

from __future__ import annotations

import math
from functools import cache

import torch

from napari_mrseg.inference.tiles import tile
from napari_mrseg.models.network import find_network
from napari_mrseg.models.precision import has_bf16
from napari_mrseg.models.store import Model
from napari_mrseg.study import Note

BRAIN_MM = (144, 176, 144)  # the box of a large adult brain
FRAME_PX = (1.0, 480.0, 640.0)
PATIENCE = 5.0  # seconds for one combination on the CPU above which it is called slow
SMALL = 8_000_000  # parameters up to which a model is never that slow; counting its operations takes a second itself
# Operations a second of one core with AVX512-BF16 (a multiplication and an addition are two), measured with the
# compact size by benchmarks/network_speed.py. Most processors are slower, so estimates are the least to expect.
RATES = {"bf16": 0.15e12, "fp32": 0.1e12}


def costly_choices(model: Model, device: torch.device, precision: str, threads: int) -> tuple[Note, ...]:
    """A sentence for each way in which this device, precision and model take longer than they need to."""
    notes = []
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cpu" and gpus:
        notes.append(
            Note("slow_device", "Computed on the CPU, though there is a GPU, which is faster: choose cuda:0.")
        )
    if device.type not in ("cpu", "cuda"):
        notes.append(
            Note("untested_device", f"{device} is untested here: compare a result with the CPU's before use.")
        )
    if precision == "fp32" and has_bf16(device):
        notes.append(
            Note(
                "slow_precision",
                f"fp32 on {device}, which has instructions for bf16 and is faster with it: choose auto.",
            )
        )
    if precision == "bf16" and device.type == "cpu" and not has_bf16(device):
        notes.append(
            Note(
                "slow_precision",
                "bf16 on a processor without instructions for it, which is slower than fp32: choose auto.",
            )
        )
    if device.type == "cpu" and sum(p.numel() for p in model.network.parameters()) > SMALL:
        seconds = seconds_on_cpu(model, precision, threads)
        if seconds > PATIENCE:
            notes.append(
                Note(
                    "slow_model",
                    f"{model.card.name} takes {tera(model):.1f} TFLOP for {_usual(model)[0]}, at least {seconds:.0f} s "
                    f"on {threads} threads of a CPU: use a GPU or a smaller model.",
                )
            )
    return tuple(notes)


def seconds_on_cpu(model: Model, precision: str, threads: int) -> float:
    """The least one combination of a usual study takes, from counted operations and :data:`RATES`."""
    return tera(model) * 1e12 / (RATES[precision] * max(1, threads))


def tera(model: Model) -> float:
    """Operations, 10¹², of one incomplete combination of a usual study as the engine computes it."""
    best = model.card.validated[0]
    stride = model.network.stride
    step = [1.0 if axis < 3 - model.task.ndim else best.spacing_mm for axis in range(3)]
    sides = zip(_usual(model)[1], step, stride, strict=True)
    size = [n * math.ceil(length / width / n) for length, width, n in sides]
    windows = tile(size, best.extents_max, stride)
    extents = tuple(side.stop - side.start for side in windows[0])
    network, task = model.network, model.task
    shape = len(task.channels), len(task.names)
    operations = _operations(
        network.architecture, network.settings.model_dump_json(), extents, *shape, network.adapts
    )
    return model.card.passes * len(windows) * operations / 1e12


def _usual(model: Model) -> tuple[str, tuple[float, ...]]:
    """What a study of the model's task usually is, in words, and its extents in mm or pixels."""
    if model.task.ndim == 2:
        return "a frame of 480 × 640 pixels", FRAME_PX
    words = "a whole brain" if model.card.expects == "adult brain" else "a volume as large as a brain"
    return words, BRAIN_MM


@cache
def _operations(
    architecture: str,
    settings: str,
    extents: tuple[int, ...],
    channels: int,
    modalities: int,
    incomplete: bool,
) -> int:
    from napari_mrseg.models.counting import count  # not above: its tools take a moment to import

    kind = find_network(architecture)
    read = kind.settings_type.model_validate_json(settings)
    return count(kind, read, extents, channels=channels, modalities=modalities, incomplete=incomplete).flops
