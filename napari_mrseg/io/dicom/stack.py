"""Which slices of a series make one volume: what differs by rounding belongs together, two acquisitions do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from napari_mrseg.io.dicom.archive import Member

FEW_SLICES = 5  # of a volume; what has fewer is a localiser or a rest
UNEVEN = 0.05  # share of the slice distance by which one may differ
ROUNDED_MM = 0.05  # what positions are rounded to by some scanners
TURNED = 0.01  # of a direction's cosine that is rounding
ROUNDED = 0.01  # share of an echo time or a pixel's size that is rounding
ROUNDED_MS = 0.05
NEAR = 0.1  # share of an echo time up to which slices that fill each other's gaps are one volume
DENSE, LOOSE = (
    0.75,
    1.5,
)  # slice distances beyond these shares of the stated one are not that of one acquisition
MOST_KINDS = 64  # of slices in one series that are compared with one another
# What the image type says of the signal that is shown. Slices of different ones never make a volume.
_SIGNALS = frozenset(
    {"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "W", "F", "IP", "OP", "WATER", "FAT"}
) | {"IN_PHASE", "OPP_PHASE", "ADC", "FA", "TRACEW", "MIP", "PHASE MAP"}
# Where these differ, slices may be of two acquisitions: what is said outright first, then when they were taken.
_LABELS = (
    *("StudyInstanceUID", "PatientID", "SeriesNumber", "SeriesDescription", "ContrastBolusAgent"),
    *(
        "InversionTime",
        "RepetitionTime",
        "FlipAngle",
        "AcquisitionNumber",
        "FrameAcquisitionNumber",
        "StackID",
    ),
    *("TemporalPositionIdentifier", "TemporalPositionIndex"),
)
_TIMES = ("AcquisitionDateTime", "FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime")
STACK_TAGS = ("SliceThickness", "SpacingBetweenSlices", "ContentTime", *_LABELS, *_TIMES)

Header = pydicom.Dataset


@dataclass(frozen=True)
class Frame:
    """One slice: frame ``number`` of ``member``, its first voxel's centre (LPS, mm)."""

    member: Member
    number: int
    position: tuple[float, float, float]
    uid: str
    order: int


@dataclass(frozen=True, eq=False)
class Slice:
    """A frame with what tells the volumes of a series apart.

    ``groups``: functional groups of an enhanced file. ``axes``: direction cosines of a row and a column. ``kind``:
    words of the image type. ``echo`` in ms, None where nothing is said; ``weight``: the b value.
    """

    frame: Frame
    header: Header
    groups: tuple[Header, ...]
    shape: tuple[int, int]
    axes: tuple[float, ...]
    pixel_mm: tuple[float, float]
    kind: tuple[str, ...]
    echo: float | None
    weight: float

    def value(self, name: str) -> Any:
        """A tag of the file, or of its functional groups; None if absent."""
        return value_of(name, self.header, self.groups)

    def number_of(self, name: str) -> float | None:
        """:meth:`value` as a number, None for what is none."""
        return as_number(self.value(name))


Stack = list[Slice]


def value_of(name: str, header: Header, groups: Sequence[Header]) -> Any:
    """A tag by its keyword, at the top level or in the functional groups of an enhanced file; None if absent."""
    if header.get(name) not in (None, ""):
        return header[name].value
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value or ()) and name in element.value[0]:
                return element.value[0][name].value
    return None


def as_number(value: Any) -> float | None:
    """The value, or the first of several, as a finite number; None for what is none."""
    if isinstance(value, (pydicom.multival.MultiValue, list)):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def stacks_of(slices: Sequence[Slice]) -> list[tuple[Stack, int]]:
    """The volumes that slices of one series make, each in order of place.

    With each its number among the acquisitions that its slices were split into, by time from 1 on; 0 for a whole one.
    """
    found = []
    for stack in _merged(_alike(slices)):
        parts = acquisitions(stack)
        for number, part in enumerate(parts, start=1):
            found.append((sorted(part, key=_place_order(part)), number if len(parts) > 1 else 0))
    return found


def _place_order(stack: Stack) -> Any:
    normal = _normal(stack[0])
    return lambda one: (float(np.dot(one.frame.position, normal)), one.frame.order)


def _normal(one: Slice) -> npt.NDArray[np.float64]:
    return np.cross(one.axes[:3], one.axes[3:])


def _places(stack: Sequence[Slice]) -> npt.NDArray[np.float64]:
    """(slices,) mm along the normal, ascending."""
    return np.sort(np.array([one.frame.position for one in stack]) @ _normal(stack[0]))


def _alike(slices: Sequence[Slice]) -> list[Stack]:
    """Slices of one geometry, echo, b value and kind; numbers are compared with tolerance."""
    found: list[Stack] = []
    for one in slices:
        same = (
            stack
            for stack in found
            if _same_geometry(one, stack[0])
            and one.kind == stack[0].kind
            and _close(one.echo, stack[0].echo, ROUNDED)
            and _close(one.weight, stack[0].weight, ROUNDED)
        )
        stack = next(same, None)
        if stack is None:
            found.append([one])
        else:
            stack.append(one)
    return found


def _same_geometry(a: Slice, b: Slice) -> bool:
    return (
        a.shape == b.shape
        and bool(np.abs(np.subtract(a.axes, b.axes)).max() <= TURNED)
        and all(_close(x, y, ROUNDED) for x, y in zip(a.pixel_mm, b.pixel_mm, strict=True))
    )


def _close(a: float | None, b: float | None, share: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= max(ROUNDED_MS, share * max(abs(a), abs(b)))


def _merged(stacks: list[Stack]) -> list[Stack]:
    """Stacks that fill each other's gaps as one, where nothing says that they show different things."""
    if not 1 < len(stacks) <= MOST_KINDS:
        return stacks
    families: list[list[Stack]] = []
    for stack in stacks:
        family = next((f for f in families if all(_may_join(stack[0], other[0]) for other in f)), None)
        if family is None:
            families.append([stack])
        else:
            family.append(stack)
    found: list[Stack] = []
    for family in families:
        whole = [one for stack in family for one in stack]
        found += [whole] if len(family) > 1 and even(_places(whole)) else _paired(family)
    return found


def _paired(family: list[Stack]) -> list[Stack]:
    """Each two of a family that are one volume together joined, until there are none."""
    family = list(family)
    while True:
        pair = next(((a, b) for a, b in combinations(family, 2) if even(_places([*a, *b]))), None)
        if pair is None:
            return family
        family = [stack for stack in family if stack is not pair[0] and stack is not pair[1]]
        family.append([*pair[0], *pair[1]])


def _may_join(a: Slice, b: Slice) -> bool:
    near = a.echo is None or b.echo is None or _close(a.echo, b.echo, NEAR)
    signals = [_SIGNALS & set(one.kind) or {"M"} for one in (a, b)]
    return near and signals[0] == signals[1] and _close(a.weight, b.weight, ROUNDED) and _same_geometry(a, b)


def even(places: npt.NDArray[np.float64]) -> bool:
    """True for ascending places that lie at one distance from each other, each once, and are enough for a volume."""
    if len(places) < FEW_SLICES:
        return False
    steps = np.diff(places)
    step = float(np.median(steps))
    return step > ROUNDED_MM and bool(np.abs(steps - step).max() <= max(UNEVEN * step, ROUNDED_MM))


def acquisitions(stack: Stack) -> list[Stack]:
    """The stack; or its parts, the earliest first, where it holds more than one acquisition or slab and says so.

    A stack whose slices lie at one distance, and that the stated one, is one acquisition whatever its tags say:
    packages of slices are taken one after the other.
    """
    places = _places(stack)
    stated = stack[0].number_of("SpacingBetweenSlices") or stack[0].number_of("SliceThickness")
    stated = abs(stated) if stated else None
    if even(places) and (stated is None or np.median(np.diff(places)) >= DENSE * stated):
        return [stack]
    for labels in _labellings(stack):
        parts: dict[Any, Stack] = {}
        for label, one in zip(labels, stack, strict=True):
            parts.setdefault(label, []).append(one)
        found = list(parts.values())
        if len(found) > 1 and _are_several(found, places, stated):
            return sorted(found, key=_since)
    return [stack]


def _labellings(stack: Stack) -> Any:
    """Ways to tell the slices apart, the surest first: a label for each slice."""
    for name in _LABELS:
        yield [str(one.value(name) or "").strip() for one in stack]
    for name in _TIMES:
        times = [_seconds(one.value(name)) for one in stack]
        known = sorted({time for time in times if time is not None})
        if None in times or len(known) < 2:
            continue
        after = known[int(np.argmax(np.diff(known))) + 1]
        yield [time is not None and time >= after for time in times]


def _seconds(value: Any) -> float | None:
    """A time of day, or a date with one, as a number that grows with time."""
    text = str(value or "").replace(":", "").split("+")[0].strip()
    whole, _, part = text.partition(".")
    if not whole.isdigit() or len(whole) not in (6, 14):
        return None
    day = int(whole[:-6] or 0)
    hour, minute, second = int(whole[-6:-4]), int(whole[-4:-2]), int(whole[-2:])
    return 86400.0 * day + 3600 * hour + 60 * minute + second + float(f"0.{part if part.isdigit() else 0}")


def _since(stack: Stack) -> tuple[float, float, int]:
    first = min(stack, key=lambda one: one.frame.order)
    times = (_seconds(first.value(name)) for name in _TIMES)
    number = first.number_of("AcquisitionNumber") or first.number_of("FrameAcquisitionNumber") or 0.0
    return next((time for time in times if time is not None), 0.0), number, first.frame.order


def _are_several(parts: list[Stack], places: npt.NDArray[np.float64], stated: float | None) -> bool:
    """True if each part is a whole volume, and no two of them are the halves of one."""
    each = [_places(part) for part in parts]
    if not all(even(part) for part in each):
        return False
    counts = Counter(np.cumsum(np.diff(places, prepend=places[0]) > ROUNDED_MM).tolist())
    if max(counts.values()) > 2:  # a dynamic series
        return False
    whole_is_even = even(places)
    for a, b in combinations(each, 2):
        apart = a[-1] < b[0] or b[-1] < a[0]
        if apart and not whole_is_even:
            continue
        shared = bool((np.abs(a[:, None] - b[None]).min(1) <= ROUNDED_MM).any())
        if shared:
            continue
        steps = [float(np.median(np.diff(part))) for part in (a, b)]
        if stated is None or not all(DENSE * stated <= step <= LOOSE * stated for step in steps):
            return False
    return True
