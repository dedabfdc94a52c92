"""What a scan that was not taken would probably change, from what the model reached on subjects it had not seen.

The scores by subject on the model's card are paired: of each subject, the Dice with these modalities and with one more.
Nothing of the patient at hand goes into it; what was tried of that did not do better (docs/imagining.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from napari_mrseg.models.card import ModelCard
from napari_mrseg.tasks import Combination, Task

INTERVAL = 0.8  # share of new subjects whose gain lies within a gain's ends
LEAST_SUBJECTS = 9  # fewer do not give such an interval
LITTLE = 0.02  # of Dice: less is not worth a sentence
UNKNOWN = (
    "What another scan would change is not known: the model's card has no scores of enough single subjects."
)


@dataclass(frozen=True)
class Gain:
    """Mean Dice of a region ``now`` and with the scan, and the ends of the interval of the difference."""

    region: str
    now: float
    then: float
    low: float
    high: float

    @property
    def mean(self) -> float:
        return self.then - self.now


@dataclass(frozen=True)
class Worth:
    """What the scan ``missing`` would change, by region, as measured on so many ``subjects``."""

    missing: str
    gains: tuple[Gain, ...]
    subjects: int


def worth_of_missing(card: ModelCard, task: Task, combination: Combination) -> tuple[Worth, ...]:
    """What each modality that ``combination`` has not would change, the most worthwhile first; () where not known.

    Of pictures nothing is said: another one is not taken because of a score.
    """
    if task.ndim != 3:
        return ()
    scores = _by_subject(card)
    found = []
    for missing in task.names:
        if missing in combination:
            continue
        more = task.combination([*combination, missing])
        gains, subjects = [], 0
        for region in task.regions:
            pairs = [
                (before, after)
                for each in scores.values()
                if (before := each.get(combination, {}).get(region.name)) is not None
                and (after := each.get(more, {}).get(region.name)) is not None
            ]
            if len(pairs) >= LEAST_SUBJECTS:
                low, high = interval([after - before for before, after in pairs])
                now, then = (fmean(values) for values in zip(*pairs, strict=True))
                gains.append(Gain(region.name, now, then, low, high))
                subjects = max(subjects, len(pairs))
        if gains:
            found.append(Worth(missing, tuple(gains), subjects))
    return tuple(sorted(found, key=lambda worth: -sum(gain.mean for gain in worth.gains)))


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Ends that hold the share :data:`INTERVAL` of new subjects, whatever the distribution.

    A new value lies between the k-th least and the k-th largest of n with a probability of 1 − 2k / (n + 1)
    (conformal prediction: Vovk 2005); with fewer than nine subjects no k does.
    """
    ordered = sorted(differences)
    k = max(1, int((len(ordered) + 1) * (1 - INTERVAL) / 2 + 1e-9))
    return ordered[k - 1], ordered[-k]


def sentences(task: Task, combination: Combination, worths: Sequence[Worth]) -> list[str]:
    """One for each modality missing in ``combination`` that would change much, then one for those that would not.

    Nothing is said of a region that could not be seen with the scan either.
    """
    if not _lacks_scans(task, combination):
        return []
    if not worths:
        return [UNKNOWN]
    lines, little = [], []
    for worth in worths:
        told = sentence(task, combination, worth)
        if told:
            lines.append(told)
        else:
            little.append(task.modality(worth.missing).title)
    if little:
        lines.append(f"{' and '.join(little)} would probably change little.")
    subjects = max(worth.subjects for worth in worths)
    lines.append(
        f"From the model's scores on {subjects} subjects that it had not seen; this patient may differ."
    )
    return lines


def sentence(task: Task, combination: Combination, worth: Worth) -> str:
    """What one scan would change, e.g. "T1ce would probably raise the Dice of …"; "" where that is little."""
    told = [gain for gain in worth.gains if _is_told(gain, worth, task, combination)]
    if not told:
        return ""
    parts = []
    for gain in sorted(told, key=lambda gain: -gain.mean):
        region = next(region for region in task.regions if region.name == gain.region)
        parts.append(
            f"the Dice of the {region.title} from about {gain.now:.2f} to {gain.then:.2f} (80 % interval of the "
            f"change {gain.low:+.2f} to {gain.high:+.2f})"
        )
    likely = "would probably" if min(gain.low for gain in told) >= 0 else "may"
    return f"{task.modality(worth.missing).title} {likely} raise {' and '.join(parts)}."


def headline(task: Task, combination: Combination, worths: Sequence[Worth]) -> str:
    """The scan that would change most, in a line, e.g. "With T1ce perhaps: Dice ET 0.15 → 0.71"; "" if all are there.

    "Probably" where no interval reaches below 0, else "perhaps".
    """
    if not worths:
        return UNKNOWN if _lacks_scans(task, combination) else ""
    each = [(w, [gain for gain in w.gains if _is_told(gain, w, task, combination)]) for w in worths]
    told = [(worth, gains) for worth, gains in each if gains]
    if not told:
        return "Other scans would probably change little"
    worth, gains = max(told, key=lambda one: sum(gain.mean for gain in one[1]))
    likely = "probably" if min(gain.low for gain in gains) >= 0 else "perhaps"
    parts = [
        f"{gain.region} {gain.now:.2f} → {gain.then:.2f}" for gain in sorted(gains, key=lambda g: -g.mean)
    ]
    return f"With {task.modality(worth.missing).title} {likely}: Dice {', '.join(parts)}"


def _lacks_scans(task: Task, combination: Combination) -> bool:
    """Whether there is a scan that could still be taken."""
    return task.ndim == 3 and len(combination) < len(task.names)


def _is_told(gain: Gain, worth: Worth, task: Task, combination: Combination) -> bool:
    """Whether it is worth a word, and of a region that the scan lets one see."""
    region = next(region for region in task.regions if region.name == gain.region)
    return gain.mean >= LITTLE and set(region.needs) <= {*combination, worth.missing}


def document(worths: Sequence[Worth]) -> list[dict[str, Any]]:
    """The same for ``result.json``."""
    return [
        {
            "missing": worth.missing,
            "subjects": worth.subjects,
            "dice": {
                gain.region: {
                    "now": round(gain.now, 3),
                    "then": round(gain.then, 3),
                    "change": [round(gain.low, 3), round(gain.high, 3)],
                }
                for gain in worth.gains
            },
        }
        for worth in worths
    ]


def _by_subject(card: ModelCard) -> dict[str, dict[Combination, Mapping[str, float | None]]]:
    """Dice by region, of each measured subject and combination."""
    found: dict[str, dict[Combination, Mapping[str, float | None]]] = {}
    for row in card.measured:
        dice, names = row.get("dice"), row.get("combination")
        if isinstance(dice, dict) and isinstance(names, (list, tuple)):
            found.setdefault(str(row.get("case")), {})[tuple(str(name) for name in names)] = dice
    return found


def worth_by(card: ModelCard, task: Task) -> Callable[[Combination], list[dict[str, Any]]]:
    """:func:`document` of what is missing in a combination, as ``write_results`` takes it."""
    return lambda combination: document(worth_of_missing(card, task, combination))
