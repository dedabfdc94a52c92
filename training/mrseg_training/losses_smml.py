"""The losses of SMML (AAAI 2025, section "Hierarchical Consistency Constraints"), in fp32.

The paper has one softmax over all classes. Where a task's regions are nested, each is a distribution of its own, in it
or not, and what the paper sums over classes is summed over those.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.tasks import Output


def log_distributions(logits: Tensor, output: Output) -> Tensor:
    """(B, R, ..) logits -> log-probabilities (B, G, K, ..): R of 2 with a sigmoid, else one of R + 1, none first."""
    logits = logits.float()
    if output == "sigmoid":
        return torch.stack((F.logsigmoid(-logits), F.logsigmoid(logits)), 2)
    return torch.cat((torch.zeros_like(logits[:, :1]), logits), 1).log_softmax(1).unsqueeze(1)


def voxel_cross_entropy(logits: Tensor, regions: Tensor, output: Output) -> Tensor:
    """How far each voxel is from the truth (equation 1): (B, R, ..) logits and 0/1 ``regions`` -> (B, ..)."""
    log = log_distributions(logits, output)
    regions = regions.float()
    if output == "sigmoid":
        truth = torch.stack((1 - regions, regions), 2)
    else:
        truth = torch.cat((1 - regions.sum(1, keepdim=True), regions), 1).unsqueeze(1)
    return -(truth * log).sum((1, 2))


def pixel_constraint(
    a: Tensor, b: Tensor, regions: Tensor, temperature: float = 6.0, output: Output = "sigmoid"
) -> tuple[Tensor, Tensor]:
    """What either branch learns from the other where that one is nearer to the truth (equations 2 and 3).

    Logits of both branches (B, R, ..). Each value is the mean KL(own ‖ other), both softened by ``temperature``, over
    the voxels where the other knows better; the other is a constant in it. 0 if there is no such voxel.
    """
    with torch.no_grad():
        worse = voxel_cross_entropy(a, regions, output) > voxel_cross_entropy(b, regions, output)
    return (
        _divergence(a, b, worse, temperature, output),
        _divergence(b, a, ~worse, temperature, output),
    )


def _divergence(own: Tensor, other: Tensor, where: Tensor, temperature: float, output: Output) -> Tensor:
    mine = log_distributions(own / temperature, output)
    theirs = log_distributions(other.detach() / temperature, output)
    each = (mine.exp() * (mine - theirs)).sum((1, 2))  # (B, ..)
    return (each * where).sum() / where.sum().clamp_min(1)


def prototypes(features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """The mean feature of each class in each sample (equation 4), and which classes are there.

    ``features`` (B, C, i, p, l), 0/1 ``regions`` (B, R, I, P, L), averaged to the features' extents -> (B, R + 1, C)
    and (B, R + 1) bool; the first class is none of the regions.
    """
    i, p, l = features.shape[2:]  # noqa: E741 - the axes' names
    regions = regions.float()
    members = torch.cat((1 - regions.amax(1, keepdim=True), regions), 1)
    members = F.adaptive_avg_pool3d(members, (i, p, l)).flatten(2)  # (B, K, N)
    size = members.sum(2)
    means = torch.einsum("bkn,bcn->bkc", members, features.float().flatten(2))
    return means / size.clamp_min(1e-6)[..., None], size > 0


def uncertainty(logits: Tensor, output: Output) -> Tensor:
    """Mean of −p log p over the voxels, (B, R + 1), none first (equation 7, whose sum grows with the crop)."""
    p = probabilities(logits.float(), output)
    none = 1 - (p.amax(1, keepdim=True) if output == "sigmoid" else p.sum(1, keepdim=True))
    p = torch.cat((none, p), 1).clamp(1e-7, 1)
    return -(p * p.log()).flatten(2).mean(2)


def feature_constraint(
    features: tuple[Tensor, Tensor],
    logits: tuple[Tensor, Tensor],
    regions: Tensor,
    output: Output = "sigmoid",
) -> Tensor:
    """How differently the branches relate the classes of all samples to each other (equations 5, 6, 8 and 9).

    Fused ``features`` (B, C, ..) and ``logits`` (B, R, ..) of both branches. The sum over pairs of classes that are
    there of the squared difference of their cosines, each class weighted by its mean uncertainty, a constant.
    """
    tables = []
    for feature in features:
        means, there = prototypes(feature, regions)
        unit = F.normalize(means.flatten(0, 1), dim=1)
        tables.append(unit @ unit.T)
    there = there.flatten()
    with torch.no_grad():
        weight = (uncertainty(logits[0], output) + uncertainty(logits[1], output)) / 2
    squared = (tables[0] - tables[1]) ** 2 * (there[:, None] & there[None])
    return (squared.sum(1) * weight.flatten()).sum()


def refinement(own: Tensor, refined: Tensor, output: Output = "sigmoid") -> Tensor:
    """KL(own ‖ refined), mean over voxels (equation 11); the refined prediction is a constant in it."""
    everywhere = torch.ones_like(own[:, 0], dtype=torch.bool)
    return _divergence(own, refined, everywhere, 1.0, output)
