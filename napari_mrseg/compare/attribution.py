"""Exact Shapley values: what each modality adds, averaged over every order in which modalities could arrive.

The value of a combination is a region's size, its Dice to the reference, or a voxel's probability, all taken
from the predictions as they are; with no modality at all there is no tumour: size 0, Dice 0, probability 0.
So a region's values sum to that of all modalities. They describe this model on this scan; they are no
clinical evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations as subsets
from math import factorial
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.tasks import Combination

CAVEAT = "Of this model on this scan; not clinical evidence."
HOW = (
    "Shapley value: the change a modality makes when it is added to the others, averaged over every order of "
    "adding them; without any modality the value is 0. A region's bars sum to the value of all modalities."
)
Measure = Literal["size", "dice"]


def weights(players: Sequence[str], player: str) -> dict[Combination, float]:
    """Factor of each non-empty subset's value in the Shapley value of ``player`` (the empty one's is 0)."""
    n = len(players)
    found: dict[Combination, float] = {}
    for size in range(1, n + 1):
        joined = factorial(size - 1) * factorial(n - size) / factorial(n)
        apart = -factorial(size) * factorial(n - size - 1) / factorial(n) if size < n else 0.0
        for subset in subsets(players, size):
            found[subset] = joined if player in subset else apart
    return found


def shapley(value: Callable[[Combination], float], players: Sequence[str]) -> dict[str, float]:
    """Shapley value of each player of the game ``value`` (called with non-empty subsets; empty: 0)."""
    values = {c: value(c) for size in range(1, len(players) + 1) for c in subsets(players, size)}
    return {
        player: float(sum(w * values[c] for c, w in weights(players, player).items())) for player in players
    }


@dataclass(frozen=True)
class Attribution:
    """Shapley values of one measure: ``values[region][modality]``, in ``unit`` (mL, px or Dice).

    ``total[region]`` is the value of all modalities, to which they sum.
    """

    measure: Measure
    unit: str
    values: Mapping[str, Mapping[str, float]]
    total: Mapping[str, float]


def attribute(comparison: Comparison, measure: Measure = "size") -> Attribution | None:
    """Attribution of every region's size, or of its Dice to the reference.

    None while combinations are missing, and for Dice without a reference. A region that the reference does
    not hold is left out of Dice: there is nothing to find.
    """
    reference = comparison.study.reference
    if not comparison.complete or (measure == "dice" and reference is None):
        return None
    regions = [r.name for r in comparison.task.regions]
    if measure == "dice" and reference is not None:
        there = set(np.flatnonzero(np.bincount(reference.labels.ravel(), minlength=256)).tolist())
        regions = [r.name for r in comparison.task.regions if there & set(r.codes)]

    def value(combination: Combination, region: str) -> float:
        found = (
            comparison.predictions[combination].sizes if measure == "size" else comparison.dice(combination)
        )
        assert found is not None
        return found[region]

    players = comparison.study.present
    return Attribution(
        measure,
        comparison.task.unit if measure == "size" else "Dice",
        {r: shapley(lambda c, r=r: value(c, r), players) for r in regions},  # type: ignore[misc]
        {r: value(players, r) for r in regions},
    )


def probability_map(comparison: Comparison, region: str, modality: str) -> npt.NDArray[np.float32]:
    """Shapley value of ``modality`` for each voxel's probability: float32 on the study's grid, −1 … 1.

    Summed over the modalities it is the probability that all of them give. Positive: the modality speaks for
    the region there. Raises ValueError while combinations are missing.
    """
    if not comparison.complete:
        raise ValueError("some combinations are not computed yet")
    index = [r.name for r in comparison.task.regions].index(region)
    whole = np.zeros(comparison.study.grid.shape, dtype=np.float32)
    for combination, weight in weights(comparison.study.present, modality).items():
        prediction = comparison.predictions[combination]
        whole[prediction.box] += np.float32(weight) * prediction.probabilities[index]
    return whole
