"""Which of several models is better, as challenge papers ask it: paired tests with correction, ranks, and groups.

Sources: Wilcoxon's signed-rank test and Friedman's test with Nemenyi's critical difference (Demšar 2006, JMLR 7),
Holm's correction (1979), ranks by bootstrap over subjects (Wiesenfarth et al. 2021, Sci Rep 11:2369).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.statistics import DRAWS, interval, mean_of_known, resampled_means

Floats = npt.NDArray[np.float64]
LEVEL = 0.05


def signed_rank(first: Floats, second: Floats) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of paired values (n,), pairs with a nan left out.

    Equal pairs count half to either side. 1 where no pair differs.
    """
    from scipy.stats import wilcoxon

    gap = second - first
    gap = gap[~np.isnan(gap)]
    if not gap.any():
        return 1.0
    return float(wilcoxon(gap, zero_method="zsplit").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down procedure, in their order."""
    order = np.argsort(values, kind="stable")
    corrected, largest = np.empty(len(values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * float(values[index])))
        corrected[index] = largest
    return [float(p) for p in corrected]


def ranks_of(scores: Floats) -> Floats:
    """(models, subjects) scores, the higher the better -> ranks from 1 within each subject, the mean where equal."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-scores, axis=0), dtype=float)


def critical_difference(models: int, subjects: int) -> float:
    """Nemenyi's: mean ranks that lie further apart differ at the level of 5 %."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, models, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(models * (models + 1) / (6 * subjects)))


def ranking(scores: Mapping[str, Floats]) -> dict[str, Any]:
    """Ranks of models by (subjects,) scores, no nan.

    Per model its mean rank, the 95 % interval of that by bootstrap over subjects, and how often it came out first;
    ``groups``: models whose mean ranks lie within the critical difference. ``friedman``: p that all are alike.
    """
    from scipy.stats import friedmanchisquare

    names = list(scores)
    table = np.stack([scores[name] for name in names])
    ranks = ranks_of(table)
    count, subjects = ranks.shape
    drawn = resampled_means(ranks.T)  # (draws, models)
    low, high = interval(drawn)
    best = drawn == drawn.min(1, keepdims=True)
    first = (best / best.sum(1, keepdims=True)).mean(0)
    mean = ranks.mean(1)
    order = [int(i) for i in np.argsort(mean, kind="stable")]
    difference = critical_difference(count, subjects)
    alike = not (table != table[0]).any()
    p = (
        1.0
        if alike
        else float(friedmanchisquare(*table).pvalue)
        if count > 2 and subjects > 1
        else float("nan")
    )
    return {
        "subjects": subjects,
        "draws": DRAWS,
        "models": {
            names[i]: {
                "rank": float(mean[i]),
                "low": float(low[i]),
                "high": float(high[i]),
                "first": float(first[i]),
                "mean": float(table[i].mean()),
            }
            for i in order
        },
        "critical_difference": difference,
        "groups": _groups([names[i] for i in order], mean[order], difference),
        "friedman_p": None if np.isnan(p) else p,
    }


def _groups(names: Sequence[str], ranks: Floats, difference: float) -> list[list[str]]:
    """The longest runs of models, by rank, that do not differ; none within another, none of one model."""
    found: list[list[str]] = []
    reached = 0
    for begin in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[begin] + difference, side="right"))
        if end > reached and end - begin > 1:
            found.append(list(names[begin:end]))
            reached = end
    return found


def pairwise_tests(values: Mapping[str, Floats], regions: Sequence[str]) -> list[dict[str, Any]]:
    """Every pair of models, each region and their mean: the mean difference and the corrected p.

    ``values``: (subjects, regions) by model, nan where a subject counts for nothing. One family for the correction.
    """
    found: list[dict[str, Any]] = []
    for a, b in combinations(values, 2):
        columns = {name: (values[a][:, k], values[b][:, k]) for k, name in enumerate(regions)}
        columns["mean"] = (mean_of_known(values[a], 1), mean_of_known(values[b], 1))
        for region, (first, second) in columns.items():
            gap = second - first
            there = ~np.isnan(gap)
            if there.any():
                found.append(
                    {
                        "models": [a, b],
                        "region": region,
                        "subjects": int(there.sum()),
                        "difference": float(gap[there].mean()),
                        "p": signed_rank(first, second),
                    }
                )
    for entry, p in zip(found, holm([entry["p"] for entry in found]), strict=True):
        entry["p_holm"] = p
    return found
