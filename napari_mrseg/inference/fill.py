"""What stands in for a modality that is missing. One home for training and for the viewer."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_mrseg.tasks import Task

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


def fill(images: Tensor, available: Tensor, task: Task) -> Tensor:
    """``images`` (B, C, ...), normalised, with the modalities not ``available`` (B, M) replaced as the task says.

    ``zero``: by zeros. ``copy``: by the first kept one, in as many channels (:func:`as_channels`).
    """
    there = by_channel(available, task).view(*images.shape[:2], *[1] * (images.ndim - 2)).to(images.device)
    filled = torch.where(there, images, torch.zeros((), dtype=images.dtype, device=images.device))
    if task.fill == "zero":
        return filled
    for sample, row in zip(filled, available.tolist(), strict=True):
        first = sample[task.span(task.names[row.index(True)])]
        for name, is_there in zip(task.names, row, strict=True):
            if not is_there:
                own = sample[task.span(name)]
                own.copy_(as_channels(first, len(own)))
    return filled


def by_channel(available: Tensor, task: Task) -> Tensor:
    """(B, M), a column for each modality -> (B, C), one for each channel of the network."""
    return available[:, [task.names.index(name) for name in task.channels]]


def as_channels(image: Tensor, count: int) -> Tensor:
    """(1 or 3, ...) in ``count`` channels, 1 or 3: colour becomes its luminance, one channel is taken three times."""
    if len(image) == 3 and count == 1:
        return torch.einsum("c,c...->...", image.new_tensor(LUMINANCE), image)[None]
    return image.expand(count, *image.shape[1:])
