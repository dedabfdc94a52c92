"""Two figures of several models: a critical-difference diagram, and a spider plot over the combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mrseg_training.evaluate_figures import COLOURS
from napari_mrseg.compare.drawing import Anchor, Drawing

INK, LIGHT = "#222222", "#cccccc"


def rank_figure(ranking: Mapping[str, Any]) -> Drawing:
    """Mean ranks on a line, best at the left; bars join models that do not differ, a rule shows how far they must."""
    models = ranking["models"]
    count = len(models)
    left, right, top = 40, 440, 70
    drawing = Drawing(480, top + 40 + 20 * count + 12 * len(ranking["groups"]))

    def at(rank: float) -> float:
        return left + (right - left) * (rank - 1) / max(1, count - 1)

    drawing.line(left, top, right, top, INK)
    for rank in range(1, count + 1):
        drawing.line(at(rank), top - 5, at(rank), top, INK)
        drawing.words(at(rank), top - 9, str(rank), anchor="middle")
    difference = ranking["critical_difference"]
    reach = min(right, at(1 + difference))
    drawing.line(left, 25, reach, 25, INK)
    drawing.words(left, 18, f"critical difference {difference:.2f}, {ranking['subjects']} subjects", size=11)
    for number, names in enumerate(ranking["groups"]):
        y = top + 10 + 12 * number
        a, b = models[names[0]]["rank"], models[names[-1]]["rank"]
        drawing.rect(at(a) - 3, y, at(b) - at(a) + 6, 4, INK)
    first = top + 28 + 12 * len(ranking["groups"])
    for number, (name, model) in enumerate(models.items()):
        y, x = first + 20 * number, at(model["rank"])
        colour = COLOURS[number % len(COLOURS)]
        drawing.line(x, top, x, y - 4, LIGHT)
        drawing.circle(x, top, 4, colour)
        end = x < (left + right) / 2
        text = f"{name} {model['rank']:.2f} [{model['low']:.2f}, {model['high']:.2f}]"
        drawing.words(x + (4 if end else -4), y, text, size=11, fill=colour, anchor="start" if end else "end")
    return drawing


def spider_figure(
    rows: Sequence[tuple[str, Mapping[str, Mapping[str, float]]]],
    models: Sequence[str],
    regions: Sequence[str],
) -> Drawing:
    """A web a region, a spoke per combination, 0 in the middle and 1 at the rim; a line per model.

    ``rows``: (combination, Dice by model and region).
    """
    side, radius = 330, 105
    drawing = Drawing(side * len(regions), side + 20 * len(models) + 30)
    for panel, region in enumerate(regions):
        x, y = side * panel + side / 2, side / 2 + 20
        drawing.words(x, 18, region, anchor="middle", bold=True)
        spokes = [math.tau * k / len(rows) - math.pi / 2 for k in range(len(rows))]
        for share in (0.25, 0.5, 0.75, 1.0):
            _closed(
                drawing,
                [(x + share * radius * math.cos(a), y + share * radius * math.sin(a)) for a in spokes],
                LIGHT,
            )
        for angle, (name, _) in zip(spokes, rows, strict=True):
            c, s = math.cos(angle), math.sin(angle)
            drawing.line(x, y, x + radius * c, y + radius * s, LIGHT)
            anchor: Anchor = "middle" if abs(c) < 0.2 else "start" if c > 0 else "end"
            drawing.words(x + (radius + 6) * c, y + (radius + 6) * s + 3, short(name), size=7, anchor=anchor)
        for number, model in enumerate(models):
            values = [by.get(model, {}).get(region) for _, by in rows]
            points = [
                (x + radius * v * math.cos(a), y + radius * v * math.sin(a)) if v is not None else (x, y)
                for a, v in zip(spokes, values, strict=True)
            ]
            _closed(drawing, points, COLOURS[number % len(COLOURS)])
    for number, model in enumerate(models):
        y = side + 35 + 20 * number
        drawing.line(20, y - 4, 50, y - 4, COLOURS[number % len(COLOURS)])
        drawing.words(58, y, model)
    return drawing


def short(combination: str) -> str:
    """Initials where a name is long: ``flair+t1ce`` as ``F+T1ce``."""
    return "+".join(n[:1].upper() if len(n) > 4 else n[:1].upper() + n[1:] for n in combination.split("+"))


def _closed(drawing: Drawing, points: Sequence[tuple[float, float]], colour: str) -> None:
    for (x0, y0), (x1, y1) in itertools.pairwise([*points, points[0]]):
        drawing.line(x0, y0, x1, y1, colour)
