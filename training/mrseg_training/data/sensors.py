"""What cameras make of a distance: structured light, time of flight, stereo; and how their files keep it.

All take and give (P, L) float32 in mm, 0 where nothing was measured; ``rng`` decides, and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, gaussian_filter, median_filter

Map = npt.NDArray[np.floating[Any]]


def measured(rng: np.random.Generator, depth: Map) -> Map:
    """As one of the cameras sees it, chosen by ``rng``; in a fifth of the cases as it is."""
    kind = rng.random()
    if kind < 0.2:
        return depth
    if kind < 0.5:
        return structured_light(rng, depth)
    if kind < 0.7:
        return time_of_flight(rng, depth)
    return stereo(rng, depth)


def structured_light(rng: np.random.Generator, depth: Map) -> Map:
    """Kinect 1, RealSense: ragged edges, a shadow at one side, steps that grow with the distance squared."""
    seen: npt.NDArray[np.floating[Any]] = _ragged(rng, depth, 0.004)
    factor = rng.uniform(250_000, 600_000)
    seen = factor / np.maximum(1, np.round(factor / np.maximum(seen, 1)))
    shadow = max(1, round(rng.uniform(0.003, 0.015) * depth.shape[1]))
    beside = np.roll(depth, int(rng.choice([-1, 1])) * shadow, 1)
    there = (beside > 0.93 * depth) & (rng.random(depth.shape) > rng.uniform(0, 0.02))
    there &= ~_patches(rng, depth.shape, rng.uniform(0, 0.25))
    return np.where(there, seen, 0).astype(np.float32)


def time_of_flight(rng: np.random.Generator, depth: Map) -> Map:
    """Kinect 2, Azure: soft noise, pixels between near and far at edges, patches that swallow the light."""
    mixed = gaussian_filter(depth, 0.0025 * depth.shape[1])
    seen = mixed + rng.uniform(1, 6) * (depth / 1000) * rng.standard_normal(depth.shape)
    there = ~_patches(rng, depth.shape, rng.uniform(0, 0.12))
    return np.where(there, np.maximum(seen, 1), 0).astype(np.float32)


def stereo(rng: np.random.Generator, depth: Map) -> Map:
    """Two cameras: objects grow by half a window, planes wave, what one camera does not see is missing or smeared."""
    focal = rng.uniform(20_000, 80_000)
    disparity = focal / np.maximum(depth, 1)
    size = int(rng.choice([3, 5, 9]))
    disparity = median_filter(_ragged(rng, disparity.astype(np.float32), 0.006), size)
    disparity = disparity + rng.uniform(0, 0.6) * hills(rng, depth.shape, 0.06)
    if rng.random() < 0.5:
        disparity = np.round(disparity)
    seen = focal / np.maximum(disparity, 1e-2)
    there = ~_patches(rng, depth.shape, rng.uniform(0, 0.2))
    left = round(rng.uniform(0, 0.06) * depth.shape[1])
    there[:, :left] = False
    return np.where(there, np.clip(seen, 1, 30_000), 0).astype(np.float32)


def stored(rng: np.random.Generator, depth: Map) -> npt.NDArray[np.uint16]:
    """As data sets keep it: mm, filled or with holes, cut into 8 bits, as disparity, or with near bright."""
    if rng.random() < 0.3:
        depth = filled(depth)
    there = depth > 0
    if not there.any():
        return np.zeros(depth.shape, np.uint16)
    kind, low, high = rng.random(), float(depth[there].min()), float(depth[there].max())
    values: npt.NDArray[np.floating[Any]] = depth
    if kind < 0.25:
        values = 60_000 * low / np.maximum(depth, 1)
    elif kind < 0.4:
        values = high + 0.05 * (high - low) + 1 - depth
    if rng.random() < 0.25:
        values = np.round(1 + 254 * (values / values[there].max())) * 128
    return np.where(there, np.clip(values, 1, 65_000), 0).astype(np.uint16)


def filled(depth: Map) -> Map:
    """Holes take the nearest measurement, as the filled versions of data sets do."""
    holes = depth == 0
    if not holes.any() or holes.all():
        return depth
    nearest = distance_transform_edt(holes, return_distances=False, return_indices=True)
    return np.ascontiguousarray(depth[tuple(nearest)])


def thermal(rng: np.random.Generator, grey: Map, objects: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    """A thermal camera's image of a scene of luminance ``grey`` in [0, 1]: objects warmer or colder, little texture."""
    size = grey.shape
    ground = rng.uniform(0.2, 1.0) * hills(rng, size, rng.uniform(0.1, 0.8))
    warm = rng.uniform(1.0, 4.0) * (1 if rng.random() < 0.75 else -1)
    inside = gaussian_filter(objects.astype(np.float32), rng.uniform(0.002, 0.01) * size[1])
    texture = gaussian_filter(grey, rng.uniform(0.001, 0.006) * size[1]) - grey.mean()
    uneven = 1 + 0.3 * hills(rng, size, 0.12)
    seen = ground + warm * inside * uneven + rng.uniform(-2, 2) * texture
    seen = seen + rng.uniform(0.02, 0.2) * rng.standard_normal(size)
    low, high = np.percentile(seen, [0.5, 99.5])
    grey8 = np.clip((seen - low) / (high - low + 1e-6), 0, 1)
    return (1 + 254 * grey8).astype(np.uint16)


def _ragged(rng: np.random.Generator, image: Map, most: float) -> Map:
    """Each pixel from a place a little off: edges fray."""
    off = most * image.shape[1] * rng.random()
    places = []
    for axis, length in enumerate(image.shape):
        here = np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1))
        moved = np.rint(here + off * rng.standard_normal(image.shape, dtype=np.float32)).astype(int)
        places.append(np.clip(moved, 0, length - 1))
    return np.ascontiguousarray(image[places[0], places[1]], np.float32)


def hills(rng: np.random.Generator, size: tuple[int, ...], period: float) -> Map:
    """Smooth noise of mean 0 and spread 1, its hills ``period`` widths apart."""
    cells = [max(3, round(n / (period * size[1]))) for n in size]
    coarse = torch.from_numpy(rng.standard_normal((1, 1, *cells), dtype=np.float32))
    fine = F.interpolate(coarse, size=tuple(size), mode="bicubic", align_corners=False)[0, 0].numpy()
    return np.asarray((fine - fine.mean()) / (fine.std() + 1e-6), np.float32)


def _patches(rng: np.random.Generator, size: tuple[int, ...], share: float) -> npt.NDArray[np.bool_]:
    """Blobs that take about ``share`` of the image."""
    if share <= 0.005:
        return np.zeros(size, bool)
    cloud = hills(rng, size, rng.uniform(0.015, 0.1))
    return np.asarray(cloud > np.quantile(cloud, 1 - share))
