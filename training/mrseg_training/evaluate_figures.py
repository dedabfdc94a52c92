"""Two figures of ``mrseg evaluate``: reliability, and mean activation by level."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from napari_mrseg.compare.drawing import Drawing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito


def reliability_figure(document: Mapping[str, Any]) -> Drawing:
    """Frequency against probability: a panel per number of modalities, a line per region."""
    calibration = document["calibration"]
    drawing = Drawing(60 + 210 * len(calibration), 270)
    for panel, (count, by_region) in enumerate(calibration.items()):
        x, y, side = 50 + 210 * panel, 30, 170
        drawing.rect(x, y, side, side, None, "#999999")
        drawing.line(x, y + side, x + side, y, "#bbbbbb")
        drawing.words(
            x + side / 2, 20, f"{count} modalities" if count != "1" else "1 modality", anchor="middle"
        )
        for r, (region, entry) in enumerate(by_region.items()):
            points = [
                (x + side * p, y + side * (1 - f))
                for p, f in zip(entry["probability"], entry["frequency"], strict=True)
                if p is not None
            ]
            for (x0, y0), (x1, y1) in itertools.pairwise(points):
                drawing.line(x0, y0, x1, y1, COLOURS[r % len(COLOURS)])
            for px, py in points:
                drawing.circle(px, py, 2.5, COLOURS[r % len(COLOURS)])
            if panel == 0:
                drawing.words(x + 60 * r, y + side + 45, region, fill=COLOURS[r % len(COLOURS)])
        drawing.words(x + side / 2, y + side + 20, "predicted probability", size=10, anchor="middle")
    drawing.words(8, 22, "frequency", size=10)
    return drawing


def feature_figure(document: Mapping[str, Any]) -> Drawing:
    """Mean activation of each level, a dot per combination; the complete one is the filled black dot."""
    activations: Mapping[str, Sequence[float]] = document["activations"]
    drawing = Drawing(560, 260)
    if not activations:
        return drawing
    most = max(range(len(activations)), key=lambda i: list(activations)[i].count("+"))
    complete = list(activations)[most]
    levels = len(activations[complete])
    top = max(max(values) for values in activations.values()) or 1.0
    drawing.words(10, 18, "mean activation by level; black: all modalities, colours: number of modalities")
    for level in range(levels):
        x = 60 + 100 * level
        drawing.line(x, 30, x, 220, "#dddddd")
        drawing.words(x, 240, f"level {level + 1}", size=11, anchor="middle")
        for name, values in activations.items():
            count = name.count("+") + 1
            y = 220 - 180 * values[level] / top
            whole = name == complete
            offset = 0 if whole else 8 * count
            drawing.circle(x + offset, y, 4 if whole else 3, "#000000" if whole else COLOURS[count - 1])
    return drawing
