"""The ablation table in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mrseg_training.markdown import NOTHING, table


def markdown(document: Mapping[str, Any]) -> str:
    """Two tables: Dice by row, and the paired differences; "better" and "worse" only where the interval excludes 0."""
    regions = document["regions"]
    rows = []
    for name, row in document["rows"].items():
        cells = [
            f"{100 * d:.1f} ({100 * s:.1f})"
            for d, s in zip(row["dice"], row["sd_over_combinations"], strict=True)
        ]
        spread = NOTHING if row["sd_over_seeds"] is None else f"{100 * row['sd_over_seeds']:.1f}"
        false = " / ".join(f"{v:.1f}" for v in row["false_ml"])
        rows.append([f"{row['title']} (`{name}`)", *cells, f"{100 * row['mean']:.1f}", spread, false])
    differences = []
    for entry in document["differences"]:
        cells = [
            f"{100 * v['mean']:+.1f} [{100 * v['low']:+.1f}, {100 * v['high']:+.1f}]"
            for v in entry["by_region"].values()
        ]
        mean = entry["by_region"]["mean"]
        verdict = "better" if mean["low"] > 0 else "worse" if mean["high"] < 0 else "no difference shown"
        differences.append([f"{entry['row']} − {entry['against']}", *cells, verdict])
    lines = [
        f"{document['subjects']} test subjects, seeds {', '.join(map(str, document['seeds']))}. Dice in %, mean over "
        "15 combinations (standard deviation over combinations); a subject counts for a region it has. False mL: "
        "volume found in subjects without that region.",
        "",
        *table(["row", *regions, "mean", "SD over seeds", f"false mL {'/'.join(regions)}"], rows),
        "",
        "Paired differences in Dice points, 95 % interval (bootstrap over subjects and seeds):",
        "",
        *table(["difference", *regions, "mean", "verdict on the mean"], differences),
    ]
    return "\n".join(lines) + "\n"
