"""Generated scenes of colour and depth: one or two objects that stand out, in a cluttered room, seen by a depth camera.

In most scenes both images show the objects. In some they wear the pattern of the wall behind them, so that only depth
finds them; in some they lie in the plane of what is behind them, as a poster does, so that only colour does. All
lengths are shares of the image, so that a scene may be drawn at any size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from mrseg_training.data.splits import GROUPS
from mrseg_training.data.subjects import PREPARATION, Prepared
from mrseg_training.log import Count, Say, silent
from mrseg_training.perturb import mix
from mrseg_training.settings import SimulatePart
from napari_mrseg.errors import InputError
from napari_mrseg.prepare import measure, scale
from napari_mrseg.tasks import Task

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SCENES = 2
"""Raised when the generator draws other scenes from the same seed."""

FULL = (480, 640)  # pixels of a scene at spacing 1
CAMOUFLAGED, FLAT = 0.2, 0.2  # shares of scenes in which colour, or depth, does not show the objects
NEAR, FAR = 450.0, 8000.0  # mm that the camera can measure
LEAST, MOST = 0.025, 0.3  # of the image that an object takes


class Scene(NamedTuple):
    """``colour`` (P, L, 3) uint8, ``depth`` (P, L) uint16 mm, 0 where nothing was measured, ``truth`` (P, L) bool."""

    colour: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.uint16]
    truth: Mask


def draw_scene(rng: np.random.Generator, size: tuple[int, int] = FULL) -> Scene:
    """A scene that depends on ``rng`` and ``size`` alone."""
    kind = rng.random()
    camouflaged, flat = kind < CAMOUFLAGED, CAMOUFLAGED <= kind < CAMOUFLAGED + FLAT
    wall = _Pattern(rng)
    depth = _room(rng, size)
    colour = wall.paint(size)
    floor = depth < 0.98 * depth[0].max()
    if rng.random() < 0.7:
        colour = np.where(floor[..., None], _Pattern(rng, like=wall.colours[0]).paint(size), colour)
    for _ in range(
        int(rng.integers(2, 11))
    ):  # clutter: like the wall in colour, or hardly before it in depth
        mask = _shape(rng, size, rng.uniform(0.003, 0.06))
        step = rng.uniform(0, 0.08) if rng.random() < 0.8 else 0.0
        pattern = _Pattern(rng, like=wall.colours[int(rng.integers(2))], spread=0.12)
        colour, depth = _put(rng, colour, depth, mask, pattern, step, relief=0.01)
    truth = np.zeros(size, bool)
    for _ in range(2 if rng.random() < 0.2 else 1):
        mask = _shape(rng, size, rng.uniform(LEAST, MOST), within=0.7)
        pattern = wall if camouflaged else _Pattern(rng, unlike=colour[mask].mean(0) if mask.any() else None)
        step = 0.0 if flat else rng.uniform(0.15, 0.5)
        relief = 0.0 if flat else 0.04
        colour, depth = _put(rng, colour, depth, mask, pattern, step, relief=relief, shaded=not camouflaged)
        truth |= mask
    seen, measured = _photograph(rng, colour), _measured(rng, depth)
    if rng.random() < 0.15:  # colour that was laid over depth is black where depth is missing
        seen = np.where((measured > 0)[..., None], seen, 0).astype(np.uint8)
    return Scene(seen, measured, truth)


class _Pattern:
    """Two colours and how they alternate; painted again it is the same pattern."""

    KINDS = ("plain", "cloud", "stripes", "checks", "patches", "dots")

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        like: npt.NDArray[np.floating] | None = None,
        unlike: npt.NDArray[np.floating] | None = None,
        spread: float = 0.2,
    ) -> None:
        first = _colour(rng)
        if like is not None:
            first = np.clip(like + rng.normal(0, spread, 3), 0, 1)
        while unlike is not None and np.abs(first - unlike).sum() < 0.6:
            first = _colour(rng)
        second = np.clip(first + rng.normal(0, 0.25, 3), 0, 1)
        self.colours = np.stack([first, second])
        self.kind = self.KINDS[int(rng.integers(len(self.KINDS)))]
        self.period, self.angle = rng.uniform(0.02, 0.15), rng.uniform(0, np.pi)
        self.seed = int(rng.integers(2**62))

    def paint(self, size: tuple[int, int]) -> Map:
        """(P, L, 3) in [0, 1]."""
        rng = np.random.default_rng(self.seed)
        y, x = _places(size)
        along = (x * np.cos(self.angle) + y * np.sin(self.angle)) / self.period
        across = (y * np.cos(self.angle) - x * np.sin(self.angle)) / self.period
        share = {
            "plain": lambda: np.zeros(size, np.float32),
            "cloud": lambda: _cloud(rng, size, self.period),
            "stripes": lambda: (np.sin(2 * np.pi * along) > 0).astype(np.float32),
            "checks": lambda: ((np.floor(along) + np.floor(across)) % 2).astype(np.float32),
            "patches": lambda: rng.random((64, 64))[(along % 64).astype(int), (across % 64).astype(int)],
            "dots": lambda: ((along % 1 - 0.5) ** 2 + (across % 1 - 0.5) ** 2 < 0.08).astype(np.float32),
        }[self.kind]()
        painted = self.colours[0] + (self.colours[1] - self.colours[0]) * share[..., None]
        painted = painted * (1 + 0.15 * (_cloud(rng, size, 0.3) - 0.5))[..., None]
        return np.clip(painted, 0, 1).astype(np.float32)


def _colour(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Red, green, blue; rather muted than loud."""
    drawn = rng.random(3)
    return drawn.mean() + (drawn - drawn.mean()) * rng.uniform(0.1, 1)


def _places(size: tuple[int, int]) -> tuple[Map, Map]:
    """Row and column of each pixel's centre, in widths of the image from its centre."""
    height, width = size
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / width
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / width
    return np.broadcast_to(y[:, None], size), np.broadcast_to(x, size)


def _cloud(rng: np.random.Generator, size: tuple[int, int], period: float) -> Map:
    """Smooth noise in [0, 1] of three octaves, the coarsest with hills ``period`` widths apart."""
    total, weight = torch.zeros(size), 0.0
    for octave in range(3):
        cells = max(2, round(2**octave / period))
        rows = max(2, round(cells * size[0] / size[1]))
        grid = torch.from_numpy(rng.random((1, 1, rows, cells), dtype=np.float32))
        total += F.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0, 0] / 2**octave
        weight += 1 / 2**octave
    return (total / weight).numpy()


def _room(rng: np.random.Generator, size: tuple[int, int]) -> Map:
    """Depth in mm of a wall, slanted or two that meet in a corner, floor, ceiling, now and then a wall at the side."""
    y, x = _places(size)
    wall = rng.uniform(1800, 5500) / np.maximum(0.3, 1 + rng.normal(0, 0.25) * x + rng.normal(0, 0.1) * y)
    if rng.random() < 0.4:
        away = x - rng.uniform(-0.45, 0.45)
        wall = wall / (1 + np.where(away > 0, rng.uniform(0.2, 1.8) * away, -rng.uniform(0.2, 1.8) * away))
    depth = wall
    if rng.random() < 0.2:
        depth = np.minimum(depth, rng.uniform(500, 1500) / np.maximum(rng.uniform(-0.3, 0.0) - y, 1e-3))
    if rng.random() < 0.75:
        horizon, height = rng.uniform(-0.25, 0.15), rng.uniform(600, 1700)
        depth = np.minimum(depth, height / np.maximum(y - horizon, 1e-3))
    if rng.random() < 0.3:
        side, aside = rng.choice([-1, 1]), rng.uniform(600, 2200)
        depth = np.minimum(depth, aside / np.maximum(side * x - rng.uniform(0, 0.2), 1e-3))
    return np.maximum(depth, 500).astype(np.float32)


def _shape(rng: np.random.Generator, size: tuple[int, int], share: float, within: float = 1.1) -> Mask:
    """An object's outline of about ``share`` of the image, its centre in the middle ``within`` of it."""
    y, x = _places(size)
    reach = size[0] / size[1]
    cy, cx = rng.uniform(-0.5, 0.5, 2) * within * (reach, 1.0)
    area = share * reach
    parts = 1 if rng.random() < 0.6 else int(rng.integers(2, 5))
    mask = np.zeros(size, bool)
    for part in range(parts):
        radius = np.sqrt(area / np.pi / (1 + 0.5 * (parts - 1)))
        oy, ox = (0.0, 0.0) if part == 0 else rng.normal(0, 0.9 * radius, 2)
        angle, aspect = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.35))
        u = (x - cx - ox) * np.cos(angle) + (y - cy - oy) * np.sin(angle)
        v = (y - cy - oy) * np.cos(angle) - (x - cx - ox) * np.sin(angle)
        u, v = u / (radius * np.sqrt(aspect)), v / (radius / np.sqrt(aspect))
        if rng.random() < 0.5:
            power = rng.choice([1.0, 1.6, 2.0, 4.0, 12.0])
            inside = np.abs(u) ** power + np.abs(v) ** power < 1
        else:
            turn, edge = np.arctan2(v, u), 1.0
            for k in range(2, 7):
                edge = edge + rng.normal(0, 0.5 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) / 1.5
            inside = u**2 + v**2 < np.maximum(edge, 0.25) ** 2
        mask |= inside
    if rng.random() < 0.08:
        mask &= (x - cx) ** 2 + (y - cy) ** 2 > (0.35 * np.sqrt(area / np.pi)) ** 2
    return mask


def _put(
    rng: np.random.Generator,
    colour: Map,
    depth: Map,
    mask: Mask,
    pattern: _Pattern,
    step: float,
    *,
    relief: float,
    shaded: bool = True,
) -> tuple[Map, Map]:
    """The object of ``mask`` before what is there: nearer by the share ``step``, rounded by ``relief``."""
    if not mask.any():
        return colour, depth
    size = (int(mask.shape[0]), int(mask.shape[1]))
    inside = gaussian_filter(mask.astype(np.float32), 0.03 * size[1])
    round_ = np.sqrt(np.clip(2 * inside - 0.6, 0, 1))
    painted = pattern.paint(size)
    if shaded:
        light = rng.normal(0, 1, 2)
        slope = np.gradient(round_) if relief else [np.zeros(size), np.zeros(size)]
        shade = 1 + 0.06 * size[1] / 10 * (light[0] * slope[0] + light[1] * slope[1]) * rng.random()
        painted = np.clip(painted * np.clip(shade, 0.6, 1.4)[..., None], 0, 1)
    behind = float(np.percentile(depth[mask], 20))
    own = depth if step == 0 else behind * (1 - step) * (1 + rng.normal(0, 0.08) * _places(size)[1])
    own = own * (1 - relief * round_)
    return (
        np.where(mask[..., None], painted, colour).astype(np.float32),
        np.where(mask, np.minimum(own, depth), depth).astype(np.float32),
    )


def _photograph(rng: np.random.Generator, colour: Map) -> npt.NDArray[np.uint8]:
    """Uneven light, a colour cast, blur, noise."""
    size = colour.shape[:2]
    light = 1 + rng.uniform(0, 0.5) * (_cloud(rng, (size[0], size[1]), 1.2) - 0.5)
    seen = colour * light[..., None] * rng.uniform(0.85, 1.15, 3)
    seen = gaussian_filter(seen, (*[rng.uniform(0, 0.002) * size[1]] * 2, 0)) ** rng.uniform(0.7, 1.4)
    seen = seen + rng.normal(0, rng.uniform(0.003, 0.04), seen.shape)
    return (255 * np.clip(seen, 0, 1)).astype(np.uint8)


def _measured(rng: np.random.Generator, depth: Map) -> npt.NDArray[np.uint16]:
    """What a structured-light or time-of-flight camera makes of it: mm, 0 for holes.

    Noise and steps grow with the square of the distance; edges are ragged and have a shadow at one side; some patches
    and all that is too near or too far is missing.
    """
    size = (int(depth.shape[0]), int(depth.shape[1]))
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    ragged = 0.003 * size[1] * rng.random()
    places = [axis + ragged * rng.standard_normal(size).astype(np.float32) for axis in (y, x)]
    seen = map_coordinates(depth, places, order=0, mode="nearest")
    metres = seen / 1000
    seen = seen + rng.uniform(0.5, 4) * metres**2 * rng.standard_normal(size)
    if rng.random() < 0.6:  # steps of disparity
        factor = rng.uniform(250_000, 600_000)
        seen = factor / np.maximum(1, np.round(factor / np.maximum(seen, 1)))
    shadow = max(1, round(rng.uniform(0.002, 0.012) * size[1]))
    beside = np.roll(depth, int(rng.choice([-1, 1])) * shadow, 1)
    there = beside > 0.93 * depth if rng.random() < 0.8 else np.ones(size, bool)
    if rng.random() < 0.7:
        there &= _cloud(rng, size, rng.uniform(0.05, 0.3)) < rng.uniform(0.72, 0.95)
    there &= rng.random(size) > rng.uniform(0, 0.03)
    if rng.random() < 0.3:  # the edges of an image that was laid over another
        y0, x0 = (rng.uniform(0, 0.06, 2) * size).astype(int)
        border = np.zeros(size, bool)
        border[y0 : size[0] - y0, x0 : size[1] - x0] = True
        there &= border
    there &= (seen > NEAR) & (seen < FAR)
    return np.where(there, np.clip(seen, 0, 65535), 0).astype(np.uint16)


class Scenes:
    """Scenes in the groups train, validation and test: number k of a group and seed is always the same one."""

    def __init__(self, part: SimulatePart, task: Task, spacing: float) -> None:
        if task.names != ("rgb", "depth"):
            raise InputError(f"There is no generator for the task {task.name}; use files.")
        self.part, self.task, self.spacing = part, task, spacing
        self.size = tuple(round(n / spacing) for n in FULL)
        self.split: Mapping[str, Sequence[str]] | None = {
            group: [f"scene-{group}-{k:04d}" for k in range(getattr(part, group))] for group in GROUPS
        }
        assert self.split is not None
        self.ids: Sequence[str] = [subject for group in GROUPS for subject in self.split[group]]

    def fingerprint(self, subject: str) -> str:
        told = json.dumps([PREPARATION, SCENES, self.spacing, self.part.seed, subject])
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def load(self, subject: str) -> Prepared:
        """The scene at the source's spacing, normalised as the engine does it."""
        scene = self.draw(subject, (self.size[0], self.size[1]))
        colour, depth = (
            torch.from_numpy(scene.colour).float(),
            torch.from_numpy(scene.depth.astype(np.float32)),
        )
        scaled = [scale(v[None], measure(v[None], holes=self.task.modality(name).holes)) for name, v in
                  (("rgb", colour), ("depth", depth))]  # fmt: skip
        images = torch.cat([scaled[0].movedim(-1, 0), scaled[1][None]])
        return Prepared(
            images, torch.from_numpy(scene.truth[None].astype(np.uint8)), torch.ones(2, dtype=torch.bool)
        )

    def draw(self, subject: str, size: tuple[int, int] = FULL) -> Scene:
        _, group, number = subject.split("-")
        return draw_scene(np.random.default_rng(mix(self.part.seed, GROUPS.index(group), int(number))), size)


def write_scenes(
    part: SimulatePart, task: Task, out: Path, *, group: str = "test", say: Say = silent
) -> list[Path]:
    """Scenes of one group as folders of rgb.png, depth.png (16 bits, mm, 0: nothing measured) and gt.png."""
    source = Scenes(part, task, 1.0)
    assert source.split is not None
    folders = []
    for number, subject in enumerate(source.split[group], start=1):
        scene = source.draw(subject)
        folder = out / subject
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.colour).save(folder / "rgb.png")
        Image.fromarray(scene.depth).save(folder / "depth.png")
        Image.fromarray(scene.truth.astype(np.uint8) * 255).save(folder / "gt.png")
        about = {"simulated": True, "seed": part.seed, "subject": subject, "scenes": SCENES}
        (folder / "simulated.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        folders.append(folder)
        say(Count("simulated", number, len(source.split[group])))
    return folders
