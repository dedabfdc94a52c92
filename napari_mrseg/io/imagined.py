"""Files of imagined scans, which say in name and header that they are none, and are refused where scans are read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mrseg.errors import InputError
from napari_mrseg.io.export import in_file_name, move_in, set_aside, versions
from napari_mrseg.io.lock import only_writer
from napari_mrseg.io.nifti_format import encode_imagined
from napari_mrseg.io.recognise import IMAGINED
from napari_mrseg.study import joined
from napari_mrseg.tasks import key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_mrseg.inference.imagining import Imagined

IMAGINE = "imagine.json"
UNITS = (
    "robust z-score: (intensity - median) / (1.4826 x median absolute deviation) of the brain; logarithmic above 3, "
    "0 outside the brain"
)
PARTS = ("", "_low", "_high")


def imagined_file(imagined: Imagined, part: str = "") -> str:
    """Name of a file, e.g. ``CASE_imagined-t1ce_from_flair+t2.nii.gz``; ``part``: one of :data:`PARTS`."""
    case = in_file_name(imagined.case)
    return f"{case}_{IMAGINED}-{imagined.target}_from_{key(imagined.given)}{part}.nii.gz"


def files_of_imagined(imagined: Sequence[Imagined]) -> tuple[str, ...]:
    """Names of all that :func:`write_imagined` writes; the last one is the list of the others."""
    names = [imagined_file(one, part) for one in imagined for part in PARTS]
    return (*names, f"{in_file_name(imagined[0].case)}_{IMAGINE}")


def write_imagined(
    imagined: Sequence[Imagined],
    out: str | os.PathLike[str],
    *,
    likeness: Mapping[str, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write each imagined scan, the ends of its interval, and ``CASE_imagine.json`` into ``out``; return what it says
    of these. What it lists of earlier ones stays.

    Files lie on the grid of the first given scan, float32, in :data:`UNITS`. ``likeness``: by target, how like the
    real scan it is, where there is one. Everything is written, or nothing. Raises InputError if a
    file is there already and ``overwrite`` is not set, or ``out`` cannot be written.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out.name} is a file; give a folder to write into.")
    first = imagined[0]
    *names, listing = files_of_imagined(imagined)
    there = [name for name in names if (out / name).exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} is already in {out.name}; use --overwrite or another folder.")
    kept = [
        entry
        for entry in _listed(out / listing)
        if entry["file"] not in names and (out / entry["file"]).is_file()
    ]
    entries = [_entry(one, (likeness or {}).get(one.target)) for one in imagined]
    document = {
        "task": first.task.name,
        "case": first.case,
        "versions": versions(),
        "units": UNITS,
        "interval": first.interval,
        "imagined": [*kept, *entries],
    }
    with only_writer(out), set_aside(out) as temporary:
        for one in imagined:
            for part, array in zip(PARTS, (one.middle, one.low, one.high), strict=True):
                own = np.ascontiguousarray(one.source.from_ipl(array), dtype=np.float32)
                (temporary / imagined_file(one, part)).write_bytes(encode_imagined(own, one.source, one.mark))
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (temporary / listing).write_text(text, encoding="utf-8")
        move_in(temporary, [*names, listing], out, [])
    return {**document, "imagined": entries}


def _entry(one: Imagined, likeness: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is said of one imagined scan."""
    return {
        "target": one.target,
        "given": list(one.given),
        "file": imagined_file(one),
        "low": imagined_file(one, "_low"),
        "high": imagined_file(one, "_high"),
        "mark": one.mark,
        "model": one.model,
        "device": one.device,
        "precision": one.precision,
        "seconds": round(one.seconds, 3),
        "steps": [
            {"modality": name, "step": step.name, "settings": json.loads(step.settings)}
            for name, step in one.steps
        ],
        "warnings": [{"code": note.code, "message": note.message} for note in joined(one.notes)],
        "unsure": round(float(one.unsure.sum() / max(1, one.inside.sum())), 4),
        "likeness": likeness,
    }


def _listed(listing: Path) -> list[dict[str, Any]]:
    """What earlier runs listed there, which stays."""
    try:
        entries = json.loads(listing.read_text(encoding="utf-8"))["imagined"]
        return [entry for entry in entries if f"_{IMAGINED}-" in str(entry["file"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
