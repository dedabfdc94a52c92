"""See how a segmentation changes with the modalities you have.

The names below are the public interface; everything else is private and may change. They are loaded on first
use, so that ``import napari_mrseg`` stays free of torch, Qt and napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Task": "tasks",
    "get_task": "tasks",
    "Study": "study",
    "open_study": "io",
    "Model": "models.store",
    "load_model": "models.store",
    "Engine": "inference.engine",
    "Prediction": "inference.prediction",
    "predict": "inference.engine",
    "Session": "session",
    "MrsegError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
