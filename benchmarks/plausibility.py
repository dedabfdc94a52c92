"""Which scans are warned of? Hits on synthetic faults, and false positives on scans as they should be.

    python benchmarks/plausibility.py ../shared/data --raw ../shared/data/ms-longitudinal-01-raw -o plausibility.md

DATA holds a folder per subject, skull-stripped, 1 mm, all four modalities. Every case is judged in every combination
that shows the fault (all 15 where nothing is wrong), as the engine does before it runs; no model is needed. With
``--time`` the milliseconds per subject follow, measured on one core.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import zoom

from napari_mrseg.degrade import DEGRADATIONS, degrade_study
from napari_mrseg.errors import InputError
from napari_mrseg.inference import plausibility
from napari_mrseg.io import open_study
from napari_mrseg.models.card import ModelCard
from napari_mrseg.prepare import measure
from napari_mrseg.study import Grid, Image, Study
from napari_mrseg.tasks import BRATS, Combination

Array = npt.NDArray[np.float32]
CARD = ModelCard(
    name="none",
    version="0",
    licence="none",
    task=BRATS.name,
    modalities=BRATS.names,
    regions=tuple(region.name for region in BRATS.regions),
    normalisation={"name": "robust"},
    validated=({"spacing_mm": 1.0, "extents_max": (64, 64, 64)},),
    trained_on=(),
    intended_use="",
    limitations="",
)


class Case(NamedTuple):
    """A study with something wrong (or nothing), the code that should come, and the combinations that show it."""

    title: str
    code: str | None
    study: Study
    shown: tuple[Combination, ...]
    named: frozenset[str] = frozenset()  # files that the message should name


def statistics_of(study: Study) -> dict[str, plausibility.ImageStatistics]:
    return {
        name: plausibility.image_statistics(image, measure(torch.from_numpy(image.data.copy())))
        for name, image in study.images.items()
    }


def changed(study: Study, change: Callable[[Array], Array]) -> Study:
    """The study with ``change`` applied to every image; the first voxel stays where it was."""
    images = {}
    for name, image in study.images.items():
        data = np.ascontiguousarray(change(image.data))
        grid = Grid.of(data.shape, image.source.ipl_grid.matrix)
        images[name] = Image(data, replace(image.source, grid=grid))
    return Study(study.task, study.case, images)


def taken_as(study: Study, roles: Mapping[str, str]) -> Study:
    """A study in which modality x is the image that truly is ``roles[x]``."""
    return Study(study.task, study.case, {name: study.images[true] for name, true in roles.items()})


def half(axis: int, *, cut: bool) -> Callable[[Array], Array]:
    """The half of the volume along ``axis``: the field of view ends there (``cut``), or zeros follow."""

    def apply(data: Array) -> Array:
        middle = data.shape[axis] // 2  # the same of every modality
        kept = data.take(np.arange(middle), axis)
        missing = [(0, data.shape[a] - middle if a == axis and not cut else 0) for a in range(3)]
        return np.pad(kept, missing)

    return apply


def every_fourth(data: Array) -> Array:
    return data[np.arange(len(data)) // 4 * 4]


def resliced(data: Array) -> Array:
    """Every fourth slice, and straight lines between: what cannot be told from BraTS scans."""
    position = np.minimum(np.arange(len(data)) / 4, (len(data) - 1) // 4)
    low = position.astype(int)
    high, share = np.minimum(low + 1, (len(data) - 1) // 4), (position - low)[:, None, None]
    return ((1 - share) * data[low * 4] + share * data[high * 4]).astype(np.float32)


def cases(study: Study) -> Iterator[Case]:
    """The study as it is, and everything that is made wrong with it."""
    task = study.task
    titles = {name: task.modality(name).title for name in task.names}
    every = task.combinations()
    yield Case("as it is", None, study, every)
    for a, b in combinations(task.names, 2):
        roles = {name: {a: b, b: a}.get(name, name) for name in task.names}
        shown = tuple(c for c in every if {a, b} <= set(c))
        named = frozenset((study.images[a].source.path.name, study.images[b].source.path.name))
        yield Case(
            f"{titles[a]} and {titles[b]} exchanged", "wrong_contrast", taken_as(study, roles), shown, named
        )
    for a, b in permutations(task.names, 2):
        named = frozenset((study.images[b].source.path.name,))
        yield Case(
            f"{titles[b]} given as {titles[a]}, alone",
            "wrong_contrast",
            taken_as(study, {a: b}),
            ((a,),),
            named,
        )
    for a, b in combinations(task.names, 2):
        roles = {name: a if name == b else name for name in task.names}
        shown = tuple(c for c in every if {a, b} <= set(c))
        yield Case("the same image twice", "same_image", taken_as(study, roles), shown)
    sides = (("upper", 0), ("front", 1), ("right", 2))
    for side, axis in sides:
        yield Case(f"{side} half, cut off", "partial_head", changed(study, half(axis, cut=True)), every)
    for side, axis in sides:
        yield Case(f"{side} half, rest empty", "small_head", changed(study, half(axis, cut=False)), every)
    yield Case("scaled by 0.7", "small_head", changed(study, lambda data: zoom(data, 0.7, order=1)), every)
    yield Case("every 4th slice, repeated", "thick_slices", changed(study, every_fourth), every)
    yield Case("every 4th slice, interpolated", "thick_slices", changed(study, resliced), every)
    for kind in DEGRADATIONS:
        worse = degrade_study(study, {name: (kind, 0.5) for name in task.names})
        yield Case(f"degraded: {kind}, strength 50 %", None, worse, every)


class Count(NamedTuple):
    judged: int = 0
    right: int = 0
    other: int = 0
    named: int = 0

    def __add__(self, more: Count) -> Count:  # type: ignore[override]
        return Count(*(a + b for a, b in zip(self, more, strict=True)))


def judge(case: Case) -> tuple[Count, set[str]]:
    """How many combinations get the code that should come, and how many any other; and all codes seen."""
    statistics = statistics_of(case.study)
    right = other = named = 0
    seen: set[str] = set()
    for combination in case.shown:
        only = case.study.only(combination)
        notes = plausibility.implausible_inputs(only, {name: statistics[name] for name in combination}, CARD)
        codes = {note.code for note in notes}
        seen |= codes
        right += case.code in codes
        other += bool(codes - {case.code})
        said = " ".join(note.message for note in notes if note.code == case.code)
        named += case.code in codes and all(name in said for name in case.named)
    return Count(len(case.shown), right, other, named), seen


def subjects(data: Path) -> Iterator[Study]:
    """Every subject in ``data`` with all modalities on one 1 mm grid."""
    for folder in sorted(p for p in data.iterdir() if p.is_dir()):
        try:
            study = open_study(folder, reference=False)
        except InputError:
            continue
        if study.present == BRATS.names:
            yield study


def raw_rows(folder: Path) -> Iterator[str]:
    """A line per file of a subject whose files lie on grids of their own."""
    for path in sorted(folder.glob("*.nii.gz")):
        for name in BRATS.names:
            try:
                study = open_study([path], use=[name], reference=False)
            except InputError:
                continue
            codes = [note.code for note in plausibility.implausible_inputs(study, statistics_of(study), CARD)]
            yield f"| {path.name} as {BRATS.modality(name).title} | {', '.join(codes) or 'none'} |"


def table(found: Mapping[tuple[str, str | None], Count]) -> str:
    lines = [
        "| case | warning | warned | of | other warnings | names the right files |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (title, code), count in found.items():
        right = "" if code is None else count.right
        named = count.named if code == "wrong_contrast" else ""
        lines.append(f"| {title} | {code or 'none'} | {right} | {count.judged} | {count.other} | {named} |")
    return "\n".join(lines)


def milliseconds(study: Study) -> float:
    """Best of five for one subject with all its modalities, without what the engine measures anyway."""
    known = {name: measure(torch.from_numpy(image.data.copy())) for name, image in study.images.items()}
    times = []
    for _ in range(5):
        began = time.process_time()
        statistics = {
            name: plausibility.image_statistics(image, known[name]) for name, image in study.images.items()
        }
        plausibility.implausible_inputs(study, statistics, CARD)
        times.append(1000 * (time.process_time() - began))
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a folder per subject")
    parser.add_argument("--raw", type=Path, help="a subject that is not skull-stripped")
    parser.add_argument("-o", "--out", type=Path, help="write the tables there")
    parser.add_argument("--time", action="store_true", help="measure the milliseconds, too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str | None], Count] = {}
    names = []
    times = []
    for study in subjects(asked.data):
        names.append(study.case)
        for case in cases(study):
            count, seen = judge(case)
            found[case.title, case.code] = found.get((case.title, case.code), Count()) + count
            if case.code is None and seen:
                print(f"{study.case}, {case.title}: {', '.join(sorted(seen))}", file=sys.stderr)
        if asked.time:
            times.append(milliseconds(study))
    text = table(found)
    if asked.raw:
        text += "\n\n| scan | warnings |\n|---|---|\n" + "\n".join(raw_rows(asked.raw))
    print(f"{len(names)} subjects: {', '.join(names)}\n\n{text}")
    if times:
        print(f"\n{min(times):.0f} to {max(times):.0f} ms a subject, four modalities, one core")
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
