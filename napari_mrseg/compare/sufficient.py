"""The smallest combination whose result stays close to the full one, and what the next modality would add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.tasks import Combination

THRESHOLD = 0.90
EXPLANATION = (
    "The smallest combination whose Dice to the result of all modalities reaches the threshold in every "
    "region asked for; of several, the one with the highest mean Dice. A combination that cannot show a "
    "region does not count for it. The model is compared with itself: that does not make a wrong full result "
    "right."
)


@dataclass(frozen=True)
class Step:
    """One more modality, and the mean Dice to the full result before and after."""

    modality: str
    before: float
    after: float


@dataclass(frozen=True)
class Sufficient:
    """The smallest sufficient set for ``regions``.

    ``combination`` is None if nothing smaller than the full set reaches ``threshold`` and the full one is not
    computed, or if no region is left to ask for. ``dice`` is to the full result, per region. ``so_far``: some
    combinations are not computed yet.
    """

    regions: tuple[str, ...]
    threshold: float
    combination: Combination | None
    dice: dict[str, float]
    next: Step | None
    so_far: bool
    text: str


def smallest_sufficient(
    comparison: Comparison, regions: Sequence[str] | None = None, threshold: float = THRESHOLD
) -> Sufficient:
    """The smallest combination within ``threshold`` of the full one in all of ``regions`` (default: each).

    Regions that even the full combination cannot show are not asked for.
    """
    full = comparison.study.present
    asked = tuple(r.name for r in comparison.task.regions) if regions is None else tuple(regions)
    asked = tuple(r for r in asked if r not in comparison.estimated(full))
    nothing = Sufficient(asked, threshold, None, {}, None, not comparison.complete, "")
    if full not in comparison.predictions:
        return replace(nothing, text=f"Waiting for the result of {comparison.title(full)}.")
    if not asked:
        return replace(nothing, text="These modalities cannot show the region asked for.")

    fits = [c for c in comparison.predictions if _fits(comparison, c, asked, threshold)]
    best = min(fits, key=lambda c: (len(c), -_mean(comparison, c, asked)))  # the full one always fits
    dice = {r: comparison.between(best, full)[r] for r in asked}
    found = replace(nothing, combination=best, dice=dice, next=_next(comparison, best, asked))
    so_far = " So far: not every combination is computed." if found.so_far else ""
    return replace(found, text=_sentence(comparison, found) + so_far)


def default_lines(comparison: Comparison, threshold: float = THRESHOLD) -> tuple[Sufficient, ...]:
    """One for the first region alone, one for all; one only where the two are the same question."""
    first = smallest_sufficient(comparison, (comparison.task.regions[0].name,), threshold)
    everything = smallest_sufficient(comparison, None, threshold)
    return (first,) if first.regions == everything.regions else (first, everything)


def _fits(comparison: Comparison, combination: Combination, regions: Sequence[str], threshold: float) -> bool:
    hidden = comparison.estimated(combination)
    dice = comparison.between(combination, comparison.study.present)
    return all(r not in hidden and dice[r] >= threshold for r in regions)


def _mean(comparison: Comparison, combination: Combination, regions: Sequence[str]) -> float:
    dice = comparison.between(combination, comparison.study.present)
    return sum(dice[r] for r in regions) / len(regions)


def _next(comparison: Comparison, combination: Combination, regions: Sequence[str]) -> Step | None:
    steps = []
    for name in comparison.study.present:
        if name in combination:
            continue
        larger = comparison.task.combination((*combination, name))
        if larger in comparison.predictions:
            before = _mean(comparison, combination, regions)
            steps.append(Step(name, before, _mean(comparison, larger, regions)))
    return max(steps, key=lambda step: step.after, default=None)


def _sentence(comparison: Comparison, found: Sufficient) -> str:
    assert found.combination is not None
    total = len(comparison.study.present)
    regions = " and ".join(part for part in (", ".join(found.regions[:-1]), found.regions[-1]) if part)
    whole = f"a Dice of {found.threshold:.2f} to the result of all {total} modalities"
    if total == 1:
        return f"{comparison.title(found.combination)} is all there is; there is no smaller set."
    if len(found.combination) == total:
        return f"For {regions}, no smaller set keeps {whole}."
    values = ", ".join(f"{r} {v:.2f}" for r, v in found.dice.items())
    text = f"For {regions}, {comparison.title(found.combination)} is enough to keep {whole} ({values})"
    if found.next is not None:
        title = comparison.task.modality(found.next.modality).title
        mean = "" if len(found.regions) == 1 else "mean "
        before, after = f"{found.next.before:.2f}", f"{found.next.after:.2f}"
        if before == after:
            text += f"; adding {title} would leave {mean}Dice at {after}"
        elif found.next.after < found.next.before:
            text += f"; no further modality raises {mean}Dice (best: {title}, from {before} to {after})"
        else:
            text += f"; adding {title} would bring {mean}Dice from {before} to {after}"
    return f"{text}."
