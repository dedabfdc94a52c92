"""How like an imagined scan is to the real one: PSNR and SSIM within a mask, both in the same normalised units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from napari_mrseg.inference.imagining import Imagined, Imaginer
    from napari_mrseg.study import Study

SIGMA = (
    1.5  # voxels: of the Gaussian window of structural similarity (Wang 2004, doi 10.1109/TIP.2003.819861)
)
REACH = 3.5  # sigmas at which the window ends, 11 voxels in all
TAIL = 0.1  # percent of the real scan's voxels left out at each end of its range

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Likeness:
    """``psnr`` in dB; ``ssim`` from −1 to 1, mean over the mask."""

    psnr: float
    ssim: float

    @property
    def rounded(self) -> dict[str, float]:
        """As it is written into files."""
        return {"psnr": round(self.psnr, 2), "ssim": round(self.ssim, 4)}


def likeness_to_real(imaginer: Imaginer, study: Study, imagined: Imagined) -> dict[str, Likeness]:
    """How like the real scan of ``study`` it is, over the "brain" and, where the study has a reference, the "tumour".

    Raises InputError if the real scan is not there.
    """
    real = imaginer.real(study, imagined.target)
    brain = imagined.inside & imaginer.shown(study, imagined.target)
    parts = {"brain": brain}
    if study.reference is not None:
        parts["tumour"] = brain & (study.reference.labels > 0)
    return likeness(imagined.middle, real, brain, parts)


def likeness(imagined: Array, real: Array, brain: Mask, parts: dict[str, Mask]) -> dict[str, Likeness]:
    """PSNR and SSIM of ``imagined`` against ``real``, (I, P, L) in the same units, over each of ``parts``.

    The range of both is the real scan's within ``brain``, from its 0.1st to its 99.9th percentile. A part without a
    voxel is left out. Outside the brain both are taken as they are there, which is 0.
    """
    low, high = np.percentile(real[brain], (TAIL, 100 - TAIL)) if brain.any() else (0.0, 1.0)
    span = float(high - low) or 1.0
    box = _around(brain)
    x, y = imagined[box].astype(np.float64), real[box].astype(np.float64)
    similar = _similarity(x, y, span)
    found = {}
    for name, mask in parts.items():
        inside = mask[box]
        if inside.any():
            error = float(np.mean((x[inside] - y[inside]) ** 2))
            psnr = 10 * np.log10(span**2 / error) if error > 0 else float("inf")
            found[name] = Likeness(float(psnr), float(similar[inside].mean()))
    return found


def _similarity(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], span: float
) -> npt.NDArray[np.float64]:
    """Structural similarity around each voxel, as scikit-image's, which refuses volumes of fewer than 11 slices."""
    mx, my, mxx, myy, mxy = (gaussian_filter(v, SIGMA, truncate=REACH) for v in (x, y, x * x, y * y, x * y))
    vx, vy, vxy = mxx - mx * mx, myy - my * my, mxy - mx * my
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    result: npt.NDArray[np.float64] = (
        (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    )
    return result


def _around(mask: Mask) -> tuple[slice, ...]:
    """The box of ``mask``, with room for the window."""
    sides = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(tuple(a for a in range(mask.ndim) if a != axis)))
        room = round(SIGMA * REACH) + 1
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, 0)
        sides.append(slice(max(0, first - room), min(mask.shape[axis], last + room + 1)))
    return tuple(sides)
