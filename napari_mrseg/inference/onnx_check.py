"""Does an exported file compute what the model folder does? On a real study, for every combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_mrseg.errors import InputError
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.inference.scans import Scans
from napari_mrseg.inference.tiles import tile
from napari_mrseg.models.onnx_export import INPUTS, OUTPUT, window_of
from napari_mrseg.models.store import Model
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, key

LARGEST_DIFFERENCE = 1e-3
LEAST_EQUAL = 0.999


@dataclass(frozen=True)
class Agreement:
    """``difference``: largest one of the probabilities; ``equal``: share of voxels with the same label."""

    combination: Combination
    difference: float
    equal: float
    voxels: int

    @property
    def holds(self) -> bool:
        """Within :data:`LARGEST_DIFFERENCE`, and labels equal on at least :data:`LEAST_EQUAL` of the voxels."""
        return self.difference <= LARGEST_DIFFERENCE and self.equal >= LEAST_EQUAL

    def __str__(self) -> str:
        return (
            f"{key(self.combination)}: largest difference {self.difference:.1e}, labels equal on "
            f"{100 * self.equal:.3f} % of {self.voxels} voxels"
        )


def check_onnx(
    model: Model, path: str | Path, study: Study, extents: Sequence[int] | None = None
) -> list[Agreement]:
    """Run both on the same windows of ``study``, float32, on the CPU; one entry for each combination it can do.

    Raises InputError without the package onnxruntime, or if the file cannot be run.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            'Checking needs onnxruntime, which is not installed; pip install "napari-mrseg[onnx]".'
        ) from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of many types, and none is public
        raise InputError(
            f"{Path(path).name} cannot be run by onnxruntime ({error}); export it again."
        ) from None
    window = window_of(model, extents)
    network, task = model.network.for_inference(), model.task
    method = str(model.card.normalisation["name"])
    scans = Scans(method, model.network.stride, least=window, frames=task.ndim == 2)
    found = []
    for combination in model.card.combinations(study.present):
        only = study.only(combination)
        where = scans.frame(only, model.card.validated[0].spacing(study.grid.shape))
        images = scans.inputs([only], where, torch.device("cpu"), torch.float32, lambda: None)
        available = torch.tensor([[name in combination for name in task.names]])
        largest, equal, voxels = 0.0, 0, 0
        for place in tile(images.shape[2:], window, model.network.stride, fixed=True):
            part = images[(slice(None), slice(None), *place)].contiguous()
            with torch.inference_mode():
                ours = probabilities(network(part, available).float(), task.output)
            theirs = probabilities(torch.from_numpy(_run(session, part, available)), task.output)
            largest = max(largest, float((ours - theirs).abs().max()))
            cuts = model.card.thresholds_for(combination)
            same = _labels(task, ours, cuts) == _labels(task, theirs, cuts)
            equal, voxels = equal + int(same.sum()), voxels + same.size
        found.append(Agreement(combination, largest, equal / voxels, voxels))
    return found


def _run(session: Any, images: Tensor, available: Tensor) -> npt.NDArray[np.float32]:
    given = dict(zip(INPUTS, (images.numpy(), available.numpy()), strict=True))
    wanted = {one.name for one in session.get_inputs()}
    logits: npt.NDArray[np.float32] = session.run([OUTPUT], {k: v for k, v in given.items() if k in wanted})[
        0
    ]
    return logits


def _labels(task: Any, found: Tensor, cuts: Sequence[float]) -> npt.NDArray[np.integer]:
    labels: npt.NDArray[np.integer] = task.label_map(found[0], cuts).numpy()
    return labels
