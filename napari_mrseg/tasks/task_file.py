"""A task as a YAML file or a JSON document: the fields of :class:`~.schema.Task`, with defaults for most of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import pairwise
from math import isinf
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from napari_mrseg.errors import InputError
from napari_mrseg.tasks.schema import Label, Modality, Region, Task

LARGEST = 2**20
"""Bytes of a task's file."""
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")
"""Okabe and Ito's, for labels without a colour."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def read_task(path: str | Path) -> Task:
    """The task in a YAML file. Raises InputError that names the file, the key and what is wrong with it."""
    import yaml

    path = Path(path).expanduser()
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise InputError(f"{path.name} is larger than {LARGEST // 2**20} MB; give the file of a task.")
        document = yaml.safe_load(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there; give a task's name or its YAML file.") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); check it.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not text in UTF-8; save it so.") from None
    except (yaml.YAMLError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" near line {line + 1}" if line is not None else ""
        raise InputError(f"{path.name} is not YAML{place}; fix it.") from None
    return task_of_document(document, path.name)


def task_of_document(document: Any, where: str) -> Task:
    """The task that ``document`` describes; ``where`` names it in errors. Raises InputError.

    Needed are ``name``, ``modalities`` and ``labels``. Left out, a modality's ``names`` are its name alone, there is a
    region for each label, regions exclude each other, missing modalities are 0, and images are volumes.
    """
    values = _completed(document, where)
    try:
        task = _adapter().validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        what = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{where}: {f'{key}: ' if key else ''}{what[0].lower()}{what[1:]}.") from None
    except RecursionError:
        raise InputError(f"{where}: it is nested too deeply; write it as in the manual.") from None
    wrong = fault_of(task)
    if wrong is not None:
        raise InputError(f"{where}: {wrong}.")
    return task


def document_of(task: Task) -> dict[str, Any]:
    """What :func:`task_of_document` makes ``task`` of again, as JSON: every field that has not its default."""
    found: dict[str, Any] = _plain(task)
    return found | {"output": task.output}  # whose default in a file follows from nested


def fault_of(task: Task) -> str | None:
    """What makes a task unusable: the key and what is wrong with it; None if nothing does."""
    checks = (_names_fault, _words_fault, _labels_fault, _regions_fault, _nesting_fault)
    return next((wrong for check in checks if (wrong := check(task)) is not None), None)


@cache
def _adapter() -> TypeAdapter[Task]:
    return TypeAdapter(Task)


def _completed(document: Any, where: str) -> dict[str, Any]:
    """``document`` with the defaults of a file. Raises InputError for unknown or missing keys."""
    task = _known(document, Task, where, "")
    for key in ("name", "modalities", "labels"):
        if not task.get(key):
            raise InputError(f"{where}: {key} is missing; a task needs name, modalities and labels.")
    parts: dict[str, list[dict[str, Any]]] = {}
    for key, kind in (("modalities", Modality), ("labels", Label), ("regions", Region)):
        given = task.get(key, [])
        if not isinstance(given, (list, tuple)):
            raise InputError(f"{where}: {key} must be a list, each entry on a line that begins with “- ”.")
        parts[key] = [_known(one, kind, where, f"{key}.{k}") for k, one in enumerate(given)]
    for modality in parts["modalities"]:
        modality.setdefault("title", str(modality.get("name", "")).upper())
        modality.setdefault("names", [modality.get("name", "")])
    for k, label in enumerate(parts["labels"]):
        label.setdefault("title", label.get("name", ""))
        label.setdefault("colours", [COLOURS[k % len(COLOURS)]])
    if not parts["regions"]:
        parts["regions"] = [
            {"name": x.get("name"), "title": x["title"], "codes": [x.get("code")]} for x in parts["labels"]
        ]
    for k, region in enumerate(parts["regions"]):
        region.setdefault("title", region.get("name", ""))
        codes = region.get("codes")
        later = [c for r in parts["regions"][k + 1 :] for c in _list(r.get("codes"))]
        own = [c for c in _list(codes) if c not in later] or _list(codes)
        if own:
            region.setdefault("paints", own[0])
    nested = task.setdefault("nested", False)
    task.setdefault("output", "sigmoid" if nested else "softmax")
    for key, value in (("title", task["name"]), ("fill", "zero"), ("ndim", 3)):
        task.setdefault(key, value)
    return task | parts


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _known(values: Any, kind: type, where: str, place: str) -> dict[str, Any]:
    """A copy of a mapping whose keys are all fields of ``kind``."""
    at = f"{place}." if place else ""
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: {place or 'it'} must hold key: value lines, such as name: t2.")
    names = [field.name for field in fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.4)
            hint = f"did you mean {at}{near[0]}?" if near else f"known: {', '.join(names)}."
            raise InputError(f"{where}: unknown key {at}{str(key)[:40]}; {hint}")
    return dict(values)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        own = ((field, getattr(value, field.name)) for field in fields(value))
        return {f.name: _plain(v) for f, v in own if f.default is MISSING or v != f.default}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and isinf(value) else value


def _twice(names: list[Any]) -> Any:
    return next((name for k, name in enumerate(names) if name in names[:k]), None)


def _names_fault(task: Task) -> str | None:
    if not _NAME.fullmatch(task.name):
        return f"name: “{task.name}” must be lower-case letters, digits, “.”, “_” or “-”"
    for key, names in (
        ("modalities", [m.name for m in task.modalities]),
        ("regions", [r.name for r in task.regions]),
        ("labels", [x.name for x in task.labels]),
    ):
        if not names:
            return f"{key}: there is none"
        if (twice := _twice(names)) is not None:
            return f"{key}: the name {twice} is there twice"
    for k, modality in enumerate(task.modalities):
        if not _NAME.fullmatch(modality.name):
            return (
                f"modalities.{k}.name: “{modality.name}” must be lower-case letters, digits, “.”, “_” or “-”"
            )
    for k, region in enumerate(task.regions):
        if not re.fullmatch(r"[^\s,+/\\=]{1,64}|[^,+/\\=\n]{1,64}", region.name):
            return f"regions.{k}.name: “{region.name}” must be a short name without , + / ="
    return None


def _words_fault(task: Task) -> str | None:
    """A word tells one modality, and in lower case: file names are compared so."""
    owner: dict[str, str] = dict.fromkeys(task.reference_names, "a reference (reference_names)")
    for k, modality in enumerate(task.modalities):
        for word in modality.names:
            if not word or word != word.lower():
                return f"modalities.{k}.names: “{word}” must be in lower case"
            if owner.get(word, modality.name) != modality.name:
                return f"modalities.{k}.names: “{word}” already stands for {owner[word]}"
            owner[word] = modality.name
    return None


def _labels_fault(task: Task) -> str | None:
    if (twice := _twice([label.code for label in task.labels])) is not None:
        return f"labels: the code {twice} is there twice"
    for k, label in enumerate(task.labels):
        if not 1 <= label.code <= 255:
            return f"labels.{k}.code: {label.code} must be from 1 to 255; 0 is what belongs to nothing"
        wrong = next((c for c in label.colours if not _COLOUR.fullmatch(c)), None)
        if wrong is not None or not label.colours:
            return f'labels.{k}.colours: “{wrong or ""}” must be a colour such as "#E69F00", in quotes'
        if unknown := set(label.needs) - set(task.names):
            return f"labels.{k}.needs: {min(unknown)} is no modality of the task"
    return None


def _regions_fault(task: Task) -> str | None:
    known = {label.code for label in task.labels}
    for k, region in enumerate(task.regions):
        if not region.codes or not set(region.codes) <= known:
            return f"regions.{k}.codes: must be codes of the labels ({', '.join(map(str, sorted(known)))})"
        if region.paints not in region.codes:
            return f"regions.{k}.paints: {region.paints} must be one of its codes"
        if unknown := set(region.needs) - set(task.names):
            return f"regions.{k}.needs: {min(unknown)} is no modality of the task"
    for k, aliased in enumerate(task.aliases):
        if aliased[1] not in known:
            return f"aliases.{k}: {aliased[1]} is no code of the labels"
    return None


def _nesting_fault(task: Task) -> str | None:
    if task.nested:
        for k, (outer, inner) in enumerate(pairwise(task.regions), start=1):
            if not set(inner.codes) <= set(outer.codes):
                return (
                    f"regions.{k}.codes: nested regions lie within the one before, and {inner.name} does not"
                )
        return None
    if task.output == "softmax":
        codes = [(k, code) for k, region in enumerate(task.regions) for code in region.codes]
        for k, code in codes:
            if any(other < k and code == one for other, one in codes):
                return f"regions.{k}.codes: {code} is in two regions, which exclude each other; or set nested: true"
    return None
