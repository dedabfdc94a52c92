"""Which studies there are: in a folder tree, a BIDS data set, DICOM exports, or a list."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom.files import is_archive
from napari_mrseg.io.dicom.index import is_dicom
from napari_mrseg.io.folders import folders_below
from napari_mrseg.io.formats import is_readable
from napari_mrseg.io.recognise import REFERENCE, recognise
from napari_mrseg.tasks import Task

BIDS = "dataset_description.json"
_OURS = ("result.json", "study.json", "cohort.json")  # a folder that holds one was written by us
_IDS = ("study", "subject", "case", "id", "participant_id")


@dataclass(frozen=True)
class Listed:
    """One study to be done. ``name``: what outputs call it; ``sources``: as :func:`~.io.open_study` takes them."""

    name: str
    sources: tuple[str, ...]


def find_studies(source: str | Path, task: Task) -> list[Listed]:
    """Every study of a folder tree or of a list, in order, each under a name of its own.

    A folder that holds scans is a study; of a BIDS data set, each ``anat`` folder; of DICOM exports, each study there.
    A list is a CSV file with a column ``study`` and either ``path`` or one column per modality (and ``reference``);
    paths are relative to the list. Raises InputError for a source that cannot be read or holds none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = list(_tree(path.resolve(), task))
        if not found:
            raise InputError(f"{path.name} holds no study; give a folder of studies, or a list of them.")
    elif path.is_file():
        found = _list(path, task)
    else:
        raise InputError(f"{path} does not exist; give a folder of studies, or a list of them.")
    seen: dict[str, int] = {}
    named = []
    for listed in found:
        name = _safe(listed.name)
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        count = seen[name.lower()]
        named.append(Listed(name if count == 1 else f"{name}--{count}", listed.sources))
    return named


def _safe(name: str) -> str:
    """As a folder can be called on any system."""
    text = re.sub(r"[^\w.+-]+", "_", name.replace("/", "__").replace("\\", "__")).strip("._")
    return text[:120] or "study"


def _tree(root: Path, task: Task) -> Iterator[Listed]:
    bids = (root / BIDS).is_file()
    taken: set[Path] = set()
    for folder in folders_below(root):
        if folder in taken or any(parent in taken for parent in folder.parents):
            continue
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        if any(path.name in _OURS for path in files):
            taken.add(folder)
            continue
        exports = [path for path in files if task.ndim == 3 and is_archive(path)]
        for archive in exports:
            yield from _export(archive, root, task)
        if task.ndim == 3 and _has_dicom(folder, files, root):
            taken.add(folder)
            yield from _export(folder, root, task)
        elif any(is_readable(path, task) for path in files):
            if not bids or folder.name == "anat":
                yield Listed(_called(folder, root, bids), (str(folder),))
        elif task.ndim == 2:
            frames = recognise(folder, task)
            inside = [f.path for f in frames.files if f.role in (*task.names, REFERENCE) and f.path.is_dir()]
            if inside:
                taken.update(path.resolve() for path in inside)
                yield Listed(_called(folder, root, bids), (str(folder),))


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


def _export(path: Path, root: Path, task: Task) -> Iterator[Listed]:
    """The studies of an export: one for itself, or each of several."""
    name = _called(path, root, False)
    studies = recognise(path, task).studies
    if not studies:
        yield Listed(name, (str(path),))
    for number, (study, _) in enumerate(studies, start=1):
        yield Listed(f"{name}__study-{number}", (str(study),))


def _list(path: Path, task: Task) -> list[Listed]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path.name} cannot be read as text; save the list as CSV in UTF-8.") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    roles = [head for head in heads if head in (*task.names, REFERENCE)]
    if "path" not in heads and not [role for role in roles if role != REFERENCE]:
        known = ", ".join(task.names)
        raise InputError(
            f"{path.name} has no column path and none of {known}; give it a first line such as study,path."
        )
    own = next((head for head in _IDS if head in heads), None)
    found = []
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(heads, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        sources = [f"{role}={_from(path, cells[role])}" for role in roles if cells.get(role)]
        if cells.get("path"):
            sources = [_from(path, cells["path"]), *sources]
        if not sources:
            raise InputError(f"{path.name}, line {number}, names no file; fill it in or take the line out.")
        name = cells.get(own or "", "") or Path(sources[0].rpartition("=")[2]).name
        found.append(Listed(name, tuple(sources)))
    if not found:
        raise InputError(f"{path.name} lists no study; write a line for each.")
    return found


def _from(listed_in: Path, cell: str) -> str:
    given = Path(cell).expanduser()
    return str(given if given.is_absolute() else listed_in.parent.resolve() / given)
