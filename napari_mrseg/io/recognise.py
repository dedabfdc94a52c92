"""Which file is which modality, from the words in its name; with the reason, so that it can be corrected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom import Dicom, case_of, names_series, names_study
from napari_mrseg.io.dicom.choice import judge_export
from napari_mrseg.io.dicom.files import is_archive
from napari_mrseg.io.dicom.index import look_up
from napari_mrseg.io.dicom.role import judge
from napari_mrseg.io.formats import format_of, formats_of, is_readable, label_ending, stem
from napari_mrseg.io.frames import frames_in, unpaired
from napari_mrseg.io.picture import Picture
from napari_mrseg.io.verdict import Confidence, Timing, Verdict, decide, verdict_of
from napari_mrseg.io.words import Claim, common_ends, find_claims, words_of
from napari_mrseg.tasks import DEFAULT, Task

REFERENCE = "reference"

_OTHER_FORMATS = (".mnc", ".mnc2", ".par", ".rec", ".vtk", ".npy")
_COMPUTED_WORDS = frozenset({"pseudo", "pred", "prediction", "predicted", "auto", "automatic"})

_FILLED = "_bfx"  # SUN RGB-D keeps depth with its holes filled beside depth as it was measured


@dataclass(frozen=True)
class Found:
    """One file and its ``role``: a modality's name, ``"reference"`` or None (left aside).

    ``explicit`` roles were given by the user. ``doubt`` lists the modalities between which the name does not
    decide, or the one that it may not show after all; the role is then None. ``confidence``: see
    :class:`~.verdict.Verdict`. ``undecided``: it may be any modality, or one of those in ``doubt``.
    """

    path: Path
    role: str | None
    reason: str
    explicit: bool = False
    doubt: tuple[str, ...] = ()
    confidence: Confidence = ""
    undecided: bool = False


@dataclass(frozen=True)
class Recognition:
    """What a folder or a list of files was taken for. ``folder`` is where the first file lies.

    ``refusal``: why the files make no one study, whatever they show. ``private``: ``case`` stands for a name that must
    not be told. ``studies``: path and words of those to choose from, where an export holds several.
    """

    case: str
    files: tuple[Found, ...]
    folder: Path = field(default_factory=Path)
    refusal: str = ""
    private: bool = False
    studies: tuple[tuple[Path, str], ...] = ()

    def of(self, role: str) -> tuple[Found, ...]:
        """The files with that role."""
        return tuple(found for found in self.files if found.role == role)

    def problems(self, task: Task) -> tuple[str, ...]:
        """Why no study can be made of these files: one sentence each, with the mend; empty if one can."""
        sentences = [self.refusal] if self.refusal else []
        for name in task.names if not self.refusal else ():
            same = self.of(name)
            if len(same) > 1:
                files = _join([found.path.name for found in same])
                sentences.append(
                    f"{files} both claim {name}; say which one to use, e.g. {name}={same[0].path.name}, "
                    "and leave the other out."
                    if len(same) == 2
                    else f"{files} all claim {name}; say which one to use, e.g. {name}={same[0].path.name}."
                )
        seen: dict[str, str] = {}
        for found in self.files:
            first = seen.setdefault(os.path.abspath(found.path), found.role or "")
            if found.role and first and first != found.role:
                sentences.append(f"{found.path.name} is given as {first} and as {found.role}; give it once.")
        # A doubt does not matter where every candidate is already there under a clear name.
        sentences.extend(
            f"{found.path.name} could be {' or '.join(found.doubt)} ({found.reason}); say which, "
            f"e.g. {found.doubt[0]}={found.path.name}."
            if len(found.doubt) > 1
            else f"{found.path.name} may be no plain {found.doubt[0]} ({found.reason}); if it is one, say "
            f"{found.doubt[0]}={found.path.name}, if not, leave it out."
            for found in self.files
            if not self.refusal and found.doubt and not all(self.of(name) for name in found.doubt)
        )
        if not any(self.of(name) for name in task.names) and not sentences:
            sentences.append(self._nothing(task))
        return tuple(sentences)

    def _nothing(self, task: Task) -> str:
        first = task.modalities[0]
        wanted = ", ".join(f"{m.name} ({'/'.join(m.names[:3])})" for m in task.modalities)
        if not self.files:
            nested = _folders_with_images(self.folder, task)
            kind = formats_of(task)[0]
            if nested:
                return (
                    f"{self.case} holds no {kind.title} itself, but its subfolder {_join(nested, 'or')} does; "
                    "open that one."
                )
            endings = _join(sorted(kind.endings), "or")
            return f"{self.case} holds no {kind.title}; give a folder or files with {endings} scans."
        names = [found.path.name for found in sorted(self.files, key=lambda found: found.role is not None)]
        shown = _join(names[:3] + ([f"{len(names) - 3} more"] if len(names) > 3 else []))
        return (
            f"No modality was recognised in the file names of {self.case} ({shown}); name them after "
            f"{wanted}, or say it, e.g. {first.name}={names[0]}."
        )


def recognise(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], task: Task = DEFAULT
) -> Recognition:
    """Tell the modalities and the reference of one subject from file names. Reads no voxel.

    ``paths``: one folder, or files, or ``modality=file`` strings (``flair=a.nii.gz reference=seg.nii.gz``).
    Names are matched by whole words, ignoring case; a longer word wins over one inside it. Where words of
    different modalities remain, the role is left open (``Found.doubt``). Raises InputError for paths that do
    not exist, unknown modality names, or a folder mixed with other paths.
    """
    items = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not items:
        raise InputError("No file or folder was given; give a subject's folder or its NIfTI files.")
    given = list(dict.fromkeys(_parse(item, task) for item in items))
    for path, _ in given:
        if not _exists(path):
            raise InputError(f"{path} does not exist; check the path.")
    folders = [path for path, _ in given if _is_container(path)]
    if folders and len(given) > 1:
        raise InputError(
            f"{folders[0].name} is a folder, given together with other paths; give one folder, or files only."
        )
    if folders and given[0][1] is not None:
        raise InputError(f"{folders[0].name} is a folder; give the file that is {given[0][1]}.")
    if folders:
        return _of_folder(Path(os.path.abspath(folders[0])), task)
    first = Path(os.path.abspath(given[0][0]))
    loose = [path for path, role in given if role is None]
    if task.ndim == 3 and loose and len(loose) == len(given) and all(map(_is_series, loose)):
        return _of_slices(loose, task)
    judged = iter(_judge(loose, task, chosen=True))
    files = [
        next(judged) if role is None else Found(path, role, "given explicitly", True, confidence="sure")
        for path, role in given
    ]
    private = task.ndim == 3 and _is_series(first)
    case = case_of(look_up(first).study) if private else first.parent.name
    return Recognition(case, tuple(files), first.parent, private=private)


def _of_folder(folder: Path, task: Task) -> Recognition:
    """The images of a folder; where there are none, the DICOM series in it, however deep, or in an archive."""
    listed = []
    if folder.is_dir():
        listed = [p for p in _listed(folder) if not p.is_dir() and not p.name.startswith(".")]
    if task.ndim == 2 and not any(isinstance(format_of(p), Picture) for p in listed):
        return _of_frames(folder, [p for p in listed if is_readable(p, task)], task)
    known = [p for p in listed if is_readable(p, task) or p.suffix.lower() in _OTHER_FORMATS]
    images = any(is_readable(p, task) and not _is_series(p) for p in known)
    # A data set of NIfTI folders is none of DICOM, whatever lies between them.
    if task.ndim == 3 and not images and not (folder.is_dir() and _folders_with_images(folder, task)):
        export = judge_export(folder, task)
        if export is not None:
            files = tuple(_found(series.path, verdict) for series, verdict in export.series)
            return Recognition(export.case, files, folder, export.refusal, True, export.studies)
    if not folder.is_dir():
        raise InputError(
            f"{folder.name} holds no scan that could be used; give a folder or an archive of DICOM files."
        )
    return Recognition(folder.name, tuple(_judge(known, task)), folder)


def _of_frames(folder: Path, labels: Sequence[Path], task: Task) -> Recognition:
    """A folder of folders of frames: rgb/, depth/, GT/ .., as data sets keep them; ``labels``: files in it."""
    inside = [p for p in _listed(folder) if p.is_dir() and not p.name.startswith(".") and frames_in(p)]
    filled = {p.name.lower().removesuffix(_FILLED) for p in inside if p.name.lower().endswith(_FILLED)}
    inside = [p for p in inside if p.name.lower() not in filled]
    files = tuple(_judge([*inside, *labels], task))
    found = {f.role: f.path for f in files}
    roles = {role: found[role] for role in (*task.names, REFERENCE) if role in found and found[role].is_dir()}
    return Recognition(folder.name, files, folder, unpaired(roles, task))


def _of_slices(paths: Sequence[Path], task: Task) -> Recognition:
    """The series that ``paths``, files of them, belong to."""
    wanted = dict.fromkeys(look_up(Path(os.path.abspath(path))) for path in paths)
    studies = dict.fromkeys(series.study for series in wanted)
    refusal = "The files belong to more than one study; give those of one." if len(studies) > 1 else ""
    files = tuple(_found(series.path, judge(series, task)) for series in wanted)
    return Recognition(case_of(next(iter(studies))), files, files[0].path.parent, refusal, private=True)


def _found(path: Path, verdict: Verdict) -> Found:
    undecided = verdict.role is None and not verdict.other
    return Found(path, verdict.role, verdict.reason, False, verdict.doubt, verdict.confidence, undecided)


def _is_container(path: Path) -> bool:
    return path.is_dir() or is_archive(path) or names_study(path)


def _is_series(path: Path) -> bool:
    return isinstance(format_of(path), Dicom)


def with_roles(recognition: Recognition, roles: Mapping[str, str | None], task: Task) -> Recognition:
    """``recognition`` with the user's corrections: ``roles`` maps a file's name or path to a role or None.

    A corrected file takes its role from one that was merely recognised for it. Raises InputError for a file
    that is not among those found, or an unknown role.
    """
    files = list(recognition.files)
    for key, role in roles.items():
        wanted = None if role is None else role_name(role, task)
        hits = [i for i, f in enumerate(files) if key == f.path.name or _same(Path(key), f.path)]
        if len(hits) != 1:
            what = "is not among" if not hits else "stands for more than one of"
            names = _join([f.path.name for f in recognition.files]) or "none"
            raise InputError(f"{key} {what} the files found ({names}); give the file's own name or path.")
        files[hits[0]] = Found(
            files[hits[0]].path, wanted, "assigned by hand", explicit=True, confidence="sure"
        )
    taken = {f.role: f.path.name for f in files if f.explicit and f.role}
    for i, f in enumerate(files):
        if f.role in taken and not f.explicit:
            files[i] = replace(f, role=None, reason=f"{f.reason}, but {taken[f.role]} was chosen as {f.role}")
    return replace(recognition, files=tuple(files))


def role_name(text: str, task: Task) -> str:
    """The role that ``text`` names: a modality (by any of its names) or ``reference``. Raises InputError."""
    name = text.strip().lower()
    if name == REFERENCE or name in task.names:
        return name
    for modality in task.modalities:
        if name in modality.names:
            return modality.name
    raise InputError(
        f"“{text}” is not a modality of the task {task.name}; use {', '.join(task.names)} or {REFERENCE}."
    )


def is_computed(path: Path) -> bool:
    """True if the name says that a mask comes from a program ("pseudo", "pred", ...)."""
    return bool(_COMPUTED_WORDS & set(words_of(stem(path))))


def _exists(path: Path) -> bool:
    """True also for a link whose file is gone: reading it says so."""
    try:
        return path.exists() or path.is_symlink() or names_series(path) or names_study(path)
    except OSError:  # a name too long, a folder one may not enter
        return False


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder.name} cannot be opened ({error.strerror}); check its permissions."
        ) from None


def split_pair(item: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """(path, what stands before the equals sign, lower case, or None) of one command-line word."""
    text = os.fspath(item)
    before, equals, after = text.partition("=")
    if isinstance(item, str) and equals and not _exists(Path(text)) and not re.search(r"[/\\]", before):
        if not after:
            raise InputError(f"“{text}” names no file after the equals sign; write {before}=FILE.")
        return Path(after).expanduser(), before.strip().lower()
    return Path(text).expanduser(), None


def _parse(item: str | os.PathLike[str], task: Task) -> tuple[Path, str | None]:
    path, said = split_pair(item)
    return path, None if said is None else role_name(said, task)


def _judge(paths: Sequence[Path], task: Task, chosen: bool = False) -> list[Found]:
    """Roles of files by their names, compared with one another. ``chosen``: the user named these files."""
    written = {} if chosen else {folder: listed_results(folder) for folder in {p.parent for p in paths}}
    claims = {path: find_claims(words_of(stem(path)), task) for path in paths if is_readable(path, task)}
    common = common_ends([words_of(stem(path)) for path, found in claims.items() if found])
    result = []
    for path in paths:
        if not is_readable(path, task):
            found = Found(path, None, f"this format is not read; convert it to {label_ending(task)}")
        elif path.name in written.get(path.parent, ()) or _looks_like_output(path, task):
            found = Found(path, None, "an earlier result of this program")
        else:
            found = _role(path, claims[path], common, task)
        result.append(found)
    return result


def _role(path: Path, claims: list[Claim], common: tuple[int, int], task: Task) -> Found:
    words = words_of(stem(path))
    # Words that all scans begin with are a patient's or a study's name ("mask-trial_t1").
    shared = common[0] if any(c.start >= common[0] for c in claims) else 0
    reference = [w for w in words[shared:] if w in task.reference_names]
    if reference:
        organs = [w for w in words[shared:] if w in task.organ_names]
        if organs and set(words[shared:]).isdisjoint(task.finding_names):
            return Found(path, None, f"“{organs[0]}” in its name: a mask of that, not a reference")
        note = ", named as computed by a program" if is_computed(path) else ""
        return Found(path, REFERENCE, f"word “{reference[-1]}”{note}")
    verdict = verdict_of(words, task, common, claims)
    taken = _sidecar(path)
    if taken is not None:
        verdict = decide(verdict, *taken, task)
    return _found(path, verdict)


def _sidecar(path: Path) -> tuple[Timing, bool] | None:
    """How the scan was taken, and whether after an agent, from the JSON file beside it (BIDS, dcm2niix; seconds)."""
    try:
        said = json.loads((path.parent / f"{stem(path)}.json").read_text(encoding="utf-8"))
        sequence = str(said.get("ScanningSequence") or "")
        agent = str(said.get("ContrastBolusIngredient") or said.get("ContrastBolusAgent") or "")
    except (OSError, ValueError, AttributeError):
        return None

    def ms(name: str) -> float | None:
        value = said.get(name)
        return 1000 * float(value) if isinstance(value, (int, float)) else None

    timing = Timing(
        ms("EchoTime"),
        ms("RepetitionTime"),
        ms("InversionTime"),
        gradient="GR" in sequence and "SE" not in sequence,
        planar="EP" in sequence,
    )
    return timing, agent.strip().lower() not in ("", "no", "none")


def _looks_like_output(path: Path, task: Task) -> bool:
    name = stem(path).lower()
    name, edited = name.removesuffix("_edited"), name.endswith("_edited")
    parts = name.split("+")
    return edited or (len(parts) > 1 and all(part in task.names for part in parts))


def listed_results(folder: Path) -> frozenset[str]:
    """Names of the label files that a result.json in ``folder`` lists as ours."""
    try:
        document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return frozenset(str(p["file"]) for p in document["predictions"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _folders_with_images(folder: Path, task: Task) -> list[str]:
    try:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))[:50]
        return [
            p.name for p in inside if any(is_readable(f, task) and not _is_series(f) for f in p.iterdir())
        ][:3]
    except OSError:
        return []


def _same(a: Path, b: Path) -> bool:
    return os.path.abspath(a) == os.path.abspath(b)


def _join(names: Sequence[str], word: str = "and") -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)
