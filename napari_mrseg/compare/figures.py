"""The matrix of all combinations and the attribution bars as drawings, for PNG and SVG."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from napari_mrseg.compare.attribution import CAVEAT, Attribution
from napari_mrseg.compare.colours import cividis, hexed, ink_on
from napari_mrseg.compare.columns import DICE, Column, group_title, text_of
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.contact_sheet import ContactSheet
from napari_mrseg.compare.drawing import Drawing
from napari_mrseg.compare.trust import Level
from napari_mrseg.errors import InputError

ESTIMATE_PAPER, ESTIMATE_INK = "#e4e4e4", "#777777"
SIGNS: dict[Level, str] = {"amber": "#8a4b00", "red": "#b00020"}
_ROW, _DOT, _CELL = 22, 46, 62
_BAR_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito


def cell_colours(
    comparison: Comparison, column: Column, value: float | None, estimated: bool
) -> tuple[str, str]:
    """(paper, ink) of a cell: Dice on the cividis scale 0 … 1, estimates grey, all else plain."""
    if estimated:
        return ESTIMATE_PAPER, ESTIMATE_INK
    if value is None or column.kind not in DICE:
        return "#ffffff", "#222222"
    paper = cividis(value)
    return hexed(paper), ink_on(paper)


def matrix(comparison: Comparison) -> Drawing:
    """Dots, columns, average and standard deviation, in the papers' layout."""
    task, columns = comparison.task, comparison.columns
    left = 12 + _DOT * len(task.modalities)
    rows = len(comparison.predictions)
    drawing = Drawing(left + _CELL * len(columns) + 12, 92 + _ROW * (rows + 2) + 40)
    _title(drawing, comparison)
    for m, modality in enumerate(task.modalities):
        drawing.words(12 + _DOT * (m + 0.5), 76, modality.title, size=11, anchor="middle")
    start = 0
    for c, column in enumerate(columns):
        x = left + _CELL * c
        drawing.words(x + _CELL / 2, 76, column.region or column.title, size=11, anchor="middle")
        if c + 1 == len(columns) or columns[c + 1].kind != column.kind:
            middle = left + _CELL * (start + c + 1) / 2
            drawing.words(middle, 56, group_title(comparison, column.kind), size=11, anchor="middle")
            drawing.line(left + _CELL * start + 4, 62, x + _CELL - 4, 62, "#999999")
            start = c + 1
    top = 84
    for r, combination in enumerate(comparison.predictions):
        y = top + _ROW * r
        for m, used in enumerate(comparison.used(combination)):
            drawing.circle(12 + _DOT * (m + 0.5), y + _ROW / 2, 5, "#222222" if used else None, "#222222")
        level = comparison.trust(combination).level
        if level != "green":
            sign(drawing, level, 6, y + _ROW / 2)
        for c, column in enumerate(columns):
            value = comparison.shown(combination, column.key)
            doubted = comparison.is_doubted(combination, column.key)
            paper, ink = cell_colours(comparison, column, value, doubted)
            x = left + _CELL * c
            drawing.rect(x + 1, y + 1, _CELL - 2, _ROW - 2, paper)
            drawing.words(x + _CELL / 2, y + 15, text_of(column, value), fill=ink, anchor="middle")
    y = top + _ROW * rows
    drawing.line(12, y + 1, drawing.width - 12, y + 1, "#222222")
    for name, which in (("average", 0), ("standard deviation", 1)):
        drawing.words(12, y + 16, name)
        for c, column in enumerate(columns):
            foot = comparison.foot(column.key)
            text = text_of(column, None if foot is None else foot[which])
            drawing.words(left + _CELL * (c + 0.5), y + 16, text, anchor="middle")
        y += _ROW
    drawing.words(12, y + 24, footnote(comparison), size=11, fill="#555555")
    return drawing


def bars(comparison: Comparison, attribution: Attribution, *, width: int = 460) -> Drawing:
    """A group of bars per region, one per modality, from a common zero line."""
    task = comparison.task
    players = comparison.study.present
    everything = [v for values in attribution.values.values() for v in values.values()]
    reach = max((abs(v) for v in everything), default=0) or 1.0
    lowest = min((*everything, 0.0))
    room = width - 190
    zero = 120 + room * (-lowest / (reach - lowest) if lowest < 0 else 0)
    scale = room / (reach - lowest)
    heading = 34
    drawing = Drawing(width, heading + len(attribution.values) * (len(players) * 18 + 16) + 24)
    what = (
        f"Shapley value, {attribution.unit}"
        if attribution.measure == "size"
        else "Shapley value, Dice to reference"
    )
    drawing.words(10, 18, what, size=13)
    y = heading
    digits = 2 if attribution.measure == "dice" else 0 if attribution.unit == "px" else 1
    for region, values in attribution.values.items():
        drawing.words(10, y + 13, region, size=13)
        for player in players:
            value = values[player]
            colour = _BAR_COLOURS[task.names.index(player) % len(_BAR_COLOURS)]
            drawing.words(112, y + 13, task.modality(player).title, size=11, anchor="end")
            drawing.rect(zero + min(0, value) * scale, y + 2, max(1, abs(value) * scale), 14, colour)
            end = zero + max(0, value) * scale + 5
            drawing.words(end, y + 13, f"{value:+.{digits}f}", size=11)
            y += 18
        drawing.line(zero, y - 18 * len(players), zero, y, "#222222")
        y += 16
    drawing.words(10, y + 8, CAVEAT, size=11, fill="#555555")
    return drawing


def sign(drawing: Drawing, level: Level, x: float, y: float) -> None:
    """A triangle for amber, a cross for red, around a place: the font of a picture has neither."""
    r, colour = 4.0, SIGNS[level]
    lines = (
        ((-r, -r, r, r), (-r, r, r, -r))
        if level == "red"
        else ((-r, r, r, r), (-r, r, 0.0, -r), (0.0, -r, r, r))
    )
    for x0, y0, x1, y1 in lines:
        drawing.line(x + x0, y + y0, x + x1, y + y1, colour)


def footnote(comparison: Comparison) -> str:
    """Coverage and what grey and the signs before a row mean, in one line."""
    regions = {r.name: r for c in comparison.predictions for r in comparison.task.estimated(c)}
    grey = [f"Grey {r.name}: {r.unseen or 'not observable'}." for r in regions.values()]
    levels = {comparison.trust(c).level for c in comparison.predictions}
    grey += ["Grey row with a cross: do not trust it."] if "red" in levels else []
    grey += ["Triangle: take care."] if "amber" in levels else []
    return " ".join([comparison.coverage, *grey, "Research use only."])


def save(drawing: Drawing, path: str | os.PathLike[str]) -> None:
    """Write a drawing as PNG or SVG, by the file's ending, in one step. Raises InputError if it cannot."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"{path.name} is neither .png nor .svg; choose one of them.")
    write_bytes(path, drawing.png() if path.suffix.lower() == ".png" else drawing.svg().encode())


def save_contact_sheet(
    comparison: Comparison, path: str | os.PathLike[str], *, axis: int = 0, index: int | None = None
) -> None:
    """Write the contact sheet of one slice (default: the largest cross-section) as PNG or SVG."""
    save(ContactSheet(comparison).drawing(axis, index), path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write through a file beside it, so that ``path`` is never half written. Raises InputError."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be written ({error.strerror}); choose another folder."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _title(drawing: Drawing, comparison: Comparison) -> None:
    predictions = list(comparison.predictions.values())
    made = f"{predictions[0].model.get('name')} {predictions[0].model.get('version')}" if predictions else ""
    simulated = f" · {comparison.study.task.made_up}" if comparison.study.simulated else ""
    drawing.words(12, 24, f"{comparison.study.case} · {comparison.task.title} · {made}{simulated}", size=14)
