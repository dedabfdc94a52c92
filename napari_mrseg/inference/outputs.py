"""From a network's logits to probabilities and regions, as the task says. One home for training and for the viewer."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_mrseg.tasks import Output


def probabilities(logits: Tensor, output: Output) -> Tensor:
    """(B, R, ...) logits -> probabilities of each region. Softmax: none of the regions has the logit 0."""
    if output == "sigmoid":
        return torch.sigmoid(logits)
    none = torch.zeros_like(logits[:, :1])
    return torch.cat((none, logits), 1).softmax(1)[:, 1:]


def inside(logits: Tensor, output: Output) -> Tensor:
    """(B, R, ...) logits -> bool: which regions a voxel is in."""
    likely = logits > 0
    return likely if output == "sigmoid" else likely & (logits == logits.amax(1, keepdim=True))
