"""The table as CSV, JSON and Markdown. The schema is described in docs/results.md."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

from napari_mrseg.compare.agreement import Agreement
from napari_mrseg.compare.attribution import CAVEAT, attribute
from napari_mrseg.compare.columns import SECOND, text_of
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.metric import METRICS
from napari_mrseg.compare.sufficient import default_lines
from napari_mrseg.study import Note, joined
from napari_mrseg.tasks import Combination, key

SCHEMA = "mrseg-table/1"
FILLED, OPEN = "●", "○"


def table_csv(comparison: Comparison) -> str:
    """One line per combination; numbers unrounded to six digits, empty where there is none. No foot."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = comparison.task.names
    columns = (safe_cell(_csv_name(c.key, c.unit)) for c in comparison.columns)
    writer.writerow(["combination", *names, *columns, "estimated", "trust"])
    for combination in comparison.predictions:
        flags = [int(used) for used in comparison.used(combination)]
        cells = [_number(comparison.value(combination, c.key)) for c in comparison.columns]
        estimated = "+".join(comparison.estimated(combination))
        level = comparison.trust(combination).level
        writer.writerow(
            [key(combination), *flags, *("" if v is None else v for v in cells), estimated, level]
        )
    return stream.getvalue()


def safe_cell(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula: a quote before it, which is not shown there."""
    begins = text.lstrip(" ")[:1]
    try:
        float(text)
    except ValueError:
        return f"'{text}" if begins in ("+", "-", "=", "@", "\t", "\r", "\n") and begins else text
    return text


def table_document(
    comparison: Comparison,
    *,
    model: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    warnings: Iterable[Note] | None = None,
) -> dict[str, Any]:
    """The content of ``table.json``: rows, foot and everything derived, JSON types only."""
    task, study = comparison.task, comparison.study
    predictions = list(comparison.predictions.values())
    info = model if model is not None else (predictions[0].model if predictions else {})
    notes = notes_of(comparison) if warnings is None else tuple(warnings)
    return {
        "schema": SCHEMA,
        "task": task.name,
        "case": study.case,
        "simulated": study.simulated,
        "model": {name: info.get(name) for name in ("name", "version", "sha256")},
        **_second_model(comparison),
        "device": ", ".join(dict.fromkeys(p.device for p in predictions)),
        "precision": ", ".join(dict.fromkeys(p.precision for p in predictions)),
        "versions": dict(versions or {}),
        "unit": task.unit,
        "modalities": [
            {"name": m.name, "title": m.title, "there": m.name in study.present} for m in task.modalities
        ],
        "regions": [{"name": r.name, "title": r.title, "needs": list(r.needs)} for r in task.regions],
        "against": list(comparison.against),
        "reference": study.reference is not None,
        "coverage": {
            "done": len(comparison.predictions),
            "possible": len(comparison.expected),
            "of": len(task.combinations()),
            "text": comparison.coverage,
        },
        "columns": [
            {"key": c.key, "title": c.title, "unit": c.unit, "explanation": c.explanation}
            for c in comparison.columns
        ],
        "rows": [_row(comparison, combination) for combination in comparison.predictions],
        "foot": {c.key: _foot(comparison, c.key) for c in comparison.columns},
        "agreement": _agreement(comparison),
        "attribution": _attributions(comparison),
        "sufficient": [
            {
                "regions": list(line.regions),
                "threshold": line.threshold,
                "combination": None if line.combination is None else list(line.combination),
                "text": line.text,
            }
            for line in default_lines(comparison)
        ],
        "warnings": [{"code": note.code, "message": note.message} for note in notes],
    }  # fmt: skip


def table_markdown(comparison: Comparison) -> str:
    """The table in the papers' layout: a dot per modality, then the columns; average and deviation below.

    Estimated cells stand in parentheses.
    """
    head = [m.title for m in comparison.task.modalities] + [c.title for c in comparison.columns]
    lines = [_line(head), _line([":-:"] * len(comparison.task.names) + ["--:"] * len(comparison.columns))]
    for combination in comparison.predictions:
        dots = [FILLED if used else OPEN for used in comparison.used(combination)]
        cells = [_cell(comparison, combination, c.key) for c in comparison.columns]
        lines.append(_line(dots + cells))
    blank = [""] * (len(comparison.task.names) - 1)
    for name, which in (("average", 0), ("sd", 1)):
        foot = [(c, comparison.foot(c.key)) for c in comparison.columns]
        lines.append(_line([name, *blank, *(text_of(c, None if f is None else f[which]) for c, f in foot)]))
    lines += ["", comparison.coverage]
    if any(comparison.estimated(c) for c in comparison.predictions):
        unseen = {r.unseen for c in comparison.predictions for r in comparison.task.estimated(c) if r.unseen}
        lines += [f"In parentheses: {'; '.join(sorted(unseen)) or 'not observable'}."]
    for headline, combinations in by_headline(comparison).items():
        lines += [f"{headline} ({', '.join(key(c) for c in combinations)})"]
    return "\n".join(lines) + "\n"


def by_headline(comparison: Comparison) -> dict[str, list[Combination]]:
    """What speaks against the results, in a few words, and the combinations it is said of; green ones are left out."""
    found: dict[str, list[Combination]] = {}
    for combination in comparison.predictions:
        trust = comparison.trust(combination)
        if trust.level != "green":
            found.setdefault(trust.headline, []).append(combination)
    return found


def notes_of(comparison: Comparison) -> tuple[Note, ...]:
    """Warnings of the study and of its predictions, each once."""
    notes = [*comparison.study.notes, *(n for p in comparison.predictions.values() for n in p.notes)]
    return tuple(joined(notes))


def _row(comparison: Comparison, combination: Combination) -> dict[str, Any]:
    row = comparison.row(combination)
    measured = comparison.measure(combination) if comparison.is_measured(combination) else {}
    return {
        "combination": list(combination),
        "sizes": {r: {"value": _number(v), "unit": comparison.task.unit} for r, v in row.sizes.items()},
        "versus": _numbers(row.versus),
        "dice": _numbers(row.dice),
        **{name: _numbers(measured.get(name)) for name in METRICS},
        "seconds": _number(row.seconds),
        **_second_row(comparison, combination),
        "estimated": list(row.estimated),
        "trust": comparison.trust(combination).document(),
    }


def _second_model(comparison: Comparison) -> dict[str, Any]:
    """The second model, if there is one; ``called``: its name in the columns."""
    if comparison.second is None:
        return {}
    info = next((p.model for p in comparison.second.predictions.values()), {})
    record = {name: info.get(name) for name in ("name", "version", "sha256")}
    return {"second_model": {**record, "called": comparison.second.name}}


def _second_row(comparison: Comparison, combination: Combination) -> dict[str, Any]:
    if comparison.second is None:
        return {}
    kinds = {kind: f"{kind}." for kind in SECOND}
    values = {
        kind: {
            c.region: _number(comparison.value(combination, c.key))
            for c in comparison.columns
            if c.key.startswith(start)
        }
        for kind, start in kinds.items()
    }
    return {kind: found for kind, found in values.items() if found}


def _foot(comparison: Comparison, column: str) -> dict[str, float | int | None] | None:
    found = comparison.foot(column)
    return None if found is None else {"mean": _number(found[0]), "sd": _number(found[1]), "n": found[2]}


def _agreement(comparison: Comparison) -> dict[str, Any] | None:
    if not comparison.predictions:
        return None
    found = Agreement(comparison).summary()
    return {
        "region": found.region,
        "votes": found.votes,
        "combinations": found.combinations,
        "share": _number(found.share),
        "size": {"value": _number(found.size), "unit": found.unit},
        "text": found.sentence,
        "explanation": found.explanation,
    }


def _attributions(comparison: Comparison) -> dict[str, Any]:
    found = {"size": attribute(comparison, "size"), "dice": attribute(comparison, "dice")}
    answer: dict[str, Any] = {
        name: None
        if part is None
        else {
            "unit": part.unit,
            "values": {region: _numbers(values) for region, values in part.values.items()},
            "total": _numbers(part.total),
        }
        for name, part in found.items()
    }
    answer["note"] = CAVEAT
    return answer


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def _numbers(values: Mapping[str, float] | None) -> dict[str, float | None] | None:
    return None if values is None else {name: _number(value) for name, value in values.items()}


def _csv_name(column: str, unit: str) -> str:
    return f"{column.replace('.', '_')}{f'_{unit}' if unit not in ('Dice', '') else ''}"


def _cell(comparison: Comparison, combination: Combination, column: str) -> str:
    text = text_of(comparison.column(column), comparison.shown(combination, column))
    return f"({text})" if comparison.is_doubted(combination, column) else text


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
