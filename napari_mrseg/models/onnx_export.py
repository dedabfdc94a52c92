"""A model folder as one ONNX file: images and availability in, logits out, for every combination of modalities."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import InstanceNorm
from napari_mrseg.models.network import Network
from napari_mrseg.models.store import Model

INPUTS, OUTPUT = ("images", "available"), "logits"
OPSET = 20


class _Exported(nn.Module):
    """What the file computes. ``images`` (1, C, I, P, L), ``available`` (1, M) bool -> logits (1, R, I, P, L)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, available: Tensor) -> Tensor:
        logits: Tensor = self.network(images, available)
        return logits.float()


def export_onnx(model: Model, path: str | Path, extents: Sequence[int] | None = None) -> Path:
    """Write the network of ``model`` as ONNX, float32, for windows of ``extents`` voxels (default: the card's largest).

    Input ``images`` (1, C, I, P, L): the task's channels in order, normalised as the card says, missing ones filled.
    ``available`` (1, M) bool: which modalities are there; not an input of a network that does not look at it. Output
    ``logits`` (1, R, I, P, L). The mean over mirrored images, where the card asks for it, is the caller's. The file's
    metadata hold the card. Raises InputError without the package onnx, for extents that do not fit, and for a network
    that cannot be exported.
    """
    path = Path(path)
    if model.network.not_exported:
        raise InputError(f"{model.card.name} cannot be exported: {model.network.not_exported}.")
    window = window_of(model, extents)
    channels, modalities = len(model.task.channels), len(model.task.names)
    images = torch.zeros(1, channels, *window)
    available = torch.ones(1, modalities, dtype=torch.bool)
    network = _Exported(plain(model.network)).eval()
    exporter = logging.getLogger("torch.onnx")  # it speaks of packages that nobody needs here
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        import onnxscript  # noqa: F401 - torch.onnx needs it and says so only in a traceback

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network, (images, available), input_names=list(INPUTS), output_names=[OUTPUT], opset_version=OPSET,
                dynamo=True, verbose=False,
            )  # fmt: skip
    except ImportError as error:
        raise InputError(
            f'Exporting needs {error.name}, which is not installed; pip install "napari-mrseg[onnx]".'
        ) from None
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise InputError(
            f"The network {model.network.architecture} of {model.card.name} cannot be exported ({first}); use the "
            "model folder."
        ) from error
    finally:
        exporter.setLevel(level)
    metadata = {
        "mrseg_card": json.dumps(model.card.model_dump(mode="json")),
        "mrseg_extents": json.dumps(window),
    }
    program.model.metadata_props.update(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path), external_data=False)
    return path


def window_of(model: Model, extents: Sequence[int] | None = None) -> tuple[int, int, int]:
    """Extents (I, P, L) of the windows that are exported. Raises InputError if they do not fit the network."""
    largest = model.card.validated[0].extents_max
    given = tuple(extents) if extents else largest
    window = (*(1,) * (3 - len(given)), *given)
    if len(window) != 3 or any(n < 1 or n % k for n, k in zip(window, model.network.stride, strict=True)):
        strides = ", ".join(map(str, model.network.stride))
        raise InputError(
            f"Extents {tuple(given)} must be three multiples of {strides}, as in the model's card."
        )
    if model.network.window is not None and window != model.network.window:
        raise InputError(
            f"{model.card.name} takes windows of {model.network.window} only; leave --extents out."
        )
    return window[0], window[1], window[2]


def plain(network: Network) -> Network:
    """A copy for inference without anything that depends on values or on this computer's kernels."""
    copied = network.for_inference()
    for module in copied.modules():
        if isinstance(module, Network):
            module.branching = False
        if isinstance(module, InstanceNorm):
            module.__class__ = nn.GroupNorm  # type: ignore[assignment]  # the same, without the way that is quicker on a CPU
    for parameter in copied.parameters():
        parameter.data = parameter.data.contiguous()
    return copied.requires_grad_(True)  # with gradients the portable kernels are taken
