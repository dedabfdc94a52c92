"""The usual way, timed: MONAI's sliding windows over the same network with the same weights.

Network and joining of windows only: reading, normalisation and labelling, which the engine's own times include, are
left out, so the comparison leans towards these.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import torch
from torch import Tensor

from napari_mrseg.bench.hardware import synchronise
from napari_mrseg.models.store import Model
from napari_mrseg.prepare import normalise, resample
from napari_mrseg.study import Study

Way = Literal["published", "tuned", "one window"]
ROI = 128  # voxels, as published
OVERLAPS: dict[Way, float] = {"published": 0.5, "tuned": 0.25, "one window": 0.0}


class _Clocked:
    """Calls a network and keeps the seconds of each call; after ``most`` calls repeats the last answer."""

    def __init__(self, network: Any, present: Tensor, most: int | None, device: torch.device) -> None:
        self.network, self.present, self.most, self.device = network, present, most, device
        self.seconds: list[float] = []
        self.calls = 0
        self.last = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.most is not None and len(self.seconds) >= self.most:
            return self.last
        synchronise(self.device)
        began = time.perf_counter()
        self.last = self.network(x, self.present)
        synchronise(self.device)
        self.seconds.append(time.perf_counter() - began)
        return self.last


def slide(
    model: Model,
    study: Study,
    way: Way,
    *,
    device: torch.device,
    dtype: torch.dtype,
    roi: int = ROI,
    windows: int | None = None,
) -> dict[str, Any]:
    """Time one combination, ``study``'s, the usual way.

    ``published``: the whole volume, 128³ windows, overlap 0.5, float32, plain layout. ``tuned``: the brain's box,
    ``dtype``, channels last, overlap 0.25. ``one window``: the brain's box at once, otherwise as tuned. Norms
    are not folded. ``windows``: compute only so many after one to warm up and scale their mean by the
    windows' number (marked ``scaled``); joining is always timed for all.
    """
    from monai.inferers import sliding_window_inference

    plain = way == "published"
    network = model.network.float().eval()
    volume = _volume(model, study, crop=not plain)
    if plain:
        network = network.to(device)
        volume = volume.to(device)
    else:
        network = network.to(device, dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        volume = volume.to(device, dtype)
    size = tuple(
        roi if way != "one window" else stride * -(-n // stride)
        for n, stride in zip(volume.shape[2:], model.network.stride, strict=True)
    )
    present = torch.tensor([[name in study.images for name in study.task.names]], device=device)

    def predictor(x: Tensor, mask: Tensor) -> Tensor:
        x = x if plain else x.contiguous(memory_format=torch.channels_last_3d)
        result: Tensor = network(x, available=mask)
        return result

    with torch.inference_mode():
        if windows is None:
            predictor(torch.zeros((1, volume.shape[1], *size), device=device, dtype=volume.dtype), present)
        clocked = _Clocked(predictor, present, None if windows is None else windows + 1, device)
        synchronise(device)
        began = time.perf_counter()
        sliding_window_inference(volume, size, 1, clocked, overlap=OVERLAPS[way])
        synchronise(device)
        wall = time.perf_counter() - began
    counted = clocked.seconds if windows is None else clocked.seconds[1:] or clocked.seconds
    mean = sum(counted) / len(counted)
    joining = wall - sum(clocked.seconds)
    return {
        "seconds": joining + mean * clocked.calls,
        "windows": clocked.calls,
        "windows_timed": len(counted),
        "scaled": len(counted) < clocked.calls,
        "seconds_per_window": mean,
        "seconds_joining": joining,
        "window": list(size),
        "volume": list(volume.shape[2:]),
        "spacing_mm": model.card.validated[0].spacing_mm,
        "precision": "fp32" if volume.dtype == torch.float32 else "bf16",
    }


def _volume(model: Model, study: Study, *, crop: bool) -> Tensor:
    """(1, C, i, p, l) normalised, at the spacing the model's final result is made at; missing ones zero."""
    stack = torch.zeros(len(study.task.channels), *study.grid.shape)  # (C, I, P, L)
    for name, image in study.images.items():
        scaled = normalise(torch.from_numpy(image.data.copy()))
        stack[study.task.span(name)] = scaled if scaled.ndim == 3 else scaled.movedim(-1, 0)
    if crop:
        inside = (stack != 0).any(0)
        for axis in range(3):
            line = torch.nonzero(inside.any(tuple(a for a in range(3) if a != axis)))
            first, last = int(line[0]), int(line[-1])
            stack = stack.narrow(axis + 1, first, last + 1 - first)
    wanted = model.card.validated[0].spacing_mm
    steps = [1.0 if abs(wanted / mm - 1) < 0.01 else wanted / mm for mm in study.grid.spacing]
    counts = [max(1, round(n / step)) for n, step in zip(stack.shape[1:], steps, strict=True)]
    return resample(stack, [0.0] * 3, steps, counts)[None].contiguous()
