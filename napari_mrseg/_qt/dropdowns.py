"""What the drop-downs offer: asked on a thread, since torch loads slowly."""

from __future__ import annotations

from napari_mrseg.tasks import Task


def device_choices() -> list[tuple[str, str]]:
    """(name to ask for, text to show) of each device of this machine."""
    from napari_mrseg.inference.device import device_names, resolve_device

    texts = {"auto": f"auto ({resolve_device('auto')})", "cpu": "cpu"}
    return [(name, texts.get(name) or f"{name} ({_gpu(name)})") for name in device_names()]


def _gpu(name: str) -> str:
    import torch

    return torch.cuda.get_device_name(name)


def model_choices(task: Task) -> list[str]:
    """Names of the installed models for ``task``."""
    from napari_mrseg.models.store import list_models

    return [model.name for model in list_models(task)]
