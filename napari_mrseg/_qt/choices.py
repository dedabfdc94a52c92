"""What the drop-downs offer, and what the legend compares with: asked on a thread, since torch loads slowly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_mrseg.inference.prediction import Prediction


def device_choices() -> list[tuple[str, str]]:
    """(name to ask for, text to show) of each device of this machine."""
    from napari_mrseg.inference.device import device_names, resolve_device

    texts = {"auto": f"auto ({resolve_device('auto')})", "cpu": "cpu"}
    return [(name, texts.get(name) or f"{name} ({_gpu(name)})") for name in device_names()]


def _gpu(name: str) -> str:
    import torch

    return torch.cuda.get_device_name(name)


def model_choices() -> list[str]:
    """Names of the installed models."""
    from napari_mrseg.models.store import list_models

    return [model.name for model in list_models()]


def dice_of(shown: Prediction, reference: Any) -> Mapping[str, float | None]:
    """Dice of each region against the reference's codes."""
    from napari_mrseg.compare.metrics import region_dice

    return region_dice(shown.labels, reference, shown.task)
