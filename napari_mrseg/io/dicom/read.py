"""The voxels of a series, where they lie, and every reason not to believe them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from napari_mrseg.errors import InputError
from napari_mrseg.io import checks
from napari_mrseg.io.dicom.archive import Member, quiet
from napari_mrseg.io.dicom.index import BROKEN, Series
from napari_mrseg.io.dicom.stack import ROUNDED_MM, UNEVEN, Frame
from napari_mrseg.io.format import Volume
from napari_mrseg.study import Grid, Note, Source

TILTED = 2.0  # degrees between the stack and the slices' normal from which on it is said
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's world axes in ours

Array = npt.NDArray[np.float32]


def read_series(series: Series) -> Volume:
    """The volume with axes column, row, slice. Raises InputError, one sentence, for what cannot be trusted."""
    path = series.path
    if series.refusal:
        raise InputError(f"{path.name} is no scan that can be used: {series.refusal}.")
    rows, columns = series.shape
    checks.check_dimensions(path, (columns, rows, max(2, len(series.frames))))
    contents: dict[Member, Any] = {}
    digest = hashlib.sha256()
    for member in sorted({frame.member for frame in series.frames}):
        raw = _content(series, member)
        digest.update(hashlib.sha256(raw).digest())
        contents[member] = raw
    slices: list[Array] = []
    places: list[tuple[float, npt.NDArray[np.float64]]] = []
    for place, image, position in _slices(series, contents):
        if places and abs(place - places[-1][0]) < ROUNDED_MM / 5:
            if not np.array_equal(image, slices[-1], equal_nan=True):
                raise InputError(
                    f"{path.name} has two different slices at one place (at {place:.1f} mm): it is more than one "
                    "volume; export the series again, or one of them."
                )
            continue
        slices.append(image)
        places.append((place, position))
    checks.check_shape(path, (columns, rows, len(slices)), labels=False)
    affine = _affine(series, places)
    if not checks.sound(affine):
        raise InputError(f"{path.name} has no usable position; export it again.")
    data = _upright(series, np.stack(slices, axis=-1))
    checks.check_size(path, data.shape, affine)
    checks.check_voxels(path, data, labels=False)
    doubts = (_tilt(series, affine), checks.sheared(path, affine), _lost(series), _part(series))
    notes = [note for note in doubts if note]
    source = Source(path, Grid.of(data.shape, affine), digest.hexdigest())
    return data, source, tuple(notes)


def whole_frames(series: Series) -> list[Frame]:
    """The frames that :func:`read_series` stacks, in its order: one for each place."""
    found: list[Frame] = []
    last = -np.inf
    for frame, place in zip(series.frames, series.places, strict=True):
        if abs(place - last) >= ROUNDED_MM / 5:
            found.append(frame)
            last = place
    return found


def content_hash(series: Series) -> str:
    """What :func:`read_series` calls the sha256 of its source, without decoding a pixel. Raises InputError."""
    digest = hashlib.sha256()
    for member in sorted({frame.member for frame in series.frames}):
        digest.update(hashlib.sha256(_content(series, member)).digest())
    return digest.hexdigest()


def _content(series: Series, member: Member) -> bytes:
    try:
        return member.read()
    except OSError as error:
        why = error.strerror or "damaged archive"
        raise InputError(
            f"{series.path.name}: one of its files cannot be read ({why}); check the drive, or copy the export again."
        ) from None


def _slices(series: Series, contents: dict[Member, Any]) -> Iterator[tuple[float, Array, np.ndarray]]:
    """(place along the normal, (columns, rows) float32, position) of each slice, in order."""
    frames: dict[Member, tuple[Any, pydicom.Dataset]] = {}
    for frame in series.frames:
        if frame.member not in frames:
            frames[frame.member] = _decoded(series, contents[frame.member])
        pixels, dataset = frames[frame.member]
        image = pixels[frame.number] if pixels.ndim == 3 else pixels
        try:
            slope, intercept = _scale(dataset, frame.number)
        except BROKEN:
            raise _damaged(series) from None
        values = image.astype(np.float32)
        if (slope, intercept) != (1.0, 0.0):
            values = values * np.float32(slope) + np.float32(intercept)
        padding = _padding(dataset, image)
        if padding is not None:
            values[padding] = np.nan
        position = np.array(frame.position)
        yield float(position @ series.normal), np.ascontiguousarray(values.T), position
        if pixels.ndim == 2:
            del frames[frame.member]


def _decoded(series: Series, raw: bytes) -> tuple[Any, pydicom.Dataset]:
    name = series.path.name
    try:
        with quiet():
            dataset = pydicom.dcmread(io.BytesIO(raw), force=True)
            if str(dataset.get("PhotometricInterpretation") or "MONOCHROME2") not in (
                "MONOCHROME1",
                "MONOCHROME2",
            ):
                raise InputError(
                    f"{name} is in colour: it is no scan but a map or a picture; give the scan itself."
                )
            count = int(dataset.get("NumberOfFrames") or 1)
            checks.check_dimensions(series.path, (int(dataset.Columns), int(dataset.Rows), max(2, count)))
            if "PixelData" not in dataset:
                raise InputError(f"{name}: one of its files holds no pixels; export the series again.")
            pixels = dataset.pixel_array
    except InputError:
        raise
    except BROKEN:
        raise _damaged(series) from None
    if tuple(pixels.shape[-2:]) != series.shape or pixels.ndim not in (2, 3):
        raise InputError(
            f"{name}: the pixels of one of its files are not what its header says; export it again."
        )
    return pixels, dataset


def _padding(dataset: pydicom.Dataset, image: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where a stored slice holds the value that stands for "no image here"; None if it has none."""
    value = dataset.get("PixelPaddingValue")
    if value is None or image.dtype.kind not in "iu":
        return None
    ends = [value, dataset.get("PixelPaddingRangeLimit", value)]
    # Some files state it unsigned though their pixels are signed, or the other way round.
    bits = 8 * image.dtype.itemsize
    low, high = sorted(int(np.array(int(v) % 2**bits, f"u{bits // 8}").astype(image.dtype)) for v in ends)
    return (image >= low) & (image <= high)


def _upright(series: Series, data: Array) -> Array:
    """The volume with its bright end up and background where it was padded (NaN). Raises InputError."""
    padded = np.isnan(data)
    if padded.all():
        raise InputError(f"{series.path.name} holds padding only, no image; export it again.")
    if str(series.header.get("PhotometricInterpretation") or "") == "MONOCHROME1":
        data = np.nanmax(data) - data
    if padded.any():
        data[padded] = min(0.0, float(np.nanmin(data)))
    if float(data.max()) <= 0 and float(data.min()) < 0:
        raise InputError(
            f"{series.path.name} has a negative scale (RescaleSlope) that makes all its values negative, so that its "
            "intensities are inverted; export the series again."
        )
    return data


def _part(series: Series) -> Note | None:
    if not series.part:
        return None
    sentence = f"{series.path.name} is number {series.part} by time of several acquisitions in one series"
    return Note("one_of_several_acquisitions", f"{sentence}; check that it is the one you mean.")


def _lost(series: Series) -> Note | None:
    if not series.lost:
        return None
    files = "1 file beside it cannot" if series.lost == 1 else f"{series.lost} files beside it cannot"
    return Note(
        "files_unreadable",
        f"{series.path.name}: {files} be read, so that slices may be missing; copy the export again.",
    )


def _damaged(series: Series) -> InputError:
    return InputError(
        f"{series.path.name}: the pixels of one of its files are damaged, truncated or packed in an unknown way; "
        "export the series again, uncompressed."
    )


def _scale(dataset: pydicom.Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept of a slice. Raises InputError for those that are no numbers."""
    around = [dataset]
    if "PerFrameFunctionalGroupsSequence" in dataset:
        around = [
            dataset.PerFrameFunctionalGroupsSequence[frame],
            *(dataset.get("SharedFunctionalGroupsSequence") or ()),
        ]
        around = [
            g.PixelValueTransformationSequence[0] for g in around if g.get("PixelValueTransformationSequence")
        ]
    for group in around:
        if group.get("RescaleSlope") is not None:
            slope, intercept = float(group.RescaleSlope), float(group.get("RescaleIntercept") or 0)
            if np.isfinite([slope, intercept]).all() and slope != 0:
                return slope, intercept
    return 1.0, 0.0


def _affine(series: Series, places: list[tuple[float, np.ndarray]]) -> npt.NDArray[np.float64]:
    """Voxel index (column, row, slice) → RAS+ mm. Raises InputError where slices are missing or uneven."""
    along = np.array([place for place, _ in places])
    steps = np.diff(along)
    step = float(np.median(steps))
    allowed = max(UNEVEN * step, ROUNDED_MM)
    wrong = np.flatnonzero(np.abs(steps - step) > allowed)
    name = series.path.name
    if len(wrong):
        gaps = steps[wrong] / step
        where = ", ".join(f"{along[i]:.1f}" for i in wrong[:3])
        if (gaps > 1.5).all() and (np.abs(gaps - gaps.round()) < 0.1).all():
            missing = int((gaps.round() - 1).sum())
            raise InputError(
                f"{name} lacks {missing} of its slices (after {where} mm); export the whole series again."
            )
        raise InputError(
            f"{name} has slices at uneven distances ({steps.min():.2f} to {steps.max():.2f} mm, at {where} mm), so "
            "that they make no volume; export the whole series again."
        )
    first, last = places[0][1], places[-1][1]
    affine = np.eye(4)
    affine[:3, 0] = np.array(series.orientation[:3]) * series.pixel_mm[1]
    affine[:3, 1] = np.array(series.orientation[3:]) * series.pixel_mm[0]
    affine[:3, 2] = (last - first) / (len(places) - 1)
    affine[:3, 3] = first
    bent = np.array([position for _, position in places]) - (
        first + np.outer(np.arange(len(places)), affine[:3, 2])
    )
    if np.abs(bent).max() > max(0.5, allowed):
        raise InputError(f"{name} has slices that do not lie in one row behind each other; export it again.")
    return LPS @ affine


def _tilt(series: Series, affine: npt.NDArray[np.float64]) -> Note | None:
    stack = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    normal = (LPS[:3, :3] @ series.normal) / np.linalg.norm(series.normal)
    angle = float(np.degrees(np.arccos(np.clip(abs(stack @ normal), 0, 1))))
    if angle < TILTED:
        return None
    return Note(
        "tilted",
        f"{series.path.name} was taken with tilted slices ({angle:.0f}°): shapes are skewed on screen, volumes are "
        "right.",
    )
