"""Pickled checkpoints of others: the weights by name, and nothing else in them is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from napari_mrseg.errors import InputError

HOLDERS = ("state_dict", "model_state_dict", "model", "network", "net")
"""Keys of checkpoints that hold more than the weights."""
LARGEST = 4 * 1024**3  # bytes


def read_weights(file: Path, said: str = "") -> dict[str, Tensor]:
    """The tensors in ``file`` by name. ``said``: what the file is called in errors.

    Opened with ``weights_only``, so that nothing in it is run. Raises InputError for what holds no weights by name.
    """
    said = said or file.name
    if not file.is_file():
        raise InputError(f"{said} is not there; give a checkpoint, e.g. model_last.pth.")
    if file.stat().st_size > LARGEST:
        raise InputError(f"{said} is larger than {LARGEST // 2**30} GB; give the weights alone.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no checkpoint makes the reader raise
        raise InputError(
            f"{said} is not a file of weights alone, and nothing else is opened since it could run code; save its "
            "state_dict."
        ) from error
    for holder in HOLDERS:
        if isinstance(state, dict) and isinstance(state.get(holder), dict):
            state = state[holder]
    if not isinstance(state, dict) or not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise InputError(f"{said} holds no weights by name; save its state_dict.")
    return {str(name): tensor for name, tensor in state.items()}


def without_prefix(weights: Mapping[str, Tensor], prefixes: Sequence[str]) -> dict[str, Tensor]:
    """The weights with what data-parallel training and wrappers put before every name taken off."""
    found = dict(weights)
    again = True
    while again:
        again = False
        for prefix in prefixes:
            if found and all(name.startswith(prefix) for name in found):
                found = {name[len(prefix) :]: tensor for name, tensor in found.items()}
                again = True
    return found


def check_weights(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], said: str, network: str
) -> None:
    """Raises InputError that names the first weight that is missing, belongs elsewhere, or has another shape."""
    missing = [name for name in expected if name not in weights]
    extra = [name for name in weights if name not in expected]
    for names, what in ((missing, "lacks"), (extra, "holds")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            kind = "of" if what == "lacks" else "unknown to"
            raise InputError(
                f"{said} {what} “{names[0]}”{more}, {kind} the network {network}; it is a checkpoint of another "
                "network or version."
            )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"{said}: “{name}” has the shape {tuple(tensor.shape)}, {network} has {tuple(expected[name].shape)} "
                "there; it was trained with other settings."
            )
        if not torch.isfinite(tensor.float()).all():
            raise InputError(
                f"{said}: “{name}” holds values that are not finite; take an earlier checkpoint."
            )
