"""What is done to scans between reading and the network. Each step is recorded in the images that it changed.

A step is a frozen dataclass whose fields are its settings, as plain JSON values. To add one, write such a class and
hand it to :func:`~napari_mrseg.io.open.open_study` or :func:`take`: the record goes into the study's digest, so that no
result of other voxels is taken for this one's, and into ``result.json``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from napari_mrseg.study import AppliedStep, Image, Note, Source, Study
from napari_mrseg.tasks import Task

Outcome = tuple[Mapping[str, Image], tuple[Note, ...]]
"""Images that a step changed, by modality, and what is to be known about it."""


@dataclass(frozen=True)
class Step(ABC):
    """One thing done to the images of a study. ``name`` is what records call it."""

    name: ClassVar[str]

    @abstractmethod
    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        """Change what has to change, by :meth:`changed`. Raises InputError."""

    def changed(
        self, image: Image, data: npt.NDArray[np.float32], source: Source | None = None, **found: Any
    ) -> Image:
        """``image`` with other voxels, and a record of it: the step's settings and what it ``found``."""
        step_record = AppliedStep.of(self.name, asdict(self) | found)
        return replace(image, data=data, source=source or image.source, steps=(*image.steps, step_record))


def apply_steps(images: Mapping[str, Image], steps: Iterable[Step], task: Task) -> Outcome:
    """All of them, one after the other; all images come back."""
    present = dict(images)
    notes: list[Note] = []
    for step in steps:
        changed, step_notes = step.apply(present, task)
        present |= changed
        notes += step_notes
    return present, tuple(notes)


def take(study: Study, steps: Iterable[Step]) -> Study:
    """``study`` after ``steps``."""
    images, notes = apply_steps(study.images, steps, study.task)
    return replace(study, images=images, notes=(*study.notes, *notes))
