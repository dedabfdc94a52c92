"""Measures of a region against a reference that become a column each: ours, and those of other packages.

A package registers its own as an entry point of the group ``napari_mrseg.metrics``.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import ClassVar, Literal

from napari_mrseg.compare.metrics import BoolArray, IntArray, hd95, region_mask
from napari_mrseg.tasks import Region, Task

GROUP = "napari_mrseg.metrics"


class Metric(ABC):
    """One number for a region of a prediction and of the reference.

    Attributes
    ----------
    name
        The stable name in keys and files, e.g. ``hd95``; letters, digits and ``_``.
    title
        What stands over the column.
    better
        Which end is the good one; None if neither is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    better: ClassVar[Literal["high", "low", None]] = "high"

    def unit(self, task: Task) -> str:
        """The unit of the values; empty if they have none."""
        return ""

    @abstractmethod
    def explain(self, region: Region, task: Task) -> str:
        """How the number is computed, in one sentence."""

    @abstractmethod
    def measure(self, prediction: BoolArray, reference: BoolArray, spacing: Sequence[float]) -> float:
        """The value for two masks of one shape; not a number where there is none.

        ``spacing``: one value an axis, in the task's unit of length. Outside of the arrays both masks are empty.
        """


class HD95(Metric):
    """The 95th percentile of the surface distances, MONAI's convention."""

    name = "hd95"
    title = "HD95"
    better = "low"

    def unit(self, task: Task) -> str:
        return task.length_unit

    def explain(self, region: Region, task: Task) -> str:
        return (
            f"95th percentile of the distances from the surface of {region.title} to that of the reference, in "
            f"{task.length_unit}, the larger of both directions (MONAI's convention); – if one is empty."
        )

    def measure(self, prediction: BoolArray, reference: BoolArray, spacing: Sequence[float]) -> float:
        return hd95(prediction, reference, spacing)


OWN: tuple[Metric, ...] = (HD95(),)


def installed() -> tuple[Metric, ...]:
    """The metrics of other packages. One that cannot be loaded is left out with a warning that names its package."""
    found = []
    for entry in entry_points(group=GROUP):
        try:
            metric = entry.load()()
            if not isinstance(metric, Metric):
                raise TypeError("it is no Metric")
        except Exception as error:  # another package's import may raise anything
            warnings.warn(
                f"The metric “{entry.name}” of {entry.value} cannot be loaded ({error}); update or remove it.",
                stacklevel=2,
            )
        else:
            found.append(metric)
    return tuple(found)


METRICS: Mapping[str, Metric] = {metric.name: metric for metric in OWN + installed()}
"""All of them by name, in the order of their columns."""


def of_other_packages() -> dict[str, Metric]:
    """Those of :data:`METRICS` that are not ours, by name."""
    ours = {metric.name for metric in OWN}
    return {name: metric for name, metric in METRICS.items() if name not in ours}


def measure_all(
    prediction: IntArray, reference: IntArray, task: Task, spacing: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Metric → region → value, of two label maps of one shape in the task's codes."""
    masks = {
        region.name: (region_mask(prediction, region), region_mask(reference, region))
        for region in task.regions
    }
    return {
        name: {region: metric.measure(*pair, spacing) for region, pair in masks.items()}
        for name, metric in METRICS.items()
    }


def unmeasured(task: Task) -> dict[str, dict[str, float]]:
    """What :func:`measure_all` gives where nothing was found, or nothing is true."""
    return {name: dict.fromkeys((r.name for r in task.regions), math.nan) for name in METRICS}
