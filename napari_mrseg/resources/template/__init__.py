"""A healthy adult brain: ICBM 152 2009a, see template.txt for its licence and citation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

SPACING = 2.0  # mm
FILE = Path(__file__).parent / "template.npz"


def tissue_maps() -> npt.NDArray[np.float32]:
    """(3, I, P, L) grey matter, white matter and brain in [0, 1], at :data:`SPACING`."""
    with np.load(FILE, allow_pickle=False) as file:
        maps: npt.NDArray[np.float32] = file["maps"].astype(np.float32) / 255
    return maps
