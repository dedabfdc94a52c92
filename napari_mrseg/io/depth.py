"""Depth as people have it: in which unit, and whether large is far. Guessed, said, and said better by who knows.

Nothing here changes what a network finds by much: it normalises each map, and has learnt from both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.keywords import words_of
from napari_mrseg.steps import Outcome, Step
from napari_mrseg.study import Image, Note
from napari_mrseg.tasks import Task

Direction = Literal["auto", "far", "near"]
UNITS = ("mm", "0.1mm", "m")
NEARER = 0.8
"""How much brighter, in spreads of the map, the lower third must be than the upper for near to be bright: floors and
tables are nearer below."""
_TURNED = ("disparity", "disp", "disparities", "inverse", "inverted", "invdepth")
MEND = "If that is wrong, say it: --depth {}."


def parse(said: str) -> Distance:
    """``auto``, or some of far, near (what is bright) and a unit, e.g. ``near`` or ``far,0.1mm``. Raises InputError."""
    direction, unit = "auto", ""
    for word in said.lower().replace("+", ",").split(","):
        word = word.strip()
        if word in UNITS:
            unit = word
        elif word in ("far", "near", "auto"):
            direction = word
        else:
            raise InputError(
                f"“{word}” says nothing of depth; give far or near (what is bright) and mm, 0.1mm or m, e.g. far,mm."
            )
    return Distance(direction, unit)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Distance(Step):
    """Maps in which near is bright are turned round: highest and lowest change places, holes stay 0.

    ``direction``: "far" or "near" is bright; "auto": a file named as disparity, and a map of 8 bits or without a unit
    that is clearly brighter below, is near bright. ``unit``: of the file's values, which what is shown is said in.
    """

    direction: Direction = "auto"
    unit: str = ""

    name = "distance"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        changed: dict[str, Image] = {}
        notes: list[Note] = []
        for name, image in images.items():
            if not task.modality(name).distance:
                continue
            stored = str(image.source.header.get("stored", ""))
            unit = self.unit or guessed_unit(image.data, stored)
            header = {**image.source.header, "unit": unit}
            source = replace(image.source, header=header)
            near, why = self._near(image, unit)
            file = image.source.path.name
            if near:
                data = turned(image.data)
                header["unit"] = ""
                changed[name] = self.changed(image, data, source, turned=True)
                mend = "" if self.direction != "auto" else " " + MEND.format("far")
                notes.append(
                    Note(
                        "depth_turned", f"{file}: near is bright ({why}), so it was turned round.{mend}", name
                    )
                )
            else:
                header["unit"] = "0.1 mm" if unit == "0.1mm" else unit
                changed[name] = replace(image, source=source)
        return changed, tuple(notes)

    def _near(self, image: Image, unit: str) -> tuple[bool, str]:
        """Whether near is bright, and why."""
        if self.direction != "auto":
            return self.direction == "near", "as you said"
        named = {*words_of(image.source.path.stem), *words_of(image.source.path.parent.name)} & set(_TURNED)
        if named:
            return True, f"its name says {sorted(named)[0]}"
        if unit:
            return False, ""
        return brighter_below(image.data) > NEARER, "it is brighter below, where floors and tables are"


def turned(data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Highest and lowest of each frame change places; 0 stays: (I, P, L) -> the same."""
    found = np.zeros_like(data)
    for frame, out in zip(data, found, strict=True):
        there = frame > 0 if (frame > 0).any() else frame != 0
        if there.any():
            out[there] = frame[there].max() + frame[there].min() - frame[there]
    return found


def guessed_unit(data: npt.NDArray[np.float32], stored: str) -> str:
    """mm of whole numbers of 16 bits or more, m of floating point, where a room or a street can be so far; else ""."""
    some = data[..., ::5, ::5]
    seen = some[some > 0]
    if not seen.size:
        return ""
    median = float(np.median(seen))
    if stored[:1] in ("u", "i") and stored[1:] in ("2", "4", "8"):
        return "mm" if 200 <= median <= 20_000 else ""
    if stored[:1] == "f":
        if 0.1 <= median <= 100 and seen.max() > 1.0:
            return "m"
        return "mm" if 300 <= median <= 20_000 else ""
    return ""


def brighter_below(data: npt.NDArray[np.float32]) -> float:
    """By how many spreads the lower third of the first frame is brighter than the upper; holes do not count."""
    frame = data[0]
    third = max(1, len(frame) // 3)
    upper, lower = frame[:third], frame[-third:]
    upper, lower, seen = upper[upper > 0], lower[lower > 0], frame[frame > 0]
    if min(upper.size, lower.size) < 0.05 * third * frame.shape[1]:
        return 0.0
    spread = float(seen.std())
    return float(np.median(lower) - np.median(upper)) / spread if spread > 0 else 0.0
