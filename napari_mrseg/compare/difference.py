"""Two results of one study in one picture: only in the first, only in the second, in both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.metrics import lookup
from napari_mrseg.tasks import Task

ONLY_A, ONLY_B, BOTH = 1, 2, 3
A_COLOUR, B_COLOUR, BOTH_COLOUR = "#E69F00", "#56B4E9", "#FFFFFF"
COLOURS = {ONLY_A: A_COLOUR, ONLY_B: B_COLOUR, BOTH: BOTH_COLOUR}


def difference(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], region: str, task: Task
) -> npt.NDArray[np.uint8]:
    """Codes of :data:`COLOURS` where ``region`` is, 0 elsewhere, of two label maps of the same shape."""
    inside = lookup(task.region(region))
    return inside[first].astype(np.uint8) * ONLY_A + inside[second].astype(np.uint8) * ONLY_B
