"""The traffic light for trust: how far a result may be believed, and why not, from the warnings there are.

The one home of which warning weighs how much. Window, report, ``result.json`` and the cohort's table ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from napari_mrseg.compare.columns import unseen
from napari_mrseg.inference.prediction import Prediction

Level = Literal["green", "amber", "red"]
LEVELS: tuple[Level, ...] = ("green", "amber", "red")
WORDS: Mapping[Level, str] = {"green": "NO WARNING", "amber": "TAKE CARE", "red": "DO NOT TRUST"}
MARKS: Mapping[Level, str] = {"green": "✓", "amber": "▲", "red": "✕"}
"""A shape for each level: colour alone is not seen by everybody."""
EXPLANATION = (
    "Red: the scans are not what the model was made for, or the result cannot be right. Amber: believe it with care, "
    "or not this region. Green: no warning, which does not mean that the result is right."
)

# By the code of a warning. Codes that are not here say nothing against the result.
_RULES: Mapping[str, tuple[Level, str]] = {
    "brain_not_found": ("red", "no brain was found"),
    "skull": ("red", "the skull is not cut away"),
    "small_head": ("red", "less than a whole adult brain"),
    "wrong_contrast": ("red", "a scan does not look like its name"),
    "same_image": ("red", "two scans show the same image"),
    "sheared": ("red", "the scan's axes are not at right angles"),
    "large_finding": ("red", "larger than a tumour can be"),
    "brain_doubtful": ("amber", "the brain may be cut out wrongly"),
    "brain_cut_off": ("amber", "part of the brain is outside the scan"),
    "partial_head": ("amber", "part of the head is missing"),
    "thick_slices": ("amber", "thick slices"),
    "nothing_found": ("amber", "nothing found, which proves nothing"),
    "degraded": ("amber", "made worse on purpose"),
    "unit_doubtful": ("amber", "the voxel size is doubtful"),
    "qform_sform_differ": ("amber", "left and right are doubtful"),
    "assumed_ras": ("amber", "left and right are assumed"),
}
UNSEEN, DISAGREE = "not_observable", "combinations_disagree"
ALIKE = 0.7  # median Dice with the other combinations' results below which they disagree


@dataclass(frozen=True)
class Reason:
    """Why a result is not to be believed, or not fully. ``words``: a few; ``message``: a sentence.

    ``region``: the only region it is about; None: all of the result.
    """

    level: Level
    words: str
    code: str
    message: str
    region: str | None = None


@dataclass(frozen=True)
class Trust:
    """The reasons against a result, worst first; none: green."""

    reasons: tuple[Reason, ...] = ()

    @property
    def level(self) -> Level:
        return self.reasons[0].level if self.reasons else "green"

    @property
    def headline(self) -> str:
        """Level and reasons in a few words, with a mark of its own shape; of a red one the red reasons only."""
        reasons_text = dict.fromkeys(r.words for r in self.reasons if r.level == self.level)
        return (
            f"{MARKS[self.level]} {WORDS[self.level]}{': ' if reasons_text else ''}{'; '.join(reasons_text)}"
        )

    @property
    def explained(self) -> str:
        """Every reason as a sentence, a line each, and what the colours mean."""
        return "\n".join([*dict.fromkeys(r.message for r in self.reasons), EXPLANATION])

    def of(self, region: str) -> Level:
        """How far the numbers of one region are to be believed."""
        own = [r.level for r in self.reasons if r.region in (None, region)]
        return max(own, key=LEVELS.index, default="green")

    def is_doubted(self, region: str) -> bool:
        """Whether the region's numbers are to be greyed: it cannot be observed, or nothing of the result holds."""
        return self.of(region) == "red" or any(r.region == region for r in self.reasons)

    def document(self) -> dict[str, Any]:
        """For ``result.json`` and ``table.json``."""
        return {
            "level": self.level,
            "reasons": [
                {"level": r.level, "code": r.code, "message": r.message, "region": r.region}
                for r in self.reasons
            ],
        }


def judge(prediction: Prediction, likeness: float | None = None) -> Trust:
    """How far ``prediction`` may be believed.

    ``likeness``: its median Dice of the outermost region with the other combinations' results, if that is known
    (:meth:`.comparison.Comparison.likeness`).
    """
    task = prediction.task
    reasons = [
        Reason(*_RULES[note.code], note.code, note.message)
        for note in dict.fromkeys(prediction.notes)
        if note.code in _RULES
    ]
    for region in task.estimated(prediction.combination):
        why = f"{region.name} {unseen(region)}"
        message = f"{region.name} ({region.title}) cannot be seen with these scans: its numbers are the model's guess."
        reasons.append(Reason("amber", why, UNSEEN, message, region.name))
    if likeness is not None and likeness < ALIKE:
        message = (
            f"The other combinations of this study give another {task.regions[0].name}: the median of their Dice with "
            f"this result is {likeness:.2f}; look at them side by side."
        )
        reasons.append(Reason("amber", "the combinations disagree", DISAGREE, message))
    return Trust(tuple(sorted(reasons, key=lambda reason: -LEVELS.index(reason.level))))
