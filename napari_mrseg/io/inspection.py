"""What ``mrseg inspect`` tells: which file is what and why, how it lies, what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mrseg.errors import InputError
from napari_mrseg.io import formats
from napari_mrseg.io.format import Volume
from napari_mrseg.io.open import Paths, build, settle, steps_of
from napari_mrseg.io.read_options import DEFAULTS, ReadOptions
from napari_mrseg.study import Note, joined
from napari_mrseg.tasks import DEFAULT, Task, get_task, key


def inspect(
    paths: Paths,
    task: Task = DEFAULT,
    options: ReadOptions = DEFAULTS,
    *,
    assign: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Look at a subject's files without raising for what is wrong in them.

    ``assign``: as for :func:`~napari_mrseg.io.open_study`. Returns a JSON-able dictionary: ``files`` (name, role,
    reason, shape, spacing in mm, orientation as the letters the axes run towards, problems), ``present`` and
    ``missing`` modalities, ``combinations``, ``reference``, ``problems``, ``warnings`` and ``usable``.
    Raises InputError only for paths and options that make no sense.
    """
    recognition = settle(paths, task=task, assign=assign, reference=options.reference)
    results: dict[Path, Volume | InputError] = {}
    files = []
    for found in recognition.files:
        entry: dict[str, Any] = {
            "name": found.path.name,
            "role": found.role,
            "reason": found.reason,
            "confidence": found.confidence or None,
            "shape": None,
            "spacing": None,
            "orientation": None,
            "problems": [],
        }
        files.append(entry)
        if not formats.is_readable(found.path, task) and found.role is None:
            continue
        try:
            # Files without a role are not judged as scans: a mask may well be empty.
            volume = formats.read(found.path, task, found.role, assume_ras=options.assume_ras)
        except InputError as error:
            results[found.path] = error
            entry["problems"].append(str(error))
            continue
        if found.role is not None:
            results[found.path] = volume
        source = volume[1]
        entry["shape"] = list(source.grid.shape)
        entry["spacing"] = [round(v, 4) for v in source.grid.spacing]
        entry["orientation"] = "".join(source.grid.axis_codes)

    def replay(path: Path, role: str) -> Volume:
        result = results[path]
        if isinstance(result, InputError):
            raise result
        return result

    problems = list(recognition.problems(task))
    present = [name for name in task.names if recognition.of(name)]
    warnings: list[Note] = []
    used_reference = None
    try:
        study = build(recognition, task, replay, steps_of(options.onto, options.brain, options.depth))
        warnings = list(study.notes)
        used_reference = study.reference.source.path.name if study.reference else None
    except InputError as error:
        broken = [p for entry in files for p in entry["problems"] if entry["role"]]
        problems += [p for p in dict.fromkeys([*broken, str(error)]) if p not in problems]
    return {
        "task": task.name,
        "case": recognition.case,
        "files": files,
        "present": present,
        "missing": [name for name in task.names if name not in present],
        "combinations": [] if problems else [key(c) for c in task.combinations(present)],
        "reference": used_reference,
        "problems": problems,
        "warnings": [{"code": note.code, "message": note.message} for note in joined(warnings)],
        "usable": not problems,
    }


def describe(inspection: Mapping[str, Any]) -> str:
    """The inspection as text for people."""
    lines = [f"{inspection['case']} (task {inspection['task']})", ""]
    for entry in inspection["files"]:
        lines.append(f"  {entry['role'] or '–':<10} {entry['name']}")
        detail = f"{entry['confidence']}: {entry['reason']}" if entry["confidence"] else entry["reason"]
        if entry["shape"] and get_task(inspection["task"]).ndim == 2:
            detail += f"; {entry['shape'][2]}×{entry['shape'][1]} pixels"
        elif entry["shape"]:
            size = "×".join(map(str, entry["shape"]))
            spacing = "×".join(f"{v:g}" for v in entry["spacing"])
            detail += f"; {size} voxels of {spacing} mm, axes {entry['orientation']}"
        lines.append(f"  {'':<10}   {detail}")
    lines += ["", f"Modalities: {', '.join(inspection['present']) or 'none'}"]
    if inspection["missing"]:
        lines[-1] += f"; missing: {', '.join(inspection['missing'])}"
    lines.append(f"Reference: {inspection['reference'] or 'none'}")
    count = len(inspection["combinations"])
    if count:
        lines.append(f"{count} combination{'s' if count > 1 else ''}: {' '.join(inspection['combinations'])}")
    lines += [f"Warning ({w['code']}): {w['message']}" for w in inspection["warnings"]]
    lines += [f"Problem: {p}" for p in inspection["problems"]]
    lines += [
        f"Looks like {role} by its contrast: {name}; if so, say {role}={name}"
        for name, role in inspection.get("suggested", {}).items()
    ]
    return "\n".join(lines)
