"""Models for a session's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mrseg.models.store import About, Model


def model_here(model: About) -> Model:
    """The model of that name on this computer, else the bundled one for its task."""
    from napari_mrseg.errors import UnknownModelError
    from napari_mrseg.models.store import load_model

    try:
        return load_model(model.card.name, task=model.task)
    except UnknownModelError:
        return load_model(task=model.task)
