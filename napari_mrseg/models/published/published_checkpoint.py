"""A checkpoint of somebody's published code -> one of our networks with its weights, and a card."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from napari_mrseg.errors import InputError
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.models.foreign_weights import check_weights, read_weights, without_prefix
from napari_mrseg.models.network import find_network
from napari_mrseg.models.published.published_network import Published
from napari_mrseg.tasks import BRATS

KINDS = {
    "rfnet": "rfnet",
    "mmformer": "mmformer-published",
    "unimrseg": "unimrseg-published",
    "m3ae": "m3ae",
    "imfuse": "imfuse",
    "imfuse-concatenated": "imfuse",
}
"""What ``--as`` takes, and the network each stands for."""
UNTOLD: dict[str, dict[str, object]] = {"imfuse-concatenated": {"interleaved": False}}
"""Settings of these that no weight tells."""


def read_published(
    file: Path, kind: str, *, name: str | None = None, axes: str | None = None
) -> tuple[Published, ModelCard]:
    """The network that ``kind``, one of :data:`KINDS`, stands for with the weights in ``file``, and its card.

    ``axes``: where the axes of its arrays point; default: as the published code reads BraTS files.
    Raises InputError for a checkpoint that lacks a weight, holds another, or has one of another shape, by its name.
    """
    if kind not in KINDS:
        raise InputError(f"“{kind}” is no network whose checkpoints are taken; known: {', '.join(KINDS)}.")
    network_type = find_network(KINDS[kind])
    assert issubclass(network_type, Published)
    weights = without_prefix(read_weights(file), network_type.prefixes)
    settings = network_type.settings_of(weights, axes).model_copy(update=UNTOLD.get(kind, {}))
    with torch.device("meta"):
        expected = network_type(settings).state_dict()
    check_weights(weights, expected, file.name, kind)
    with torch.random.fork_rng(devices=[]):
        network = network_type(settings)
    network.load_state_dict(weights)
    return network.eval(), _card(network, file, kind, name)


def _card(network: Published, file: Path, kind: str, name: str | None) -> ModelCard:
    window = network.window
    assert window is not None
    own = re.sub(r"[^a-z0-9._-]+", "-", (name or f"{kind}-{file.name.rpartition('.')[0]}").lower()).strip(
        "-."
    )
    return ModelCard(
        name=own[:64],
        version="0",
        licence="not stated in the checkpoint: ask whoever trained it",
        task=BRATS.name,
        modalities=BRATS.names,
        regions=tuple(region.name for region in BRATS.regions),
        normalisation={"name": network.normalisation},
        validated=(Validated(spacing_mm=1.0, extents_max=window),),
        trained_on=("not stated in the checkpoint: ask whoever trained it",),
        intended_use="Research only. Not a medical device; not for diagnosis or treatment.",
        limitations=(
            f"Weights of {file.name}, trained with the code published with {network.paper}, and not measured here: "
            f"compare a result with that code's own before use. Computed in windows of {' × '.join(map(str, window))} "
            f"voxels, intensities scaled by {network.normalisation}, its arrays with the axes {network.settings.axes}."
        ),
    )
