"""``report.html``: everything about one comparison in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from napari_mrseg.compare.agreement import Agreement
from napari_mrseg.compare.attribution import HOW, attribute
from napari_mrseg.compare.columns import Column, group_title, text_of
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.contact_sheet import ContactSheet
from napari_mrseg.compare.diameters import diameters
from napari_mrseg.compare.drawing import data_uri
from napari_mrseg.compare.figures import bars, cell_colours, footnote
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.compare.page import page
from napari_mrseg.compare.sufficient import EXPLANATION as ENOUGH
from napari_mrseg.compare.sufficient import default_lines
from napari_mrseg.compare.table import by_headline
from napari_mrseg.compare.trust import EXPLANATION, MARKS, Trust
from napari_mrseg.compare.worth import sentences, worth_of_missing
from napari_mrseg.tasks import Combination


def report_html(comparison: Comparison, document: Mapping[str, Any], *, date: str) -> str:
    """The report as one HTML text.

    ``document`` is the content of ``table.json``, whose provenance and warnings are shown.
    """
    study = comparison.study
    title = f"{study.case}: what each modality adds"
    if comparison.second is not None:
        title = f"{study.case}: {document['model']['name']} and {comparison.second.name}"
    return page(
        "comparison.html",
        title=title,
        subtitle=f"{study.task.title} · {comparison.coverage}",
        made_up=study.task.made_up if study.simulated else "",
        lights=_lights(comparison),
        trust_explained=EXPLANATION,
        warnings=document["warnings"],
        doubted=_doubted(comparison),
        short=[*_short(comparison), *_worth(comparison)],
        **_matrix(comparison),
        footnote=footnote(comparison),
        gained=any(comparison.gains(c) for c in comparison.predictions),
        sheet=_sheet(comparison),
        second=_second_model(comparison),
        bars=_bars(comparison),
        bars_explained=HOW,
        made=_provenance(document, date),
        explanations=_explanations(comparison),
    )


def _lights(comparison: Comparison) -> list[dict[str, str]]:
    """A field in the colour of the light for each thing that is said of some combinations; one if nothing is."""
    if not comparison.predictions:
        return []
    found = by_headline(comparison)
    n = len(comparison.predictions)
    green = n - sum(len(c) for c in found.values())
    lights = []
    for headline, combinations in sorted(
        found.items(), key=lambda item: comparison.trust(item[1][0]).level == "amber"
    ):
        who = "" if len(combinations) == n else f" ({_those(comparison, combinations)})"
        level = comparison.trust(combinations[0]).level
        lights.append({"level": level, "headline": headline, "who": who})
    if green:
        who = "" if green == n else f" ({green} of {n} combinations)"
        lights.append({"level": "green", "headline": Trust().headline, "who": who})
    return lights


def _those(comparison: Comparison, combinations: Sequence[Combination]) -> str:
    """Combinations in words; of many, how many."""
    if len(combinations) <= 3:
        return ", ".join(comparison.title(c) for c in combinations)
    return f"{len(combinations)} of {len(comparison.predictions)} combinations"


def _doubted(comparison: Comparison) -> bool:
    fullest = next(iter(comparison.predictions), None)
    return fullest is not None and comparison.trust(fullest).level == "red"


def _short(comparison: Comparison) -> list[str]:
    lines = [Agreement(comparison).summary().sentence] if comparison.predictions else []
    lines += [line.text for line in default_lines(comparison)]
    return lines + _diameters(comparison)


def _worth(comparison: Comparison) -> list[str]:
    """What the modalities that the study has not would change."""
    task, card, present = comparison.task, comparison.card, comparison.study.present
    if card is None:
        return []
    return sentences(task, present, worth_of_missing(card, task, present))


def _diameters(comparison: Comparison) -> list[str]:
    """The two diameters of each region with most modalities, as response is judged by them."""
    if comparison.task.ndim != 3 or not comparison.predictions:
        return []
    fullest = max(comparison.predictions.values(), key=lambda p: len(p.combination))
    parts = []
    for region in comparison.task.regions:
        found = diameters(region_mask(fullest.labels, region), fullest.grid.spacing)
        if found is not None:
            product = f"{found.product_mm2:.0f} mm²"
            parts.append(f"{region.name} {found.long_mm:.0f} × {found.short_mm:.0f} mm ({product})")
    if not parts:
        return []
    with_ = " + ".join(comparison.task.modality(name).title for name in fullest.combination)
    return [
        f"Largest diameter in an axial slice × the one at right angles to it, of the largest part, with {with_}: "
        f"{', '.join(parts)}."
    ]


def _matrix(comparison: Comparison) -> dict[str, object]:
    """The table of all combinations: its head, its rows and its foot."""
    columns = comparison.columns
    groups = [(kind, len(list(same))) for kind, same in groupby(columns, lambda column: column.kind)]
    rows = [
        {
            "used": _dots(comparison, combination),
            "cells": [_cell(comparison, combination, column) for column in columns],
            "trust": _mark(comparison.trust(combination)),
        }
        for combination in comparison.predictions
    ]
    return {
        "modalities": [modality.title for modality in comparison.task.modalities],
        "groups": [{"title": group_title(comparison, kind), "columns": n} for kind, n in groups],
        "columns": [{"title": c.region or c.title, "explanation": c.explanation} for c in columns],
        "rows": rows,
        "foot": [
            {"title": title, "cells": [_foot(comparison, column, which) for column in columns]}
            for which, title in enumerate(("average", "standard deviation"))
        ],
    }


def _dots(comparison: Comparison, combination: Combination) -> list[dict[str, object]]:
    """For each modality whether it was used, and if not, what it would probably change."""
    gains = comparison.gains(combination)
    return [
        {"used": used, "gain": gains.get(name, "")}
        for name, used in zip(comparison.task.names, comparison.used(combination), strict=True)
    ]


def _mark(trust: Trust) -> dict[str, str]:
    return {"level": trust.level, "headline": trust.headline, "mark": MARKS[trust.level]}


def _cell(comparison: Comparison, combination: Combination, column: Column) -> dict[str, str]:
    value = comparison.shown(combination, column.key)
    paper, ink = cell_colours(comparison, column, value, comparison.is_doubted(combination, column.key))
    return {"text": text_of(column, value), "paper": paper, "ink": ink}


def _foot(comparison: Comparison, column: Column, which: int) -> dict[str, object]:
    """Average (0) or standard deviation (1) of a column; grey where no cell of it is to be believed."""
    found = comparison.foot(column.key)
    doubted = all(comparison.is_doubted(c, column.key) for c in comparison.predictions)
    text = text_of(column, None if found is None else found[which])
    return {"text": text, "doubted": doubted and bool(comparison.predictions)}


def _sheet(
    comparison: Comparison, index: int | None = None, difference: str | None = None
) -> dict[str, object]:
    sheet = ContactSheet(comparison, difference=difference)
    drawing = sheet.drawing(0, index)
    return {
        "caption": sheet.caption(0, index),
        "width": round(1.4 * drawing.width),  # a few tiles are not blown up to the width of the page
        "uri": data_uri(drawing.pixels(2)),
    }


def _second_model(comparison: Comparison) -> list[dict[str, object]]:
    """The same slice by the second model, and where both differ."""
    if comparison.second is None:
        return []
    index = ContactSheet(comparison).best_slice()
    outermost = comparison.task.regions[0]
    return [
        {
            "title": f"The same slice by {comparison.second.name}",
            "sheet": _sheet(comparison.of_second(), index),
        },
        {
            "title": f"Where both models differ, {outermost.title}",
            "sheet": _sheet(comparison, index, outermost.name),
        },
    ]


def _bars(comparison: Comparison) -> list[str]:
    """What each modality adds, as SVG; nothing unless all combinations are there."""
    found = [attribute(comparison, measure) for measure in ("size", "dice")]
    return [bars(comparison, a).svg() for a in found if a is not None and a.values]


def _provenance(document: Mapping[str, Any], date: str) -> dict[str, str]:
    model = document["model"]
    return {
        "Case": document["case"],
        "Model": f"{model['name']} {model['version']}",
        "Model's sha256": model["sha256"],
        "Second model": _second(document),
        "Device": f"{document['device']}, {document['precision']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in document["versions"].items()),
        "Date": date,
    }


def _second(document: Mapping[str, Any]) -> str:
    model = document.get("second_model")
    return f"{model['name']} {model['version']}, sha256 {model['sha256']}" if model else ""


def _explanations(comparison: Comparison) -> list[tuple[str, str]]:
    shown: dict[str, tuple[str, str]] = {}
    for column in comparison.columns:  # one region stands for all
        name = group_title(comparison, column.kind) or column.title
        shown.setdefault(column.kind, (name, column.explanation))
    lines = list(shown.values())
    if comparison.predictions:
        lines.append(("Agreement", Agreement(comparison).summary().explanation))
    return [*lines, ("Enough", ENOUGH)]
