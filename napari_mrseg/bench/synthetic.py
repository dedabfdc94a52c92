"""What is measured when the user gives no study and no model: synthetic ones of the usual size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import Model, Validated, load_model, save_model
from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg
from napari_mrseg.study import Grid, Image, Source, Study
from napari_mrseg.tasks import DEFAULT, Combination, Task, get_task

SHAPE = (155, 240, 240)  # voxels of 1 mm, axes I, P, L: what BraTS files hold
BRAIN = (139, 171, 139)  # extents of a large adult brain, mm; its frame is 144 × 176 × 144
LARGEST = ((1.0, (192, 224, 192)), (2.0, (96, 112, 96)))  # a random model takes a whole brain in one window


@dataclass(frozen=True)
class Subject:
    """The study to measure on: ``paths`` of the user's own, or none and the extents of a synthetic one, of ``task``."""

    paths: tuple[str, ...] = ()
    shape: tuple[int, ...] = SHAPE
    brain: tuple[int, ...] = BRAIN
    task: str = DEFAULT.name

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Subject:
        """From JSON."""
        return cls(tuple(data["paths"]), tuple(data["shape"]), tuple(data["brain"]), data["task"])

    def open(self) -> Study:
        """Read it or make it. Raises InputError for files that cannot be used."""
        if not self.paths:
            return synthetic_study(self.shape, self.brain, get_task(self.task))
        from napari_mrseg.io import open_study

        return open_study(self.paths, task=get_task(self.task), reference=False)


def synthetic_study(
    shape: Sequence[int] = SHAPE, brain: Sequence[int] = BRAIN, task: Task = DEFAULT
) -> Study:
    """A textured ellipsoid of ``brain`` voxels with a bright ball in it, on zeros; all modalities, 1 mm.

    Of a 2-D task: one slice of it.
    """
    if task.ndim == 2:
        shape, brain = (1, *shape[1:]), (1, *brain[1:])
    # Axes I, P, L of 1 mm, so that nothing needs to be turned.
    i0, p0, l0 = (n / 2 for n in shape)
    affine = np.array([[0, 0, -1, l0], [0, -1, 0, p0], [-1, 0, 0, i0], [0, 0, 0, 1]])
    grid = Grid.of(shape, affine)
    lines = [(np.arange(n) - n // 2) / (b / 2) for n, b in zip(shape, brain, strict=True)]
    i, p, l = np.meshgrid(*lines, indexing="ij", sparse=True)  # noqa: E741
    inside = i**2 + p**2 + l**2 <= 1
    lesion = (i - 0.2) ** 2 + (p + 0.2) ** 2 + (l - 0.4) ** 2 < 0.06
    images = {}
    for index, name in enumerate(task.names):
        texture = np.random.default_rng(index).standard_normal(shape, dtype=np.float32)
        data = np.where(inside, 400 + 60 * texture + 150 * (1 + index % 3) * lesion, 0).astype(np.float32)
        identity = f"synthetic-{name}-{tuple(shape)}-{tuple(brain)}"
        if task.modality(name).channels > 1:
            data = np.repeat(data[..., None], task.modality(name).channels, -1)
        images[name] = Image(data, Source(Path(f"{name}.nii.gz"), grid, identity))
    return Study(task, "synthetic", images)


def renamed(study: Study, tag: str) -> Study:
    """The same voxels as another subject, so that nothing remembered of the first one serves the second."""
    images = {
        name: Image(image.data, replace(image.source, sha256=f"{image.source.sha256}-{tag}"))
        for name, image in study.images.items()
    }
    return replace(study, case=f"{study.case}-{tag}", images=images)


def random_model(folder: Path, settings: Settings | str = "compact", *, seed: int = 0) -> Model:
    """A model folder of random weights at 1 mm and 2 mm, adapters in use. Good for times, not for results."""
    name = settings if isinstance(settings, str) else "own"
    settings = SIZES[settings] if isinstance(settings, str) else settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UniMRSeg(settings)
        with torch.no_grad():
            for parameter_name, parameter in network.named_parameters():
                if "hidden" in parameter_name:  # zero before training, as if there were no adapters
                    parameter.normal_(0, 0.02)
    card = ModelCard(
        name=f"random-{name}",
        version="0",
        licence="none",
        task=DEFAULT.name,
        modalities=DEFAULT.names,
        regions=tuple(region.name for region in DEFAULT.regions),
        normalisation={"name": "robust"},
        validated=tuple(Validated(spacing_mm=mm, extents_max=extents) for mm, extents in LARGEST),
        trained_on=("nothing: random weights",),
        intended_use="measuring speed",
        limitations="finds nothing",
    )
    save_model(folder, network, card)
    return load_model(folder)


def headline(study: Study) -> tuple[Combination, Combination | None]:
    """(the incomplete combination to measure, the complete one or None if the study lacks a modality)."""
    if study.present == study.task.names and len(study.present) > 1:
        return study.present[:-1], study.present
    return study.present, None
