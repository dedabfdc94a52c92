"""What is said of several models' ranks and tests, in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mrseg_training.markdown import number, table
from mrseg_training.ranking import LEVEL


def star(p: float) -> str:
    """A mark where ``p`` is below :data:`~.ranking.LEVEL`."""
    return "*" if p < LEVEL else ""


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else number(p)


def all_subjects_lines(document: Mapping[str, Any]) -> list[str]:
    """The other convention for absent regions: every subject counts, absent and found absent as 1."""
    regions, names = document["regions"], list(document["models"])
    heads = ["combination", *(f"{region} {name}" for region in regions for name in names)]
    rows = [
        [entry["combination"], *(number(entry["models_all"][n].get(r)) for r in regions for n in names)]
        for entry in document["rows"]
    ]
    return [
        "",
        "The same, every subject counted: a region that is absent and found absent is 1, absent and found is 0.",
        "",
        *table(heads, rows),
    ]


def ranking_lines(document: Mapping[str, Any]) -> list[str]:
    """Ranks with their intervals and groups, then every pair by region."""
    ranking = document["ranking"]
    rows = [
        [
            name,
            number(m["rank"], 2),
            f"[{m['low']:.2f}, {m['high']:.2f}]",
            f"{100 * m['first']:.0f}",
            number(m["mean"]),
        ]
        for name, m in ranking["models"].items()
    ]
    groups = "; ".join(", ".join(names) for names in ranking["groups"]) or "none"
    friedman = (
        "" if ranking["friedman_p"] is None else f" All alike (Friedman): p {p_value(ranking['friedman_p'])}."
    )
    tests = [
        [
            f"{entry['models'][1]} − {entry['models'][0]}",
            entry["region"],
            str(entry["subjects"]),
            f"{entry['difference']:+.3f}",
            p_value(entry["p"]),
            p_value(entry["p_holm"]) + star(entry["p_holm"]),
        ]
        for entry in document["tests"]
    ]
    return [
        "",
        f"Ranks within each of {ranking['subjects']} subjects by the mean Dice over combinations and regions (every "
        f"subject counted), their mean, its 95 % interval and how often it came first in {ranking['draws']} draws of "
        f"subjects. Mean ranks further apart than {ranking['critical_difference']:.2f} differ (Nemenyi, 5 %); not told "
        f"apart: {groups}."
        f"{friedman}",
        "",
        *table(["model", "mean rank", "95 % interval", "first, %", "mean Dice"], rows),
        "",
        "Pairs by the mean over combinations, a region counted for the subjects that have it; Wilcoxon's signed-rank "
        "test, corrected by Holm over this table:",
        "",
        *table(["pair", "region", "subjects", "difference", "p", "p, corrected"], tests, words=2),
    ]
