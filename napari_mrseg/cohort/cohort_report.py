"""``report.html`` of a cohort: what is unusual first, then distributions, then a small picture of each study."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from napari_mrseg.cohort.cohort_figures import bars, distribution
from napari_mrseg.cohort.summary import UNUSUAL, Cohort, outliers, same_scans, sufficient
from napari_mrseg.cohort.work import STUDIES, THUMBNAIL
from napari_mrseg.compare.attribution import HOW
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.compare.page import page
from napari_mrseg.compare.trust import LEVELS, MARKS, WORDS, Level

REPORT = "report.html"
_MOST = 24  # unusual studies that are shown with a reason


def write_report(cohort: Cohort, out: Path, *, model: str, date: str) -> None:
    """Write the report into ``out``; its pictures are the studies' own, beside it."""
    write_bytes(out / REPORT, report_html(cohort, out, model=model, date=date).encode("utf-8", "replace"))


def report_html(cohort: Cohort, out: Path, *, model: str, date: str) -> str:
    """The report as one HTML text without scripts; thumbnails are linked."""
    task = cohort.task
    lines = outliers(cohort)
    unusual = [one for one in lines if one.score > UNUSUAL][:_MOST]
    referenced = any(one.get("reference") for one in cohort.done)
    adds = [bars(cohort, measure) for measure in ("size", "dice")]
    return page(
        "cohort.html",
        title=f"{out.resolve().name}: {len(cohort.found)} studies",
        subtitle=f"{task.title} · {model} · {date} · {len(cohort.done)} with results, {len(cohort.bad)} without",
        bad=cohort.bad,
        alike=[one.sentence for one in same_scans(cohort)],
        doubted=_doubted(cohort),
        unusual=[_card(one.study["name"], out, one.why) for one in unusual],
        most_deviations=f"{UNUSUAL:g}",
        sizes={
            "title": f"{'Volume' if task.ndim == 3 else 'Size'} by combination, {task.unit}",
            "drawings": _distributions(cohort, "size"),
        },
        dice=_distributions(cohort, "dice") if referenced else [],
        to_full=_distributions(cohort, "to_full"),
        enough=_enough(cohort),
        outermost=task.regions[0].title,
        adds=[drawing.svg() for drawing in adds if drawing is not None],
        adds_explained=HOW,
        labels=task.labels,
        studies=[_card(one.study["name"], out) for one in lines],
    )


def _doubted(cohort: Cohort) -> list[dict[str, str]]:
    """Studies whose fullest result is not to be believed, or with care, worst first."""
    found: list[tuple[Level, dict[str, str]]] = []
    for one in cohort.done:
        trust = one.get("trust") or {"level": "green", "reasons": []}
        level: Level = trust["level"]
        if level == "green":
            continue
        text = " ".join(dict.fromkeys(reason["message"] for reason in trust["reasons"]))
        light = f"{MARKS[level]} {WORDS[level]}"
        found.append((level, {"level": level, "light": light, "name": one["name"], "text": text}))
    return [line for _, line in sorted(found, key=lambda pair: -LEVELS.index(pair[0]))]


def _card(name: str, out: Path, why: str = "") -> dict[str, str]:
    there = (out / STUDIES / name / THUMBNAIL).is_file()
    return {"name": name, "why": why, "picture": f"{STUDIES}/{quote(name)}/{THUMBNAIL}" if there else ""}


def _distributions(cohort: Cohort, what: str) -> list[str]:
    return [distribution(cohort, what, region.name).svg() for region in cohort.task.regions]


def _enough(cohort: Cohort) -> list[str]:
    """The smallest combination that keeps each Dice in nine of ten studies, in words."""
    lines = []
    for line in sufficient(cohort, cohort.task.regions[0].name):
        if not line.studies:
            continue
        if line.combination is None:
            lines.append(f"No smaller combination keeps a Dice of {line.threshold:g} in nine of ten studies.")
        else:
            names = " + ".join(cohort.task.modality(n).title for n in line.combination)
            kept = f"{names} keeps a Dice of {line.threshold:g} to all modalities"
            lines.append(f"{kept} in {line.share:.0%} of the studies.")
    return lines
