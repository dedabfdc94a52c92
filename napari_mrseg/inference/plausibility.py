"""What looks outside what a model was made for: one warning each, from the modalities in use only.

The limits below come from real scans; what they catch and what they miss is measured by
``benchmarks/plausibility.py`` and stated in ``docs/models.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_mrseg.foreground import SKULL_ML
from napari_mrseg.models.card import ModelCard
from napari_mrseg.prepare import Intensities
from napari_mrseg.study import Image, Note, Study
from napari_mrseg.tasks import Combination, Task

Array = npt.NDArray[np.float32]

COARSE_MM = 4.0  # grid on which intensities are looked at
FINE_MM = 2.0  # grid on which vessels still show
VESSELS = 0.0005  # share of a brain that is brightest of all, on that grid
SMALL_ML = 900.0  # less is not a whole adult brain
BORDER_CM2 = 20.0  # cross-section at a face of the field of view from which on a brain counts as cut off
END_CM2 = 50.0  # cross-section at which the foreground ends within the field of view, as no head does
THICK_MM = 2.9
SAME_IMAGE = 0.99  # correlation of two modalities' intensities
RIM_MM = 5.0  # depth from which intensities count: above it, they tell how the brain was cut out
SHALLOW_MM, DEEP_MM = 9.0, (12.0, 18.0)  # cortex ends, and there is more of white matter
EXCHANGED, CERTAIN = 0.15, 0.5  # how much a pair must speak against its order; more than this counts as this
LARGE_SHARE = 1 / 3  # of the brain's volume


@dataclass(frozen=True)
class ImageStatistics:
    """What is seen of one image on a coarse grid.

    Attributes
    ----------
    values
        (i, p, l) float32, robust standard deviations from the foreground's median, cut at −5 and 8.
    inside
        (i, p, l) bool: the foreground without its rim.
    volume_ml, border_cm2
        The foreground's volume, and its largest section with a face of the field of view.
    end_cm2
        The largest section at which it ends, along an axis.
    slice_mm
        Slice thickness along the coarsest axis; slices that repeat their neighbour do not count.
    tail
        Bright against dark tail of what is inside, −1 to 1.
    rise
        Median of deep minus median of shallow tissue.
    fine
        (n,) float32: like ``values``, uncut, of what is inside on a grid of :data:`FINE_MM`.
    places
        (n,) int: where those lie.
    """

    values: Array
    inside: npt.NDArray[np.bool_]
    volume_ml: float
    border_cm2: float
    end_cm2: float
    slice_mm: float
    tail: float
    rise: float
    fine: Array
    places: npt.NDArray[np.int64]

    @property
    def is_whole_brain(self) -> bool:
        return SMALL_ML <= self.volume_ml <= SKULL_ML and self.border_cm2 <= BORDER_CM2


def image_statistics(image: Image, known: Intensities) -> ImageStatistics:
    """Look at one image of which ``known`` was measured. Some ten milliseconds."""
    spacing = image.source.ipl_grid.spacing
    steps = [max(1, round(COARSE_MM / mm)) for mm in spacing]
    coarse = image.data[
        tuple(slice(min(n - 1, s // 2), None, s) for n, s in zip(image.data.shape, steps, strict=True))
    ]
    width = [step * mm for step, mm in zip(steps, spacing, strict=True)]
    foreground = np.abs(coarse) > known.floor
    depth = _depth(foreground, width)
    inside = depth > RIM_MM
    values = ((coarse - np.float32(known.centre)) / np.float32(known.spread)).clip(-5, 8)
    fine, places = _fine(image.data, known, spacing, steps, inside)
    return ImageStatistics(
        values=values,
        inside=inside,
        volume_ml=float(foreground.sum() * np.prod(width) / 1000),
        border_cm2=_border(foreground, width) / 100,
        end_cm2=_border(foreground[_box(foreground)], width) / 100,
        slice_mm=max(mm * _repeats(image.data, axis) for axis, mm in enumerate(spacing)),
        tail=_asymmetry(values[inside], 0.05),
        rise=_rise(values, depth),
        fine=fine,
        places=places,
    )


def _fine(
    data: Array,
    known: Intensities,
    spacing: Sequence[float],
    steps: Sequence[int],
    inside: npt.NDArray[np.bool_],
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Values inside on the finer grid, and their places; ``inside`` and ``steps`` are the coarse grid's."""
    fine = [max(1, round(FINE_MM / mm)) for mm in spacing]
    lines = [np.arange(0, n, step) for n, step in zip(data.shape, fine, strict=True)]
    cells = [np.minimum(line // s, n - 1) for line, s, n in zip(lines, steps, inside.shape, strict=True)]
    places = np.flatnonzero(inside[np.ix_(*cells)])
    values = data[:: fine[0], :: fine[1], :: fine[2]].ravel()[places]
    return (values - np.float32(known.centre)) / np.float32(known.spread), places


def implausible_inputs(
    study: Study, statistics: Mapping[str, ImageStatistics], card: ModelCard
) -> tuple[Note, ...]:
    """A warning for each way in which the study's images look unlike what ``card`` says the model expects."""
    if card.expects != "adult brain":
        return ()
    found = (
        _skull(study, statistics),
        _incomplete(study, statistics),
        _thick(study, statistics),
        _contrast(study, statistics),
    )
    return tuple(note for note in found if note is not None)


def implausible_finding(
    task: Task,
    combination: Combination,
    sizes: Mapping[str, float],
    statistics: Mapping[str, ImageStatistics],
    card: ModelCard,
) -> tuple[Note, ...]:
    """A warning for a result that holds nothing, or implausibly much. ``sizes`` in the task's unit."""
    outermost = task.regions[0]
    size = sizes[outermost.name]
    if size == 0:
        return (Note("nothing_found", _nothing(task, combination, card)),)
    if card.expects != "adult brain":
        return ()
    brain = min(stats.volume_ml for stats in statistics.values())
    if size > LARGE_SHARE * brain:
        share = f"takes {size / brain:.0%} of" if size <= brain else "is larger than"
        message = (
            f"{outermost.name} ({outermost.title}) {share} the brain in {_titles(task, combination)}, more than a "
            "tumour does: the result is probably wrong; look at the scans, and at other combinations."
        )
        return (Note("large_finding", message),)
    return ()


def _nothing(task: Task, combination: Combination, card: ModelCard) -> str:
    region = task.regions[0].name
    dice = card.measured_dice(combination).get(region, [])
    intro = f"Nothing was found in {_titles(task, combination)}, which does not mean that nothing is there: "
    who = f"{card.name} {card.version}"
    if not dice:
        return f"{intro}the card of {who} states no result for this combination; look at the scans yourself."
    many = f"on {len(dice)} scans of its card" if len(dice) > 1 else "on the scan of its card"
    worst = f", at worst {min(dice):.2f}" if len(dice) > 1 else ""
    return (
        f"{intro}{many}, with {task.finding}, {who} reached a Dice of {fmean(dice):.2f}{worst} for {region} with this "
        "combination (1 is all of it, 0 is missed); look at the scans yourself."
    )


def _skull(study: Study, statistics: Mapping[str, ImageStatistics]) -> Note | None:
    name, stats = max(statistics.items(), key=lambda item: item[1].volume_ml)
    if stats.volume_ml <= SKULL_ML:
        return None
    message = (
        f"{_file(study, name)} looks as if the skull were still there: {stats.volume_ml:.0f} mL are brighter than the "
        f"background, a brain has less than {SKULL_ML:.0f} mL; cut the brain out of all scans first."
    )
    return Note("skull", message, name)


def _incomplete(study: Study, statistics: Mapping[str, ImageStatistics]) -> Note | None:
    """Too small, or cut off; a head with its skull always touches the field of view."""
    fit = {name: stats for name, stats in statistics.items() if stats.volume_ml <= SKULL_ML}
    if not fit:
        return None
    cut = max(fit, key=lambda name: fit[name].border_cm2)
    if fit[cut].border_cm2 > BORDER_CM2:
        message = (
            f"{_file(study, cut)} looks cut off: {fit[cut].border_cm2:.0f} cm² of tissue lie at the border of the "
            "field of view; the model was made for whole brains, and nothing is found outside."
        )
        return Note("partial_head", message, cut)
    ends = max(fit, key=lambda name: fit[name].end_cm2)
    if fit[ends].end_cm2 > END_CM2:
        message = (
            f"{_file(study, ends)} ends abruptly within the field of view ({fit[ends].end_cm2:.0f} cm² of tissue, then "
            "nothing): part of the scan may be lost, and nothing is found there; check the file."
        )
        return Note("partial_head", message, ends)
    small = min(fit, key=lambda name: fit[name].volume_ml)
    if fit[small].volume_ml < SMALL_ML:
        message = (
            f"{_file(study, small)} shows {fit[small].volume_ml:.0f} mL of brain, less than a whole adult brain (from "
            f"{SMALL_ML:.0f} mL): a child's, a part of one, or a wrong voxel size; the model was made for whole adult "
            "brains, so check the file and mistrust the result."
        )
        return Note("small_head", message, small)
    return None


def _thick(study: Study, statistics: Mapping[str, ImageStatistics]) -> Note | None:
    name, stats = max(statistics.items(), key=lambda item: item[1].slice_mm)
    if stats.slice_mm < THICK_MM:
        return None
    message = (
        f"{_file(study, name)} has slices {stats.slice_mm:.1f} mm thick; the model was made for scans at 1 mm, and "
        "small parts and borders between slices are guesses: take a series with thin slices if there is one."
    )
    return Note("thick_slices", message, name)


def _contrast(study: Study, statistics: Mapping[str, ImageStatistics]) -> Note | None:
    """The same image twice, two modalities exchanged, or one that cannot be what it is taken for."""
    # Skull, or half a brain, shows another range of intensities.
    statistics = {name: stats for name, stats in statistics.items() if stats.is_whole_brain}
    for a, b in combinations(statistics, 2):
        if _correlation(statistics[a], statistics[b]) > SAME_IMAGE:
            files = f"{_file(study, a)} and {_file(study, b)}"
            return Note("same_image", f"{files} look like the same image; check which file is which.")
    pair = exchanged(study.task, statistics)
    if pair is not None:
        a, b = (_file(study, name) for name in study.task.combination(pair))
        message = (
            f"{a} and {b} look exchanged, by how fluid and white matter show; check which file is which."
        )
        return Note("wrong_contrast", message)
    for name, stats in statistics.items():
        assigned = study.task.modality(name)
        if not (_within(stats.tail, assigned.tail) and _within(stats.rise, assigned.rise)):
            message = (
                f"{_file(study, name)} does not look like {assigned.title}, by how fluid and white matter show; check "
                "which file is which."
            )
            return Note("wrong_contrast", message, name)
    return None


def exchanged(task: Task, statistics: Mapping[str, ImageStatistics]) -> tuple[str, str] | None:
    """The two modalities that most look like each other's, or None if every pair is in order."""
    names = list(statistics)
    brighter = {}
    for a, b in combinations(names, 2):
        both = statistics[a].inside & statistics[b].inside
        brighter[a, b] = _asymmetry(statistics[a].values[both] - statistics[b].values[both], 0.02)
        brighter[b, a] = -brighter[a, b]

    def scores(assigned: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], float]]:
        """How much each pair speaks for its order, were modality x the image ``assigned[x]``."""
        for x, y in task.brighter_fluid:
            if x in assigned and y in assigned:
                yield (x, y), brighter[assigned[x], assigned[y]]
        for x, y in task.rising:
            if x in assigned and y in assigned:
                yield (x, y), statistics[assigned[x]].rise - statistics[assigned[y]].rise
        for x, y in task.enhanced:
            if x in assigned and y in assigned:
                yield (x, y), vessels(statistics[assigned[x]], statistics[assigned[y]])

    def total(pair: tuple[str, str]) -> float:
        x, y = pair
        return sum(min(score, CERTAIN) for _, score in scores({**{n: n for n in names}, x: y, y: x}))

    against = [pair for pair, score in scores({n: n for n in names}) if score < -EXCHANGED]
    return max(against, key=total, default=None)


def _border(inside: npt.NDArray[np.bool_], width: list[float]) -> float:
    """Largest area of the foreground on a face of the field of view, mm²."""
    faces = (
        inside.take(end, axis).sum() * np.prod([w for other, w in enumerate(width) if other != axis])
        for axis in range(inside.ndim)
        for end in (0, -1)
    )
    return float(max(faces))


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """What holds all of ``mask``; everything if it is empty."""
    if not mask.any():
        return (slice(None),) * mask.ndim
    return tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))


def _repeats(data: Array, axis: int) -> float:
    """How many slices across ``axis`` show the same, on average over those that are not empty; 1 if all differ."""
    every = tuple(slice(None) if a == axis else slice(None, None, 8) for a in range(data.ndim))
    lines = np.moveaxis(data[every], axis, 0)
    lines = lines.reshape(len(lines), -1)
    filled = (lines[1:] != lines[0, 0]).any(1)
    differ = (lines[1:] != lines[:-1]).any(1) & filled
    return float(max(1, filled.sum()) / max(1, differ.sum()))


def _asymmetry(values: Array, share: float) -> float:
    """Length of the bright tail (the ``share`` brightest) against the dark one, −1 to 1; 0 if they are alike."""
    if values.size == 0:
        return 0.0
    low, middle, high = np.quantile(values, (share, 0.5, 1 - share))
    return float((high + low - 2 * middle) / max(high - low, 1e-6))


def _depth(foreground: npt.NDArray[np.bool_], width: list[float]) -> Array:
    """Distance to the nearest voxel that is not foreground, mm; the field of view ends in background."""
    depth = np.zeros(foreground.shape, np.float32)
    if foreground.any():
        box = _box(foreground)
        padded = distance_transform_edt(np.pad(foreground[box], 1), sampling=width)
        depth[box] = padded[(slice(1, -1),) * foreground.ndim]
    return depth


def _rise(values: Array, depth: Array) -> float:
    """Median of deep minus median of shallow tissue; 0 if there is none that deep."""
    shallow = values[(depth > RIM_MM) & (depth <= SHALLOW_MM)]
    deep = values[(depth > DEEP_MM[0]) & (depth <= DEEP_MM[1])]
    return float(np.median(deep) - np.median(shallow)) if shallow.size and deep.size else 0.0


def _correlation(a: ImageStatistics, b: ImageStatistics) -> float:
    """Of two images' intensities where both have tissue."""
    both = a.inside & b.inside
    x, y = a.values[both], b.values[both]
    return float(np.corrcoef(x, y)[0, 1]) if x.size > 1 and x.std() > 0 and y.std() > 0 else 0.0


def vessels(a: ImageStatistics, b: ImageStatistics) -> float:
    """How much more of the brightest of all, vessels above all, is in ``a`` than in ``b``: −1 to 1."""
    _, first, second = np.intersect1d(a.places, b.places, assume_unique=True, return_indices=True)
    x, y = a.fine[first], b.fine[second]
    if x.size == 0:
        return 0.0
    widths = [max(float(np.subtract(*np.quantile(v, (0.9, 0.1)))), 1e-6) for v in (x, y)]
    return _asymmetry(x / np.float32(widths[0]) - y / np.float32(widths[1]), VESSELS)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _file(study: Study, name: str) -> str:
    return f"{study.task.modality(name).title} ({study.images[name].source.path.name})"


def _titles(task: Task, combination: Combination) -> str:
    return " + ".join(task.modality(name).title for name in combination)
