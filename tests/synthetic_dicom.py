"""DICOM files as scanners write them, made from arrays: classic, enhanced, packed, shuffled, with a patient's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CANARY = "Quetzalcoatl"  # a patient's name that must come out nowhere
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
# Echo, repetition and inversion time, ms, as protocols have them.
TIMES: dict[str, tuple[float, float, float | None]] = {
    "flair": (90, 9000, 2500),
    "t1": (9, 600, None),
    "t1ce": (9, 600, None),
    "t2": (95, 5000, None),
}


def write_series(
    folder: Path,
    data: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    *,
    number: int = 1,
    description: str = "",
    times: tuple[float, float, float | None] | None = None,
    agent: str = "",
    study: str = "1.2.3",
    kind: Sequence[str] = ("ORIGINAL", "PRIMARY", "M"),
    skip: Sequence[int] = (),
    enhanced: bool = False,
    syntax: str | None = None,
    seed: int | None = None,
    slope: float = 1.0,
    **tags: Any,
) -> list[Path]:
    """(i, j, k) integers with a RAS ``affine`` as files of one series; returns them in the order of slices.

    ``seed``: names that say nothing, in shuffled order. ``skip``: slices left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world = LPS @ affine
    size = np.sqrt((world[:3, :3] ** 2).sum(0))
    series = generate_uid(entropy_srcs=[study, str(number), description])
    numbers = [k for k in range(data.shape[2]) if k not in skip]
    order = (
        np.random.default_rng(seed).permutation(len(numbers)) if seed is not None else np.arange(len(numbers))
    )
    frames = []
    for place, k in enumerate(numbers):
        position = world[:3, 3] + world[:3, 2] * k
        frames.append((k, position, int(order[place])))
    shared = _shared(number, description, times, agent, study, series, kind, data.shape, tags)
    if enhanced:
        path = folder / "enhanced.dcm"
        whole = _file(path, ENHANCED, generate_uid(entropy_srcs=[series, "enhanced"]), shared)
        _enhance(whole, frames, world, size, times, kind)
        whole.PixelData = np.stack([data[:, :, k].T for k, _, _ in frames]).astype("<u2").tobytes()
        _save(whole, path, syntax)
        return [path]
    paths = []
    for k, position, name in frames:
        path = folder / (f"IM{name:05d}" if seed is not None else f"{number:03d}-{k:04d}.dcm")
        one = _file(path, CLASSIC, generate_uid(entropy_srcs=[series, str(k)]), shared)
        one.InstanceNumber = name + 1
        one.ImagePositionPatient = [_ds(v) for v in position]
        one.ImageOrientationPatient = [_ds(v) for v in (*(world[:3, 0] / size[0]), *(world[:3, 1] / size[1]))]
        one.PixelSpacing = [_ds(size[1]), _ds(size[0])]
        one.SliceThickness = _ds(size[2])
        one.RescaleSlope, one.RescaleIntercept = _ds(slope), "0"
        one.PixelData = np.ascontiguousarray(data[:, :, k].T.astype("<u2")).tobytes()
        _save(one, path, syntax)
        paths.append(path)
    return paths


def _shared(
    number: int,
    description: str,
    times: tuple[float, float, float | None] | None,
    agent: str,
    study: str,
    series: str,
    kind: Sequence[str],
    shape: Sequence[int],
    tags: dict[str, Any],
) -> dict[str, Any]:
    echo, repetition, inversion = times or (None, None, None)
    found = {
        "PatientName": f"{CANARY}^Jane",
        "PatientID": f"ID-{CANARY}",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyInstanceUID": study,
        "StudyID": "1",
        "StudyDate": "20240301",
        "StudyTime": "101010",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": f"Dr^{CANARY}",
        "SeriesInstanceUID": series,
        "SeriesNumber": number,
        "SeriesDescription": description,
        "SeriesDate": "20240301",
        "SeriesTime": f"1010{number % 60:02d}",
        "FrameOfReferenceUID": f"{study}.9",
        "PositionReferenceIndicator": "",
        "Modality": "MR",
        "Manufacturer": "made for a test",
        "ImageType": list(kind),
        "EchoTime": echo,
        "RepetitionTime": repetition,
        "InversionTime": inversion,
        "ContrastBolusAgent": agent or None,
        "ScanningSequence": "SE",
        "SequenceVariant": "NONE",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": shape[1],
        "Columns": shape[0],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    return {k: v for k, v in (found | tags).items() if v is not None}


def _file(path: Path, storage: str, uid: str, shared: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, uid
    for name, value in shared.items():
        setattr(dataset, name, value)
    return dataset


def _enhance(
    whole: FileDataset,
    frames: Sequence[tuple[int, Any, int]],
    world: npt.NDArray[np.float64],
    size: npt.NDArray[np.float64],
    times: tuple[float, float, float | None] | None,
    kind: Sequence[str],
) -> None:
    for name in ("EchoTime", "RepetitionTime", "InversionTime", "ScanningSequence", "SequenceVariant"):
        if name in whole:
            delattr(whole, name)
    whole.NumberOfFrames = len(frames)
    echo, repetition, inversion = times or (None, None, None)
    around = Dataset()
    around.PixelMeasuresSequence = _items(
        PixelSpacing=[_ds(size[1]), _ds(size[0])],
        SliceThickness=_ds(size[2]),
        SpacingBetweenSlices=_ds(size[2]),
    )
    direction = [_ds(v) for v in (*(world[:3, 0] / size[0]), *(world[:3, 1] / size[1]))]
    around.PlaneOrientationSequence = _items(ImageOrientationPatient=direction)
    around.PixelValueTransformationSequence = _items(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    around.MRImageFrameTypeSequence = _items(FrameType=list(kind), ComplexImageComponent="MAGNITUDE")
    if repetition is not None:
        around.MRTimingAndRelatedParametersSequence = _items(RepetitionTime=repetition)
    if inversion is not None:
        around.MRModifierSequence = _items(InversionRecovery="YES", InversionTimes=[inversion])
    whole.SharedFunctionalGroupsSequence = Items([around])
    each = []
    for _, position, _ in frames:
        own = Dataset()
        own.PlanePositionSequence = _items(ImagePositionPatient=[_ds(v) for v in position])
        if echo is not None:
            own.MREchoSequence = _items(EffectiveEchoTime=echo)
        each.append(own)
    whole.PerFrameFunctionalGroupsSequence = Items(each)


def _items(**tags: Any) -> Items:
    one = Dataset()
    for name, value in tags.items():
        setattr(one, name, value)
    return Items([one])


def _save(dataset: FileDataset, path: Path, syntax: str | None) -> None:
    if syntax is not None:
        dataset.compress(syntax)
    dataset.save_as(path, enforce_file_format=True)


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters."""
    return f"{float(value):.8g}"
