"""Every loss against a naive one, on small tensors."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import SSIMLoss
from torch.nn import functional as F

from mrseg_training import losses


def naive_nt_xent(a: torch.Tensor, b: torch.Tensor, temperature: float, with_positive: bool) -> float:
    """The formula read aloud: for each of 2B anchors, minus the log of its positive's share."""
    vectors = [v / v.norm() for v in [*a, *b]]
    count = len(a)
    total = 0.0
    for i, anchor in enumerate(vectors):
        positive = (i + count) % (2 * count)
        top = math.exp(float(anchor @ vectors[positive]) / temperature)
        bottom = sum(
            math.exp(float(anchor @ other) / temperature)
            for j, other in enumerate(vectors)
            if j != i and (with_positive or j != positive)
        )
        total -= math.log(top / bottom)
    return total / (2 * count)


def test_cross_entropy_over_regions_counts_small_ones_as_large() -> None:
    """Summed, a region's voxels three times, and divided by its size or 5 % of the volume: worked out by hand."""
    regions = torch.zeros(1, 2, 1, 10, 10)
    regions[0, 0, 0, 0] = 1  # 10 voxels of 100
    regions[0, 1, 0, 0, 0] = 1  # 1 voxel, below 5 % of 100
    logits = torch.zeros_like(regions)
    ln2 = math.log(2)
    by_hand = ((10 * 3 + 90) * ln2 / 10, (3 + 99) * ln2 / 5)
    found = [losses.cross_entropy(logits, regions, w, "region") for w in (torch.eye(2)[:1], torch.eye(2)[1:])]
    assert [float(v) for v in found] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("with_positive", [True, False])
@pytest.mark.parametrize("batch", [2, 3, 5])
def test_nt_xent_is_the_papers_sum(batch: int, with_positive: bool) -> None:
    """NT-Xent equals the sum written out, with the positive in the denominator or, as published in code, without."""
    torch.manual_seed(batch)
    a, b = torch.randn(batch, 7), torch.randn(batch, 7)
    valid = torch.ones(batch, dtype=torch.bool)
    found = losses.nt_xent(a, b, valid, temperature=0.5, positive_in_denominator=with_positive)
    assert float(found) == pytest.approx(naive_nt_xent(a, b, 0.5, with_positive), abs=1e-5)


@pytest.mark.parametrize("with_positive", [True, False])
def test_nt_xent_of_a_single_subject_is_zero(with_positive: bool) -> None:
    """A batch of one has no negatives: the loss is 0 and its gradient is finite."""
    a = torch.randn(1, 4, requires_grad=True)
    loss = losses.nt_xent(a, torch.randn(1, 4), torch.tensor([True]), positive_in_denominator=with_positive)
    loss.backward()
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(a.grad).all()


def test_nt_xent_leaves_out_subjects_that_lack_a_modality() -> None:
    """A subject that forms no pair is neither anchor nor negative."""
    a, b = torch.randn(4, 6), torch.randn(4, 6)
    valid = torch.tensor([True, False, True, True])
    assert float(losses.nt_xent(a, b, valid)) == pytest.approx(
        naive_nt_xent(a[valid], b[valid], 0.5, True), abs=1e-5
    )
    assert float(losses.nt_xent(a, b, torch.zeros(4, dtype=torch.bool))) == 0.0


def test_ssim_is_monais() -> None:
    """The separable SSIM gives MONAI's value, over the modalities that are there."""
    torch.manual_seed(0)
    x, y = torch.rand(2, 3, 12, 14, 16), torch.rand(2, 3, 12, 14, 16)
    available = torch.ones(2, 3, dtype=torch.bool)
    expected = SSIMLoss(spatial_dims=3, data_range=1.0, win_size=7)(x, y)
    assert float(losses.ssim(x, y, available)) == pytest.approx(float(expected), abs=1e-4)
    available[0, 1] = False
    before = losses.ssim(x, y, available), losses.l1(x, y, available)
    y[0, 1] = 100.0
    assert (losses.ssim(x, y, available), losses.l1(x, y, available)) == before


def test_target_is_scaled_slice_by_slice() -> None:
    """Each slice's head spans 0..1, background stays 0, a flat slice is 0."""
    images = torch.randn(1, 2, 3, 4, 4) * 5
    images[:, :, :, 0] = 0
    images[0, 0, 1] = 2.0
    target = losses.min_max(images)
    assert float(target[0, 1].amax((-2, -1)).min()) == 1.0
    assert float(target.min()) == 0.0
    assert float(target[0, 0, 1].abs().max()) == 0.0
    assert float(target[:, :, :, 0].abs().max()) == 0.0


def test_truth_dice_is_the_soft_dice_of_each_region() -> None:
    """1 − 2Σpg/(Σp+Σg), mean over the samples and regions that count."""
    logits, truth = torch.randn(2, 3, 4, 4, 4), (torch.rand(2, 3, 4, 4, 4) > 0.5).float()
    p = logits.sigmoid()
    each = 1 - 2 * (p * truth).sum((2, 3, 4)) / (p.sum((2, 3, 4)) + truth.sum((2, 3, 4)))
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    expected = (each * weights).sum() / 5
    assert float(losses.truth_dice(logits, truth, weights)) == pytest.approx(float(expected), abs=1e-4)


def test_prediction_consistency_is_zero_for_equal_predictions() -> None:
    """Two equal soft maps agree fully; a subject without a complete version does not count."""
    logits = torch.randn(2, 3, 4, 4, 4)
    target = logits.sigmoid().clone()
    assert float(losses.prediction_consistency(logits, target, torch.tensor([True, True]))) < 1e-5
    target[1] = 1 - target[1]
    assert float(losses.prediction_consistency(logits, target, torch.tensor([True, False]))) < 1e-5
    assert float(losses.prediction_consistency(logits, target, torch.tensor([True, True]))) > 0.1


def test_feature_consistency_is_the_mean_over_levels() -> None:
    """L1 per level, averaged over levels and valid samples."""
    a = [torch.zeros(2, 3, 2, 2, 2), torch.zeros(2, 4, 1, 1, 1)]
    b = [torch.full((2, 3, 2, 2, 2), 2.0), torch.full((2, 4, 1, 1, 1), 4.0)]
    b[0][1] = 100.0
    assert float(losses.feature_consistency(a, b, torch.tensor([True, False]))) == pytest.approx(3.0)
    assert float(losses.feature_consistency(a, b, torch.tensor([False, False]))) == 0.0


def test_losses_are_computed_in_full_precision() -> None:
    """Under bf16 autocast the losses still give fp32 values."""
    logits, truth = torch.randn(1, 2, 8, 8, 8), torch.ones(1, 2, 8, 8, 8)
    available = torch.ones(1, 2, dtype=torch.bool)
    plain = losses.ssim(logits, truth, available)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = losses.ssim(logits, truth, available)
        dice = losses.truth_dice(logits.bfloat16(), truth, torch.ones(1, 2))
    assert mixed.dtype == dice.dtype == torch.float32
    assert float(plain) == float(mixed)


def test_exclusive_classes_cost_their_cross_entropy() -> None:
    """With a softmax the loss is PyTorch's cross-entropy over the classes and none of them, as which logit 0 stands."""
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 4, (2, 4, 4, 4))
    regions = F.one_hot(classes, 4).movedim(-1, 1)[:, 1:].float()
    own = losses.cross_entropy(logits, regions, torch.ones(2, 3), output="softmax")
    whole = torch.cat((torch.zeros(2, 1, 4, 4, 4), logits), 1)
    assert own == pytest.approx(float(F.cross_entropy(whole, classes)), rel=1e-5)
    perfect = 40 * (regions - 0.5)
    assert float(losses.truth_dice(perfect, regions, torch.ones(2, 3), output="softmax")) < 1e-3
    assert float(losses.prediction_consistency(perfect, regions, torch.ones(2).bool(), "softmax")) < 1e-3
