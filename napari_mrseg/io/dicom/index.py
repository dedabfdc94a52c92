"""What lies in a DICOM export: studies, series, and the volumes they hold. Reads headers, no pixel."""

from __future__ import annotations

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom.files import LEAST, Member, members, quiet

DEFLATED = b"1.2.840.10008.1.2.1.99"  # the whole file packed: it may unpack to anything
META = 1024  # bytes from the start within which a file says how it is packed
MR_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
)
FEW_SLICES = 5
LONGEST = 48  # characters of a description that is shown
_NAMES = ("PatientName", "PatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
# All that is looked at: an export may have ten thousand files.
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"),
    *("StudyDate", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("SeriesNumber", "InstanceNumber", "SeriesDescription", "ProtocolName", *_NAMES),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("EchoTime", "RepetitionTime", "InversionTime", "ScanningSequence", "DiffusionBValue"),
    *(
        "AcquisitionContrast",
        "EchoPulseSequence",
        "EchoPlanarPulseSequence",
        "ContrastBolusAgent",
        "ContrastBolusAgentSequence",
    ),
)
# What pydicom and its decoders raise for damaged bytes is no one type.
BROKEN: tuple[type[Exception], ...] = (
    *(
        InvalidDicomError,
        BytesLengthException,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ),
    *(IndexError, NotImplementedError, RecursionError, OverflowError, MemoryError, RuntimeError),
)

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
class Series:
    """One volume of a series.

    ``path`` is none on disk: the export, then "series 7 (AX FLAIR)", the name that is shown. ``refusal`` says why it is
    no scan that could be used; empty for one that could. ``frames`` are in order of their place along ``normal``.
    """

    path: Path
    study: str
    number: int | None
    description: str
    header: Header
    groups: tuple[Header, ...]
    frames: tuple[Frame, ...] = ()
    orientation: tuple[float, ...] = ()
    pixel_mm: tuple[float, float] = (0.0, 0.0)
    shape: tuple[int, int] = (0, 0)
    refusal: str = ""
    patient: int = 1

    @property
    def slice_mm(self) -> float:
        """Distance between slices, mm."""
        places = self.places
        return float(np.median(np.diff(places))) if len(places) > 1 else 0.0

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def places(self) -> npt.NDArray[np.float64]:
        """(slices,) mm along the normal."""
        return np.array([frame.position for frame in self.frames]) @ self.normal

    def value(self, name: str) -> Any:
        """A tag by its keyword, at the top level or in the functional groups of an enhanced file; None if absent."""
        if self.header.get(name) not in (None, ""):
            return self.header[name].value
        for group in self.groups:
            for element in group:
                if element.VR == "SQ" and len(element.value or ()) and name in element.value[0]:
                    return element.value[0][name].value
        return None

    def number_of(self, name: str) -> float | None:
        """:meth:`value` as a number, None for what is none."""
        value = self.value(name)
        value = value[0] if isinstance(value, (MultiValue, list)) and len(value) else value
        try:
            return float(value)
        except (TypeError, ValueError):
            return None

    @property
    def words(self) -> str:
        """What people wrote of it: description and protocol."""
        protocol = str(self.header.get("ProtocolName") or "")
        return self.description if protocol in self.description else f"{self.description} {protocol}".strip()

    @property
    def image_type(self) -> tuple[str, ...]:
        value = self.header.get("ImageType") or ()
        return tuple(str(v).upper() for v in ([value] if isinstance(value, str) else value))

    @property
    def moment(self) -> str:
        """When it was acquired, to be compared with others of its study."""
        date = str(self.header.get("AcquisitionDate") or self.header.get("SeriesDate") or "")
        time = str(self.header.get("AcquisitionTime") or self.header.get("SeriesTime") or "")
        return str(self.header.get("AcquisitionDateTime") or "") or date + time


@dataclass(frozen=True)
class Export:
    """All that was found under ``root``: ``series`` by study, and how many files are no DICOM or hold no image."""

    root: Path
    series: tuple[Series, ...]
    others: int

    @property
    def studies(self) -> tuple[str, ...]:
        """UIDs of the studies that have an image, in order."""
        return tuple(dict.fromkeys(s.study for s in self.series))

    def of(self, study: str) -> tuple[Series, ...]:
        return tuple(s for s in self.series if s.study == study)


def look_up(path: Path) -> Series:
    """The series that ``path`` names: "EXPORT/series 7 (AX FLAIR)", or one of its files. Raises InputError."""
    root, name = path.parent, path.name
    if re.match(r"study \d+$", root.name) and not root.is_dir():
        root = root.parent
    if path.is_file():
        found = [s for s in index(root).series if any(f.member.path == path for f in s.frames)]
        if not found:
            raise InputError(f"{name} holds no MR image that could be used; give another file.")
        return found[0]
    series = index(root).series
    exact = [s for s in series if s.path == path] or [s for s in series if s.path.name == name]
    loose = exact or [s for s in series if s.path.name.partition(" (")[0] == name.strip()]
    if len(loose) != 1:
        what = "no" if not loose else "more than one"
        raise InputError(f"{root.name} holds {what} “{name}”; mrseg inspect lists what is there.")
    return loose[0]


def index(root: Path) -> Export:
    """Look through all files under ``root``, a folder or an archive; again only if something changed there.

    Raises InputError for an archive that cannot be read.
    """
    listed = tuple(members(root))
    stamps = []
    for path in dict.fromkeys(member.path for member in listed):
        known = path.stat()
        stamps.append((str(path), known.st_size, known.st_mtime_ns))
    return _index(root, listed, tuple(stamps))


def is_dicom(path: Path) -> bool:
    """True if the file has the mark of a DICOM file."""
    try:
        with open(path, "rb") as file:
            return file.read(LEAST)[128:] == b"DICM"
    except OSError:
        return False


@lru_cache(maxsize=8)
def _index(root: Path, listed: tuple[Member, ...], stamps: tuple[Any, ...]) -> Export:
    with quiet():
        return _looked_through(root, listed)


def _looked_through(root: Path, listed: tuple[Member, ...]) -> Export:
    found: dict[str, list[tuple[Member, Header]]] = defaultdict(list)
    seen: set[str] = set()
    others = 0
    for member in listed:
        header = _header(member)
        if header is None:
            others += 1
            continue
        uid = str(header.get("SOPInstanceUID") or "")
        if uid and uid in seen:
            continue  # the same slice copied twice
        seen.add(uid)
        found[str(header.get("SeriesInstanceUID") or "")].append((member, header))
    series = [volume for one in found.values() for volume in _volumes(root, one)]
    series.sort(key=_order)
    return Export(root, _named(root, series), others)


def _order(series: Series) -> tuple[str, str, int, str]:
    number = series.number if series.number is not None else 10**9
    return str(series.header.get("StudyDate") or ""), series.study, number, series.description


def _header(member: Member) -> Header | None:
    """The header of a DICOM image, without pixels; None for any other file."""
    try:
        if member.inner:
            raw: Any = io.BytesIO(member.read())
        else:
            raw = open(member.path, "rb")  # noqa: SIM115 - closed below
        with raw:
            start = raw.read(META)
            marked = start[LEAST - 4 : LEAST] == b"DICM"
            if not marked and not member.name.lower().endswith((".dcm", ".ima", ".dicom")):
                return None
            if DEFLATED in start:
                return None
            raw.seek(0)
            header = pydicom.dcmread(raw, stop_before_pixels=True, force=not marked, specific_tags=list(TAGS))
            # pydicom makes a value of an element's bytes when it is asked for: what is damaged must fail here.
            for element in header.iterall():
                element.value  # noqa: B018
            if not header.get("Rows") or not header.get("Columns") or not header.get("SeriesInstanceUID"):
                return None
            int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
            _text(header, "SeriesDescription"), _text(header, "ProtocolName")
            return header
    except BROKEN:
        return None


def _text(header: Header, name: str) -> str:
    """A tag as words to show, without any of the patient's name or number in it."""
    text = str(header.get(name) or "")
    for private in _NAMES:
        for word in re.split(r"[\s^=,_\\]+", str(header.get(private) or "")):
            if len(word) > 2:
                text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
    text = re.sub(r"[^\w\s+.,*()=-]", " ", text)
    return re.sub(r"\s+", " ", text).strip()[:LONGEST]


def _volumes(root: Path, files: Sequence[tuple[Member, Header]]) -> list[Series]:
    """The volumes of one series: frames with one orientation, echo and kind, one for each place."""
    groups: dict[tuple[Any, ...], list[tuple[Frame, Header, tuple[Header, ...]]]] = defaultdict(list)
    geometry: dict[tuple[Any, ...], tuple[tuple[float, ...], tuple[float, float], tuple[int, int]]] = {}
    images = [(member, header) for member, header in files if not _not_mr(header)]
    first = (images or files)[0][1]
    bare = Series(
        root,
        str(first.get("StudyInstanceUID") or ""),
        _integer(first.get("SeriesNumber")),
        _text(first, "SeriesDescription") or _text(first, "ProtocolName"),
        first,
        (),
    )
    if not images:
        return [replace(bare, refusal=_not_mr(first))]
    for member, header in images:
        try:
            frames = list(_frames(member, header))
        except BROKEN:
            return [replace(bare, refusal="not all of its files say where their slices lie")]
        for frame, key, own, around in frames:
            groups[key].append((frame, header, around))
            geometry[key] = own
    found = []
    for key, alike in groups.items():
        orientation, pixel_mm, shape = geometry[key]
        volume = replace(
            bare,
            header=alike[0][1],
            groups=alike[0][2],
            orientation=orientation,
            pixel_mm=pixel_mm,
            shape=shape,
        )
        normal = volume.normal
        ordered = sorted((f for f, _, _ in alike), key=lambda f: (float(np.dot(f.position, normal)), f.order))
        volume = replace(volume, frames=tuple(ordered))
        found += _repeated(volume)
    large = [volume for volume in found if len(volume.frames) >= FEW_SLICES]
    if len(found) > 1 and not large:
        return [replace(found[0], refusal=f"a localiser: {sum(len(v.frames) for v in found)} single slices")]
    return large or found


def _not_mr(header: Header) -> str:
    """Why images of this kind are no MR scan, or nothing."""
    modality = str(header.get("Modality") or "").upper()
    if modality not in ("MR", ""):
        return f"its modality is {modality}, not MR"
    storage = str(header.get("SOPClassUID") or "")
    if storage and storage not in MR_IMAGES:
        name = pydicom.uid.UID(storage).name
        return f"it holds no MR image ({name if name != storage else 'of a private kind'})"
    if int(header.get("SamplesPerPixel") or 1) != 1:
        return "it is in colour: a map or a picture of the screen"
    return ""


def _frames(
    member: Member, header: Header
) -> Iterable[tuple[Frame, tuple[Any, ...], tuple[Any, Any, Any], tuple[Header, ...]]]:
    """Each frame with what sets volumes of a series apart, its geometry and its functional groups."""
    shape = (int(header.Rows), int(header.Columns))
    uid, order = str(header.get("SOPInstanceUID") or ""), _integer(header.get("InstanceNumber")) or 0
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = tuple(header.get("SharedFunctionalGroupsSequence") or ())
        for number, own in enumerate(header.PerFrameFunctionalGroupsSequence):
            around = (own, *shared)
            position = _in(around, "PlanePositionSequence").ImagePositionPatient
            orientation = _in(around, "PlaneOrientationSequence").ImageOrientationPatient
            spacing = _in(around, "PixelMeasuresSequence").PixelSpacing
            echo = _maybe(around, "MREchoSequence", "EffectiveEchoTime")
            weight = _maybe(around, "MRDiffusionSequence", "DiffusionBValue")
            kind = _maybe(around, "MRImageFrameTypeSequence", "FrameType")
            part = _maybe(around, "MRImageFrameTypeSequence", "ComplexImageComponent")
            key, own_geometry = _key(shape, orientation, spacing, (echo, weight, str(kind), str(part)))
            yield Frame(member, number, _triple(position), uid, number), key, own_geometry, around
        return
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError("several frames, and no place for each")
    kind = "\\".join(str(v) for v in (header.get("ImageType") or ())[2:])
    apart = (header.get("EchoTime"), header.get("DiffusionBValue"), kind)
    key, own_geometry = _key(shape, header.ImageOrientationPatient, header.PixelSpacing, apart)
    yield Frame(member, 0, _triple(header.ImagePositionPatient), uid, order), key, own_geometry, ()


def _key(shape: Any, orientation: Any, spacing: Any, apart: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    axes = tuple(float(v) for v in orientation)
    size = (float(spacing[0]), float(spacing[1]))
    if len(axes) != 6 or not np.isfinite([*axes, *size]).all() or min(size) <= 0:
        raise ValueError("no orientation")
    told = tuple(
        f"{float(v):.1f}" if isinstance(v, (int, float, str)) and _number(v) else str(v) for v in apart
    )
    return (shape, tuple(round(v, 2) + 0.0 for v in axes), *told), (axes, size, shape)


def _repeated(volume: Series) -> list[Series]:
    """The volume; or, with several frames at each place, a word that it is no single one."""
    places = volume.places
    if len(places) < 2:
        return [volume]
    different, counts = np.unique(np.round(places, 2), return_counts=True)
    if len(different) > 1 and (counts > 1).mean() > 0.5:
        many = int(np.median(counts))
        return [
            replace(volume, refusal=f"{many} volumes at one place: a dynamic, perfusion or diffusion series")
        ]
    return [volume]


def _named(root: Path, series: Sequence[Series]) -> tuple[Series, ...]:
    """With paths to be shown and given back: unique, without anything of the patient."""
    studies = list(dict.fromkeys(s.study for s in series))
    patients: dict[str, int] = {}
    taken: set[Path] = set()
    found = []
    for one in series:
        who = hashlib.sha256(
            str(one.header.get("PatientID") or one.header.get("PatientName")).encode()
        ).hexdigest()
        patient = patients.setdefault(who, len(patients) + 1)
        folder = root / f"study {studies.index(one.study) + 1}" if len(studies) > 1 else root
        title = f"series {one.number}" if one.number is not None else "series without a number"
        path = folder / (f"{title} ({one.description})" if one.description else title)
        number = 2
        while path in taken:
            suffix = f"; volume {number}"
            path = folder / (
                f"{title}{suffix} ({one.description})" if one.description else f"{title}{suffix}"
            )
            number += 1
        taken.add(path)
        found.append(replace(one, path=path, patient=patient))
    return tuple(found)


def _in(groups: Sequence[Header], name: str) -> Header:
    for group in groups:
        if group.get(name):
            item: Header = group[name].value[0]
            return item
    raise ValueError(name)


def _maybe(groups: Sequence[Header], name: str, tag: str) -> Any:
    for group in groups:
        if group.get(name):
            return group[name].value[0].get(tag)
    return None


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    if not np.isfinite([x, y, z]).all():
        raise ValueError("no place")
    return x, y, z


def _number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
