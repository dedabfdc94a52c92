"""``report.html``: everything about one comparison in one self-contained file. No script, nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
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
from napari_mrseg.tasks import Combination

_STYLE = """
.short li { margin: .3em 0; }
.wide { overflow-x: auto; }
table.matrix { border-collapse: separate; border-spacing: 2px; width: 100%;
  font-variant-numeric: tabular-nums; }
.matrix th { font-weight: 600; font-size: .85em; padding: 0 .3em; }
.matrix th.group { border-bottom: 1px solid #999; }
.matrix td { text-align: center; padding: .1em .4em; border-radius: 2px; }
.matrix tfoot td, .matrix tfoot th { border-top: 1px solid #bbb; }
.matrix tfoot th { text-align: left; white-space: nowrap; }
.dot { display: inline-block; width: .7em; height: .7em; border: 1.5px solid #222; border-radius: 50%; }
.dot.on { background: #222; }
.light { border-radius: 3px; padding: .2em .7em; margin: .3em 0; }
.light.green { background: #dff3e6; color: #11492b; } .light.amber { background: #ffe9c2; color: #5c3600; }
.light.red { background: #8e1020; color: #ffffff; }
.doubted { color: #888; }
.bars { display: flex; flex-wrap: wrap; gap: 2em; }
dl.from { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.2em; margin: 0; }
dl.from dt { color: #555; } dl.from dd { margin: 0; overflow-wrap: anywhere; }
dl.how dt { font-weight: 600; margin-top: .5em; } dl.how dd { margin: 0; }
@media print {
  @page { margin: 14mm; }
  body { margin: 0; padding: 0; max-width: none; font-size: 10.5px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h2 { break-after: avoid; } tr, figure, .bars svg, .warn { break-inside: avoid; }
}
"""


def report_html(comparison: Comparison, document: Mapping[str, Any], *, date: str) -> str:
    """The report as one HTML text.

    ``document`` is the content of ``table.json``, whose provenance and warnings are shown.
    """
    study = comparison.study
    title = f"{study.case}: what each modality buys"
    if comparison.second is not None:
        title = f"{study.case}: {document['model']['name']} and {comparison.second.name}"
    simulated = f'<p class="use">{study.task.made_up}</p> ' if study.simulated else ""
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{escape(study.task.title)} · {escape(comparison.coverage)}</p>',
        f'{simulated}<p class="use">research use only</p>',
        _trust(comparison),
        _warnings(document["warnings"]),
        "<h2>In short</h2>",
        _short(comparison),
        "<h2>All combinations</h2>",
        _matrix(comparison),
        f'<p class="note">{escape(footnote(comparison))} A filled dot: the modality was used.</p>',
        "<h2>The largest cross-section in every combination</h2>",
        _sheet(comparison),
        *_models(comparison),
        "<h2>What each modality adds</h2>",
        _attribution(comparison),
        "<h2>How this was made</h2>",
        _provenance(document, date),
        "<h2>How the numbers are computed</h2>",
        _explanations(comparison),
    ]
    wider = (
        "body { max-width: 1480px; }\n" if comparison.second is not None else ""
    )  # for the second model's columns
    return page(title, _STYLE + wider, body)


def _trust(comparison: Comparison) -> str:
    """A field in the colour of the light for each thing that is said of some combinations; one if nothing is."""
    if not comparison.predictions:
        return ""
    found = by_headline(comparison)
    n = len(comparison.predictions)
    green = n - sum(len(c) for c in found.values())
    fields = []
    for headline, combinations in sorted(
        found.items(), key=lambda item: comparison.trust(item[1][0]).level == "amber"
    ):
        level = comparison.trust(combinations[0]).level
        who = "" if len(combinations) == n else f" ({_those(comparison, combinations)})"
        fields.append(f'<p class="light {level}"><b>{escape(headline)}</b>{escape(who)}</p>')
    if green:
        who = "" if green == n else f" ({green} of {n} combinations)"
        fields.append(f'<p class="light green"><b>{escape(Trust().headline)}</b>{who}</p>')
    return f'<h2>How far to trust this</h2>\n{"".join(fields)}\n<p class="note">{escape(EXPLANATION)}</p>'


def _those(comparison: Comparison, combinations: Sequence[Combination]) -> str:
    """Combinations in words; of many, how many."""
    if len(combinations) <= 3:
        return ", ".join(comparison.title(c) for c in combinations)
    return f"{len(combinations)} of {len(comparison.predictions)} combinations"


def _warnings(warnings: list[Mapping[str, str]]) -> str:
    if not warnings:
        return ""
    lines = "".join(f"<p>{escape(w['message'])}</p>" for w in warnings)
    return f'<h2>Warnings</h2>\n<div class="warn">{lines}</div>'


def _short(comparison: Comparison) -> str:
    lines = [Agreement(comparison).summary().sentence] if comparison.predictions else []
    lines += [line.text for line in default_lines(comparison)]
    lines += _diameters(comparison)
    fullest = next(iter(comparison.predictions), None)
    red = fullest is not None and comparison.trust(fullest).level == "red"
    return (
        f'<ul class="short{" doubted" if red else ""}">'
        + "".join(f"<li>{escape(line)}</li>" for line in lines)
        + "</ul>"
    )


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


def _matrix(comparison: Comparison) -> str:
    columns = comparison.columns
    groups: list[list[Column]] = []
    for column in columns:
        if groups and groups[-1][0].kind == column.kind:
            groups[-1].append(column)
        else:
            groups.append([column])
    modalities = comparison.task.modalities
    top = (
        f'<th colspan="{len(modalities)}"></th>'
        + "".join(
            f'<th class="group" colspan="{len(g)}">{escape(group_title(comparison, g[0].kind))}</th>'
            for g in groups
        )
        + "<th></th>"
    )
    second = (
        "".join(f"<th>{escape(m.title)}</th>" for m in modalities)
        + "".join(f'<th title="{escape(c.explanation)}">{escape(c.region or c.title)}</th>' for c in columns)
        + "<th>trust</th>"
    )
    rows = []
    for combination in comparison.predictions:
        dots = "".join(_dot(used) for used in comparison.used(combination))
        cells = "".join(_cell(comparison, combination, c) for c in columns)
        rows.append(f"<tr>{dots}{cells}{_mark(comparison, combination)}</tr>")
    foot = []
    for name, which in (("average", 0), ("standard deviation", 1)):
        found = [(c, comparison.foot(c.key)) for c in columns]
        cells = "".join(
            f"<td{_faint(comparison, c)}>{escape(text_of(c, None if f is None else f[which]))}</td>"
            for c, f in found
        )
        foot.append(f'<tr><th colspan="{len(modalities)}">{name}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table class="matrix">\n<thead><tr>{top}</tr>\n<tr>{second}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody>\n<tfoot>"
        + "\n".join(foot)
        + "</tfoot>\n</table></div>"
    )


def _faint(comparison: Comparison, column: Column) -> str:
    """An attribute that greys the foot of a column of which no cell is to be believed."""
    doubted = all(comparison.is_doubted(c, column.key) for c in comparison.predictions)
    return ' class="doubted"' if doubted and comparison.predictions else ""


def _mark(comparison: Comparison, combination: Combination) -> str:
    trust = comparison.trust(combination)
    words = escape(trust.headline)
    return f'<td class="light {trust.level}" title="{words}" aria-label="{words}">{MARKS[trust.level]}</td>'


def _dot(used: bool) -> str:
    kind, words = ("dot on", "used") if used else ("dot", "not used")
    return f'<td><span class="{kind}" role="img" aria-label="{words}"></span></td>'


def _cell(comparison: Comparison, combination: Combination, column: Column) -> str:
    value = comparison.shown(combination, column.key)
    doubted = comparison.is_doubted(combination, column.key)
    paper, ink = cell_colours(comparison, column, value, doubted)
    return f'<td style="background:{paper};color:{ink}">{escape(text_of(column, value))}</td>'


def _sheet(comparison: Comparison, index: int | None = None, difference: str | None = None) -> str:
    sheet = ContactSheet(comparison, difference=difference)
    caption = escape(sheet.caption(0, index))
    drawing = sheet.drawing(0, index)
    most = round(1.4 * drawing.width)  # a few tiles are not blown up to the width of the page
    return f'<figure><img alt="{caption}" style="max-width:{most}px" src="{data_uri(drawing.pixels(2))}"></figure>'


def _models(comparison: Comparison) -> list[str]:
    """The same slice by the second model, and where both differ."""
    if comparison.second is None:
        return []
    index = ContactSheet(comparison).best_slice()
    outermost = comparison.task.regions[0]
    return [
        f"<h2>The same slice by {escape(comparison.second.name)}</h2>",
        _sheet(comparison.of_second(), index),
        f"<h2>Where both models differ, {escape(outermost.title)}</h2>",
        _sheet(comparison, index, outermost.name),
    ]


def _attribution(comparison: Comparison) -> str:
    found = [a for a in (attribute(comparison, "size"), attribute(comparison, "dice")) if a is not None]
    if not found:
        return '<p class="note">Needs every combination; some are not computed.</p>'
    drawings = "\n".join(bars(comparison, a).svg() for a in found if a.values)
    return f'<div class="bars">{drawings}</div>\n<p class="note">{escape(HOW)}</p>'


def _provenance(document: Mapping[str, Any], date: str) -> str:
    model = document["model"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    facts = {
        "Case": document["case"],
        "Model": f"{model['name']} {model['version']}",
        "Model's sha256": model["sha256"],
        "Second model": _second(document),
        "Device": f"{document['device']}, {document['precision']}",
        "Versions": versions,
        "Date": date,
    }
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value
    )
    return f'<dl class="from">{lines}</dl>'


def _second(document: Mapping[str, Any]) -> str:
    model = document.get("second_model")
    return f"{model['name']} {model['version']}, sha256 {model['sha256']}" if model else ""


def _explanations(comparison: Comparison) -> str:
    shown: dict[str, tuple[str, str]] = {}
    for column in comparison.columns:  # one region stands for all
        name = group_title(comparison, column.kind) or column.title
        shown.setdefault(column.kind, (name, column.explanation))
    lines = list(shown.values())
    if comparison.predictions:
        lines.append(("Agreement", Agreement(comparison).summary().explanation))
    lines.append(("Enough", ENOUGH))
    return (
        '<dl class="how note">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
        + "</dl>"
    )
