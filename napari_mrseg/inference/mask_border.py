"""Whether a finding reaches the border of the brain mask, where a part of it may have been cut away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Task

AT_BORDER = "at_brain_border"
TOUCH_CM2 = 2.0  # of common surface, from which on it is told


def touched_cm2(
    finding: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], spacing: tuple[float, ...]
) -> float:
    """Area of the faces between voxels of ``finding``, (I, P, L) bool, and voxels outside ``mask``, cm²."""
    if not finding.any():
        return 0.0
    sides = [np.flatnonzero(finding.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(slice(max(0, int(s[0]) - 1), int(s[-1]) + 2) for s in sides)
    found, outside = finding[box], ~mask[box]
    total = 0.0
    for axis in range(3):
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        faces = (found[first] & outside[second]).sum() + (found[second] & outside[first]).sum()
        total += float(faces) * float(np.prod([mm for a, mm in enumerate(spacing) if a != axis])) / 100
    return total


def border_note(task: Task, labels: npt.NDArray[np.uint8], study: Study) -> tuple[Note, ...]:
    """A note if the outermost region touches the border of the mask by which the brain was cut out."""
    image = next(iter(study.images.values()))
    if image.mask is None:
        return ()
    region = task.regions[0]
    area = touched_cm2(np.isin(labels, region.codes), image.mask, study.grid.spacing)
    if area < TOUCH_CM2:
        return ()
    said = (
        f"{region.name} ({region.title}) reaches the border of the brain mask over {area:.0f} cm²: a part of it may "
        "be cut away; look at the border there, and paint the mask where it is wrong."
    )
    return (Note(AT_BORDER, said),)
