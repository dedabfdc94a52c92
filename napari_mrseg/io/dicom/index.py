"""What lies in a DICOM export: studies, series, and the volumes they hold. Reads headers, no pixel."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom.archive import (
    DEFLATED,
    LEAST,
    META,
    Member,
    PackedError,
    is_archive,
    members,
    quiet,
)
from napari_mrseg.io.dicom.stack import (
    FEW_SLICES,
    STACK_TAGS,
    Frame,
    Header,
    Slice,
    as_number,
    stacks_of,
    value_of,
)

MR_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
)
LONGEST = 48  # characters of a description that is shown
_UNPACKED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")  # ways to store plain pixels
_EMPTY, _CLOSED = "empty", "cannot be opened"  # why a file that may have been an image cannot be read
_NAMES = ("PatientName", "PatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
# All that is looked at: an export may have ten thousand files.
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"),
    *("StudyDate", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("SeriesNumber", "InstanceNumber", "SeriesDescription", "ProtocolName", *_NAMES),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation"),
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
    *STACK_TAGS,
)
# Two files of one series that agree in all of these are copies of one.
_SAME = (
    *("SOPInstanceUID", "InstanceNumber", "NumberOfFrames", "ImageType", "EchoTime", "DiffusionBValue"),
    *("ImagePositionPatient", "ImageOrientationPatient", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("AcquisitionTime", "AcquisitionDateTime", "ContentTime"),
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
    *(LookupError, NotImplementedError, ArithmeticError, MemoryError, RuntimeError, struct.error, zlib.error),
)

_File = tuple[Member, Header]


@dataclass(frozen=True, eq=False)
class Series:
    """One volume of a series.

    ``path`` is none on disk: the export, then "series 7 (AX FLAIR)", the name that is shown. ``refusal`` says why it is
    no scan that could be used; empty for one that could. ``frames`` are in order of their place along ``normal``.
    ``part``: 1, 2, … by time, where the series holds several acquisitions; 0 for a whole one. ``lost``: how many files
    beside its own cannot be read at all, so that they may be slices of it.
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
    part: int = 0
    lost: int = 0

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
        return value_of(name, self.header, self.groups)

    def number_of(self, name: str) -> float | None:
        """:meth:`value` as a number, None for what is none."""
        return as_number(self.value(name))

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
        part = f"+{self.part}" if self.part else ""
        if part and self.value("FrameAcquisitionDateTime"):
            return str(self.value("FrameAcquisitionDateTime")) + part
        date = str(self.header.get("AcquisitionDate") or self.header.get("SeriesDate") or "")
        time = str(self.header.get("AcquisitionTime") or self.header.get("SeriesTime") or "")
        return (str(self.header.get("AcquisitionDateTime") or "") or date + time) + part


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
    found: dict[str, list[_File]] = defaultdict(list)
    seen: set[tuple[str, ...]] = set()
    cut: list[tuple[Member, Header]] = []  # known whose they are
    lost: list[tuple[Member, str]] = []
    others = 0
    for member in listed:
        header, wrong = _header(member)
        uid = str(header.get("SeriesInstanceUID") or "") if header is not None else ""
        if header is None or (wrong and not uid):
            if wrong:
                lost.append((member, wrong))
            others += not wrong
            continue
        if wrong:
            cut.append((member, header))
            continue
        same = (uid, *(str(header.get(name)) for name in _SAME), _first_frame(header))
        if same in seen and header.get("SOPInstanceUID"):
            continue  # the same slice copied twice
        seen.add(same)
        found[uid].append((member, header))
    # A damaged file does not matter where the same slice is there whole.
    whole = {_named_slice(header) for files in found.values() for _, header in files}
    short: dict[str, list[_File]] = defaultdict(list)
    for member, header in cut:
        if _named_slice(header) not in whole:
            short[str(header.get("SeriesInstanceUID"))].append((member, header))
    series = [volume for files in _by_series(root, found) for volume in _checked(root, files, short)]
    series += [
        replace(_bare(root, files), refusal=_damage_text(len(files), len(files))) for files in short.values()
    ]
    lost = _of_images(lost, found)
    series.sort(key=_order)
    if lost:
        series = [*(replace(one, lost=_beside(one, lost)) for one in series), _lost(root, lost, series)]
    return Export(root, _named(root, series), others)


def _named_slice(header: Header) -> tuple[str, ...]:
    names = ("SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber", "ImagePositionPatient")
    return tuple(str(header.get(name)) for name in names)


def _checked(root: Path, files: list[_File], short: dict[str, list[_File]]) -> list[Series]:
    """The volumes of ``files``; refused if others of their series are cut short, which are taken out of ``short``."""
    uids = dict.fromkeys(str(header.get("SeriesInstanceUID")) for _, header in files)
    damaged = [one for uid in uids for one in short.pop(uid, ())]
    volumes = _volumes(root, files)
    if not damaged:
        return volumes
    refusal = _damage_text(len(damaged), len(files) + len(damaged))
    return [replace(one, refusal=one.refusal or refusal) for one in volumes]


def _damage_text(count: int, every: int) -> str:
    return f"{count} of its {every} files {'is' if count == 1 else 'are'} cut short; copy the export again"


def _of_images(lost: list[tuple[Member, str]], found: dict[str, list[_File]]) -> list[tuple[Member, str]]:
    """The unreadable files that must have been images: by DICOM's mark, or named as the images beside them."""
    named = {(_folder(member), _suffix(member)) for files in found.values() for member, _ in files}
    return [(m, why) for m, why in lost if why not in (_EMPTY, _CLOSED) or (_folder(m), _suffix(m)) in named]


def _folder(member: Member) -> tuple[Path, str]:
    if member.inner:
        return member.path, member.inner.rpartition("/")[0]
    return member.path.parent, ""


def _suffix(member: Member) -> str:
    """The name's ending; numbers, as at the end of a UID, are one ending."""
    ending = Path(member.name).suffix.lower()
    return "" if ending[1:].isdigit() else ending


def _beside(series: Series, lost: Sequence[tuple[Member, str]]) -> int:
    """How many unreadable files lie in the folders of the series."""
    folders = {_folder(frame.member) for frame in series.frames}
    return sum(_folder(member) in folders for member, _ in lost)


def _lost(root: Path, lost: Sequence[tuple[Member, str]], series: Sequence[Series]) -> Series:
    """What stands for files that cannot be read among the series. Their names are not told: they may be a patient's."""
    folders = {_folder(member) for member, _ in lost}
    near = [one for one in series if folders & {_folder(frame.member) for frame in one.frames}]
    of = next(iter([*near, *series]), None)
    kinds = Counter(why for _, why in lost)
    why = ", ".join(f"{count} {kind}" if len(kinds) > 1 else kind for kind, count in kinds.items())
    return Series(
        root, of.study if of else "", None, "", of.header if of else Header(), (),
        refusal=f"{why}: copy the export again",
        lost=len(lost),
    )  # fmt: skip


def _first_frame(header: Header) -> str:
    """Where the first slice of an enhanced file lies, in words."""
    own = header.get("PerFrameFunctionalGroupsSequence")
    place = own[0].get("PlanePositionSequence") if own else None
    return str(place[0].get("ImagePositionPatient")) if place else ""


def _by_series(root: Path, found: dict[str, list[_File]]) -> Iterator[list[_File]]:
    """The files of each series; of those to whose slices a scanner gave different UIDs, by number and description."""
    same: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for uid, files in found.items():
        header = files[0][1]
        names = ("StudyInstanceUID", "PatientID", "SeriesNumber", "SeriesDescription", "ProtocolName")
        named = tuple(str(header.get(name) or "") for name in names)
        same[named if any(named[2:]) else (*named, uid)].append(uid)
    for uids in same.values():
        together = [one for uid in uids for one in found[uid]]
        if len(uids) > 1 and _is_one(root, [found[uid] for uid in uids], together):
            yield together
        else:
            yield from (found[uid] for uid in uids)


def _is_one(root: Path, each: list[list[_File]], together: list[_File]) -> bool:
    """True if the series of one number are the slices of fewer volumes, all of which are used."""
    small = all(
        sum(int(header.get("NumberOfFrames") or 1) for _, header in files) < FEW_SLICES for files in each
    )
    volumes = _volumes(root, together)
    if small and len(volumes) == 1:  # localisers too
        return True
    used = sum(len(one.frames) for one in volumes if not one.refusal)
    frames = sum(int(header.get("NumberOfFrames") or 1) for _, header in together)
    return used == frames and len(volumes) < len(each)


def _order(series: Series) -> tuple[str, str, int, str]:
    number = series.number if series.number is not None else 10**9
    return str(series.header.get("StudyDate") or ""), series.study, number, series.description


def _header(member: Member) -> tuple[Header | None, str]:
    """The header of a DICOM image, without pixels, and what is wrong with the file; (None, "") for any other file."""
    if member.name.upper() == "DICOMDIR":
        return None, ""
    if not member.inner and is_archive(member.path):
        return None, "an archive that is damaged, locked or unpacks to too much"
    named = member.name.lower().endswith((".dcm", ".ima", ".dicom"))
    marked, header = False, None
    try:
        with _opened(member) as raw:
            start = raw.read(META)
            marked = start[LEAST - 4 : LEAST] == b"DICM"
            if not marked and not start.strip(b"\0"):
                return None, _EMPTY
            if not marked and not named:
                return None, ""
            raw.seek(0)
            header = pydicom.dcmread(raw, stop_before_pixels=True, force=not marked, specific_tags=list(TAGS))
            # pydicom makes a value of an element's bytes when it is asked for: what is damaged must fail here.
            for element in header.iterall():
                element.value  # noqa: B018
            _text(header, "SeriesDescription"), _text(header, "ProtocolName")
            if not header.get("Rows") or not header.get("Columns") or not header.get("SeriesInstanceUID"):
                is_cut = marked and _stored(header) in MR_IMAGES
                return (header, "cut short") if is_cut else (None, "")
            int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
            image = _stored(header) in ("", *MR_IMAGES)
            return header, "cut short" if image and _is_short(raw, header) else ""
    except PackedError as error:
        return None, str(error)
    except OSError:
        return None, _CLOSED
    except BROKEN:
        return None, "damaged" if marked and _stored(header) in ("", *MR_IMAGES) else ""


def _opened(member: Member) -> Any:
    """The file, unpacked where it is packed as a whole. Raises OSError."""
    if not member.inner:
        raw = open(member.path, "rb")  # noqa: SIM115 - the caller closes it
        if DEFLATED not in raw.read(META):
            raw.seek(0)
            return raw
        raw.close()
    return io.BytesIO(member.read())


def _stored(header: Header | None) -> str:
    """What kind of object the file says it is, before anything else."""
    meta = getattr(header, "file_meta", None) or {}
    return str(meta.get("MediaStorageSOPClassUID") or "")


def _is_short(raw: Any, header: Header) -> bool:
    """True if fewer bytes follow the header than its pixels take; where they are packed, reading them will tell."""
    syntax = (getattr(header, "file_meta", None) or {}).get("TransferSyntaxUID")
    if syntax is not None and str(syntax) not in _UNPACKED:
        return False
    start = raw.tell() + (8 if syntax in (None, _UNPACKED[0]) else 12)  # the pixels' tag and length
    voxels = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames") or 1)
    size = voxels * int(header.get("SamplesPerPixel") or 1) * int(header.get("BitsAllocated") or 8) // 8
    result: bool = int(raw.seek(0, io.SEEK_END)) - start < size
    return result


def _text(header: Header, name: str) -> str:
    """A tag as words to show, without any of the patient's name or number in it."""
    text = str(header.get(name) or "")
    for private in _NAMES:
        for word in re.split(r"[\s^=,_\\]+", str(header.get(private) or "")):
            if len(word) > 2:
                text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
    text = re.sub(r"[^\w\s+.,*()=-]", " ", text)
    return re.sub(r"\s+", " ", text).strip()[:LONGEST]


def _bare(root: Path, files: Sequence[_File]) -> Series:
    """The series without its slices."""
    header = files[0][1]
    return _with_words(Series(root, "", None, "", header, ()))


def _with_words(series: Series) -> Series:
    """With study, number and description as its header has them."""
    header = series.header
    return replace(
        series,
        study=str(header.get("StudyInstanceUID") or ""),
        number=_integer(header.get("SeriesNumber")),
        description=_text(header, "SeriesDescription") or _text(header, "ProtocolName"),
    )


def _volumes(root: Path, files: Sequence[_File]) -> list[Series]:
    """The volumes of one series: frames with one orientation, echo and kind, one for each place."""
    images = [(member, header) for member, header in files if not _not_scan(header)]
    bare = _bare(root, images or files)
    if not images:
        return [replace(bare, refusal=_not_scan(bare.header))]
    slices: list[Slice] = []
    nowhere = 0
    for member, header in images:
        try:
            slices += _slices(member, header)
        except BROKEN:
            nowhere += 1
    if nowhere:
        refusal = f"{nowhere} of its {len(images)} files do not say where their slices lie"
        return [replace(bare, refusal=refusal)]
    found = []
    for stack, part in stacks_of(slices):
        first = min(stack, key=lambda one: one.frame.order)
        volume = replace(
            bare,
            header=first.header,
            groups=first.groups,
            orientation=first.axes,
            pixel_mm=first.pixel_mm,
            shape=first.shape,
            frames=tuple(one.frame for one in stack),
            part=part,
        )
        found.append(_repeated(_with_words(volume)))
    large = [volume for volume in found if len(volume.frames) >= FEW_SLICES]
    if len(found) > 1 and not large:
        return [replace(found[0], refusal=f"a localiser: {sum(len(v.frames) for v in found)} single slices")]
    rest = [frame for volume in found if len(volume.frames) < FEW_SLICES for frame in volume.frames]
    if large and rest:
        refusal = f"{len(rest)} of its slices lie, or were taken, otherwise than the rest of the series"
        large.append(replace(found[0], frames=tuple(rest), refusal=refusal))
    return large or found


def _not_scan(header: Header) -> str:
    """Why images of this kind are no MR scan that can be read, or nothing."""
    modality = str(header.get("Modality") or "").upper()
    if modality not in ("MR", ""):
        return f"its modality is {modality}, not MR"
    storage = str(header.get("SOPClassUID") or "")
    if storage and storage not in MR_IMAGES:
        name = pydicom.uid.UID(storage).name
        return f"it holds no MR image ({name if name != storage else 'of a private kind'})"
    if int(header.get("SamplesPerPixel") or 1) != 1:
        return "it is in colour: a map or a picture of the screen"
    if "MOSAIC" in map(str.upper, map(str, _listed(header.get("ImageType")))):
        return "a mosaic: all slices of a volume in one picture; export it as single slices"
    syntax = (getattr(header, "file_meta", None) or {}).get("TransferSyntaxUID")
    if syntax is not None and not _is_decoded(str(syntax)):
        return f"its pixels are packed in a way that is not read ({syntax.name}); export it uncompressed"
    return ""


@lru_cache(maxsize=64)
def _is_decoded(syntax: str) -> bool:
    try:
        return get_decoder(pydicom.uid.UID(syntax)).is_available
    except NotImplementedError:
        return False


def _listed(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _slices(member: Member, header: Header) -> Iterable[Slice]:
    """Each frame of a file. Raises one of BROKEN where a frame does not say how it lies."""
    uid, order = str(header.get("SOPInstanceUID") or ""), _integer(header.get("InstanceNumber")) or 0
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = tuple(header.get("SharedFunctionalGroupsSequence") or ())
        for number, own in enumerate(header.PerFrameFunctionalGroupsSequence):
            around = (own, *shared)
            position = _in(around, "PlanePositionSequence").ImagePositionPatient
            orientation = _in(around, "PlaneOrientationSequence").ImageOrientationPatient
            spacing = _in(around, "PixelMeasuresSequence").PixelSpacing
            kind = _listed(_maybe(around, "MRImageFrameTypeSequence", "FrameType"))
            part = _maybe(around, "MRImageFrameTypeSequence", "ComplexImageComponent")
            frame = Frame(member, number, _triple(position), uid, number)
            echo = _maybe(around, "MREchoSequence", "EffectiveEchoTime")
            weight = _maybe(around, "MRDiffusionSequence", "DiffusionBValue")
            yield _slice(frame, header, around, orientation, spacing, (*kind, part or ""), echo, weight)
        return
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError("several frames, and no place for each")
    frame = Frame(member, 0, _triple(header.ImagePositionPatient), uid, order)
    kind = _listed(header.get("ImageType"))[2:]
    echo, weight = header.get("EchoTime"), header.get("DiffusionBValue")
    yield _slice(frame, header, (), header.ImageOrientationPatient, header.PixelSpacing, kind, echo, weight)


def _slice(
    frame: Frame,
    header: Header,
    groups: tuple[Header, ...],
    orientation: Any,
    spacing: Any,
    kind: Iterable[Any],
    echo: Any,
    weight: Any,
) -> Slice:
    axes = tuple(float(v) for v in orientation)
    size = (float(spacing[0]), float(spacing[1]))
    if len(axes) != 6 or not np.isfinite([*axes, *size]).all() or min(size) <= 0:
        raise ValueError("no orientation")
    shape = (int(header.Rows), int(header.Columns))
    words = tuple(str(word).upper() for word in kind)
    return Slice(frame, header, groups, shape, axes, size, words, as_number(echo), as_number(weight) or 0.0)


def _repeated(volume: Series) -> Series:
    """The volume; with several frames at each place, refused as no single one."""
    places = volume.places
    if len(places) < 2:
        return volume
    different, counts = np.unique(np.round(places, 2), return_counts=True)
    if len(different) > 1 and (counts > 1).mean() > 0.5:
        many = int(np.median(counts))
        return replace(
            volume, refusal=f"{many} volumes at one place: a dynamic, perfusion or diffusion series"
        )
    return volume


def _named(root: Path, series: Sequence[Series]) -> tuple[Series, ...]:
    """With paths to be shown and given back: unique, without anything of the patient."""
    studies = list(dict.fromkeys(s.study for s in series))
    patients: dict[str, int] = {}
    used_paths: set[Path] = set()
    found = []
    for one in series:
        who = hashlib.sha256(
            str(one.header.get("PatientID") or one.header.get("PatientName")).encode()
        ).hexdigest()
        patient = patients.setdefault(who, len(patients) + 1)
        folder = root / f"study {studies.index(one.study) + 1}" if len(studies) > 1 else root
        title = f"series {one.number}" if one.number is not None else "series without a number"
        if one.lost and not one.frames:
            title = f"{one.lost} file{'' if one.lost == 1 else 's'} that cannot be read"
        path = folder / (f"{title} ({one.description})" if one.description else title)
        number = 2
        while path in used_paths:
            suffix = f"; volume {number}"
            path = folder / (
                f"{title}{suffix} ({one.description})" if one.description else f"{title}{suffix}"
            )
            number += 1
        used_paths.add(path)
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


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
