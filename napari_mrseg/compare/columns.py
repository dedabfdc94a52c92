"""The table's columns: their titles, units, how each number is computed, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from napari_mrseg.compare.metric import METRICS, Metric
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Region, Task, sized

Kind = str
"""size, versus, dice, seconds, second_size, second_versus, second_dice, or a metric's name, such as hd95."""
SECOND: tuple[Kind, ...] = ("second_size", "second_versus", "second_dice")
SIZES: tuple[Kind, ...] = ("size", "second_size")
DICE: tuple[Kind, ...] = ("versus", "dice", "second_versus", "second_dice")
NO_VALUE = "–"
_EMPTY = "Two empty regions count as 1, one empty as 0."
_FOOT = (
    "At the foot: average and standard deviation over the combinations (divisor n), estimated cells included."
)


@dataclass(frozen=True)
class Column:
    """One numeric column. ``key`` is its stable name (``dice.ET``), ``better`` its good end."""

    key: str
    kind: Kind
    region: str | None
    title: str
    unit: str
    better: Literal["high", "low", None]
    explanation: str


class Compared(Protocol):
    """What a column needs to know of a comparison."""

    study: Study
    task: Task
    against: Combination

    @property
    def second_name(self) -> str | None: ...

    def title(self, combination: Iterable[str]) -> str: ...


def columns_of(comparison: Compared) -> tuple[Column, ...]:
    """Sizes, Dice to the chosen combination, Dice and every metric to a reference if there is one, seconds.

    With a second model: its sizes, the Dice of both models' results, and its Dice to the reference, too.
    """
    task = comparison.task
    columns = [_size(comparison, region) for region in task.regions]
    columns += [_versus(comparison, region) for region in task.regions]
    if comparison.study.reference is not None:
        columns += [_dice(region) for region in task.regions]
        columns += [_of_metric(comparison, region, m) for m in METRICS.values() for region in task.regions]
    columns.append(
        Column(
            "seconds", "seconds", None, "seconds", "s", "low",
            "Wall-clock time this combination took on this machine, from the images in memory to the labels.",
        )
    )  # fmt: skip
    if comparison.second_name is not None:
        columns += [_second_size(comparison, region) for region in task.regions]
        columns += [_second_versus(comparison, region) for region in task.regions]
        if comparison.study.reference is not None:
            columns += [_second_dice(comparison, region) for region in task.regions]
    return tuple(columns)


def text_of(column: Column, value: float | None) -> str:
    """A cell as the window, the report and the Markdown table write it; “–” for no value."""
    if value is None:
        return NO_VALUE
    if column.kind in DICE:
        return f"{value:.3f}"
    if column.kind in SIZES:
        return sized(value, column.unit)
    return f"{value:.1f}"


def group_title(comparison: Compared, kind: Kind) -> str:
    """The title over the columns of one kind."""
    task, second = comparison.task, comparison.second_name
    size = "Volume, mL" if task.unit == "mL" else "Size, px"
    if kind in METRICS:
        unit = METRICS[kind].unit(task)
        return f"{METRICS[kind].title} to reference{', ' if unit else ''}{unit}"
    return {
        "second_size": f"{size}, {second}",
        "second_versus": f"Dice to {second}",
        "second_dice": f"Dice to reference, {second}",
        "size": size,
        "versus": f"Dice to {short(comparison)}",
        "dice": "Dice to reference",
        "seconds": "",
    }[kind]


def short(comparison: Compared) -> str:
    """The combination that the others are compared with, in a few letters: “all 4”, “FLAIR + T2”."""
    if comparison.against == comparison.study.present:
        return f"all {len(comparison.against)}"
    return comparison.title(comparison.against)


def unseen(region: Region) -> str:
    """Why a region is an estimate, in the field's words."""
    return region.unseen or f"no {' or '.join(region.needs)}: not observable"


def _size(comparison: Compared, region: Region) -> Column:
    unit = comparison.task.unit
    how = (
        f"Number of voxels labelled {region.title}, times the volume of a voxel "
        f"({1000 * comparison.study.grid.voxel_ml:.3g} µL)."
        if unit == "mL"
        else f"Number of pixels labelled {region.title}."
    )
    title = f"{region.name} {unit}"
    return Column(
        f"size.{region.name}", "size", region.name, title, unit, None, f"{how}{_doubt(region)} {_FOOT}"
    )


def _versus(comparison: Compared, region: Region) -> Column:
    other = comparison.title(comparison.against)
    how = (
        f"Dice of {region.title} between this combination's result and that of {other}: twice the common "
        f"voxels over the sum of both. It says how much the result changes, not which one is right. {_EMPTY}"
    )
    return Column(
        f"versus.{region.name}",
        "versus",
        region.name,
        f"{region.name} vs {short(comparison)}",
        "Dice",
        "high",
        _with(how, region),
    )


def _dice(region: Region) -> Column:
    how = (
        f"Dice of {region.title} between this combination's result and the loaded reference segmentation: "
        f"twice the common voxels over the sum of both. {_EMPTY}"
    )
    return Column(
        f"dice.{region.name}", "dice", region.name, f"{region.name} Dice", "Dice", "high", _with(how, region)
    )


def _of_metric(comparison: Compared, region: Region, metric: Metric) -> Column:
    task = comparison.task
    unit = metric.unit(task)
    return Column(
        f"{metric.name}.{region.name}",
        metric.name,
        region.name,
        f"{region.name} {metric.title}{' ' if unit else ''}{unit}",
        unit,
        metric.better,
        _with(metric.explain(region, task), region),
    )


def _second_size(comparison: Compared, region: Region) -> Column:
    name, unit = comparison.second_name, comparison.task.unit
    return Column(
        f"second_size.{region.name}",
        "second_size",
        region.name,
        f"{region.name} {unit} by {name}",
        unit,
        None,
        f"Size of {region.title} in the result of {name} with the same modalities.{_doubt(region)} {_FOOT}",
    )


def _second_versus(comparison: Compared, region: Region) -> Column:
    how = (
        f"Dice of {region.title} between the results of both models with the same modalities: how alike they are, not "
        f"which one is right. {_EMPTY}"
    )
    return Column(
        f"second_versus.{region.name}",
        "second_versus",
        region.name,
        f"{region.name} vs {comparison.second_name}",
        "Dice",
        "high",
        _with(how, region),
    )


def _second_dice(comparison: Compared, region: Region) -> Column:
    how = (
        f"Dice of {region.title} between the result of {comparison.second_name} with the same modalities and the "
        f"loaded reference segmentation. {_EMPTY}"
    )
    return Column(
        f"second_dice.{region.name}",
        "second_dice",
        region.name,
        f"{region.name} Dice of {comparison.second_name}",
        "Dice",
        "high",
        _with(how, region),
    )


def _with(how: str, region: Region) -> str:
    return f"{how}{_doubt(region)} {_FOOT}"


def _doubt(region: Region) -> str:
    if not region.needs:
        return ""
    return f" Grey: {unseen(region)}; the model's estimate."
