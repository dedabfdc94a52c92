"""What a package of your own builds on: networks, steps, file formats, metrics, tasks and modalities.

These classes are stable, with all of their public methods and attributes: what is to change or to go warns by
``DeprecationWarning`` for one minor version first, and new methods come with a default. Each is loaded on first use.

A network, a file format or a metric of another package is found by an entry point, e.g. in its ``pyproject.toml``::

    [project.entry-points."napari_mrseg.networks"]
    mynet = "mypackage.mynet:MyNet"

    [project.entry-points."napari_mrseg.formats"]
    myformat = "mypackage.myformat:MyFormat"

    [project.entry-points."napari_mrseg.metrics"]
    mymetric = "mypackage.mymetric:MyMetric"

In a script or a notebook ``@register_network`` makes a network known without a package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mrseg.compare.metric import Metric
    from napari_mrseg.io.format import Format, Volume
    from napari_mrseg.models.network import FeatureNetwork, Network, register_network
    from napari_mrseg.steps import Outcome, Step
    from napari_mrseg.study import Grid, Image, Note, Source
    from napari_mrseg.tasks import Label, Modality, Region, Task

__all__ = [
    "FeatureNetwork",
    "Format",
    "Grid",
    "Image",
    "Label",
    "Metric",
    "Modality",
    "Network",
    "Note",
    "Outcome",
    "Region",
    "Source",
    "Step",
    "Task",
    "Volume",
    "register_network",
]

_HOMES = {
    "Network": "models.network",
    "FeatureNetwork": "models.network",
    "register_network": "models.network",
    "Step": "steps",
    "Outcome": "steps",
    "Format": "io.format",
    "Metric": "compare.metric",
    "Volume": "io.format",
    "Task": "tasks",
    "Modality": "tasks",
    "Region": "tasks",
    "Label": "tasks",
    "Grid": "study",
    "Image": "study",
    "Source": "study",
    "Note": "study",
}


if not TYPE_CHECKING:  # which would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"napari_mrseg.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
