"""The card of a trained model: what it is and what it was trained on, said plainly."""

from __future__ import annotations

from mrseg_training.data.cache import Volumes
from mrseg_training.settings import Config, StagePart
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.tasks import get_task


def model_card(config: Config, stage: str, part: StagePart, data: Volumes) -> ModelCard:
    """The card of the model that ``stage`` left."""
    task = get_task(config.task)
    kinds = {
        "simulated": f"simulated subjects of seed {config.data.simulate.seed} in a template's tissue maps",
        "brats": "subjects of a BraTS data set",
        "folders": "subjects of the user's own folders",
    }
    limits = {
        "reconstruct": "Stage 1 only: it brings back modalities and has no segmentation head, so it finds nothing. ",
        "contrast": "Stages 1 and 2 only: no adapters yet. ",
    }
    largest = tuple(max(extent[axis] for extent in part.extents) for axis in range(3 - task.ndim, 3))
    return ModelCard(
        name=config.model.name,
        version=config.model.version,
        licence="not stated: set by whoever trained it",
        task=task.name,
        modalities=task.names,
        regions=tuple(region.name for region in task.regions),
        mirrored=config.model.mirrored,
        normalisation={"name": "robust"},
        validated=tuple(
            Validated(spacing_mm=spacing, extents_max=largest)
            for spacing in (config.data.spacing, 2 * config.data.spacing)[: 2 if part.coarse else 1]
        ),
        trained_on=(f"{len(data.subjects)} {kinds[config.data.source]}",),
        intended_use="Research only. Not a medical device; not for diagnosis or treatment.",
        limitations=limits.get(stage, "")
        + f"Trained by {', '.join(config.recipe)} with seed {config.seed}; not yet measured on scans.",
    )
