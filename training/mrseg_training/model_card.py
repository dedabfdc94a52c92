"""The card of a trained model: what it is and what it was trained on, said plainly."""

from __future__ import annotations

from mrseg_training.data.prepared import Volumes
from mrseg_training.settings import CollaboratePart, Config, MutualPart, StagePart
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.tasks import Task, get_task


def model_card(
    config: Config, stage: str, part: StagePart, data: Volumes, unlabelled: Volumes | None = None
) -> ModelCard:
    """The card of the model that ``stage`` left; ``unlabelled``: what it learnt from beside ``data``."""
    task = get_task(config.task)
    kinds = {
        "simulated": f"simulated subjects of seed {config.data.simulate.seed} in a template's tissue maps"
        if task.ndim == 3
        else f"generated scenes of seed {config.data.simulate.seed}",
        "brats": "subjects of a BraTS data set",
        "folders": "subjects of the user's own folders",
        "heads": f"samples of seed {config.data.heads.seed} drawn from heads with their brain mask",
    }
    limits = {
        "reconstruct": "Stage 1 only: it brings back modalities and has no segmentation head, so it finds nothing. ",
        "imagine": "It imagines modalities and segments nothing. ",
        "contrast": "Stages 1 and 2 only: no adapters yet. ",
    }
    if isinstance(part, MutualPart) and part.refine and part.prior is None and config.model.network == "smml":
        limits[stage] = (
            "The refinement in training looked at the branches' own answers, not at a foundation model's. "
        )
    return ModelCard(
        name=config.model.name,
        version=config.model.version,
        licence="not stated: set by whoever trained it",
        needs=_needs(config, stage, task),
        sees=_sees(config, task),
        task=task.name,
        modalities=task.names,
        regions=tuple(region.name for region in task.regions),
        mirrored=config.model.mirrored,
        normalisation={"name": "level" if config.data.source == "heads" else "robust"},
        validated=_validated(config, part, task),
        trained_on=(f"{len(data.subjects)} {kinds[config.data.source]}{_beside(unlabelled)}",),
        intended_use="Research only. Not a medical device; not for diagnosis or treatment.",
        limitations=limits.get(stage, "")
        + f"Trained by {', '.join(config.recipe)} with seed {config.seed}; not yet measured on scans.",
    )


def _validated(config: Config, part: StagePart, task: Task) -> tuple[Validated, ...]:
    if config.model.longest is not None and task.ndim == 2:
        square = (config.model.longest, config.model.longest)
        return (Validated(spacing_mm=config.data.spacing, extents_max=square, whole=True),)
    largest = tuple(max(extent[axis] for extent in part.extents) for axis in range(3 - task.ndim, 3))
    spacings = (config.data.spacing, 2 * config.data.spacing)[: 2 if part.coarse else 1]
    return tuple(Validated(spacing_mm=spacing, extents_max=largest) for spacing in spacings)


def _sees(config: Config, task: Task) -> tuple[str, ...]:
    """The modalities that the network looks at, if not all."""
    seen = config.model.sketch(task).sees
    return () if seen is None else tuple(task.names[k] for k in seen)


def _needs(config: Config, stage: str, task: Task) -> tuple[str, ...]:
    """The modalities that it was always shown together."""
    part = config.stage(stage)
    return _sees(config, task) if isinstance(part, CollaboratePart) and not part.dropout else ()


def _beside(unlabelled: Volumes | None) -> str:
    return f", and {len(unlabelled.subjects)} without labels" if unlabelled is not None else ""
