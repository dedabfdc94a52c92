"""What a task is made of: modalities, regions, labels. A task is data; nothing else names a modality."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations as _subsets
from math import inf
from typing import Any, Literal

from napari_mrseg.errors import InputError
from napari_mrseg.tasks.palette import colour_of

Output = Literal["sigmoid", "softmax"]

Combination = tuple[str, ...]
"""Names of the modalities in use, in the task's order."""


@dataclass(frozen=True)
class Modality:
    """One kind of image: an input channel of the network, or three for a colour image.

    ``names`` are the words that files of this modality carry in their names, lower case. A name is matched
    against whole words of the file name; a longer one wins over a shorter one (``ce-gad_t1w`` over ``t1w``).

    ``colormap``: one of napari's, for what is no picture but a measurement: its scale is shown beside it.

    ``units``: of its values by how files store them, as NumPy writes it ("u2": unsigned, 16 bits), and up to which
    median they may be in it.

    ``distance``: it says how far away things are, and files may keep it so that near is large.

    ``holes``: 0 says that nothing was seen there (background, no depth), so it stays out of the normalisation.

    ``weighting``: T1, T2 or FLAIR, as echo, repetition and inversion time tell it, and ``agent``: after a contrast
    agent; empty where no scanner's times say anything.

    ``tail`` and ``rise``: lowest and highest that an image of it can show (:class:`~.inference.plausibility.Look`),
    0.2 or more beyond what was seen in real scans. ``typical``: mean and spread of both in those scans.
    """

    name: str
    title: str
    names: tuple[str, ...]
    weighting: str = ""
    agent: bool = False
    tail: tuple[float, float] = (-inf, inf)
    rise: tuple[float, float] = (-inf, inf)
    typical: tuple[tuple[float, float], tuple[float, float]] | None = None
    colormap: str = "gray"
    units: tuple[tuple[str, str, float], ...] = ()
    channels: Literal[1, 3] = 1
    holes: bool = True
    distance: bool = False


@dataclass(frozen=True)
class Label:
    """One code of the label map. ``colours``: RGB by palette; the first one serves for those that are not given."""

    code: int
    name: str
    title: str
    colours: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def colour(self) -> str:
        """``#rrggbb`` of the palette in use: the same in overlay, legend, contact sheet, report and DICOM SEG."""
        return colour_of(self.colours)


@dataclass(frozen=True)
class Region:
    """What is measured and compared: the union of the label ``codes``.

    ``paints`` is the code given to voxels of this region that no later region claims. ``needs`` lists the
    modalities without which the region is an estimate, ``unseen`` says so in the field's words, and
    ``unseen_code`` is that warning's name in results. ``code``: what DICOM calls it (value, scheme, meaning).
    """

    name: str
    title: str
    codes: tuple[int, ...]
    paints: int
    needs: tuple[str, ...] = ()
    unseen: str = ""
    unseen_code: str = ""
    code: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Task:
    """An ordered set of modalities and the regions a model finds in them.

    Attributes
    ----------
    nested
        True: each region lies within the one before it (WT ⊇ TC ⊇ ET).
    output
        How a network's logits, one per region, become probabilities. ``sigmoid``: each region for itself. ``softmax``:
        the regions exclude each other, and none of them has the logit 0.
    fill
        What stands in for a missing modality: ``zero``, or a ``copy`` of the first one there, after that one's own
        normalisation: a colour image's luminance where one channel is wanted, one channel three times where three are.
    ndim
        2: images, held as (1, P, L), or frames (time, P, L) that have nothing to do with each other; sizes count
        pixels. 3: volumes (I, P, L).
    aliases
        Codes of older data sets and what they are read as, e.g. BraTS 2021's 4 for enhancing tumour.
    schemes
        Other data sets' codes by name: (theirs, ours) each, 0 for what is nothing here.
    outermost
        The code around all others, by which another scheme is noticed.
    doubtful_names
        Words that leave open whether a file with a modality's name is a plain one: it is asked about.
    other_names
        Words of maps and other sequences: such a file is set aside, whatever else its name says.
    organ_names
        Words that make a mask one of the whole organ or a part of it, and no reference.
    finding_names
        Words by which such a mask is a reference all the same ("brain_tumor_seg").
    brain_from
        Modalities by how clearly they show where the brain ends.
    finding, subject, made_up
        What is looked for, what the images show, and what a simulated study is, in words.
    expects
        What images a model of this task expects unless its card says otherwise; others are warned of.
    brighter_fluid, rising, enhanced
        What the order of two modalities is known by: in the first, fluid is brighter, or white matter than cortex, or
        vessels are than all else.
    """

    name: str
    title: str
    modalities: tuple[Modality, ...]
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    nested: bool
    fill: Literal["zero", "copy"]
    ndim: Literal[2, 3]
    output: Output = "sigmoid"
    aliases: tuple[tuple[int, int], ...] = ()
    schemes: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = ()
    outermost: int | None = None
    reference_names: tuple[str, ...] = ("seg", "mask", "label", "labels", "dseg", "reference")
    doubtful_names: tuple[str, ...] = ()
    made_names: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    organ_names: tuple[str, ...] = ()
    finding_names: tuple[str, ...] = ()
    brain_from: tuple[str, ...] = ()
    finding: str = "an object"
    subject: str = "scene"
    made_up: str = "generated, not a photograph"
    expects: Literal["adult brain", "anything"] = "anything"
    brighter_fluid: tuple[tuple[str, str], ...] = ()
    rising: tuple[tuple[str, str], ...] = ()
    enhanced: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.nested and self.output == "softmax":
            raise ValueError(f"{self.name}: nested regions do not exclude each other; use sigmoid")

    @property
    def unit(self) -> str:
        """Unit of a region's size."""
        return "mL" if self.ndim == 3 else "px"

    @property
    def length_unit(self) -> str:
        """Unit of a spacing or a distance."""
        return "mm" if self.ndim == 3 else "px"

    @property
    def world_unit(self) -> str:
        """:attr:`length_unit` as napari knows it."""
        return "mm" if self.ndim == 3 else "pixel"

    @property
    def channels(self) -> tuple[str, ...]:
        """The modality that each input channel of a network shows, e.g. ("rgb", "rgb", "rgb", "depth")."""
        return tuple(m.name for m in self.modalities for _ in range(m.channels))

    def span(self, name: str) -> slice:
        """Where a modality's channels stand among those of the network."""
        first = self.channels.index(name)
        return slice(first, first + self.modality(name).channels)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all modalities, in the task's order."""
        return tuple(m.name for m in self.modalities)

    def modality(self, name: str) -> Modality:
        """The modality called ``name``, in any case, or by a word that its files carry ("t1gd").

        Raises InputError that lists those there are.
        """
        for modality in self.modalities:
            if modality.name == name:
                return modality
        word = name.strip().lower()
        for modality in self.modalities:
            if word == modality.name or word in modality.names:
                return modality
        raise InputError(
            f"“{name}” is not a modality of the task {self.name}; it has {', '.join(self.names)}."
        )

    def knows(self, word: str) -> bool:
        """True if ``word`` is one of the names of a modality."""
        return any(word in (m.name, *m.names) for m in self.modalities)

    def region(self, name: str) -> Region:
        """The region called ``name``, in any case. Raises InputError that lists those there are."""
        for region in self.regions:
            if region.name.lower() == name.strip().lower():
                return region
        known = ", ".join(region.name for region in self.regions)
        raise InputError(f"“{name}” is not a region of the task {self.name}; it has {known}.")

    def combination(self, names: str | Iterable[str]) -> Combination:
        """Modalities in the task's order, each once: of a list, or of words such as "flair+t1" or "FLAIR, T1".

        Raises InputError for an unknown name or none at all.
        """
        words = re.split(r"[+,]", names) if isinstance(names, str) else names
        wanted = {self.modality(word).name for word in words if word.strip()}
        if not wanted:
            raise InputError(f"No modality is in use; switch on at least one of {', '.join(self.names)}.")
        return tuple(name for name in self.names if name in wanted)

    def combinations(self, present: Iterable[str] | None = None) -> tuple[Combination, ...]:
        """All non-empty subsets of ``present`` (default: of all modalities), largest first."""
        there = self.names if present is None else self.combination(present)
        return tuple(c for size in range(len(there), 0, -1) for c in _subsets(there, size))

    def estimated(self, combination: Sequence[str]) -> tuple[Region, ...]:
        """Regions that ``combination`` cannot show, because a modality they need is off."""
        return tuple(r for r in self.regions if not set(r.needs) <= set(combination))

    def estimated_labels(self, combination: Sequence[str]) -> tuple[Label, ...]:
        """Labels whose border depends on a modality that is off."""
        return tuple(label for label in self.labels if not set(label.needs) <= set(combination))

    def label_map(self, probabilities: Any, thresholds: Sequence[float] = ()) -> Any:
        """Label codes from regions' probabilities.

        ``probabilities``: (regions, ...) array or tensor in [0, 1]. Returns (...) of integer codes. Nested
        regions are made nested first (min with the region outside), so a voxel is in a region only if it is in
        every region around it. ``thresholds``: from which probability on a voxel belongs to each nested region (default
        0.5). Of other regions the likeliest one has the voxel: with softmax if none is less likely
        than it, else from 0.5 on.
        """
        if self.nested:
            cuts = thresholds or (0.5,) * len(self.regions)
            inside = probabilities[0] >= cuts[0]
            labels = inside * self.regions[0].paints
            for region, p, cut in zip(self.regions[1:], probabilities[1:], cuts[1:], strict=True):
                inside = inside & (p >= cut)
                labels = labels + inside * (region.paints - labels)
            return labels
        exclusive = self.output == "softmax"
        best = 1 - probabilities.sum(0) if exclusive else probabilities[0] * 0
        labels = (probabilities[0] < 0) * 0
        for region, p in zip(self.regions, probabilities, strict=True):
            wins = (p > best) if exclusive else (p > best) & (p >= 0.5)
            labels = labels + wins * (region.paints - labels)
            best = best + wins * (p - best)
        return labels


def sized(value: float, unit: str) -> str:
    """A region's size in words, without its unit: pixels are whole."""
    return f"{value:.0f}" if unit == "px" else f"{value:.1f}"


def key(combination: Sequence[str]) -> str:
    """The combination's name in files and tables, e.g. ``flair+t1ce``."""
    return "+".join(combination)
