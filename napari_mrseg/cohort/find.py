"""Which studies there are: in a folder tree, a BIDS data set, DICOM exports, or a list."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom import case_of
from napari_mrseg.io.dicom.archive import is_archive
from napari_mrseg.io.dicom.index import index, is_dicom
from napari_mrseg.io.folders import folders_below
from napari_mrseg.io.formats import is_readable
from napari_mrseg.io.recognise import REFERENCE, recognise, role_name
from napari_mrseg.tasks import Task

BIDS = "dataset_description.json"
_OURS = ("result.json", "study.json", "cohort.json")  # a folder that holds one was written by us
_IDS = ("study", "subject", "case", "id", "participant_id")
_PATH = "path"
# Beside the subjects of a BIDS data set: their scans once more, processed or as they came, and what made them.
_BESIDE = frozenset({"derivatives", "sourcedata", "rawdata", "code"})
_COPIES = frozenset({"__macosx"})  # what macOS packs into archives beside each file
_MOST = 5  # things of one kind that a sentence names

Say = Callable[[str], None]


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True)
class Listed:
    """One study to be done. ``name``: what outputs call it; ``sources``: as :func:`~.io.open_study` takes them.

    ``case``: of a study in a DICOM export of several, what its own tags make of it (:func:`~.io.dicom.case_of`).
    """

    name: str
    sources: tuple[str, ...]
    case: str = ""


def find_studies(source: str | Path, task: Task, *, say: Say = _nothing) -> list[Listed]:
    """Every study of a folder tree or of a list, in order, each under a name of its own.

    A folder that holds scans is a study; of a BIDS data set, each ``anat`` folder; of DICOM exports, each study there.
    A list is a CSV file with a column ``study`` and either ``path`` or one column per modality (and ``reference``);
    paths are relative to the list. ``say``: told what was left out, taken from elsewhere or given another name, a
    sentence each. Raises InputError for a source that cannot be read or holds none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        root = path.resolve()
        found = [(where, listed) for where, listed in _tree(root, task, say)]
        if not found:
            raise InputError(f"{path.name} holds no study; give a folder of studies, or a list of them.")
    elif path.is_file():
        found = _list(path, task)
    else:
        raise InputError(f"{path} does not exist; give a folder of studies, or a list of them.")
    return _named(found, say)


def _named(found: Sequence[tuple[str, Listed]], say: Say) -> list[Listed]:
    """With names that are different on any file system: of equal ones the later get a number that is still free."""
    wanted = [_safe(listed.name) for _, listed in found]
    used_names = {_folded(name) for name in wanted}
    first: dict[str, str] = {}
    named, changed = [], []
    for (where, listed), name in zip(found, wanted, strict=True):
        before = first.get(_folded(name))
        first.setdefault(_folded(name), where)
        if before is not None:
            number = 2
            while _folded(f"{name}--{number}") in used_names:
                number += 1
            new = f"{name}--{number}"
            used_names.add(_folded(new))
            changed.append(f"{before} and {where} are both called {name}: the second is {new} here")
            name = new
        named.append(replace(listed, name=name))
    if changed:
        say(f"{_some(changed, '; ')}. Give each study a name of its own, which stays when others come or go.")
    return named


def _some(things: Sequence[str], between: str = ", ") -> str:
    more = [f"and {len(things) - _MOST} more"] if len(things) > _MOST else []
    return between.join([*things[:_MOST], *more])


def _folded(name: str) -> str:
    """Equal for names that some file system takes as one."""
    return unicodedata.normalize("NFC", name.casefold())


def _safe(name: str) -> str:
    """As a folder can be called on any system."""
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"[^\w.+-]+", "_", text.replace("/", "__").replace("\\", "__")).strip("._")
    return text[:120] or "study"


def _tree(root: Path, task: Task, say: Say) -> Iterator[tuple[str, Listed]]:
    """Each study with where it lies below ``root``."""
    left: list[str] = []
    ours: list[str] = []
    linked: list[str] = []
    covered: set[Path] = set()

    def wanted(folder: Path) -> bool:
        keep = not _is_copy(folder)
        if not keep:
            left.append(f"{folder.relative_to(root).as_posix()}/")
        return keep

    for folder in folders_below(root, wanted=wanted, say=say):
        if folder in covered or any(parent in covered for parent in folder.parents):
            continue
        files = [
            path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")
        ]
        where = folder.relative_to(root).as_posix()
        mark = next((path.name for path in files if path.name in _OURS), "")
        if mark:
            covered.add(folder)
            ours.append(f"{where} ({mark})")
            continue
        linked += [
            f"{where}/{path.name}" for path in files if path.is_symlink() and _outside(path, root, task)
        ]
        bids = _data_set_of(folder, root) is not None
        exports = [path for path in files if task.ndim == 3 and is_archive(path)]
        for archive in exports:
            yield from _export(archive, root, task)
        if task.ndim == 3 and _has_dicom(folder, files, root):
            covered.add(folder)
            yield from _export(folder, root, task)
        elif any(is_readable(path, task) for path in files):
            if not bids or folder.name == "anat":
                yield where, Listed(_called(folder, root, bids), (str(folder),))
        elif task.ndim == 2:
            frames = recognise(folder, task)
            inside = [f.path for f in frames.files if f.role in (*task.names, REFERENCE) and f.path.is_dir()]
            if inside:
                covered.update(path.resolve() for path in inside)
                yield where, Listed(_called(folder, root, bids), (str(folder),))
    if left:
        say(f"Left out, since it holds scans of the same subjects again, or none: {_some(left)}.")
    if ours:
        say(f"Left out, since it holds results of this program: {_some(ours)}.")
    if linked:
        say(f"Links to scans outside {root.name}, which are taken in: {_some(linked)}.")


def _is_copy(folder: Path) -> bool:
    """True for what lies beside the subjects of a BIDS data set, and for copies that an archive's maker left."""
    name = folder.name.casefold()
    if name in _COPIES:
        return True
    parent = folder.parent
    if name not in _BESIDE:
        return False
    own = _has_subjects(parent)
    if name == "rawdata":  # of a data set that has no subjects beside it, these are the subjects
        return own
    return own or (parent / BIDS).is_file() or (parent / "rawdata" / BIDS).is_file()


def _has_subjects(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.glob("sub-*"))


def _data_set_of(folder: Path, root: Path) -> Path | None:
    """The BIDS data set that ``folder`` belongs to, not above ``root``."""
    around = [folder, *folder.parents]
    inside = around[: around.index(root) + 1] if root in around else around[:1]
    return next((one for one in inside if (one / BIDS).is_file()), None)


def _outside(path: Path, root: Path, task: Task) -> bool:
    return not path.resolve().is_relative_to(root) and (is_readable(path, task) or is_archive(path))


def _called(folder: Path, root: Path, bids: bool) -> str:
    parts = folder.relative_to(root).parts
    if bids and parts and parts[-1] == "anat":
        parts = parts[:-1]
    return "__".join(parts) or root.name


def _has_dicom(folder: Path, files: list[Path], root: Path) -> bool:
    """Whether the folder is an export: DICOM files in it, or for a folder right below the root anywhere in it."""
    if any(is_dicom(path) for path in files[:3]):
        return True
    if folder.parent != root or any(path.suffix == ".gz" for path in files):
        return False
    some = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    first = next((path for path in some if path.suffix.lower() not in (".json", ".txt", ".csv")), None)
    return first is not None and is_dicom(first)


def _export(path: Path, root: Path, task: Task) -> Iterator[tuple[str, Listed]]:
    """The studies of an export: one under its name, of several each by its own number, which does not shift."""
    where, name = path.relative_to(root).as_posix(), _called(path, root, False)
    try:
        studies = recognise(path, task).studies
        uids = index(path).studies if studies else ()
    except InputError:  # its row says why
        studies, uids = (), ()
    if not studies:
        yield where, Listed(name, (str(path),))
    for (study, _), uid in zip(studies, uids, strict=True):
        case = case_of(uid)
        yield f"{where}, {study.name}", Listed(f"{name}__{case}", (str(study),), case)


def _list(path: Path, task: Task) -> list[tuple[str, Listed]]:
    """Each study with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path.name} cannot be read as text; save the list as CSV in UTF-8.") from None
    lines = text.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    separator = _declared_separator(lines[first]) if lines else None
    if separator is not None:
        first += 1
    elif lines:
        separator = max(",;\t", key=lines[first].count)
    reader = csv.reader(io.StringIO("".join(lines[first:])), delimiter=separator or ",")
    try:
        rows = [(first + reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{path.name}, line {first + reader.line_num}, cannot be read ({error}); save the list as CSV anew."
        ) from None
    columns = _columns(path, rows[0][1] if rows else [], task)
    roles = [column for column in columns if column in (*task.names, REFERENCE)]
    own = next((name for name in _IDS if name in columns), "")
    found = []
    for number, row in rows[1:]:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if any(cells[len(columns) :]) or any(c for c, name in zip(cells, columns, strict=False) if not name):
            raise InputError(
                f"{path.name}, line {number}, has a cell without a column; put a path that holds the separator "
                "between quotes, or give the column a name."
            )
        known_cells = dict(zip(columns, cells, strict=False))
        sources = [f"{role}={_from(path, known_cells[role])}" for role in roles if known_cells.get(role)]
        first_path = next((known_cells[c] for c in (_PATH, *roles) if known_cells.get(c)), "")
        if known_cells.get(_PATH):
            sources = [_from(path, known_cells[_PATH]), *sources]
        if not sources:
            raise InputError(f"{path.name}, line {number}, names no file; fill it in or take the line out.")
        name = known_cells.get(own, "") or Path(first_path).name
        found.append((f"line {number}", Listed(name, tuple(sources))))
    if not found:
        raise InputError(f"{path.name} lists no study; write a line for each.")
    return found


def _declared_separator(line: str) -> str | None:
    """The separator that a first line such as ``sep=;`` states, as spreadsheets write and read it."""
    found = re.fullmatch(r'"?sep=(.)"?[\r\n]*', line, flags=re.IGNORECASE)
    return found.group(1) if found else None


def _columns(path: Path, heads: Sequence[str], task: Task) -> list[str]:
    """What each column holds: a name of the study, ``path``, a modality or the reference; "" where nothing is said.

    Raises InputError for a list without scans, a word that is none of them, and two columns that hold the same.
    """
    found: list[str] = []
    unknown = ""
    for head in heads:
        word = head.strip().lower()
        if word not in ("", _PATH, *_IDS):
            try:
                word = role_name(word, task)
            except InputError:
                unknown = unknown or head.strip()
        if word and word in found:
            other = heads[found.index(word)].strip()
            raise InputError(
                f"{path.name} has two columns of {word} (“{other}” and “{head.strip()}”); keep one of them."
            )
        found.append(word)
    if not {_PATH, *task.names} & set(found):
        known = ", ".join(task.names)
        raise InputError(
            f"{path.name} has no column path and none of {known}; give it a first line such as study,path."
        )
    if unknown:
        known = ", ".join(("study", _PATH, *task.names, REFERENCE))
        raise InputError(
            f"{path.name} has a column “{unknown}”, which is not known; call it one of {known}, or take it out."
        )
    return found


def _from(listed_in: Path, cell: str) -> str:
    given = Path(cell).expanduser()
    return str(given if given.is_absolute() else listed_in.parent.resolve() / given)
