"""The losses of the three stages. All are computed in fp32, whatever the network ran in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.tasks import Output

FOCUS = 2.0
LEAST = 0.05


def min_max(images: Tensor) -> Tensor:
    """Each slice scaled to [0, 1] over its non-zero voxels, background 0; (B, M, I, P, L), slices along I.

    The target of stage 1 (paper). A slice without contrast is 0 throughout.
    """
    inside = images != 0
    low = torch.where(inside, images, torch.inf).amin((-2, -1), keepdim=True)
    high = torch.where(inside, images, -torch.inf).amax((-2, -1), keepdim=True)
    span = high - low
    scaled = (images - low) / torch.where(span > 0, span, torch.ones_like(span))
    return torch.where(inside & (span > 0), scaled, torch.zeros_like(scaled))


def l1(output: Tensor, target: Tensor, available: Tensor) -> Tensor:
    """Mean absolute difference of (B, M, I, P, L) over the modalities that are there, ``available`` (B, M) bool."""
    return (output.float() - target.float())[available].abs().mean()


def ssim(output: Tensor, target: Tensor, available: Tensor, window: int = 7) -> Tensor:
    """1 − structural similarity (Gaussian window of σ 1.5; 2-D for one slice) over the modalities that are there.

    Equal to MONAI's SSIMLoss with data range 1; its dense window takes 30 times as long on a CPU.
    """
    with torch.autocast(output.device.type, enabled=False):
        x, y = output[available].float(), target[available].float()  # (N, I, P, L)
        blurred = [_windowed(v, window) for v in (x, y, x * x, y * y, x * y)]
        mx, my, mxx, myy, mxy = blurred
        vx, vy, vxy = mxx - mx * mx, myy - my * my, mxy - mx * my
        c1, c2 = 0.01**2, 0.03**2
        value = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
        return 1 - value.mean()


def _windowed(x: Tensor, window: int) -> Tensor:
    """Gaussian means of (N, I, P, L) where the window fits, one matrix product an axis; none along a single slice."""
    for axis in (2, 3) if x.shape[1] == 1 else (1, 2, 3):
        size = x.shape[axis]
        offset = torch.arange(size, device=x.device)[None] - torch.arange(
            size - window + 1, device=x.device
        ).unsqueeze(1)
        weights = torch.exp(-((offset - window // 2) ** 2) / (2 * 1.5**2)) * (
            (offset >= 0) & (offset < window)
        )
        weights = weights / weights.sum(1, keepdim=True)
        x = torch.movedim(torch.matmul(torch.movedim(x, axis, -1), weights.T), -1, axis)
    return x


def truth_dice(
    logits: Tensor, regions: Tensor, weights: Tensor, smooth: float = 1e-5, output: Output = "sigmoid"
) -> Tensor:
    """1 − soft Dice of (B, R, I, P, L) logits against 0/1 ``regions``, mean over the (B, R) with weight."""
    found = probabilities(logits.float(), output)
    each = _dice(smooth, False)(found, regions.float()).flatten(1)  # (B, R)
    return _weighted(each, weights)


def cross_entropy(
    logits: Tensor, regions: Tensor, weights: Tensor, over: str = "volume", output: Output = "sigmoid"
) -> Tensor:
    """Cross-entropy of the same, then mean over the (B, R) with weight: binary with a sigmoid, and with a softmax each
    region's share of what its voxels cost, to which those in no region add alike.

    ``over`` "volume": mean over voxels. "region": summed, a region's voxels ``1 + FOCUS`` times, and divided by the
    region's voxels or a share ``LEAST`` of all, whichever is more.
    """
    if output == "sigmoid":
        each = F.binary_cross_entropy_with_logits(logits.float(), regions.float(), reduction="none")
    else:
        each = _exclusive_cross_entropy(logits.float(), regions.float())
    each = each.flatten(2)
    if over == "volume":
        return _weighted(each.mean(2), weights)
    inside = regions.float().flatten(2)
    size = inside.sum(2).clamp_min(LEAST * inside.shape[2])
    return _weighted((each * (1 + FOCUS * inside)).sum(2) / size, weights)


def _exclusive_cross_entropy(logits: Tensor, regions: Tensor) -> Tensor:
    """(B, R, ...): the mean over R is a voxel's cross-entropy over the regions and none of them."""
    count = logits.shape[1]
    log = torch.cat((torch.zeros_like(logits[:, :1]), logits), 1).log_softmax(1)
    none = 1 - regions.sum(1, keepdim=True)
    return -(count * regions * log[:, 1:] + none * log[:, :1])


def prediction_consistency(
    logits: Tensor, target: Tensor, valid: Tensor, output: Output = "sigmoid"
) -> Tensor:
    """1 − soft Dice of incomplete logits against the complete prediction's probabilities (B, R, I, P, L).

    With squared terms in the denominator: without them two equal soft maps would not score 1. ``valid`` (B,)
    bool: samples that have a complete version.
    """
    found = probabilities(logits.float(), output)
    each = _dice(1e-5, True)(found, target.float()).flatten(1)
    return _weighted(each, valid[:, None].expand_as(each).float())


@lru_cache(maxsize=8)
def _dice(smooth: float, squared: bool) -> Any:
    from monai.losses import DiceLoss

    return DiceLoss(squared_pred=squared, reduction="none", smooth_nr=smooth, smooth_dr=smooth)


def _weighted(each: Tensor, weights: Tensor) -> Tensor:
    weights = weights.to(each)
    return (each * weights).sum() / weights.sum().clamp_min(1e-12)


def feature_consistency(features: Sequence[Tensor], targets: Sequence[Tensor], valid: Tensor) -> Tensor:
    """Mean absolute difference of adapted and complete features, mean over levels: of Eq. 4 what is summed over m.

    Each (B, C, i, p, l); ``valid`` (B,) bool: samples that have a complete version. 0 if there are none.
    """
    total = features[0].new_zeros((), dtype=torch.float32)
    for feature, target in zip(features, targets, strict=True):
        each = (feature.float() - target.float()).abs().flatten(1).mean(1)  # (B,)
        total = total + _weighted(each, valid)
    return total / len(features)


def pooled(features: Sequence[Tensor]) -> list[Tensor]:
    """Each feature averaged over its map: (B, C, i, p, l) -> (B, C), fp32."""
    return [feature.float().mean((2, 3, 4)) for feature in features]


def nt_xent(
    a: Tensor, b: Tensor, valid: Tensor, *, temperature: float = 0.5, positive_in_denominator: bool = True
) -> Tensor:
    """Normalised-temperature cross-entropy of two versions of each subject, (B, C) each; positives are (a_k, b_k).

    For an anchor z with positive z⁺: −log(e^{z·z⁺/τ} / Σ e^{z·z'/τ}), z' over all other vectors of the batch,
    of all processes. The published code leaves z⁺ out of the sum (``positive_in_denominator`` False).
    ``valid`` (B,) bool: subjects that form a pair; the others are neither anchor nor negative. The value is the
    mean over all valid anchors of all processes once processes are averaged, and 0 without negatives or pairs.
    """
    a, b = F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)
    all_a, all_b, all_valid = gather(a), gather(b), gather(valid.float()) > 0.5
    pairs = int(all_valid.sum())
    zero = (a.sum() + b.sum()) * 0.0
    if pairs == 0 or (pairs == 1 and not positive_in_denominator):
        return zero
    rank, processes = (dist.get_rank(), dist.get_world_size()) if _together() else (0, 1)
    total, batch = len(all_a), len(a)
    others = torch.cat((all_a, all_b))  # (2N, C)
    allowed = all_valid.repeat(2)[None]  # (1, 2N)
    place = torch.arange(batch, device=a.device) + rank * batch
    loss = zero
    for anchors, own, positive in ((a, place, place + total), (b, place + total, place)):
        similarity = anchors @ others.T / temperature  # (B, 2N)
        wanted = similarity.gather(1, positive[:, None])[:, 0]
        use = allowed.expand_as(similarity).clone()
        use.scatter_(1, own[:, None], False)
        if not positive_in_denominator:
            use.scatter_(1, positive[:, None], False)
        denominator = similarity.masked_fill(~use, -torch.inf)[valid].logsumexp(1)
        loss = loss + (denominator - wanted[valid]).sum()
    return loss * processes / (2 * pairs)


def gather(x: Tensor) -> Tensor:
    """(B, ...) of every process, in rank order: (world · B, ...). Gradients flow back to each process."""
    return _Gather.apply(x) if _together() else x  # type: ignore[no-untyped-call]  # PyTorch gives it no type


def _together() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums what every process's loss asks of this process's part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        batch = len(gradient) // dist.get_world_size()
        return gradient[dist.get_rank() * batch : (dist.get_rank() + 1) * batch]
