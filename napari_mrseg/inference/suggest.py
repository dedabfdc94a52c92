"""What scans look like whose names and tags say nothing, by the contrast of fluid, white matter and cortex."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from napari_mrseg.inference.plausibility import EXCHANGED, ImageStatistics, image_statistics, vessels
from napari_mrseg.prepare import measure
from napari_mrseg.study import Image
from napari_mrseg.tasks import Task

LEAST = 1.0  # how much better the best must be than the second best, in log-likelihood, to be suggested


def suggest(images: Sequence[Image], task: Task, assigned: Iterable[str] = ()) -> list[str | None]:
    """The modality that each image most looks like, none twice and none of ``assigned``; None where it cannot be told.

    Looks at how bright fluid is and how white matter stands to cortex; two that only an agent tells apart are told
    by their vessels, where both are there.
    """
    free = [m for m in task.modalities if m.name not in set(assigned) and m.typical is not None]
    statistics = [_statistics(image) for image in images]
    seen = [i for i, stats in enumerate(statistics) if stats is not None]
    found: list[str | None] = [None] * len(images)
    if not free or not seen:
        return found
    scores = np.array([[_score(statistics[i], m.typical) for m in free] for i in seen])
    rows, columns = linear_sum_assignment(-scores)
    for row, column in zip(rows, columns, strict=True):
        # Modalities of one weighting count as one here: an agent is told by vessels alone.
        others = [scores[row, k] for k in range(len(free)) if free[k].weighting != free[column].weighting]
        if not others or scores[row, column] - max(others) >= LEAST:
            found[seen[row]] = free[column].name
    return _by_vessels(found, statistics, task)


def _by_vessels(
    found: list[str | None], statistics: Sequence[ImageStatistics | None], task: Task
) -> list[str | None]:
    """Two that differ by an agent exchanged, where the vessels of the other one are the brighter."""
    there: Mapping[str, int] = {name: i for i, name in enumerate(found) if name}
    for after, before in task.enhanced:
        if after in there and before in there:
            a, b = statistics[there[after]], statistics[there[before]]
            if a is not None and b is not None and vessels(a, b) < 0:
                found[there[after]], found[there[before]] = before, after
        elif after in there:
            found[there[after]] = None  # without the other there is nothing to tell the agent by
    return found


def enhanced(after: Image, before: Image) -> bool:
    """True if vessels are clearly brighter in ``after``, as an agent makes them; False also where it cannot be told."""
    a, b = _statistics(after), _statistics(before)
    return a is not None and b is not None and vessels(a, b) > EXCHANGED


def _statistics(image: Image) -> ImageStatistics | None:
    stats = image_statistics(image, measure(torch.from_numpy(np.array(image.data))))
    return stats if stats.is_whole_brain else None


def _score(
    stats: ImageStatistics | None, typical: tuple[tuple[float, float], tuple[float, float]] | None
) -> float:
    """Log-likelihood, but for a constant."""
    assert stats is not None
    assert typical is not None
    values = zip((stats.tail, stats.rise), typical, strict=True)
    return -sum(
        ((value - mean) / spread) ** 2 / 2 + float(np.log(spread)) for value, (mean, spread) in values
    )
