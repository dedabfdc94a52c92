"""The predictions of one study side by side, and what is derived from them. No widget recomputes any of it.

A :class:`Comparison` is an immutable snapshot. While a sweep runs, :meth:`Comparison.updated` makes the next
snapshot and pays for the new rows only: what was measured on a prediction is kept beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.columns import DICE, SECOND, Column, Kind, columns_of
from napari_mrseg.compare.metric import METRICS, measure_all, unmeasured
from napari_mrseg.compare.metrics import Box, bounding_box, join, region_dice
from napari_mrseg.compare.trust import Trust, judge
from napari_mrseg.compare.worth import sentence, worth_of_missing
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.card import ModelCard
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task

Values = Mapping[str, float]
OTHERS = 3  # results to compare one with; with fewer there is no telling which one is odd


@dataclass(frozen=True)
class Row:
    """What is known of one combination. ``versus`` and ``dice`` are None without something to compare with.

    ``estimated``: names of the regions this combination cannot show.
    """

    combination: Combination
    sizes: Values
    versus: Values | None
    dice: Values | None
    seconds: float
    estimated: tuple[str, ...]


class Second(NamedTuple):
    """Another model's predictions of the same study. ``name`` is what it is called beside the first one."""

    name: str
    predictions: Mapping[Combination, Prediction]


class _Labels:
    """A label map with the tight box around its non-zero voxels, which is found once."""

    def __init__(self, labels: npt.NDArray[np.uint8], known: Box | None = None) -> None:
        self.labels = labels
        self._known = known
        self.overlaps: WeakKeyDictionary[_Labels, Values] = WeakKeyDictionary()
        self.measures: WeakKeyDictionary[_Labels, Mapping[str, Values]] = WeakKeyDictionary()

    @cached_property
    def box(self) -> Box | None:
        outer = self._known or tuple(slice(0, n) for n in self.labels.shape)
        inner = bounding_box(self.labels[outer])
        if inner is None:
            return None
        starts = [o.indices(n)[0] for o, n in zip(outer, self.labels.shape, strict=True)]
        return tuple(slice(s + i.start, s + i.stop) for s, i in zip(starts, inner, strict=True))

    def dice(self, other: _Labels, task: Task) -> Values:
        if self in other.overlaps:  # the same from either side
            return other.overlaps[self]
        if other not in self.overlaps:
            boxes = [box for box in (self.box, other.box) if box is not None]
            within = join(*boxes) if boxes else (slice(0, 0),) * self.labels.ndim
            self.overlaps[other] = MappingProxyType(
                region_dice(self.labels, other.labels, task, within=within)
            )
        return self.overlaps[other]

    def measure(self, other: _Labels, task: Task, spacing: tuple[float, ...]) -> Mapping[str, Values]:
        """Every metric of the registry: its name → region → value."""
        if other not in self.measures:
            if self.box is None or other.box is None:
                values = unmeasured(task)
            else:
                box = join(self.box, other.box)
                values = measure_all(self.labels[box], other.labels[box], task, spacing)
            self.measures[other] = {name: MappingProxyType(value) for name, value in values.items()}
        return self.measures[other]


class Comparison:
    """Predictions of one study by combination.

    Parameters
    ----------
    predictions
        Finals on the study's grid, by combination; previews are left out, their rows count as not yet there.
    against
        The combination whose result the others are compared with; default: all modalities that are there.
    second
        Another model's predictions, to stand beside these row by row.
    card
        The model's, by which is known what a scan that a combination has not would change.

    Raises ValueError if a prediction is of another grid shape or task.
    """

    def __init__(
        self,
        study: Study,
        predictions: Mapping[Combination, Prediction] | Iterable[Prediction],
        *,
        against: Combination | None = None,
        expected: Iterable[Combination] | None = None,
        second: Second | None = None,
        card: ModelCard | None = None,
    ) -> None:
        given = predictions.values() if isinstance(predictions, Mapping) else predictions
        finals = {p.combination: p for p in given if not p.preview}
        self.study = study
        self.task: Task = study.task
        self.against: Combination = study.present if against is None else against
        possible = self.task.combinations(study.present)
        # Every combination that study and model allow, largest first: the rows once the sweep is done.
        self.expected: tuple[Combination, ...] = tuple(
            c for c in possible if expected is None or c in set(expected)
        )
        self.predictions: Mapping[Combination, Prediction] = MappingProxyType(
            {c: finals[c] for c in possible if c in finals}
        )
        self.second, self.card = second, card
        theirs = {} if second is None else {c: p for c, p in second.predictions.items() if not p.preview}
        for prediction in (*self.predictions.values(), *theirs.values()):
            if prediction.labels.shape != study.grid.shape or prediction.task.name != self.task.name:
                raise ValueError(f"The prediction of {prediction.key} belongs to another study.")
        self._measured = {c: _Labels(p.labels, p.box) for c, p in self.predictions.items()}
        self._theirs = {c: _Labels(p.labels, p.box) for c, p in theirs.items()}
        self._reference = _Labels(study.reference.labels) if study.reference else None
        self._trust: dict[Combination, Trust] = {}
        self._gains: dict[Combination, Mapping[str, str]] = {}

    def updated(self, predictions: Mapping[Combination, Prediction] | Iterable[Prediction]) -> Comparison:
        """A snapshot of ``predictions`` that keeps what was measured on those that are the same objects."""
        return self._keeping(
            Comparison(
                self.study,
                predictions,
                against=self.against,
                expected=self.expected,
                second=self.second,
                card=self.card,
            )
        )

    def versus(self, against: Combination) -> Comparison:
        """The same predictions, compared with another combination's result."""
        return self._keeping(
            Comparison(
                self.study,
                self.predictions,
                against=against,
                expected=self.expected,
                second=self.second,
                card=self.card,
            )
        )

    def beside(self, second: Second | None) -> Comparison:
        """The same predictions, with another model's beside them."""
        return self._keeping(
            Comparison(
                self.study,
                self.predictions,
                against=self.against,
                expected=self.expected,
                second=second,
                card=self.card,
            )
        )

    def of_second(self) -> Comparison:
        """The second model's predictions by themselves. Raises ValueError without one."""
        if self.second is None:
            raise ValueError("There is no second model.")
        return Comparison(self.study, self.second.predictions, expected=self.expected)

    def _keeping(self, new: Comparison) -> Comparison:
        for kept, made in ((self._measured, new._measured), (self._theirs, new._theirs)):
            for combination, measured in kept.items():
                found = made.get(combination)
                if found is not None and found.labels is measured.labels:
                    made[combination] = measured
        new._reference = self._reference
        return new

    # -- what there is ------------------------------------------------------------------------------------

    @property
    def missing(self) -> tuple[Combination, ...]:
        """Combinations this study allows that are not computed yet."""
        return tuple(c for c in self.expected if c not in self.predictions)

    @property
    def complete(self) -> bool:
        """Whether every combination of the study's modalities is here, also those that a model may not do."""
        return all(c in self.predictions for c in self.task.combinations(self.study.present))

    @property
    def full(self) -> Prediction | None:
        """The prediction from all modalities that are there, once computed."""
        return self.predictions.get(self.study.present)

    @property
    def coverage(self) -> str:
        """How much of the whole is here: “3 of 15 combinations: this study has no FLAIR and no T2.”"""
        total = len(self.task.combinations())
        text = f"{len(self.predictions)} of {total} combinations"
        why = []
        absent = [m.title for m in self.task.modalities if m.name not in self.study.present]
        if absent:
            why.append(f"this study has no {' and no '.join(absent)}")
        if len(self.expected) < len(self.task.combinations(self.study.present)):
            why.append("the model has no answer to the others")
        if self.missing:
            why.append(f"{len(self.missing)} not computed yet")
        return f"{text}: {'; '.join(why)}." if why else f"{text}."

    def title(self, combination: Iterable[str]) -> str:
        """Titles joined with +, e.g. “FLAIR + T1ce”."""
        return " + ".join(self.task.modality(name).title for name in combination)

    def used(self, combination: Combination) -> tuple[bool, ...]:
        """One flag per modality of the task: filled or empty dot."""
        return tuple(name in combination for name in self.task.names)

    def gains(self, combination: Combination) -> Mapping[str, str]:
        """A sentence for each modality that ``combination`` has not and that would probably change much."""
        if self.card is None:
            return {}
        if combination not in self._gains:
            worths = worth_of_missing(self.card, self.task, combination)
            told = {worth.missing: sentence(self.task, combination, worth) for worth in worths}
            self._gains[combination] = {name: text for name, text in told.items() if text}
        return self._gains[combination]

    def estimated(self, combination: Combination) -> tuple[str, ...]:
        """Names of the regions that this combination cannot show."""
        return tuple(region.name for region in self.task.estimated(combination))

    # -- rows ---------------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Row, ...]:
        """A row per prediction, largest combinations first."""
        return tuple(self.row(c) for c in self.predictions)

    def row(self, combination: Combination) -> Row:
        """One row, measured on first use. Raises KeyError if the combination is not computed yet."""
        prediction = self.predictions[combination]
        return Row(
            combination=combination,
            sizes=prediction.sizes,
            versus=self.between(combination, self.against) if self.against in self.predictions else None,
            dice=self.dice(combination),
            seconds=prediction.seconds,
            estimated=self.estimated(combination),
        )

    def between(self, a: Combination, b: Combination) -> Values:
        """Dice per region of two combinations' results. Raises KeyError if one is not computed yet."""
        return self._measured[a].dice(self._measured[b], self.task)

    @property
    def second_name(self) -> str | None:
        return None if self.second is None else self.second.name

    def between_models(self, combination: Combination) -> Values:
        """Dice per region of both models' results. Raises KeyError if one is not computed yet."""
        return self._measured[combination].dice(self._theirs[combination], self.task)

    def dice_of_second(self, combination: Combination) -> Values | None:
        """Dice per region of the second model's result to the loaded reference, or None without one."""
        if self._reference is None:
            return None
        return self._theirs[combination].dice(self._reference, self.task)

    def dice(self, combination: Combination) -> Values | None:
        """Dice per region to the loaded reference, or None without one."""
        if self._reference is None:
            return None
        return self._measured[combination].dice(self._reference, self.task)

    def measure(self, combination: Combination) -> Mapping[str, Values]:
        """HD95 and the metrics of other packages: name → region → value. Empty without a reference.

        Slow the first time: up to half a second for HD95 alone.
        """
        if self._reference is None:
            return {}
        return self._measured[combination].measure(self._reference, self.task, self.spacing)

    def is_measured(self, combination: Combination) -> bool:
        """True if :meth:`measure` was called for this row, so that it costs nothing."""
        measured = self._measured.get(combination)
        return measured is not None and self._reference in measured.measures

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size per axis, mm; 1 px in 2-D."""
        ndim = len(self.study.grid.shape)
        return self.study.grid.spacing[:ndim] if self.task.ndim == 3 else (1.0,) * ndim

    # -- trust --------------------------------------------------------------------------------------------

    def likeness(self, combination: Combination) -> float | None:
        """Median Dice of the outermost region with each other combination's result; None with fewer than three."""
        others = [other for other in self.predictions if other != combination]
        if combination not in self.predictions or len(others) < OTHERS:
            return None
        outer = self.task.regions[0].name
        return median(self.between(combination, other)[outer] for other in others)

    def trust(self, combination: Combination) -> Trust:
        """How far a result may be believed. Raises KeyError if the combination is not computed yet."""
        if combination not in self._trust:
            self._trust[combination] = judge(self.predictions[combination], self.likeness(combination))
        return self._trust[combination]

    # -- columns ------------------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All numeric columns, in the order of the table; those to a reference only if there is one."""
        return columns_of(self)

    def column(self, key: str) -> Column:
        """Raises KeyError for an unknown one."""
        for column in self.columns:
            if column.key == key:
                return column
        raise KeyError(key)

    def explain(self, key: str) -> str:
        """How the numbers of a column are computed, in one or two sentences."""
        return self.column(key).explanation

    def value(self, combination: Combination, key: str) -> float | None:
        """One cell; None if not computed, not applicable, or not measured yet (:meth:`measure`)."""
        column = self.column(key)
        if combination not in self.predictions:
            return None
        if column.kind == "seconds":
            return self.predictions[combination].seconds
        if column.kind in METRICS and not self.is_measured(combination):
            return None
        row: Values | None
        if column.kind in SECOND:
            row = self._of_second(combination, column.kind)
        elif column.kind == "size":
            row = self.predictions[combination].sizes
        elif column.kind == "versus":
            row = self.between(combination, self.against) if self.against in self.predictions else None
        else:
            row = self.dice(combination) if column.kind == "dice" else self.measure(combination)[column.kind]
        found = None if row is None else row[str(column.region)]
        return None if found is None or math.isnan(found) else found

    def _of_second(self, combination: Combination, kind: Kind) -> Values | None:
        if self.second is None or combination not in self._theirs:
            return None
        if kind == "second_size":
            return self.second.predictions[combination].sizes
        if kind == "second_versus":
            return self.between_models(combination)
        return self.dice_of_second(combination)

    def is_estimated(self, combination: Combination, key: str) -> bool:
        """True if the cell is of a region that the combination cannot show: to be greyed."""
        return self.column(key).region in self.estimated(combination)

    def is_doubted(self, combination: Combination, key: str) -> bool:
        """True if the cell is to be greyed: of a region that cannot be shown, or of a result that cannot be right."""
        region = self.column(key).region
        if region is None or combination not in self.predictions:
            return False
        return self.trust(combination).is_doubted(region)

    def shown(self, combination: Combination, key: str) -> float | None:
        """:meth:`value` as a table shows it: no Dice of a region that cannot be seen and was not found.

        Two empty regions count as 1, which would say that it was seen well.
        """
        column, prediction = self.column(key), self.predictions.get(combination)
        unseen = column.kind in DICE and self.is_estimated(combination, key)
        if unseen and prediction is not None and prediction.sizes[str(column.region)] == 0:
            return None
        return self.value(combination, key)

    def ordered(self, key: str, *, descending: bool = True) -> tuple[Combination, ...]:
        """Combinations sorted by a column; cells without a value last either way."""
        cells = [(c, self.value(c, key)) for c in self.predictions]
        there = [(v, c) for c, v in cells if v is not None]
        there.sort(key=lambda cell: cell[0], reverse=descending)
        return tuple(c for _, c in there) + tuple(c for c, v in cells if v is None)

    def foot(self, key: str) -> tuple[float, float, int] | None:
        """Average, standard deviation over the combinations (divisor n), and number of cells that count.

        None if there are none. Cells of estimated regions count, as in the papers' tables.
        """
        cells = [v for v in (self.value(c, key) for c in self.predictions) if v is not None]
        return (float(np.mean(cells)), float(np.std(cells)), len(cells)) if cells else None


def trust_in(study: Study) -> Callable[[Prediction, Sequence[Prediction]], dict[str, Any]]:
    """A function: the trust in a prediction of ``study`` beside all that came with it, as JSON types."""
    known: list[Comparison] = []

    def of(prediction: Prediction, every: Sequence[Prediction]) -> dict[str, Any]:
        if not known or len(known[-1].predictions) != len(every):
            known[:] = [Comparison(study, every)]
        return known[-1].trust(prediction.combination).document()

    return of


def dice_to_reference(study: Study) -> Callable[[Prediction], Values | None]:
    """A function: Dice per region of a prediction of ``study`` to its reference, None without one."""
    reference = _Labels(study.reference.labels) if study.reference else None

    def measure(prediction: Prediction) -> Values | None:
        if reference is None:
            return None
        return _Labels(prediction.labels, prediction.box).dice(reference, study.task)

    return measure
