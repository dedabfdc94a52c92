"""Where a model runs, and in which arithmetic: decided by what the processor can do, never by a timing."""

from __future__ import annotations

import re

import torch

from napari_mrseg.errors import DeviceError, InputError
from napari_mrseg.models.precision import has_bf16

PRECISIONS = ("auto", "fp32", "bf16")


def resolve_device(name: str) -> torch.device:
    """``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:n``; other torch devices untested.

    Raises InputError for words that name no device, DeviceError for a device this machine lacks.
    """
    if name.startswith(("auto", "cuda")) and torch.cuda._is_in_bad_fork():
        raise DeviceError(
            f"{name}: this process was made by fork from one that used the GPU, so that it cannot; start it by "
            "multiprocessing's “spawn”, or use cpu."
        )
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        if not re.fullmatch(r"[a-z]+(:\d+)?", name):
            raise RuntimeError
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"“{name}” is not a device; use {', '.join(device_names())}.") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"{name}: PyTorch sees {count or 'no'} GPU here; use {', '.join(device_names())}."
            )
        return torch.device("cuda", device.index or 0)
    if device.type != "cpu":
        try:
            torch.zeros(1, device=device).item()
        except Exception:  # each backend has its own way of not being there
            raise DeviceError(f"{name}: this device cannot be used here; use cpu.") from None
    return torch.device("cpu") if device.type == "cpu" else device


def resolve_precision(name: str, device: torch.device) -> str:
    """``fp32`` or ``bf16``. ``auto``: bf16 where the processor has instructions for it."""
    if name not in PRECISIONS:
        raise InputError(f"“{name}” is not a precision; use {', '.join(PRECISIONS)}.")
    if name != "auto":
        return name
    return "bf16" if has_bf16(device) else "fp32"


def device_names() -> list[str]:
    """What a user can choose on this machine."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["auto", "cpu", *(f"cuda:{i}" for i in range(gpus))]
