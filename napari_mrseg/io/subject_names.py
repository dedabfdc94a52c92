"""Whose scans the names of files say they are: of one subject and session, or of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mrseg.io.agent import hear
from napari_mrseg.io.formats import stem
from napari_mrseg.io.keywords import find_claims
from napari_mrseg.tasks import Task

if TYPE_CHECKING:
    from napari_mrseg.io.recognise import Found

_SUBJECT = frozenset(
    {"sub", "subj", "subject", "patient", "pat", "pt", "participant", "person", "case", "mrn", "id"}
)
_SESSION = frozenset(
    {"ses", "sess", "session", "visit", "timepoint", "tp", "exam", "day", "week", "month", "year"}
)
# Times of a course of treatment; "pre" and "post" alone speak of a contrast agent.
_COURSE = re.compile(
    r"(?<![a-z])(baseline|follow[\s_.-]*up|(?:pre|post|intra)[\s_.-]*(?:op(?:erative)?|surg(?:ery|ical)|rt|treatment))(?![a-z])"
)
_COUNTED = frozenset({  # words whose number counts scans, slices or settings, not people
    "im", "img", "image", "images", "mri", "mr", "mrs", "se", "ser", "serie", "series", "seq", "sequence",
    "scan", "scans", "file", "vol", "volume", "slice", "slices", "run", "acq", "acquisition", "echo", "te", "tr", "ti",
    "fov", "nii", "nifti", "dcm", "dicom", "ax", "axi", "axial", "sag", "sagittal", "cor", "coronal", "tra", "trans",
    "tse", "fse", "gre", "spgr", "fspgr", "tfe", "ffe", "vibe", "space", "cube", "vista", "epi", "ir", "mni", "res",
    "iso", "mm", "reg", "to", "ver", "version", "part", "dir", "rec",
})  # fmt: skip
_SETTING = re.compile(r"[23]d|[137]t|t[12].*|")  # follows such a word, and is none of its values
_LONG = re.compile(r"0\d{3}|\d{5}|\d{7}|\d{5} \d{3}")
_DIGITS = re.compile(r"\d+")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?:\d{4}|\d{6})?(?!\d)")
_BIDS = re.compile(r"(?<![a-z0-9])(sub|ses)-([a-z0-9]+)")


@dataclass(frozen=True)
class Several:
    """Files of one study whose names belong to different ones. ``kind``: subjects, sessions or dates.

    ``groups``: what the names say, and the files that say it; of files that a folder's own name contradicts, that name
    stands first, without files.
    """

    kind: str
    groups: tuple[tuple[str, tuple[Found, ...]], ...]

    @property
    def files(self) -> tuple[Found, ...]:
        return tuple(found for _, files in self.groups for found in files)

    @property
    def _conflict(self) -> str:
        shown = [
            f"{files[0].path.name} ({value})" if files else f"the folder ({value})"
            for value, files in self.groups
        ]
        return f"{', '.join(shown[:-1])} and {shown[-1]} are of different {self.kind}, by their names"

    @property
    def problem(self) -> str:
        pairs = " ".join(
            f"{f.role or f.doubt[0]}={f.path.name}" for f in [files[0] for _, files in self.groups if files]
        )
        return (
            f"{self._conflict}; leave out those of the others, or, if they belong together, give their roles, as in "
            f"{pairs}."
        )

    @property
    def note(self) -> str:
        return (
            f"{self._conflict}, and are used together because their roles were given; check whose they are."
        )


def several_subjects(files: Sequence[Found], folder: Path, task: Task) -> Several | None:
    """The first contradiction between names of files that have a role, or may have one; None if there is none."""
    if task.ndim != 3:
        return None
    used = [found for found in files if found.role or found.doubt]
    # A mask may be named after the day it was drawn.
    scans = [found for found in used if found.doubt or found.role in task.names]
    sources: tuple[tuple[str, Callable[[Path], str], Sequence[Found]], ...] = (
        ("subjects", lambda path: _named(path, _SUBJECT, task), used),
        ("sessions", lambda path: _named(path, _SESSION, task) or _course(path), used),
        ("dates", _date, scans),
    )
    for kind, key, of in sources:
        groups: dict[str, list[Found]] = {}
        for found in of:
            groups.setdefault(key(found.path), []).append(found)
        groups.pop("", None)
        own = _of_folder(folder, kind, of)
        if own and groups:
            groups = {own: [], **groups}
        if len(groups) > 1:
            return Several(kind, _as_groups(groups))
    return _apart(used, _code, task, 1) or _apart(scans, _number, task, 2)


def _apart(
    files: Sequence[Found], key: Callable[[Path, Task], str], task: Task, least: int
) -> Several | None:
    """Groups by the numbers of names that are alike but for their numbers; ``least``: files of one of the groups.

    A number may count series instead of subjects, but then no two files of different roles have the same.
    """
    alike: dict[str, dict[str, list[Found]]] = {}
    for found in files:
        value = key(found.path, task)
        if value:
            alike.setdefault(_DIGITS.sub("#", value), {}).setdefault(value, []).append(found)
    for groups in alike.values():
        if len(groups) > 1 and max(len({f.role for f in files}) for files in groups.values()) >= least:
            return Several("subjects", _as_groups(groups))
    return None


def _as_groups(groups: dict[str, list[Found]]) -> tuple[tuple[str, tuple[Found, ...]], ...]:
    return tuple((value, tuple(found)) for value, found in groups.items())


def _tokens(path: Path, task: Task) -> tuple[str, ...]:
    """Words of the name, those that say what it shows as ""."""
    tokens = tuple(word for word in re.split(r"[\s_.+-]+", stem(path).lower()) if word)
    heard = [(word, i) for i, token in enumerate(tokens) for word in hear(token)]
    claims = find_claims(tuple(word for word, _ in heard), task)
    claimed = {heard[k][1] for claim in claims for k in range(claim.start, claim.stop)}
    return tuple("" if i in claimed else token for i, token in enumerate(tokens))


def _named(path: Path, words: frozenset[str], task: Task) -> str:
    """What follows one of ``words``, without zeros before it: "sub-01", "patient_B", "visit2"; "" if none does."""
    for word, value in _BIDS.findall(stem(path).lower()):
        if word in words:
            return value.lstrip("0") or "0"
    tokens = _tokens(path, task)
    for here, after in zip(tokens, (*tokens[1:], ""), strict=True):
        value = after if here in words and not _SETTING.fullmatch(after) else ""
        for joined in (re.fullmatch(r"([a-z]+)(\d+[a-z]?)", here), re.fullmatch(r"([a-z]{4,})([a-e])", here)):
            if joined and joined.group(1) in words:
                value = joined.group(2)
        if re.fullmatch(r"[a-z]{0,3}\d+[a-z]?|[a-z]", value):
            return value.lstrip("0") or "0"
    return ""


def _course(path: Path) -> str:
    found = _COURSE.search(stem(path).lower())
    return re.sub(r"[\s_.-]", "", found.group(1)) if found else ""


def _date(path: Path) -> str:
    """The day that the name states, "2020-01-31"."""
    for year, month, day in _DAY.findall(stem(path)):
        try:
            return date(int(year), int(month), int(day)).isoformat()
        except ValueError:
            continue
    return ""


def _beside_modality(path: Path, task: Task) -> tuple[str, ...]:
    """Words of the name before those that say what it shows; those after them, if there are none before."""
    tokens = _tokens(path, task)
    if "" not in tokens:
        return ()
    after = len(tokens) - tokens[::-1].index("")
    return tokens[: tokens.index("")] or tokens[after:]


def _code(path: Path, task: Task) -> str:
    """Numbers that can only be a person's: joined to a word that counts nothing, or long and after such a word."""
    found: list[str] = []
    named, before = False, ""
    for word in _beside_modality(path, task):
        joined = re.fullmatch(r"([a-z]{2,})(\d{2,})[a-z]?", word)
        text = joined.group(1) if joined else word
        if re.fullmatch(r"[a-z]{2,}", text) and text not in _COUNTED:
            named = True
            found += [word] if joined else []
            before = ""
        elif named and _LONG.fullmatch(f"{before}{word}"):
            found.append(word)
            before = f"{word} " if len(word) == 5 else ""  # BraTS: five digits, then three of the session
    return "-".join(found)


def _number(path: Path, task: Task) -> str:
    """The words before the modality, if one of them is a number or ends in one."""
    tokens = _tokens(path, task)
    words = [w for w in tokens[: tokens.index("")] if not _SETTING.fullmatch(w)] if "" in tokens else []
    words = [w for w in words if not re.fullmatch(r"\d+[a-z]+", w)]  # "1mm"
    return "-".join(words) if any(_DIGITS.search(w) for w in words) else ""


def _of_folder(folder: Path, kind: str, files: Sequence[Found]) -> str:
    """Subject or session of the BIDS folder that the files lie in, if their names say theirs in the same way."""
    word = {"subjects": "sub", "sessions": "ses"}.get(kind, "")
    if not any(entity == word for found in files for entity, _ in _BIDS.findall(stem(found.path).lower())):
        return ""
    for part in reversed(folder.parts):
        own = _BIDS.fullmatch(part.lower())
        if own and own.group(1) == word:
            return own.group(2).lstrip("0") or "0"
    return ""
