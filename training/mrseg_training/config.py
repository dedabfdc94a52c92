"""Reading a training configuration: a shipped one by name or a YAML file, ``key=value`` on top, checked in full."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from mrseg_training.settings import LENGTHS, OF_ANY_NETWORK, Config
from napari_mrseg.errors import InputError

Some = TypeVar("Some", bound=BaseModel)


def shipped() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("mrseg_training") / "configs"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration, checked in full. ``overrides``: ``key=value`` with dots, e.g. ``stages.adapt.batch=1``.

    Raises InputError: no such file, not YAML, an unknown key (with the nearest known one), a value that does not
    fit.
    """
    return load_as(Config, name_or_path, overrides)


def load_as(kind: type[Some], name_or_path: str | Path, overrides: Sequence[str] = ()) -> Some:
    """The same for any settings class."""
    where, text = _text(name_or_path)
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" near line {line + 1}" if line is not None else ""
        raise InputError(
            f"{where} is not YAML{place}; fix it or start from a shipped configuration."
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{where} holds no settings but a {type(values).__name__}; write key: value lines.")
    _take_other_network(values, overrides)
    _take_task_beside(values, Path(name_or_path).expanduser().parent)
    for override in overrides:
        _put(values, override)
    return check(kind, values, where)


def _take_other_network(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Where the overrides name another network, leave out what the file says of the shape of its own."""
    model = values.get("model")
    for override in overrides:
        key, _, name = override.partition("=")
        if key.strip() == "model.network" and isinstance(model, dict):
            if name.strip() != model.get("network", "unimrseg"):
                values["model"] = {k: v for k, v in model.items() if k in OF_ANY_NETWORK}
            return


def _take_task_beside(values: dict[str, Any], folder: Path) -> None:
    """A task's YAML file is looked for beside the configuration that names it."""
    for part in (values, values.get("base")):
        name = part.get("task") if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(name, str) and (folder / name).is_file():
            part["task"] = str(folder / name)


def check(kind: type[Some], values: Mapping[str, Any], where: str) -> Some:
    """``values`` as ``kind``. Raises InputError that names the key, what is wrong and the nearest known key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(kind, error, where)) from None


def changed(config: Some, overrides: Mapping[str, Any] | Iterable[str], where: str = "overrides") -> Some:
    """A copy with some values replaced, checked again. A mapping is merged key by key."""
    values = config.model_dump(mode="json")
    if isinstance(overrides, Mapping):
        _merge(values, overrides)
    else:
        for override in overrides:
            _put(values, override)
    return check(type(config), values, where)


def merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key; where both have a value that is not a mapping, the second one's."""
    found = copy.deepcopy(dict(values))
    _merge(found, copy.deepcopy(dict(more)))
    return found


def _text(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path).expanduser()
    if str(name_or_path) in shipped() and not path.is_file():
        file = resources.files("mrseg_training") / "configs" / f"{name_or_path}.yaml"
        return str(name_or_path), file.read_text(encoding="utf-8")
    try:
        return path.name, path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(shipped())
        raise InputError(f"{path} is no file and no shipped configuration; those are {known}.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{path} cannot be read ({reason}); give a YAML file.") from None


def _put(values: dict[str, Any], override: str) -> None:
    """Set ``a.b=value`` in nested dictionaries; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"“{override}” is no setting; write key=value, e.g. run.precision=fp32.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"The value of “{override}” cannot be read; write it as in YAML.") from None
    # YAML 1.1 reads 1e-4 as text.
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = str(value)
    *path, last = key.strip().split(".")
    for name in path:
        inner = values.get(name)
        if not isinstance(inner, dict):
            inner = values[name] = {}
        values = inner
    if len(path) >= 2 and path[-2] == "stages" and last in LENGTHS and value is not None:
        for other in LENGTHS:  # a stage has one length: the one asked for
            values.pop(other, None)
    values[last] = value


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _sentence(kind: type[BaseModel], error: ValidationError, where: str) -> str:
    """The first problem in words; an unknown key before anything else, since it is often the cause of the rest."""
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = [str(step) for step in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        names = _names(kind, location[:-1])
        near = difflib.get_close_matches(location[-1], names, n=1, cutoff=0.4)
        hint = (
            f"did you mean {'.'.join([*location[:-1], near[0]])}?" if near else f"known: {', '.join(names)}."
        )
        return f"{where}: unknown key {key}; {hint}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not key:
        return f"{where}: {message}."
    return f"{where}: {key} is wrong ({message[0].lower()}{message[1:]}); fix it or leave it out."


def _names(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Keys known at a place in nested settings."""
    current: type[BaseModel] | None = kind
    for step in path:
        field = current.model_fields.get(step) if current else None
        if field is None:
            return []
        kinds = [field.annotation, *get_args(field.annotation)]
        current = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return list(current.model_fields) if current else []
