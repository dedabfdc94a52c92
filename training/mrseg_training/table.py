"""The ablation table in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 4000


def bootstrap(differences: npt.NDArray[np.float64], draws: int = DRAWS) -> dict[str, float]:
    """Mean and 95 % interval of (seeds, subjects, regions) paired differences, nan where a region is absent.

    Subjects and seeds are drawn again with replacement, each on its own; a region's mean is over the subjects that
    have it, the result is the mean over regions.
    """
    random = np.random.default_rng(0)
    seeds, subjects, _ = differences.shape
    means = np.empty(draws)
    for draw in range(draws):
        s = random.integers(0, seeds, seeds)
        k = random.integers(0, subjects, subjects)
        means[draw] = _mean(differences[s][:, k])
    low, high = np.nanquantile(means, (0.025, 0.975))
    return {"mean": _mean(differences), "low": float(low), "high": float(high)}


def _mean(differences: npt.NDArray[np.float64]) -> float:
    there = ~np.isnan(differences)
    count = there.sum((0, 1))
    sums = np.where(there, differences, 0.0).sum((0, 1))
    return float(np.mean(sums[count > 0] / count[count > 0])) if (count > 0).any() else float("nan")


def markdown(document: Mapping[str, Any]) -> str:
    """Two tables: Dice by row, and the paired differences; "better" and "worse" only where the interval excludes 0."""
    regions = document["regions"]
    lines = [
        f"{document['subjects']} test subjects, seeds {', '.join(map(str, document['seeds']))}. Dice in %, mean over "
        "15 combinations (standard deviation over combinations); a subject counts for a region it has. False mL: "
        "volume found in subjects without that region.",
        "",
        "| row | " + " | ".join(regions) + " | mean | SD over seeds | false mL " + "/".join(regions) + " |",
        "|---|" + "---|" * (len(regions) + 3),
    ]
    for name, row in document["rows"].items():
        cells = [
            f"{100 * d:.1f} ({100 * s:.1f})"
            for d, s in zip(row["dice"], row["sd_over_combinations"], strict=True)
        ]
        spread = "–" if row["sd_over_seeds"] is None else f"{100 * row['sd_over_seeds']:.1f}"
        false = " / ".join(f"{v:.1f}" for v in row["false_ml"])
        lines.append(
            f"| {row['title']} (`{name}`) | "
            + " | ".join(cells)
            + f" | {100 * row['mean']:.1f} | {spread} | {false} |"
        )
    lines += [
        "",
        "Paired differences in Dice points, 95 % interval (bootstrap over subjects and seeds):",
        "",
        "| difference | " + " | ".join([*regions, "mean"]) + " | verdict on the mean |",
        "|---|" + "---|" * (len(regions) + 2),
    ]
    for entry in document["differences"]:
        cells = [
            f"{100 * v['mean']:+.1f} [{100 * v['low']:+.1f}, {100 * v['high']:+.1f}]"
            for v in entry["by_region"].values()
        ]
        mean = entry["by_region"]["mean"]
        verdict = "better" if mean["low"] > 0 else "worse" if mean["high"] < 0 else "no difference shown"
        lines.append(f"| {entry['row']} − {entry['against']} | " + " | ".join(cells) + f" | {verdict} |")
    return "\n".join(lines) + "\n"
