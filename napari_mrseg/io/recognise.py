"""Which file is which modality, from the words in its name; with the reason, so that it can be corrected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io.acquisition import Timing, made_from
from napari_mrseg.io.agent import IN_WORDS, SCANNERS, SIDES, Vote, Words, fold, hear, side_of, tag_vote
from napari_mrseg.io.decision import Confidence, Decision, decide, decide_by_name
from napari_mrseg.io.dicom import Dicom, case_of, names_series, names_study
from napari_mrseg.io.dicom.archive import is_archive
from napari_mrseg.io.dicom.choice import judge_beside, judge_export
from napari_mrseg.io.dicom.index import look_up
from napari_mrseg.io.formats import format_of, formats_of, is_readable, label_ending, stem
from napari_mrseg.io.frames import frames_in, unpaired
from napari_mrseg.io.keywords import Claim, common_ends, find_claims, is_one_word, words_of
from napari_mrseg.io.picture import Picture
from napari_mrseg.io.session_folders import folders_with_scans, sessions_of
from napari_mrseg.io.subject_names import Several, several_subjects
from napari_mrseg.study import Note
from napari_mrseg.tasks import DEFAULT, Task

IMAGINED = "imagined"  # is in the name of files of imagined scans, before "-" and the modality
OURS = "_mrseg"  # ends the names of label files that also name their case
REFERENCE = "reference"
UNSURE = "contrast_unsure"  # the note's code
MOST_SHOWN = 3  # files set aside that are named one by one

_OTHER_FORMATS = (".mnc", ".mnc2", ".par", ".rec", ".vtk", ".npy")
_COMPUTED_WORDS = frozenset({"pseudo", "pred", "prediction", "predicted", "auto", "automatic"})

_FILLED = "_bfx"  # SUN RGB-D keeps depth with its holes filled beside depth as it was measured


@dataclass(frozen=True)
class Found:
    """One file and its ``role``: a modality's name, ``"reference"`` or None (left aside).

    ``explicit`` roles were given by the user. ``doubt`` lists the modalities between which the name does not
    decide, or the one that it may not show after all; the role is then None. ``confidence``, ``question`` and
    ``near``: see :class:`~.decision.Decision`. ``undecided``: it may be any modality, or one of those in ``doubt``.
    """

    path: Path
    role: str | None
    reason: str
    explicit: bool = False
    doubt: tuple[str, ...] = ()
    confidence: Confidence = ""
    undecided: bool = False
    question: str = ""
    near: tuple[str, ...] = ()


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

    def several(self, task: Task) -> Several | None:
        """What the names say of several subjects or sessions, where they do."""
        return None if self.private or self.refusal else several_subjects(self.files, self.folder, task)

    def problems(self, task: Task) -> tuple[str, ...]:
        """Why no study can be made of these files: one sentence each, with the fix; empty if one can."""
        sentences = [self.refusal] if self.refusal else []
        several = self.several(task)
        if several is not None and not any(found.explicit for found in several.files):
            sentences.append(several.problem)
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

    def notes(self, task: Task) -> tuple[Note, ...]:
        """What to check though the files can be used: a contrast on one word only, and what was set aside."""
        asked = [
            Note(UNSURE, f"{f.path.name} {_asking(f)}.", f.role, f.path.name, mend="assign")
            for f in self.files
            if f.question and f.role and not f.explicit
        ]
        return (*asked, *self._aside(task))

    def _aside(self, task: Task) -> Iterator[Note]:
        """What named a modality and is not used, with the reason, one note a modality."""
        for name in task.names:
            left = [f for f in self.files if f.role is None and name == next(iter(f.near or f.doubt), None)]
            if not left:
                continue
            shown = "; ".join(f"{f.path.name} ({f.reason})" for f in left[:MOST_SHOWN])
            more = f"; and {len(left) - MOST_SHOWN} more" if len(left) > MOST_SHOWN else ""
            what = f"Not used as {task.modality(name).title}: {shown}{more}."
            yield Note("set_aside", what, name if self.of(name) else None, mend="assign")

    def _nothing(self, task: Task) -> str:
        first = task.modalities[0]
        wanted = ", ".join(f"{m.name} ({'/'.join(m.names[:3])})" for m in task.modalities)
        if not self.files:
            nested = folders_with_scans(self.folder, lambda path: _holds_scans(path, task))
            kind = formats_of(task)[0]
            if nested:
                names = [path.relative_to(self.folder).as_posix() for path in nested]
                places = names[:8] + ([f"{len(names) - 8} more"] if len(names) > 8 else [])
                return (
                    f"{self.case} holds no {kind.title} itself, but its subfolder {_join(places, 'or')} does; "
                    "open that one."
                )
            endings = _join(sorted(kind.endings), "or")
            return f"{self.case} holds no {kind.title}; give a folder or files with {endings} scans."
        if self.private and all(found.role is None and not found.undecided for found in self.files):
            reasons = "; ".join(f"{found.path.name}: {found.reason}" for found in self.files[:8])
            more = f"; {len(self.files) - 8} more" if len(self.files) > 8 else ""
            return (
                f"{self.case} holds no series that could be used ({reasons}{more}); export the scans again."
            )
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
    if task.ndim == 3 and not images and folder.is_dir():
        inside = sessions_of(folder, lambda path: _holds_scans(path, task))
        if len(inside) == 1:
            return replace(_of_folder(inside[0], task), case=folder.name)
        if inside:
            several = tuple((path, path.relative_to(folder).as_posix()) for path in inside)
            names = _join([words for _, words in several])
            problem = f"{folder.name} holds scans of {len(several)} sessions, {names}; open one of them."
            return Recognition(folder.name, (), folder, problem, studies=several)
    # A data set of NIfTI folders is none of DICOM, whatever lies between them.
    if task.ndim == 3 and not images and not (folder.is_dir() and _folders_with_images(folder, task)):
        export = judge_export(folder, task)
        if export is not None:
            files = tuple(
                _found(series.path, replace(decision, other=decision.other or bool(series.refusal)))
                for series, decision in export.series
            )
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
    files = tuple(
        _found(series.path, decision) for series, decision in judge_beside(list(wanted), task).items()
    )
    return Recognition(case_of(next(iter(studies))), files, files[0].path.parent, refusal, private=True)


def _found(path: Path, decision: Decision) -> Found:
    v, undecided = decision, decision.role is None and not decision.other
    return Found(path, v.role, v.reason, False, v.doubt, v.confidence, undecided, v.question, v.near)


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
    path, role = split_pair(item)
    return path, None if role is None else role_name(role, task)


def _judge(paths: Sequence[Path], task: Task, chosen: bool = False) -> list[Found]:
    """Roles of files by their names, compared with one another. ``chosen``: the user named these files."""
    written = {} if chosen else {folder: listed_results(folder) for folder in {p.parent for p in paths}}
    by_path = {path: words_of(stem(path)) for path in paths if is_readable(path, task)}
    claims = {path: find_claims(words, task) for path, words in by_path.items()}
    common = common_ends([by_path[path] for path, found in claims.items() if found])
    result = []
    for path in paths:
        if path not in by_path:
            found = Found(path, None, f"this format is not read; convert it to {label_ending(task)}")
        elif path.name in written.get(path.parent, ()) or _looks_like_output(path, task):
            found = Found(path, None, "an earlier result of this program")
        else:
            reference = _as_reference(path, by_path[path], claims[path], common, task)
            found = reference or _found(path, _by_name(path, by_path, claims[path], common, task))
        result.append(found)
    return result


def _as_reference(
    path: Path, words: Words, claims: list[Claim], common: tuple[int, int], task: Task
) -> Found | None:
    """The file as a segmentation, if its name says that it is one."""
    # Words that all scans begin with are a patient's or a study's name ("mask-trial_t1").
    shared = common[0] if any(c.start >= common[0] for c in claims) else 0
    own = [part for word in words[shared:] for part in _parts_of_mask(word, task)]
    reference = [w for w in own if w in task.reference_names]
    if not reference:
        return None
    organs = [w for w in own if w in task.organ_names]
    if organs and set(own).isdisjoint(task.finding_names):
        return Found(path, None, f"“{organs[0]}” in its name: a mask of that, not a reference")
    note = ", named as computed by a program" if is_computed(path) else ""
    return Found(path, REFERENCE, f"word “{reference[-1]}”{note}")


def _parts_of_mask(word: str, task: Task) -> tuple[str, ...]:
    """("deface", "mask") of "defacemask": an organ or a finding, and that it is a segmentation."""
    for end in task.reference_names:
        start = word.removesuffix(end)
        if start != word and start in (*task.organ_names, *task.finding_names):
            return start, end
    return (word,)


def _by_name(
    path: Path, by_path: Mapping[Path, Words], claims: list[Claim], common: tuple[int, int], task: Task
) -> Decision:
    """What the file shows by its name, by the JSON file beside it, and by the scan beside it that is its pair."""
    words = by_path[path]
    decision = decide_by_name(words, task, common, claims)
    sidecar = _Sidecar.beside(path)
    if sidecar is None:
        found = decide(decision, Timing(), _of_pair(path, by_path, task), task)
        return replace(found, question="") if _is_plain(path, by_path, claims) else found
    if sidecar.made:
        return Decision(
            None, sidecar.made, other=True, near=(decision.role,) if decision.role else decision.doubt
        )
    votes = [*sidecar.votes(stem(path)), *_of_pair(path, by_path, task)]
    written = decide_by_name(words_of(sidecar.text), task)
    if written.other or written.made:
        near = (decision.role,) if decision.role else decision.doubt
        return replace(written, reason=f"of the sidecar, {written.reason}", near=near)
    if not (decision.role or decision.doubt or decision.other):
        decision = replace(written, one_word=False, heard=decision.heard)
    return decide(decision, sidecar.timing, votes, task)


def _is_plain(path: Path, by_path: Mapping[Path, Words], claims: Sequence[Claim]) -> bool:
    """True for "case-7_t1": a data set's name, which means no agent, and nothing beside it speaks of one.

    A series' name that a converter took from a scanner ("AX_T1_SE") means neither.
    """
    words = by_path[path]
    own = [range(c.start, c.stop) for c in claims]
    beside = [w for i, w in enumerate(words) if not any(i in r for r in own)]
    post_elsewhere = any(side_of(other) == "post" for p, other in by_path.items() if p != path)
    return (
        len(own) == 1
        and len(own[0]) == 1
        and not post_elsewhere
        and not SCANNERS & set(beside)
        and not side_of(words)
    )


def _of_pair(path: Path, by_path: Mapping[Path, Words], task: Task) -> list[Vote]:
    """What follows for "x_t1" from "x_t1ce" beside it: two names alike but for one word, as data sets write them."""
    own = by_path[path]
    if side_of(own):
        return []
    pair = [
        p
        for p, words in by_path.items()
        if side_of(words) == "post"
        and [w for w in words if w not in SIDES] == list(own)
        and any(is_one_word(c, words) for c in find_claims(words, task))
    ]
    if not pair:
        return []
    return [
        Vote("pair", "pre", f"{pair[0].name} beside it is the one after an agent"),
        Vote("word", "pre", "both are named as in data sets"),
    ]


@dataclass(frozen=True)
class _Sidecar:
    """The JSON file beside a scan (BIDS, dcm2niix): how it was taken, what is said of it, why it is no scan."""

    timing: Timing
    agent: Vote | None
    description: str
    protocol: str
    made: str

    @classmethod
    def beside(cls, path: Path) -> _Sidecar | None:
        try:
            document = json.loads((path.parent / f"{stem(path)}.json").read_text(encoding="utf-8"))
            sequence = str(document.get("ScanningSequence") or "")
        except (OSError, ValueError, AttributeError):
            return None

        def ms(name: str) -> float | None:
            value = document.get(name)
            return 1000 * float(value) if isinstance(value, (int, float)) else None

        timing = Timing(
            ms("EchoTime"),
            ms("RepetitionTime"),
            ms("InversionTime"),
            gradient="GR" in sequence and "SE" not in sequence,
            planar="EP" in sequence,
        )
        kinds = document.get("ImageType") or ()
        kinds = [kinds] if isinstance(kinds, str) else kinds
        kinds = [part for kind in kinds for part in re.split(r"[\\/]", str(kind).upper())]
        agents = [tag_vote(document.get(f"ContrastBolus{name}")) for name in ("Agent", "Ingredient")]
        known = [vote for vote in agents if vote is not None]
        sides = {vote.side for vote in known}
        agent = known[0] if len(sides) == 1 else replace(known[0], side="both") if known else None
        texts = [str(document.get(name) or "") for name in ("SeriesDescription", "ProtocolName")]
        return cls(timing, agent, texts[0], texts[1], made_from(kinds))

    @property
    def text(self) -> str:
        """What people wrote of the scan."""
        return self.description or self.protocol

    def votes(self, name: str) -> list[Vote]:
        """What tag and description say of an agent; of a description that the file is named after, nothing new."""
        found = [] if self.agent is None else [self.agent]
        side = side_of(hear(self.text))
        mine, its = (re.sub(r"[\W_]+", "", fold(text)) for text in (name, self.text))
        if side and not (its in mine or mine in its):
            found.append(Vote("description", side, f"the description beside it says {IN_WORDS[side]}"))
        return found


def _looks_like_output(path: Path, task: Task) -> bool:
    name = stem(path).lower()
    if name.endswith(("_edited", OURS)) or f"{IMAGINED}-" in name:
        return True
    parts = name.split("+")
    return len(parts) > 1 and all(part in task.names for part in parts)


def listed_results(folder: Path) -> frozenset[str]:
    """Names of the label files that a result.json, or one of a case (``CASE_result.json``), lists as ours."""
    found: set[str] = set()
    for path in [folder / "result.json", *sorted(folder.glob("*_result.json"))]:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            found |= {str(p["file"]) for p in document["predictions"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return frozenset(found)


def _holds_scans(folder: Path, task: Task) -> bool:
    """True for a folder with images of the task's kind, DICOM left out."""
    try:
        return any(is_readable(path, task) and not _is_series(path) for path in folder.iterdir())
    except OSError:
        return False


def _folders_with_images(folder: Path, task: Task) -> list[str]:
    try:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))[:50]
        return [
            p.name for p in inside if any(is_readable(f, task) and not _is_series(f) for f in p.iterdir())
        ][:3]
    except OSError:
        return []


def _asking(found: Found) -> str:
    """Its question, which may end in "say t1ce=": the file belongs there."""
    return f"{found.question}{found.path.name}" if found.question.endswith("=") else found.question


def _same(a: Path, b: Path) -> bool:
    return os.path.abspath(a) == os.path.abspath(b)


def _join(names: Sequence[str], word: str = "and") -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)
