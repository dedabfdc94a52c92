"""The benchmark's table in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mrseg_training.markdown import NOTHING, number, table

TESTS = {"simulated": "Simulated subjects held out", "real": "Real subjects held out"}


def markdown(document: Mapping[str, Any]) -> str:
    """Per group and kind of test subjects: the rows, and the paired differences with their intervals."""
    lines = [
        f"Each row had {document['minutes']:g} minutes of one core's own time for training. Dice, mean over the "
        "combinations; a subject counts for a region it has.",
    ]
    for group in document["groups"].values():
        for test, one in group.items():
            regions = one["regions"]
            lines += [
                "",
                f"**{TESTS.get(test, test)}**: {one['subjects']}, {one['combinations']} combinations",
                "",
            ]
            rows = [
                [
                    f"{row['title']} (`{name}`)",
                    f"{row['parameters'] / 1e6:.2f} M",
                    f"{min(row['steps'])}–{max(row['steps'])}",
                    *(number(d) for d in row["dice"]),
                    number(row["mean"]),
                    NOTHING if row["sd_over_seeds"] is None else number(row["sd_over_seeds"]),
                    number(row["sd_over_combinations"]),
                ]
                for name, row in one["rows"].items()
            ]
            heads = [
                "method",
                "parameters",
                "updates",
                *regions,
                "mean",
                "SD over seeds",
                "SD over combinations",
            ]
            lines += table(heads, rows)
            differences = []
            for entry in one["differences"]:
                mean = entry["by_region"]["mean"]
                verdict = "better" if mean["low"] > 0 else "worse" if mean["high"] < 0 else "not shown"
                cells = [
                    f"{v['mean']:+.3f} [{v['low']:+.3f}, {v['high']:+.3f}]"
                    for v in entry["by_region"].values()
                ]
                differences.append([f"{entry['row']} − {entry['against']}", *cells, verdict])
            if differences:
                lines += [
                    "",
                    "Paired differences, 95 % interval (bootstrap over subjects and seeds):",
                    "",
                    *table(["difference", *regions, "mean", "the mean is"], differences),
                ]
    return "\n".join(lines) + "\n"
