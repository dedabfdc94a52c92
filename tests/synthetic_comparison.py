"""Synthetic predictions of every combination, for tests of what is derived from them. No model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Grid, Image, Note, Reference, Source, Study
from napari_mrseg.tasks import BRATS, Combination, Label, Modality, Region, Task

SHAPE = (10, 12, 11)
MODEL = {"name": "tiny", "version": "0.0", "sha256": "0" * 64}

TWO = Task(
    name="two",
    title="Two modalities, two exclusive regions, in pixels",
    modalities=(Modality("rgb", "RGB", ("rgb",)), Modality("depth", "Depth", ("depth",))),
    labels=(Label(1, "A", "ay", ("#D55E00",)), Label(2, "B", "bee", ("#56B4E9",))),
    regions=(Region("A", "ay", (1,), paints=1), Region("B", "bee", (2,), paints=2)),
    nested=False,
    fill="copy",
    ndim=2,
)

Probabilities = Callable[[Combination], npt.NDArray[np.floating]]


def source(name: str, shape: Sequence[int] = SHAPE, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Source:
    """A source whose file axes are I, P, L."""
    i, p, left = spacing
    affine = np.array([[0, 0, -left, 10], [0, -p, 0, 20], [-i, 0, 0, 30], [0, 0, 0, 1.0]])
    return Source(Path(f"{name}.nii.gz"), Grid.of(shape, affine), sha256=name)


def study(
    names: Iterable[str] | None = None,
    *,
    task: Task = BRATS,
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    reference: npt.NDArray[np.uint8] | None = None,
    case: str = "synthetic",
) -> Study:
    """A study of noise images."""
    rng = np.random.default_rng(0)
    order = task.names if names is None else task.combination(names)
    images = {n: Image(rng.random(shape, dtype=np.float32), source(n, shape, spacing)) for n in order}
    found = None if reference is None else Reference(reference, source("seg", shape, spacing))
    return Study(task, case, images, found)


def prediction(
    study: Study, combination: Combination, found: npt.NDArray[np.floating], **changes: object
) -> Prediction:
    """A prediction with these probabilities, (regions, I, P, L), on the whole grid."""
    values = {
        "task": study.task,
        "case": study.case,
        "combination": combination,
        "grid": study.grid,
        "labels": np.asarray(study.task.label_map(found)).astype(np.uint8),
        "probabilities": found.astype(np.float16),
        "box": tuple(slice(0, n) for n in study.grid.shape),
        "model": MODEL,
        "device": "cpu",
        "precision": "fp32",
        "spacing": 1.0,
        "seconds": float(len(combination)),
    }
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def smooth(study: Study, seed: int = 0, agree: float = 0.75) -> Probabilities:
    """Nested random probabilities that share a part ``agree`` over all combinations."""
    regions = len(study.task.regions)

    def make(combination: Combination) -> npt.NDArray[np.floating]:
        common = np.random.default_rng(seed).random(study.grid.shape)
        own = np.random.default_rng([seed, *(study.task.names.index(n) for n in combination)]).random(
            study.grid.shape
        )
        p = agree * common + (1 - agree) * own
        return np.stack([np.clip(p - 0.12 * r, 0, 1) for r in range(regions)])

    return make


def comparison(
    study: Study, make: Probabilities | None = None, *, only: Iterable[Combination] | None = None
) -> Comparison:
    """Predictions of ``make`` for every combination (or ``only`` some)."""
    make = make or smooth(study)
    wanted = study.task.combinations(study.present) if only is None else only
    note = Note("et_without_contrast", "No contrast: ET is not observable & only an estimate.")
    return Comparison(
        study,
        {c: prediction(study, c, make(c), notes=(note,) if study.task.estimated(c) else ()) for c in wanted},
    )
