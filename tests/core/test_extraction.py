"""The brain in a head: found in any contrast, at any slice thickness, not mirrored, and not where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from heads import SPACING, head
from scipy import ndimage

from napari_mrseg.extraction import NEAR_MM, Brain, find_brain, network
from napari_mrseg.io import open_study
from napari_mrseg.models.brain_network import _folded, _unfolded
from napari_mrseg.models.network import find_network
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.resources import BRAIN_MODEL, sample_study


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


@pytest.mark.parametrize("contrast", ["flair", "t1", "t2"])
def test_the_brain_is_found_in_a_head(contrast: str) -> None:
    """One contrast alone is enough, and the network is sure of it."""
    scan, brain = head(contrast)
    found = find_brain([scan], SPACING)
    assert found.is_one
    assert dice(found.mask, brain) > 0.93
    assert found.cut_at == ()


def test_a_brain_without_skull_is_one() -> None:
    """The bundled sample, cut to the brain: all of it is found."""
    image = open_study(sample_study(), brain="none").images["flair"]
    found = find_brain([image.data], image.source.ipl_grid.spacing)
    assert found.is_one
    assert dice(found.mask, image.data != 0) > 0.93


def test_slices_may_be_thick_and_run_in_any_direction() -> None:
    """6 mm axial, coronal and sagittal slices: the mask lies on the scan's own grid."""
    scan, brain = head("t1")
    for axis in range(3):
        thick = tuple(slice(1, None, 3) if a == axis else slice(None) for a in range(3))
        spacing = [6.0 if a == axis else 2.0 for a in range(3)]
        found = find_brain([ndimage.uniform_filter1d(scan, 3, axis)[thick]], spacing)
        assert dice(found.mask, brain[thick]) > 0.9, axis


def test_left_stays_left() -> None:
    """A head whose brain lies to one side: the mask of the mirrored head is the mirrored mask."""
    scan, brain = head("t1")
    aside = np.pad(scan, ((0, 0), (0, 0), (0, 30)))
    found, mirrored = (find_brain([s], SPACING).mask for s in (aside, aside[:, :, ::-1]))
    assert dice(found[:, :, : brain.shape[2]], brain) > 0.93
    assert dice(mirrored[:, :, ::-1], found) > 0.97


def things() -> dict[str, np.ndarray]:
    """What is no head: nothing, noise, a bottle of fluid with rods in it, and a knee of skin, fat, muscle and bone."""
    size = (80, 100, 90)
    i, p, l = np.ogrid[:80, :100, :90]  # noqa: E741 - the axes' names
    rng = np.random.default_rng(1)
    tube = ((p - 50) / 44.0) ** 2 + ((l - 45) / 40.0) ** 2 + 0 * i
    bottle = np.where(tube < 1, 100.0, 0)
    rods = np.zeros(size, bool)
    for x in (30, 50, 70):
        rods |= ((p - x) ** 2 + (l - 45) ** 2 + 0 * i) < 25
    knee = np.select([tube > 1, tube > 0.94, tube > 0.75], [0.0, 60.0, 150.0], 50.0)
    bone = ((p - 45) / 17.0) ** 2 + ((l - 45) / 20.0) ** 2 + 0 * i
    knee = np.where((bone < 1) & (np.abs(i - 40) > 2), np.where(bone < 0.8, 140.0, 5.0), knee)
    grain = 1 + 0.08 * ndimage.gaussian_filter(rng.normal(size=size), 1) * 5
    return {
        "nothing": np.zeros(size),
        "noise": np.abs(rng.normal(size=size)),
        "bottle": np.where(rods, 20.0, bottle) * (1 + 0.02 * rng.normal(size=size)),
        "knee": knee * grain,
    }


@pytest.mark.parametrize("name", ["nothing", "noise", "bottle", "knee"])
def test_what_is_no_brain_is_said_to_be_none(name: str) -> None:
    """Whatever it is, it has no brain, in units of any size."""
    scan = things()[name].astype(np.float32)
    assert not find_brain([scan], SPACING).is_one
    assert not find_brain([300 * scan], SPACING).is_one


def test_a_brain_cut_by_the_field_of_view_is_told() -> None:
    """Its lower third is missing: a brain, cut at the bottom and nowhere else."""
    scan, brain = head("t1")
    last = int(np.flatnonzero(brain.any((1, 2)))[-1])
    short = scan[: last - 25]
    found = find_brain([short], SPACING)
    assert found.is_one
    assert found.cut_at == ("bottom",)
    assert dice(found.mask, brain[: last - 25]) > 0.9


def test_scans_that_cover_different_parts_count_where_they_cover() -> None:
    """T2 shows the upper half alone: the lower half is found in T1 as if there were no T2."""
    (t1, brain), (t2, _) = head("t1"), head("t2")
    half = t2.shape[0] // 2
    slab = np.where(np.arange(len(t2))[:, None, None] < half, t2, 0)
    found = find_brain([t1, slab], SPACING)
    assert dice(found.mask[half + 4 :], brain[half + 4 :]) > 0.93
    assert dice(found.mask, brain) > 0.93


def test_air_in_the_middle_of_an_image_with_signs_is_told() -> None:
    """Inversion recovery with its sign, shifted to be positive: the brain as without the shift."""
    scan, brain = head("t1")
    rng = np.random.default_rng(0)
    signs = np.where(ndimage.gaussian_filter(scan, 3) > np.median(scan[brain]), 1, -1)
    shifted = 3 * scan.max() + signs * scan + rng.normal(0, 0.01 * scan.max(), scan.shape)
    found = find_brain([shifted.astype(np.float32)], SPACING)
    assert found.is_one
    assert dice(found.mask, brain) > 0.9


def test_a_scan_without_a_brain_does_not_count_beside_one() -> None:
    """T1 beside a scan of noise, as a damaged file holds it: the brain that T1 shows."""
    t1, brain = head("t1")
    noise = np.abs(np.random.default_rng(0).normal(size=t1.shape)).astype(np.float32)
    found = find_brain([t1, noise], SPACING)
    assert found.is_one
    assert dice(found.mask, brain) > 0.93


def test_units_and_scale_of_intensities_do_not_matter() -> None:
    """Scanner units times a thousand: the same mask."""
    scan, _ = head("flair")
    one, other = (find_brain([scan * np.float32(factor)], SPACING) for factor in (1, 1000))
    assert dice(one.mask, other.mask) > 0.999


def test_how_sure_the_border_is_follows_the_scan() -> None:
    """Noise over half of the head: less sure, and least sure there."""
    scan, _ = head("t1")
    rng = np.random.default_rng(0)
    noisy = scan + np.where(np.arange(scan.shape[2]) > scan.shape[2] // 2, 1, 0) * scan.max() * 0.35 * np.abs(
        rng.normal(size=scan.shape)
    )
    clear, worse = find_brain([scan], SPACING), find_brain([noisy.astype(np.float32)], SPACING)
    assert worse.sure < clear.sure
    assert worse.unsure_at[2] > scan.shape[2] // 2 - NEAR_MM / SPACING[2]  # doubt is averaged over so much


def test_the_network_is_small_and_read_as_it_was_written(tmp_path: Path) -> None:
    """At most 2 MB: 16 bits in the file, 32 in use, and nothing lost on the way."""
    assert round((BRAIN_MODEL / "weights.safetensors").stat().st_size / 1e6, 1) <= 2.0
    model = load_model(BRAIN_MODEL)
    assert model.card.stored == "float16"
    assert next(model.network.parameters()).dtype is torch.float32
    save_model(tmp_path / "again", model.network, model.card.model_copy(update={"stored": "float16"}))
    again = load_model(tmp_path / "again").network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.network.state_dict().items())


def test_a_tiny_network_of_the_same_kind_runs() -> None:
    """Its settings decide its shape; extents are multiples of its stride; every voxel, and the whole, get a logit."""
    made = find_network("brain").configured({"widths": [8, 16], "blocks": [1, 1]}, channels=1, outputs=1)
    assert made.stride == (4, 4, 4)
    logits, there = made.found(torch.rand(2, 1, 8, 12, 4))
    assert logits.shape == (2, 1, 8, 12, 4)
    assert there.shape == (2,)
    assert made(torch.rand(1, 1, 8, 12, 4)).shape == (1, 1, 8, 12, 4)


def test_a_voxel_s_logit_lies_where_the_voxel_lies() -> None:
    """Folding and unfolding leave every voxel at its place."""
    x = torch.rand(1, 1, 4, 6, 8)
    assert torch.equal(_unfolded(_folded(x), 1), x)


def test_nothing_is_found_by_a_network_that_sees_nothing() -> None:
    """An empty answer is an empty mask and no brain, not an error."""
    model = network()
    blind = find_network("brain").configured({"widths": [8, 16], "blocks": [1, 1]}, channels=1, outputs=1)
    torch.nn.init.zeros_(blind.last_layers[0].weight)
    torch.nn.init.constant_(blind.last_layers[0].bias, -5.0)
    found = find_brain([head("t1")[0]], SPACING, replace(model, network=blind))
    assert isinstance(found, Brain)
    assert not found.mask.any()
    assert not found.is_one
