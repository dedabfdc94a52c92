"""The losses of CMC (arXiv 2408.07341), in fp32.

Both teach without labels: nothing is thresholded on the way, so that what is consistent gets a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.tasks import Output


def channel_consistency(a: Tensor, b: Tensor, both: Tensor) -> Tensor:
    """1 − the mean cosine of each channel of one modality to the same channel of the other (L_CSC).

    Deepest features (B, C, ..); ``both`` (B,) bool: samples that have both modalities. 0 if there are none.
    """
    cosine = F.cosine_similarity(a.float().flatten(2), b.float().flatten(2), dim=2)  # (B, C)
    each = 1 - cosine.mean(1)
    weights = both.to(each)
    return (each * weights).sum() / weights.sum().clamp_min(1)


def anatomical_consistency(
    a: Tensor,
    b: Tensor,
    both: Tensor,
    *,
    contrast: float = 1.0,
    temperature: float = 0.5,
    output: Output = "sigmoid",
) -> Tensor:
    """What both modalities predict of a subject should be alike, and unlike that of another subject (L_CAC).

    Logits (B, R, ..) of both decoders, compared by soft Dice. The mean of 1 − Dice over subjects that have ``both``
    (B,), and ``contrast`` times the cross-entropy of picking the own subject among them, at ``temperature``.
    """
    rows = torch.nonzero(both).flatten()
    if len(rows) == 0:
        return (a.sum() + b.sum()) * 0.0
    pa, pb = (probabilities(x.float(), output).flatten(2)[rows.to(x.device)] for x in (a, b))
    table = soft_dice(pa, pb)  # (B, B)
    loss = 1 - table.diagonal().mean()
    if contrast and len(rows) > 1:
        own = torch.arange(len(rows), device=table.device)
        sides = (F.cross_entropy(t / temperature, own) for t in (table, table.T))
        loss = loss + contrast * sum(sides) / 2
    return loss


def soft_dice(a: Tensor, b: Tensor, smooth: float = 1e-5) -> Tensor:
    """Of each subject of ``a`` with each of ``b``, (B, R, N) probabilities -> (B, B), mean over regions.

    With squares in the denominator, so that two equal soft maps score 1.
    """
    both = torch.einsum("irn,jrn->ijr", a, b)
    size = (a * a).sum(2)[:, None] + (b * b).sum(2)[None]
    return ((2 * both + smooth) / (size + smooth)).mean(2)
