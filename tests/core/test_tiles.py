"""Frames, windows, resampling and normalisation."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mrseg.inference.tiles import OVERLAP, blend, nearest_first, tile
from napari_mrseg.models.unimrseg import STRIDE
from napari_mrseg.prepare import foreground, frame, measure, normalise, resample, scale

extents = st.integers(1, 90)


@given(
    st.lists(st.tuples(st.integers(0, 40), extents), min_size=3, max_size=3),
    st.floats(0.4, 4),
    st.floats(0.5, 3),
)
def test_a_frame_covers_its_box(bounds: list[tuple[int, int]], spacing: float, wanted: float) -> None:
    """The network sees every voxel of the box, in extents it accepts, and less than one stride too many."""
    box = [(low, low + length) for low, length in bounds]
    got = frame(box, (spacing,) * 3, wanted)
    for (low, high), start, step, size in zip(box, got.start, got.step, got.size, strict=True):
        assert size % STRIDE == 0
        assert start <= low
        assert start + size * step >= high - 1e-6 * size
        assert (size - STRIDE) * step < high - low


def test_a_frame_that_just_fits_begins_at_its_box() -> None:
    """20 voxels of 0.4 mm are 8 of 1 mm, though the quotient is a little more than 2.5 in binary: no shift."""
    assert frame([(0, 20)], (0.4000000000000001,), 1.0).start == (0,)


@given(extents, st.integers(8, 64))
def test_windows_cover_everything_within_the_limit(extent: int, limit: int) -> None:
    """No voxel is left out and no window is larger than the card allows."""
    size = STRIDE * -(-extent // STRIDE)
    seen = torch.zeros(size)
    for (window,) in tile((size,), (limit,), (STRIDE,)):
        assert window.stop - window.start <= max(limit, STRIDE)
        seen[window] += 1
    assert (seen > 0).all()


@given(st.integers(2, 60), st.integers(2, 30))
def test_windows_are_no_larger_than_their_overlap_takes(strides: int, most: int) -> None:
    """Beyond one window, all together compute what the overlap takes and at most a stride more each."""
    size, limit = STRIDE * strides, STRIDE * most
    windows = [window for (window,) in tile((size,), (limit,), (STRIDE,))]
    extent = windows[0].stop - windows[0].start
    assert len(windows) == 1 or extent * (1 + (len(windows) - 1) * (1 - OVERLAP)) < size + STRIDE * len(
        windows
    )
    for a, b in pairwise(windows):
        assert a.stop - b.start >= extent * OVERLAP - 1  # starts are rounded to voxels


def test_blending_a_constant_gives_the_constant_whatever_the_view() -> None:
    """Weights sum to one everywhere, and the order of computing leaves the sum alone."""
    size = (24, 16, 40)
    windows = tile(size, (16, 16, 16))
    outputs = [torch.full((1, 2, 16, 16, 16), 0.25) for _ in windows]
    assert torch.allclose(blend(outputs, windows, size), torch.full((1, 2, *size), 0.25))
    order = nearest_first(windows, (20, 8, 36))
    assert sorted(order) == list(range(len(windows)))
    assert windows[order[0]][2].stop == 40


@settings(deadline=None)
@given(st.integers(-6, 6), st.integers(1, 20))
def test_whole_steps_are_an_exact_copy(start: int, size: int) -> None:
    """At the scan's own spacing nothing is interpolated; outside is background."""
    line = torch.rand(1, 9, 1, 1)
    got = resample(line, (start, 0, 0), (1, 1, 1), (size, 1, 1))
    want = [float(line[0, start + j]) if 0 <= start + j < 9 else 0.0 for j in range(size)]
    assert got.flatten().tolist() == want


def test_resampling_keeps_places() -> None:
    """A ramp of positions, halved and brought back, stays where it was (inside the edges)."""
    ramp = torch.arange(32.0).reshape(1, 32, 1, 1)
    half = resample(ramp, (0, 0, 0), (2, 1, 1), (16, 1, 1))
    assert torch.allclose(half[0, 1:-1, 0, 0], torch.arange(16.0)[1:-1] * 2 + 0.5)
    back = resample(half, (0, 0, 0), (0.5, 1, 1), (32, 1, 1), extend=True)
    assert torch.allclose(back[0, 4:-4, 0, 0], ramp[0, 4:-4, 0, 0], atol=1e-5)


def test_extend_holds_the_edge() -> None:
    """Probabilities keep their value up to the scan's edge."""
    got = resample(torch.ones(1, 4, 1, 1), (0, 0, 0), (0.5, 1, 1), (8, 1, 1), extend=True)
    assert torch.equal(got, torch.ones(1, 8, 1, 1))


def scan(seed: int = 0) -> torch.Tensor:
    """A ball of texture with little noise of either sign around it."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij")
    inside = sum(a**2 for a in axes) < 0.6
    texture = 500 + 80 * torch.randn((24,) * 3, generator=generator)
    return torch.where(inside, texture, 0.01 * torch.randn((24,) * 3, generator=generator))


def test_background_need_not_be_zero() -> None:
    """Small values of either sign, left by resampling, are background and become exactly zero."""
    volume = scan()
    inside = volume.abs() > 100
    assert torch.equal(foreground(volume), inside)
    assert (normalise(volume)[~inside] == 0).all()


def test_normalised_has_zero_median_and_unit_spread() -> None:
    """The robust scale is the standard deviation for a Gaussian."""
    volume = scan()
    inside = normalise(volume)[foreground(volume)]
    assert abs(float(inside.median())) < 1e-5
    assert float(inside.std()) == pytest.approx(1, abs=0.05)


@given(st.floats(1e-3, 1e4))
def test_units_do_not_matter(factor: float) -> None:
    """Intensities times any factor give the same normalised image."""
    volume = scan()
    assert torch.allclose(normalise(volume * factor), normalise(volume), atol=1e-3)


def test_a_part_is_scaled_as_the_whole() -> None:
    """Cropping after measuring gives the crop of the normalised volume, bit for bit."""
    volume = scan()
    part = scale(volume[4:20, 6:], measure(volume))
    assert torch.equal(part, normalise(volume)[4:20, 6:])


def test_outliers_are_compressed() -> None:
    """One voxel a hundred times too bright moves nothing else and stays finite and moderate."""
    volume = scan()
    plain = normalise(volume)
    volume[12, 12, 12] = 50_000
    got = normalise(volume)
    assert 3 < float(got[12, 12, 12]) < 10
    got[12, 12, 12] = plain[12, 12, 12]
    assert torch.allclose(got, plain, atol=0.02)


def test_frames_of_a_2d_task_keep_their_slices() -> None:
    """The first axis is not resampled, and windows of two extents take the stride of it at a time."""
    frames = [(0, 1), (0, 30), (0, 33)]
    assert frame(frames, (1.0, 1.0, 1.0), 2.0, ndim=2).size == (1, 16, 24)
    where = frame(frames, (1.0, 1.0, 1.0), 2.0, 2, (8, 8, 8))  # a network of volumes
    assert where.step == (1.0, 2.0, 2.0)
    assert where.size == (8, 16, 24)
    assert tile(where.size, (16, 16)) == tile(where.size, (8, 16, 16))
