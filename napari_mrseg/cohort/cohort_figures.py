"""Drawings of a cohort's report: sizes and Dice by combination, and what each modality adds."""

from __future__ import annotations

import numpy as np

from napari_mrseg.cohort.summary import Cohort, attribution
from napari_mrseg.compare.drawing import Drawing
from napari_mrseg.tasks import Combination, Task, sized

_ROW, _DOT, _WIDTH = 20, 40, 330
_BARS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def distribution(cohort: Cohort, what: str, region: str) -> Drawing:
    """A box per combination: quartiles, median, 5th and 95th percentile, and each study as a dot."""
    task, combinations = cohort.task, cohort.combinations
    left = 8 + _DOT * len(task.modalities)
    drawing = Drawing(left + _WIDTH + 20, 58 + _ROW * len(combinations) + 22)
    by_combination = {c: list(cohort.values(what, c, region).values()) for c in combinations}
    everything = [v for values in by_combination.values() for v in values]
    top = 1.0 if what != "size" else max(everything, default=0.0) * 1.02 or 1.0
    estimated = {c: region in {r.name for r in task.estimated(c)} for c in combinations}
    drawing.words(8, 18, region, size=13)
    for m, modality in enumerate(task.modalities):
        drawing.words(8 + _DOT * (m + 0.5), 44, modality.title, size=10, anchor="middle")
    for tick in _ticks(top):
        x = left + _WIDTH * tick / top
        drawing.line(x, 50, x, 54 + _ROW * len(combinations), "#dddddd")
        text = f"{tick:g}" if what != "size" else sized(tick, task.unit).removesuffix(".0")
        drawing.words(x, 44, text, size=10, fill="#777777", anchor="middle")
    for r, combination in enumerate(combinations):
        y = 54 + _ROW * r
        _dots(drawing, task, combination, y)
        _box(drawing, by_combination[combination], left, y, top, faint=estimated[combination])
    y = 58 + _ROW * len(combinations)
    counts = [len(v) for v in by_combination.values()]
    low, high = min(counts, default=0), max(counts, default=0)
    text = f"{low}" if low == high else f"{low}–{high}"
    grey = "; grey: an estimate, not observable" if any(estimated.values()) else ""
    drawing.words(8, y + 12, f"{text} studies{grey}", size=10, fill="#777777")
    return drawing


def _dots(drawing: Drawing, task: Task, combination: Combination, y: float) -> None:
    for m, name in enumerate(task.names):
        drawing.circle(
            8 + _DOT * (m + 0.5), y + _ROW / 2, 4, "#222222" if name in combination else None, "#222222"
        )


def _box(drawing: Drawing, values: list[float], left: float, y: float, top: float, *, faint: bool) -> None:
    if not values:
        return
    low, q1, middle, q3, high = (
        left + _WIDTH * float(v) / top for v in np.percentile(values, (5, 25, 50, 75, 95))
    )
    centre, colour = y + _ROW / 2, "#999999" if faint else "#0072B2"
    shown = values if len(values) <= 150 else list(np.quantile(values, np.linspace(0, 1, 150)))
    for number, value in enumerate(shown):
        drawing.circle(left + _WIDTH * value / top, centre + (number * 7 % 9 - 4), 1.3, "#c9c9c9")
    drawing.line(low, centre, high, centre, colour)
    drawing.rect(q1, y + 4, max(1.0, q3 - q1), _ROW - 8, None, colour)
    drawing.line(middle, y + 3, middle, y + _ROW - 3, "#D55E00" if not faint else "#666666")


def _ticks(top: float) -> list[float]:
    step = 10 ** np.floor(np.log10(top / 2))
    step = next(s for s in (step, 2 * step, 5 * step, 10 * step) if top / s <= 7)
    return [float(round(k * step, 6)) for k in range(int(top / step) + 1)]


def bars(cohort: Cohort, measure: str) -> Drawing | None:
    """Mean Shapley values with their intervals, a group of bars a region; None without studies that have them."""
    found = attribution(cohort, measure)
    if not found:
        return None
    task = cohort.task
    reach = (
        max(abs(v[e]) for values in found.values() for v in values.values() for e in ("low", "high")) or 1.0
    )
    lowest = min(0.0, *(v["low"] for values in found.values() for v in values.values()))
    zero = 120 + 300 * (-lowest / (reach - lowest))
    scale = 300 / (reach - lowest)
    drawing = Drawing(500, 34 + len(found) * (18 * len(task.names) + 14))
    unit = task.unit if measure == "size" else "Dice to reference"
    drawing.words(10, 18, f"Mean Shapley value, {unit}", size=13)
    y = 34
    for region, values in found.items():
        drawing.words(10, y + 13, region, size=13)
        first = y
        for m, name in enumerate(task.names):
            value = values[name]
            x = zero + min(0.0, value["mean"]) * scale
            drawing.words(112, y + 13, task.modality(name).title, size=11, anchor="end")
            drawing.rect(x, y + 3, max(1.0, abs(value["mean"]) * scale), 11, _BARS[m % len(_BARS)])
            drawing.line(
                zero + value["low"] * scale, y + 8.5, zero + value["high"] * scale, y + 8.5, "#222222"
            )
            digits = 2 if measure == "dice" else 1
            end = zero + max(0.0, value["high"]) * scale + 5
            drawing.words(end, y + 13, f"{value['mean']:+.{digits}f}", size=11)
            y += 18
        drawing.line(zero, first, zero, y, "#222222")
        y += 14
    return drawing
