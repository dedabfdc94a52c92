"""``report.html`` of a cohort: what is unusual first, then distributions, then a small picture of each study."""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from napari_mrseg.cohort.summary import UNUSUAL, Cohort, attribution, outliers, same_scans, sufficient
from napari_mrseg.cohort.work import STUDIES, THUMBNAIL
from napari_mrseg.compare.attribution import HOW
from napari_mrseg.compare.drawing import Drawing
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.compare.page import page
from napari_mrseg.compare.trust import LEVELS, MARKS, WORDS, Level
from napari_mrseg.tasks import Combination, Task, sized

REPORT = "report.html"
_ROW, _DOT, _WIDTH = 20, 40, 330
_BARS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MOST = 24  # unusual studies that are shown with a reason

_STYLE = """
table { border-collapse: collapse; } td, th { text-align: left; padding: .15em .8em .15em 0; vertical-align: top; }
.row { display: flex; flex-wrap: wrap; gap: 1.2em 2em; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 1em; }
figure { font-size: .82em; overflow-wrap: anywhere; } figure img { background: #000; }
.why { color: #8a4b00; }
td.red { color: #8e1020; font-weight: 600; white-space: nowrap; } td.amber { color: #8a4b00; white-space: nowrap; }
"""


def write_report(cohort: Cohort, out: Path, *, model: str, date: str) -> None:
    """Write the report into ``out``; its pictures are the studies' own, beside it."""
    write_bytes(out / REPORT, report_html(cohort, out, model=model, date=date).encode("utf-8", "replace"))


def report_html(cohort: Cohort, out: Path, *, model: str, date: str) -> str:
    """The report as one HTML text without scripts; thumbnails are linked."""
    task = cohort.task
    title = f"{out.resolve().name}: {len(cohort.found)} studies"
    lines = outliers(cohort)
    unusual = [o for o in lines if o.score > UNUSUAL][:_MOST]
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{escape(task.title)} · {escape(model)} · {escape(date)} · {len(cohort.done)} with results, '
        f"{len(cohort.bad)} without</p>",
        '<p class="use">research use only</p>',
        _bad(cohort),
        _alike(cohort),
        _doubted(cohort),
        "<h2>Unusual studies</h2>",
        _cards([(o.study["name"], o.why) for o in unusual], out)
        if unusual
        else '<p class="note">No study lies more than 3.5 robust standard deviations from the others.</p>',
        f"<h2>{'Volume' if task.ndim == 3 else 'Size'} by combination, {task.unit}</h2>",
        _figures(cohort, "size"),
        _dice(cohort),
        "<h2>How much of the result of all modalities is kept (Dice)</h2>",
        _figures(cohort, "to_full"),
        _enough(cohort),
        _adds(cohort),
        "<h2>All studies</h2>",
        f'<p class="note">The slice with most tumour, from the most modalities: {_legend(task)}.</p>',
        _cards([(o.study["name"], "") for o in lines], out),
    ]
    return page(title, _STYLE, body)


def _bad(cohort: Cohort) -> str:
    if not cohort.bad:
        return ""
    rows = "".join(
        f"<tr><th>{escape(one['name'])}</th><td>{escape(one['reason'])}</td></tr>" for one in cohort.bad
    )
    return f'<h2>Without a result</h2>\n<div class="warn"><table>{rows}</table></div>'


def _alike(cohort: Cohort) -> str:
    found = same_scans(cohort)
    if not found:
        return ""
    lines = "".join(f"<li>{escape(one.sentence)}</li>" for one in found)
    return f'<h2>The same scans under several names</h2>\n<div class="warn"><ul>{lines}</ul></div>'


def _doubted(cohort: Cohort) -> str:
    """Studies whose fullest result is not to be believed, or with care, worst first."""
    found: list[tuple[int, str]] = []
    for one in cohort.done:
        trust = one.get("trust") or {"level": "green", "reasons": []}
        if trust["level"] == "green":
            continue
        level: Level = trust["level"]
        text = " ".join(dict.fromkeys(r["message"] for r in trust["reasons"]))
        row = (
            f'<tr><td class="{level}">{MARKS[level]} {WORDS[level]}</td><th>{escape(one["name"])}</th>'
            f"<td>{escape(text)}</td></tr>"
        )
        found.append((-LEVELS.index(level), row))
    if not found:
        return ""
    found.sort(key=lambda line: line[0])
    return f"<h2>Not to be trusted, or with care</h2>\n<table>{''.join(row for _, row in found)}</table>"


def _cards(studies: list[tuple[str, str]], out: Path) -> str:
    cards = []
    for name, why in studies:
        there = (out / STUDIES / name / THUMBNAIL).is_file()
        picture = f'<img loading="lazy" alt="" src="{STUDIES}/{quote(name)}/{THUMBNAIL}">' if there else ""
        words = f'<div class="why">{escape(why)}</div>' if why else ""
        cards.append(f"<figure>{picture}<figcaption>{escape(name)}{words}</figcaption></figure>")
    return f'<div class="cards">{"".join(cards)}</div>'


def _legend(task: Task) -> str:
    return ", ".join(
        f'<span style="color:{label.colour}">■</span> {escape(label.title)}' for label in task.labels
    )


def _dice(cohort: Cohort) -> str:
    if not any(one.get("reference") for one in cohort.done):
        return ""
    return "<h2>Dice to the reference by combination</h2>\n" + _figures(cohort, "dice")


def _figures(cohort: Cohort, what: str) -> str:
    drawings = [distribution(cohort, what, region.name).svg() for region in cohort.task.regions]
    return f'<div class="row">{"".join(drawings)}</div>'


def _enough(cohort: Cohort) -> str:
    outer = cohort.task.regions[0]
    lines = []
    for line in sufficient(cohort, outer.name):
        if not line.studies:
            continue
        if line.combination is None:
            text = f"No smaller combination keeps a Dice of {line.threshold:g} in nine of ten studies."
        else:
            names = " + ".join(cohort.task.modality(n).title for n in line.combination)
            text = f"{names} keeps a Dice of {line.threshold:g} to all modalities in {line.share:.0%} of the studies."
        lines.append(f"<li>{escape(text)}</li>")
    if not lines:
        return ""
    return (
        f"<h2>The smallest set that is enough for {escape(outer.title)}</h2>\n<ul>{''.join(lines)}</ul>\n"
        '<p class="note">Over the studies that have all modalities. The model is compared with itself: this says how '
        "much the result changes, not which one is right.</p>"
    )


def _adds(cohort: Cohort) -> str:
    parts = [bars(cohort, measure) for measure in ("size", "dice")]
    drawn = [part.svg() for part in parts if part is not None]
    if not drawn:
        return ""
    return (
        f'<h2>What each modality adds, mean over studies</h2>\n<div class="row">{"".join(drawn)}</div>\n'
        f'<p class="note">{escape(HOW)} Whiskers: 95 % interval of the mean over studies.</p>'
    )


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
