"""Volumes found against true ones, as Bland and Altman (Lancet 1986) compare two measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrseg_training.evaluate_figures import COLOURS
from mrseg_training.markdown import table
from napari_mrseg.compare.drawing import Drawing

LIMITS = 1.96  # standard deviations that hold 95 % of the differences, were they normal


def agreement(pairs: Sequence[tuple[float, float]]) -> dict[str, float] | None:
    """Mean of found less true, and its limits of agreement, over subjects; None for fewer than two."""
    if len(pairs) < 2:
        return None
    gaps = np.array([found - true for found, true in pairs])
    spread = LIMITS * float(gaps.std(ddof=1))
    bias = float(gaps.mean())
    return {"bias": bias, "low": bias - spread, "high": bias + spread}


def volume_lines(rows: Sequence[Mapping[str, Any]], regions: Sequence[str], unit: str) -> list[str]:
    """A table of :func:`agreement` by combination, where there are subjects enough."""
    if not regions or not any(row[r]["volume"] for row in rows for r in regions):
        return []
    cells = []
    for row in rows:
        texts = []
        for region in regions:
            found = row[region]["volume"]
            texts.append(
                "–" if found is None else f"{found['bias']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"
            )
        cells.append(["+".join(row["combination"]), *texts])
    return [
        "",
        f"Size found less the true one in {unit}, mean over all subjects and 95 % limits of agreement (Bland and "
        "Altman):",
        "",
        *table(["combination", *regions], cells),
    ]


def volume_figure(rows: Sequence[Mapping[str, Any]], regions: Sequence[str], unit: str) -> Drawing:
    """Bland and Altman's plot of the combination with most modalities: a panel a region, a dot a subject.

    ``rows``: by subject, as ``table.json`` has them.
    """
    most = max((tuple(row["combination"]) for row in rows), key=len)
    own = [row for row in rows if tuple(row["combination"]) == most]
    drawing = Drawing(40 + 250 * len(regions), 250)
    drawing.words(
        10,
        16,
        f"size found less true against their mean, {unit}; {'+'.join(most)}; lines: mean and 95 % limits",
    )
    for panel, region in enumerate(regions):
        x, y, side = 60 + 250 * panel, 45, 160
        pairs = [(row["size"][region], row["reference"][region]) for row in own]
        means, gaps = [(a + b) / 2 for a, b in pairs], [a - b for a, b in pairs]
        found = agreement(pairs)
        lines = [] if found is None else [found["low"], found["bias"], found["high"]]
        wide = max(means) or 1.0
        high = max(*(abs(v) for v in (*gaps, *lines)), 1e-9)
        middle = y + side / 2

        def at(value: float, middle: float = middle, side: float = side, high: float = high) -> float:
            return middle - side / 2 * value / high

        drawing.rect(x, y, side, side, None, "#999999")
        drawing.line(x, middle, x + side, middle, "#dddddd")
        for value in lines:
            drawing.line(x, at(value), x + side, at(value), COLOURS[1])
        for mean, gap in zip(means, gaps, strict=True):
            drawing.circle(x + side * mean / wide, at(gap), 3, COLOURS[0])
        drawing.words(x + side / 2, y - 6, region, anchor="middle")
        drawing.words(x - 4, y + 8, f"{high:.3g}", size=9, anchor="end")
        drawing.words(x - 4, y + side, f"−{high:.3g}", size=9, anchor="end")
        drawing.words(x + side, y + side + 14, f"{wide:.3g}", size=9, anchor="end")
        drawing.words(x, y + side + 14, "0", size=9)
    return drawing
