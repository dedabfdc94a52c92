"""Which predicted file is of which subject and of which modalities, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io import formats
from napari_mrseg.io.folders import folders_below
from napari_mrseg.tasks import Combination, Task

WHOLE = ("all", "full", "complete")
"""Words for the combination of all modalities."""
ASIDE = frozenset(
    {
        "seg",
        "pred",
        "preds",
        "prediction",
        "predictions",
        "mask",
        "label",
        "labels",
        "mrseg",
        "output",
        "result",
    }
)
"""Words of a name that say neither whose file it is nor of which modalities."""
PLACES = ("subject", "combination", "missing")


@dataclass(frozen=True)
class Results:
    """Label files by subject and combination.

    ``patterns``: how the names were read, as :func:`find_results` takes them; ``unread``: files that fit none.
    """

    name: str
    files: Mapping[str, Mapping[Combination, Path]]
    patterns: tuple[str, ...]
    unread: tuple[Path, ...]

    def sentence(self) -> str:
        """How the folder was read, for people."""
        count = sum(len(own) for own in self.files.values())
        read = " and ".join(self.patterns)
        left = (
            f"; {len(self.unread)} other files, such as {self.unread[0].name}, are left out"
            if self.unread
            else ""
        )
        return f"{self.name}: {count} results of {len(self.files)} subjects, read as {read}{left}."


def find_results(
    folder: Path,
    subjects: Sequence[str],
    task: Task,
    *,
    pattern: str | None = None,
    use: str | None = None,
    order: Sequence[str] = (),
) -> Results:
    """Which label file under ``folder`` is of which of ``subjects``, and of which modalities.

    ``pattern``: paths below ``folder``, such as ``{combination}/{subject}.nii.gz``; ``{missing}`` instead of
    ``{combination}`` names the modalities that were left out, ``*`` is anything within a name. ``use``: the
    combination of all files, whose names then need not say it. ``order``: the modalities of names such as ``1011``.
    Without ``pattern`` the names are read by the subjects' ids and the modalities' names in them.
    Raises InputError if nothing fits, or a file is of several combinations, or two files are of the same.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a folder of predicted label files.")
    paths = [path for inner in folders_below(folder) for path in label_files(inner, task)]
    fixed = None if use is None else task.combination(use)
    read = _Reading(subjects, task, pattern, fixed, order)
    files: dict[str, dict[Combination, Path]] = {}
    patterns: dict[str, None] = {}
    unread = []
    for path in paths:
        found = read(path.relative_to(folder))
        if found is None:
            unread.append(path)
            continue
        subject, combination, how = found
        own = files.setdefault(subject, {})
        if combination in own:
            raise InputError(
                f"{own[combination].relative_to(folder)} and {path.relative_to(folder)} are both {subject} with "
                f"{'+'.join(combination)}; keep one there, or give --pattern."
            )
        own[combination] = path
        patterns[how] = None
    if not files:
        raise InputError(_nothing(folder, paths, subjects, pattern))
    ordered = {
        s: {c: files[s][c] for c in task.combinations() if c in files[s]} for s in subjects if s in files
    }
    return Results(folder.resolve().name, ordered, tuple(patterns), tuple(unread))


def read_combination(text: str, task: Task, order: Sequence[str] = ()) -> Combination | None:
    """The modalities that ``text`` names, joined by anything or nothing; None if it is no list of modalities.

    Raises InputError for a text of two meanings, and for digits such as ``1011`` without ``order``.
    """
    text = text.strip(" _.,;+&-").lower()
    if not text:
        return None
    if text in WHOLE:
        return task.names
    if len(task.names) > 1 and re.fullmatch(rf"[01]{{{len(task.names)}}}", text) and "1" in text:
        if sorted(order) != sorted(task.names):
            raise InputError(
                f"What do the digits of “{text}” stand for? Say it with --order, e.g. {','.join(task.names)}."
            )
        return task.combination([name for name, digit in zip(order, text, strict=True) if digit == "1"])
    if "+" in text:
        words = [word.strip(" _.,;&-") for word in text.split("+")]
        return task.combination(words) if all(task.knows(word) for word in words) else None
    words_of = {m.name: {m.name, *m.names} for m in task.modalities}
    meanings = {frozenset(parse) for parse in _parses(text, words_of)}
    if len(meanings) > 1:
        said = " or ".join(sorted("+".join(task.combination(m)) for m in meanings))
        raise InputError(f"“{text}” may be {said}; join the modalities' names by +.")
    return task.combination(next(iter(meanings))) if meanings else None


class _Reading:
    """Reads (subject, combination, pattern) from a path below the folder of results; None where it says neither."""

    def __init__(
        self,
        subjects: Sequence[str],
        task: Task,
        pattern: str | None,
        use: Combination | None,
        order: Sequence[str],
    ) -> None:
        self.subjects = sorted(subjects, key=len, reverse=True)
        self.task, self.pattern, self.use, self.order = task, pattern, use, order
        self.regex = None if pattern is None else _regex(pattern, use is not None)

    def __call__(self, path: Path) -> tuple[str, Combination, str] | None:
        try:
            return self._by_pattern(path) if self.regex else self._by_words(path)
        except InputError as error:
            raise InputError(f"{path.as_posix()}: {error}") from None

    def _by_pattern(self, path: Path) -> tuple[str, Combination, str] | None:
        assert self.regex is not None
        matched = self.regex.fullmatch(path.as_posix())
        if matched is None or matched["subject"] not in self.subjects:
            return None
        said = matched.groupdict()
        combination = self.use
        if "missing" in said:
            missing = read_combination(said["missing"], self.task, self.order) if said["missing"] else ()
            combination = None if missing is None else tuple(n for n in self.task.names if n not in missing)
        elif "combination" in said:
            combination = read_combination(said["combination"], self.task, self.order)
        return (matched["subject"], combination, str(self.pattern)) if combination else None

    def _by_words(self, path: Path) -> tuple[str, Combination, str] | None:
        text = (path.parent / formats.stem(path)).as_posix()
        subject = next((s for s in self.subjects if re.search(_apart(s), text)), None)
        if subject is None:
            return None
        parts = re.sub(_apart(subject), "{subject}", text).split("/")
        ending = path.name[len(formats.stem(path)) :]
        if self.use is not None:
            return subject, self.use, "/".join(parts) + ending
        read: dict[int, Combination] = {}
        for place, part in enumerate(parts):
            words = [
                w for w in re.split(r"([_.\s-]+)", part.replace("{subject}", "_")) if w.lower() not in ASIDE
            ]
            combination = read_combination("".join(words), self.task, self.order)
            if combination is not None:
                read[place] = combination
                parts[place] = _named(part, "".join(words).strip(" _.,;&-"))
        if len(set(read.values())) != 1:
            return None
        return subject, next(iter(read.values())), "/".join(parts) + ending


def _named(part: str, said: str) -> str:
    """``part`` of a path with the words of the combination replaced by their place."""
    return part.replace(said, "{combination}") if said in part else "{combination}"


def _regex(pattern: str, used: bool) -> re.Pattern[str]:
    """``pattern`` as a regular expression. Raises InputError for one that lacks a place or has an unknown one."""
    places = re.findall(r"\{(\w*)\}", pattern)
    unknown = [place for place in places if place not in PLACES]
    if unknown or places.count("subject") < 1 or not (used or {"combination", "missing"} & set(places)):
        raise InputError(
            f"--pattern {pattern} must hold {{subject}}, and {{combination}} or {{missing}} unless --use says the "
            "combination; e.g. {combination}/{subject}.nii.gz."
        )
    seen: set[str] = set()
    parts = []
    for piece in re.split(r"(\{\w+\}|\*)", pattern):
        place = piece[1:-1]
        if piece == "*":
            parts.append("[^/]*")
        elif not piece.startswith("{"):
            parts.append(re.escape(piece))
        elif place in seen:
            parts.append(f"(?P={place})")
        else:
            parts.append(f"(?P<{place}>[^/]{'*' if place == 'missing' else '+'})")
            seen.add(place)
    return re.compile("".join(parts))


def _apart(subject: str) -> str:
    """A regular expression that finds an id where no further letter or digit belongs to it."""
    return rf"(?<![A-Za-z0-9]){re.escape(subject)}(?![A-Za-z0-9])"


def _parses(text: str, words: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, ...]]:
    """Every way to read ``text`` as names of modalities, each at most once, with separators or none between them."""
    text = text.lstrip(" _.,;&-")
    if not text:
        yield ()
        return
    for name, own in words.items():
        for word in own:
            if text.startswith(word):
                rest = {other: w for other, w in words.items() if other != name}
                for parse in _parses(text[len(word) :], rest):
                    yield (name, *parse)


def _nothing(folder: Path, paths: Sequence[Path], subjects: Sequence[str], pattern: str | None) -> str:
    if not paths:
        return f"{folder.name} holds no label file; give the folder of predictions."
    example = paths[0].relative_to(folder).as_posix()
    if pattern is not None:
        return f"No file in {folder.name} fits --pattern {pattern}, such as {example}; subjects are {subjects[0]} …."
    return (
        f"No name in {folder.name}, such as {example}, holds the id of a subject of the reference ({subjects[0]} …) "
        "and the names of modalities; say how they are named, e.g. --pattern {combination}/{subject}.nii.gz."
    )


def label_files(folder: Path, task: Task) -> list[Path]:
    """Files directly in ``folder`` that can hold labels of ``task``."""
    return sorted(p for p in folder.iterdir() if formats.is_readable(p, task) and not p.name.startswith("."))
