"""What is done to a subject: dropout, shuffle, masks; always the same from the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mrseg_training import perturb
from napari_mrseg.inference.fill import as_channels, by_channel, fill
from napari_mrseg.tasks import BRATS, RGBD_SOD


def draws(count: int, step: int = 0) -> list[torch.Generator]:
    return perturb.generators(1, 2, step, 0, count)


@pytest.mark.parametrize("by", ["modality", "sample"])
def test_at_least_one_modality_is_kept(by: str) -> None:
    """Dropout never drops the last modality, and never brings back one that was not there."""
    available = torch.ones(400, 4, dtype=torch.bool)
    available[:100, 2] = False
    fewer = perturb.drop(available, 0.9, draws(400), by=by)
    assert fewer.any(1).all()
    assert not (fewer & ~available).any()


def test_dropout_by_modality_has_its_rate() -> None:
    """Each modality but one is dropped with probability p."""
    fewer = perturb.drop(torch.ones(4000, 4, dtype=torch.bool), 0.5, draws(4000))
    assert float(fewer.float().sum(1).mean()) == pytest.approx(1 + 3 * 0.5, abs=0.1)


def test_dropout_by_sample_keeps_every_number_alike() -> None:
    """As published: with p = 1 the number kept is uniform in 1..4; with p = 0.5 half of the samples keep all more."""
    sizes = perturb.drop(torch.ones(4000, 4, dtype=torch.bool), 1.0, draws(4000), by="sample").sum(1)
    assert torch.bincount(sizes, minlength=5)[1:].float().std() < 100
    half = perturb.drop(torch.ones(4000, 4, dtype=torch.bool), 0.5, draws(4000), by="sample").sum(1)
    assert float((half == 4).float().mean()) == pytest.approx(0.5 + 0.125, abs=0.05)


def test_incomplete_is_never_complete() -> None:
    """1..3 of four modalities, 1 of two, and the only one of one."""
    available = torch.ones(300, 4, dtype=torch.bool)
    available[100:200, :2] = False
    available[200:, 1:] = False
    sizes = perturb.incomplete(available, draws(300)).sum(1)
    assert set(sizes[:100].tolist()) == {1, 2, 3}
    assert set(sizes[100:200].tolist()) == {1}
    assert set(sizes[200:].tolist()) == {1}


def test_weights_say_how_often_a_combination_comes() -> None:
    """A weight of 13 for T1 alone and 1 for the others makes it half of the draws; without a name nothing changes."""
    assert perturb.sampling_weights_of(BRATS, {}) is None
    sampling_weights = perturb.sampling_weights_of(BRATS, {"t1": 13})
    t1 = torch.tensor([False, True, False, False])
    assert sampling_weights is not None
    fewer = perturb.incomplete(torch.ones(2000, 4, dtype=torch.bool), draws(2000), sampling_weights)
    assert float((fewer == t1).all(1).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert not fewer.all(1).any()
    pairs = perturb.draw_combinations(4, 2, draws(1000), sampling_weights)
    assert not (pairs[0] == pairs[1]).all(1).any()  # two of a sample differ
    assert float((pairs == t1).all(2).any(0).float().mean()) > 0.6


def test_combinations_of_a_step_differ() -> None:
    """All 14 asked for are all 14, each once; four asked for are four different ones, per sample."""
    table = perturb.draw_combinations(4, 14, draws(3))
    assert table.shape == (14, 3, 4)
    for sample in range(3):
        assert len({tuple(row.tolist()) for row in table[:, sample]}) == 14
    few = perturb.draw_combinations(4, 4, draws(3))
    assert len({tuple(row.tolist()) for row in few[:, 0]}) == 4
    assert not torch.equal(few[:, 0], few[:, 1])


def test_shuffle_moves_only_kept_modalities() -> None:
    """Dropped channels stay where they are; kept ones are permuted, and in the end take every place."""
    images = torch.arange(1, 5).float().view(1, 4, 1, 1, 1).repeat(64, 1, 2, 2, 2)
    fewer = torch.tensor([[True, False, True, True]]).repeat(64, 1)
    out = perturb.shuffle(fill(images, fewer, BRATS), fewer, draws(64))[:, :, 0, 0, 0]
    assert (out[:, 1] == 0).all()
    assert all(sorted(row.tolist()) == [0, 1, 3, 4] for row in out)
    assert set(out[:, 0].tolist()) == {1, 3, 4}


def test_fill_is_what_the_task_says() -> None:
    """Zeros for MRI, a copy of the first modality there for two-modality tasks."""
    images = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(2, 2, 1, 1, 1)
    fewer = torch.tensor([[True, True], [False, True]])
    two = replace(BRATS, modalities=BRATS.modalities[:2])
    assert fill(images, fewer, two).flatten().tolist() == [1, 2, 0, 4]
    assert fill(images, fewer, replace(two, fill="copy")).flatten().tolist() == [1, 2, 4, 4]


def test_colour_and_depth_stand_in_for_each_other() -> None:
    """Missing depth is the colour's luminance, missing colour is depth three times; nothing else changes."""
    images = torch.tensor([[1.0, 2.0, 3.0, 9.0]] * 3).view(3, 4, 1, 1, 1)
    fewer = torch.tensor([[True, True], [True, False], [False, True]])
    whole, colour, depth = (row.flatten().tolist() for row in fill(images, fewer, RGBD_SOD))
    assert whole == [1, 2, 3, 9]
    assert colour == pytest.approx([1, 2, 3, 0.299 + 2 * 0.587 + 3 * 0.114])
    assert depth == [9, 9, 9, 9]
    assert by_channel(fewer, RGBD_SOD).tolist() == [[True] * 4, [True] * 3 + [False], [False] * 3 + [True]]
    assert as_channels(images[0, :3], 3).tolist() == images[0, :3].tolist()


@pytest.mark.parametrize("ratio", [0.15, 0.5])
def test_regions_cover_their_ratio(ratio: float) -> None:
    """Masked boxes cover about the ratio asked for, the same in all modalities, and are boxes rather than dust."""
    masked = perturb.mask_regions(torch.ones(60, 2, 24, 24, 24), ratio, 8, draws(60)) == 0
    assert float(masked.float().mean()) == pytest.approx(ratio, abs=0.07)
    assert torch.equal(masked[:, 0], masked[:, 1])
    inner = masked[:, 0, 1:-1] & (masked[:, 0, :-2] | masked[:, 0, 2:])
    assert float(inner.sum()) >= 0.95 * float(masked[:, 0, 1:-1].sum())


def test_voxels_cover_their_ratio() -> None:
    """The published variant masks single voxels, the same in all modalities."""
    masked = perturb.mask_voxels(torch.ones(4, 2, 16, 16, 16), 0.15, draws(4)) == 0
    assert float(masked.float().mean()) == pytest.approx(0.15, abs=0.02)
    assert torch.equal(masked[:, 0], masked[:, 1])


def test_same_seed_same_draws() -> None:
    """Draws depend on seed, stage, step and the sample's place in the global batch, on nothing else."""
    images = torch.randn(4, 4, 16, 16, 16)
    whole = perturb.mask_regions(images, 0.3, 4, perturb.generators(1, 2, 3, 0, 4))
    halves = [
        perturb.mask_regions(images[i : i + 2], 0.3, 4, perturb.generators(1, 2, 3, i, 2)) for i in (0, 2)
    ]
    assert torch.equal(whole, torch.cat(halves))
    other = perturb.mask_regions(images, 0.3, 4, perturb.generators(1, 2, 4, 0, 4))
    assert not torch.equal(whole, other)
