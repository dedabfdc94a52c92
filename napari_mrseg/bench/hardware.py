"""The machine: what it is, what it can do at most, and how much memory this process has used."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from napari_mrseg.doctor import _processor, versions
from napari_mrseg.models.precision import has_bf16


def describe(device: torch.device) -> dict[str, Any]:
    """JSON-able. ``load``: programs waiting for the processor before the measurement began; 0 is a quiet machine."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(torch.device("cpu")),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": None,
        "cudnn": None,
    }
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cudnn": torch.backends.cudnn.version()}
    return found


def installed() -> dict[str, str | None]:
    """Versions of the packages that decide speed."""
    known = versions()
    return {
        name: known.get(name)
        for name in ("python", "napari-mrseg", "torch", "monai", "numpy", "napari", "PyQt6")
    }


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; before reading the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of ``work``, until the device has finished it."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


def peaks(device: torch.device, dtype: torch.dtype, *, scale: int = 1, repeats: int = 5) -> dict[str, float]:
    """Most TFLOP/s seen here: a square matrix product, and a 3³ convolution with channels last.

    ``scale`` divides the sizes, for a quick look.
    """
    large = device.type == "cuda"
    n = (8192 if large else 2048) // scale
    channels, extent = (128, 128) if large else (32, 96)
    extent //= scale
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    x = torch.randn(1, channels, extent, extent, extent, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    conv = torch.nn.Conv3d(channels, channels, 3, padding=1, bias=False).to(device, dtype)
    conv = conv.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with torch.inference_mode():
        product = min(timed(lambda: a @ b, device) for _ in range(repeats + 1))
        convolution = min(timed(lambda: conv(x), device) for _ in range(repeats + 1))
    return {
        "matmul_tflops": 2 * n**3 / product / 1e12,
        "conv3d_tflops": 2 * 27 * channels**2 * extent**3 / convolution / 1e12,
    }


def memory(device: torch.device) -> dict[str, float | None]:
    """Most memory this process has held so far, in MB of 10⁶ bytes, and most on the GPU."""
    gpu = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None
    return {"peak_mb": _peak_resident() / 1e6, "gpu_peak_mb": gpu}


def _peak_resident() -> int:
    # Not ru_maxrss where it can be had otherwise: Linux hands it down from the parent to a new program.
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
