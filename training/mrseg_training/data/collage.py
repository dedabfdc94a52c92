"""Frames of colour and depth from photographs: objects cut out of them, put into rooms and onto other pictures.

Photographs have no depth. Of what is known to be an object a plausible one is made: it stands on what is below it,
nearer than what is behind it, and is round. Where both were photographed, as in RGB-D pairs, the real one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from mrseg_training.data import sensors
from mrseg_training.data.scene_generator import Map, Mask, Scene, _cloud, _Pattern, _places, _room, _shape

SIZE = (224, 288)
SURE = 0.9  # of a picture's mask: how far the pixels that count as object, or not, are from in between
PHOTOS = 0.5
"""Share of the frames without a real pair that are photographs with their masks; the others are made scenes."""
LEAST = 0.003  # of a picture that an object takes
THERMAL = 0.12  # of the frames have a thermal image in the place of depth


class Picture(NamedTuple):
    """``colour`` (P, L, 3) uint8, ``mask`` (P, L) bool, ``depth`` (P, L) float32, 0 for holes, or None."""

    colour: npt.NDArray[np.uint8]
    mask: Mask
    depth: Map | None = None


class Pool:
    """What frames are made of: photographs with masks, surfaces without an object, real pairs.

    ``share``: of the frames that show a real pair.
    """

    def __init__(
        self,
        photos: Sequence[Picture],
        surfaces: Sequence[Map],
        pairs: Sequence[Picture] = (),
        share: float = 0.0,
    ) -> None:
        self.photos, self.surfaces, self.pairs = list(photos), list(surfaces), list(pairs)
        self.share = share if self.pairs else 0.0
        whole = [*self.photos, *self.pairs]
        self.objects = [p for p in whole if 0.02 < p.mask.mean() < 0.7]

    def frame(self, rng: np.random.Generator) -> Scene:
        """A frame of :data:`SIZE` that depends on ``rng`` alone; its second image is never the same everywhere."""
        while True:  # what a camera measures of a far wall may be all holes, or all of one value
            made = self._frame(rng)
            if np.ptp(made.depth) > 0:
                return made

    def _frame(self, rng: np.random.Generator) -> Scene:
        real = rng.random() < self.share
        made = self._photo if rng.random() < PHOTOS else self._collage
        colour, depth, truth = self._pair(rng) if real else made(rng)
        seen = photographed(rng, colour)
        if not real and rng.random() < THERMAL:
            second = sensors.thermal(rng, seen.mean(-1).astype(np.float32) / 255, truth)
        else:
            noisy = sensors.measured(rng, depth) if not real or rng.random() < 0.3 else depth
            second = sensors.stored(rng, noisy)
        if rng.random() < 0.5:
            seen, second, truth = seen[:, ::-1], second[:, ::-1], truth[:, ::-1]
        return Scene(np.ascontiguousarray(seen), np.ascontiguousarray(second), np.ascontiguousarray(truth))

    def _pair(self, rng: np.random.Generator) -> tuple[Map, Map, Mask]:
        picture = self.pairs[int(rng.integers(len(self.pairs)))]
        assert picture.depth is not None
        places = _crop(rng, picture.mask, least=0.55)
        return (
            _sample(picture.colour.astype(np.float32) / np.float32(255), places),
            _sample(picture.depth, places, order=0),
            _sample(picture.mask.astype(np.float32), places) > 0.5,
        )

    def _photo(self, rng: np.random.Generator) -> tuple[Map, Map, Mask]:
        picture = self.photos[int(rng.integers(len(self.photos)))]
        places = _crop(rng, picture.mask, least=0.6)
        colour = _sample(picture.colour.astype(np.float32) / np.float32(255), places)
        truth = _sample(picture.mask.astype(np.float32), places) > 0.5
        depth = _room(rng, SIZE)
        return colour, stood(rng, depth, truth), truth

    def _collage(self, rng: np.random.Generator) -> tuple[Map, Map, Mask]:
        depth = _room(rng, SIZE)
        colour = self._background(rng, depth)
        truth = np.zeros(SIZE, bool)
        for _ in range(int(rng.integers(0, 7))):  # clutter: little depth, and colours of what is around it
            mask = _shape(rng, SIZE, rng.uniform(0.003, 0.05))
            if mask.any():
                near = _Pattern(rng, like=colour[mask].mean(0), spread=0.1).paint(SIZE)
                colour = np.where(mask[..., None], 0.5 * near + 0.5 * self._surface(rng), colour)
                depth = np.where(mask, depth * (1 - rng.uniform(0, 0.05)), depth)
        many = rng.random() < 0.35
        kind = rng.random()
        for _ in range(int(rng.integers(2, 8)) if many else int(rng.integers(1, 3))):
            share = np.exp(rng.uniform(np.log(0.003), np.log(0.04 if many else 0.35)))
            painted, alpha = self._object(rng, share)
            mask = alpha > 0.5
            if not mask.any():
                continue
            if kind < 0.1:  # only depth shows it
                painted = colour
            elif kind < 0.18:  # glass
                alpha = alpha * np.clip(0.15 + 0.8 * _rim(mask), 0, 1)
            elif kind < 0.25:  # a hole in the ground
                painted = colour * rng.uniform(0.2, 0.6)
            else:
                colour = _shadow(rng, colour, mask)
            colour = colour + alpha[..., None] * (painted - colour)
            if 0.18 <= kind < 0.25:
                depth = np.where(mask, depth * rng.uniform(1.02, 1.15), depth)
            elif not 0.25 <= kind < 0.33:  # else it lies in the plane, and only colour shows it
                depth = stood(rng, depth, mask)
            truth |= mask
        return colour.astype(np.float32), depth.astype(np.float32), truth

    def _background(self, rng: np.random.Generator, depth: Map) -> Map:
        """Walls and floor papered with surfaces, seen in perspective; or one surface flat."""
        y, x = _places(SIZE)
        z = depth / float(np.median(depth))
        image = self.surfaces[int(rng.integers(len(self.surfaces)))]
        if rng.random() < 0.3:
            return self._surface(rng)
        scale = rng.uniform(0.4, 1.5) * image.shape[1]
        u, v = scale * (x * z + rng.random()), scale * (y * z + z + rng.random())
        tall, wide = 2 * (image.shape[0] - 1), 2 * (image.shape[1] - 1)
        papered = _sample(image, (np.mod(v, tall), np.mod(u, wide)))  # mirrored at each edge
        if rng.random() < 0.4:  # another one for the wall
            other = _Pattern(rng).paint(SIZE) if rng.random() < 0.5 else self._surface(rng)
            far = depth > 0.97 * depth[0].max()
            papered = np.where(far[..., None], other, papered)
        light = np.clip(1.2 - rng.uniform(0, 0.4) * z, 0.4, 1.2)
        return np.clip(papered * light[..., None], 0, 1).astype(np.float32)

    def _surface(self, rng: np.random.Generator) -> Map:
        """A piece of one of the surfaces, (P, L, 3) in [0, 1]."""
        image = self.surfaces[int(rng.integers(len(self.surfaces)))]
        return _sample(image, _crop(rng, np.zeros(image.shape[:2], bool), least=0.35))

    def _object(self, rng: np.random.Generator, share: float) -> tuple[Map, Map]:
        """Colour (P, L, 3) and how much of each pixel it covers (P, L): cut out of a photograph, or a shape."""
        if not self.objects or rng.random() < 0.3:
            mask = _shape(rng, SIZE, share, within=0.85)
            painted = _Pattern(rng).paint(SIZE) if rng.random() < 0.5 else self._surface(rng)
            round_ = np.clip(distance_transform_edt(mask) / (0.1 * SIZE[1]), 0, 1)
            painted = painted * (0.7 + 0.3 * round_[..., None]) if rng.random() < 0.6 else painted
            return painted, gaussian_filter(mask.astype(np.float32), 0.5)
        picture = self.objects[int(rng.integers(len(self.objects)))]
        rows, columns = np.nonzero(picture.mask)
        centre = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
        factor = np.sqrt(len(rows) / (share * SIZE[0] * SIZE[1]))  # source pixels for one of the frame
        angle = rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
        place = rng.uniform(0.1, 0.9, 2) * SIZE
        dy, dx = factor * (y - place[0]), factor * (x - place[1]) * (1 if rng.random() < 0.5 else -1)
        rows_, columns_ = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
        places = (rows_ + centre[0], columns_ + centre[1])
        alpha = _sample(picture.mask.astype(np.float32), places, mode="zeros")
        if factor > 1.5:
            alpha = gaussian_filter(alpha, 0.4)
        return _sample(picture.colour.astype(np.float32) / np.float32(255), places), alpha


def stood(rng: np.random.Generator, depth: Map, mask: Mask) -> Map:
    """``depth`` with the parts of ``mask`` before it: as far as what their feet stand on, and round."""
    if not mask.any():
        return depth
    foot = int(np.nonzero(mask)[0].max())
    around = depth[min(foot, SIZE[0] - 1)][mask[foot]]
    behind = float(np.percentile(depth[mask], 30))
    near = min(float(around.mean()), behind) * rng.uniform(0.75, 1.0)
    near = min(near, behind * rng.uniform(0.6, 0.96))
    inner = distance_transform_edt(mask)
    round_ = np.sqrt(np.clip(inner / (0.08 * SIZE[1]), 0, 1))
    tilt = 1 + rng.normal(0, 0.08) * _places(SIZE)[1] + rng.normal(0, 0.05) * _places(SIZE)[0]
    rough = 1 + 0.02 * (_cloud(rng, SIZE, 0.1) - 0.5)
    own = near * tilt * rough * (1 - rng.uniform(0, 0.08) * round_)
    return np.where(mask, np.minimum(own, 0.995 * depth), depth).astype(np.float32)


def photographed(rng: np.random.Generator, colour: Map) -> npt.NDArray[np.uint8]:
    """Light, contrast, colour cast, blur, noise: (P, L, 3) in [0, 1] -> uint8."""
    seen = np.clip(colour, 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.6:
        grey = seen.mean(-1, keepdims=True)
        seen = grey + (seen - grey) * rng.uniform(0.3, 1.4)
    seen = 0.5 + (seen - 0.5) * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 0.06)
    seen = seen * rng.uniform(0.88, 1.12, 3)
    if rng.random() < 0.3:
        seen = seen * (1 + 0.5 * (_cloud(rng, SIZE, 1.0) - 0.5))[..., None]
    if rng.random() < 0.35:
        seen = gaussian_filter(seen, (*[rng.uniform(0.2, 1.4)] * 2, 0))
    if rng.random() < 0.5:
        seen = seen + rng.normal(0, rng.uniform(0.003, 0.05), seen.shape)
    if rng.random() < 0.05:
        seen = np.repeat(seen.mean(-1, keepdims=True), 3, -1)
    return (255 * np.clip(seen, 0, 1)).astype(np.uint8)


def _crop(rng: np.random.Generator, mask: Mask, least: float) -> tuple[Map, Map]:
    """Rows and columns of a picture for each pixel of the frame: a window of it, stretched a little, turned a little.

    Of an object at least three quarters stay in the window, where that can be had.
    """
    height, width = mask.shape
    total = int(mask.sum())
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    for _ in range(6):
        share = rng.uniform(least, 1.0)
        ratio = SIZE[1] / SIZE[0] * np.exp(rng.uniform(-0.25, 0.25))
        tall = min(height * share, width * share / ratio)
        wide = min(tall * ratio, width)
        if rng.random() < 0.35:  # the whole picture, whatever its shape
            tall, wide = height * rng.uniform(0.9, 1), width * rng.uniform(0.9, 1)
        top, left = rng.uniform(0, max(height - tall, 0)), rng.uniform(0, max(width - wide, 0))
        inside = mask[int(top) : int(top + tall), int(left) : int(left + wide)]
        if total == 0 or inside.sum() >= 0.75 * total:
            break
    angle = rng.normal(0, 0.06) if rng.random() < 0.5 else 0.0
    v, u = (y + 0.5) / SIZE[0] - 0.5, (x + 0.5) / SIZE[1] - 0.5
    v, u = v * np.cos(angle) + u * np.sin(angle), u * np.cos(angle) - v * np.sin(angle)
    return top + (v + 0.5) * tall - 0.5, left + (u + 0.5) * wide - 0.5


def _sample(
    image: npt.NDArray[Any],
    places: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    order: int = 1,
    mode: str = "reflection",
) -> Map:
    """The image at these rows and columns; of a colour image each channel."""
    tensor = torch.from_numpy(np.atleast_3d(image).astype(np.float32)).movedim(-1, 0)[None]
    scaled = [2 * p / (n - 1) - 1 for p, n in zip(places[::-1], image.shape[1::-1], strict=True)]
    grid = torch.from_numpy(np.stack(scaled, -1).astype(np.float32))[None]
    how = "bilinear" if order else "nearest"
    found = F.grid_sample(tensor, grid, how, mode, align_corners=True)[0].movedim(0, -1).numpy()
    return np.ascontiguousarray(found[..., 0] if image.ndim == 2 else found)


def _rim(mask: Mask) -> Map:
    """1 at the edge of ``mask``, falling to 0 within."""
    return np.where(mask, np.exp(-distance_transform_edt(mask) / (0.008 * SIZE[1])), 0).astype(np.float32)


def _shadow(rng: np.random.Generator, colour: Map, mask: Mask) -> Map:
    """What an object casts on the ground beside it."""
    if rng.random() < 0.3:
        return colour
    dy, dx = rng.uniform(0, 0.04) * SIZE[0], rng.uniform(-0.08, 0.08) * SIZE[1]
    cast = np.roll(mask, (round(dy), round(dx)), (0, 1)).astype(np.float32)
    cast = gaussian_filter(cast, rng.uniform(0.5, 6))
    return colour * (1 - rng.uniform(0.2, 0.6) * cast)[..., None]


def picture_of(colour: Path, mask: Path, depth: Path | None = None, most: int = 480) -> Picture | None:
    """A photograph with its mask (of probabilities in 0..255), at most ``most`` pixels long; None if it is unsure."""
    with Image.open(colour) as image:
        seen = image.convert("RGB")
        seen.thumbnail((most, most))
    with Image.open(mask) as image:
        found = np.asarray(image.convert("L").resize(seen.size, Image.Resampling.BILINEAR), np.float32) / 255
    inside = found > 0.5
    if not LEAST < inside.mean() < 0.8 or np.abs(2 * found - 1).mean() < SURE:
        return None
    measured = None
    if depth is not None:
        with Image.open(depth) as image:
            raw = image.resize(seen.size, Image.Resampling.NEAREST)
            measured = np.asarray(raw, np.float32)
    return Picture(np.asarray(seen), inside, measured)
