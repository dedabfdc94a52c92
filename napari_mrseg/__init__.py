"""See how a segmentation changes with the modalities you have.

The names below are the public interface, with those of :mod:`napari_mrseg.extend`. They are stable: one that is to
change or to go warns by ``DeprecationWarning`` for one minor version first. Everything else is private and may change.
They are loaded on first use, so that ``import napari_mrseg`` stays free of torch, Qt and napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_mrseg.forks import watch_forks

if TYPE_CHECKING:
    from napari_mrseg.errors import MrsegError
    from napari_mrseg.inference.engine import Engine, predict
    from napari_mrseg.inference.imagining import Imagined, imagine
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.io import open_study
    from napari_mrseg.models.store import Model, load_model
    from napari_mrseg.session.state import Session
    from napari_mrseg.study import Study
    from napari_mrseg.tasks import Task, get_task

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Imagined",
    "Model",
    "MrsegError",
    "Prediction",
    "Session",
    "Study",
    "Task",
    "__version__",
    "get_task",
    "imagine",
    "load_model",
    "open_study",
    "predict",
]

_HOMES = {
    "Task": "tasks",
    "get_task": "tasks",
    "Study": "study",
    "open_study": "io",
    "Model": "models.store",
    "load_model": "models.store",
    "Engine": "inference.engine",
    "Imagined": "inference.imagining",
    "imagine": "inference.imagining",
    "Prediction": "inference.prediction",
    "predict": "inference.engine",
    "Session": "session.state",
    "MrsegError": "errors",
}

watch_forks()

if not TYPE_CHECKING:  # which would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
