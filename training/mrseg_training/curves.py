"""Losses and scores of a run as a table and a picture, from its ``log.jsonl``."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrseg_training.atomic import write_atomically
from mrseg_training.evaluate_figures import COLOURS
from napari_mrseg.compare.drawing import Drawing

CURVES = ("losses.csv", "losses.svg")
_POINTS = 200  # of a line in the picture: each the mean of its share of the steps
_LEFT, _TOP, _WIDTH, _HEIGHT, _GAP = 70, 40, 560, 170, 70
Rows = Sequence[Mapping[str, Any]]


def write_curves(folder: Path) -> None:
    """Write :data:`CURVES` beside the log of the run in ``folder``; nothing where no step was logged."""
    rows = read_steps(folder / "log.jsonl")
    if rows:
        write_atomically(folder / "losses.csv", _csv(rows).encode())
        write_atomically(folder / "losses.svg", picture(rows).svg().encode())


def read_steps(path: Path) -> list[dict[str, Any]]:
    """One row per logged step and stage, in order; the later one where a resumed run logged a step again.

    A row has ``stage``, ``step``, ``loss``, each of its terms, ``learning_rate``, and ``score`` where it was validated.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for event in _events(path):
        if event.get("kind") not in ("step", "validation"):
            continue
        row = found.setdefault(
            (event["stage"], event["step"]), {"stage": event["stage"], "step": event["step"]}
        )
        row |= {
            name: value
            for name, value in event.items()
            if name == "loss" or name.startswith("loss_") or name in ("learning_rate", "score")
        }
    return sorted(found.values(), key=lambda row: (row["stage"], row["step"]))


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # a run that was killed may leave half a line
            continue


def _csv(rows: Rows) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def picture(rows: Rows) -> Drawing:
    """A panel per stage: the loss in black and its terms in colours against the step; dots are validation scores."""
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    drawing = Drawing(_LEFT + _WIDTH + 190, _TOP + len(stages) * (_HEIGHT + _GAP))
    for number, stage in enumerate(stages):
        _panel(
            drawing, _TOP + number * (_HEIGHT + _GAP), stage, [row for row in rows if row["stage"] == stage]
        )
    return drawing


def _panel(drawing: Drawing, top: float, stage: str, rows: Rows) -> None:
    names = list(dict.fromkeys(n for row in rows for n in row if n == "loss" or n.startswith("loss_")))
    lines = {name: _thinned(rows, name) for name in names}
    scores = [(row["step"], row["score"]) for row in rows if "score" in row]
    values = [value for line in lines.values() for _, value in line] or [0.0]
    low, high = min(0.0, *values), max(values)
    last = max(row["step"] for row in rows)

    def place(step: float, share: float) -> tuple[float, float]:
        return _LEFT + _WIDTH * step / max(1, last), top + _HEIGHT * (1 - share)

    drawing.rect(_LEFT, top, _WIDTH, _HEIGHT, None, "#999999")
    drawing.words(_LEFT, top - 8, f"{stage}: loss by step")
    for share in (0.0, 0.5, 1.0):
        _, y = place(0, share)
        drawing.words(_LEFT - 6, y + 4, f"{low + share * (high - low):.3g}", size=10, anchor="end")
    drawing.words(_LEFT, top + _HEIGHT + 16, "0", size=10, anchor="middle")
    drawing.words(_LEFT + _WIDTH, top + _HEIGHT + 16, f"{last}", size=10, anchor="middle")
    span = (high - low) or 1.0
    for k, (name, line) in enumerate(lines.items()):
        colour = "#000000" if name == "loss" else COLOURS[(k - 1) % len(COLOURS)]
        points = [place(step, (value - low) / span) for step, value in line]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            drawing.line(x0, y0, x1, y1, colour)
        title = name.removeprefix("loss_")
        drawing.words(_LEFT + _WIDTH + 12, top + 14 + 16 * k, title, size=11, fill=colour)
    if scores:
        lowest, highest = min(v for _, v in scores), max(v for _, v in scores)
        for step, value in scores:
            x, y = place(step, 0.5 if highest == lowest else (value - lowest) / (highest - lowest))
            drawing.circle(x, y, 3, "#D55E00", "#000000")
        text = f"dots: score {lowest:.3f} to {highest:.3f}"
        drawing.words(_LEFT + _WIDTH + 12, top + 14 + 16 * len(lines), text, size=11, fill="#D55E00")


def _thinned(rows: Rows, name: str) -> list[tuple[float, float]]:
    """(step, value) of a line, at most :data:`_POINTS`: means of neighbours."""
    there = [(row["step"], row[name]) for row in rows if name in row]
    parts = np.array_split(np.array(there, dtype=float), min(len(there), _POINTS)) if there else []
    return [(float(step), float(value)) for step, value in (part.mean(0) for part in parts)]
