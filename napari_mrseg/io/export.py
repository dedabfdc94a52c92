"""Label files on the source's own grid, and ``result.json``. Either everything is written, or nothing."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom import names_series
from napari_mrseg.io.dicom.seg import ENDING, check_writable, encode_seg
from napari_mrseg.io.formats import endings_text, format_of, label_ending
from napari_mrseg.io.lock import only_writer
from napari_mrseg.io.recognise import OURS, listed_results
from napari_mrseg.study import Note, Source, Study, joined
from napari_mrseg.tasks import DEFAULT, Combination, Task, key

if TYPE_CHECKING:
    from napari_mrseg.inference.prediction import Prediction

RESULT = "result.json"
MOST_CODE = 255  # label files are uint8
TABLE_CSV, TABLE_JSON, REPORT = "table.csv", "table.json", "report.html"
REPORT_PDF, LESIONS = "report.pdf", "lesions.csv"
_LIBRARIES = ("napari-mrseg", "torch", "numpy", "nibabel")

Measured = Callable[["Prediction"], Mapping[str, Mapping[str, float] | None] | None]
Dice = Callable[["Prediction"], Mapping[str, float | None] | None]
Judged = Callable[["Prediction", Sequence["Prediction"]], Mapping[str, Any]]


def label_file(
    combination: Sequence[str], task: Task, *, seg: bool = False, frames: int = 1, case: str = ""
) -> str:
    """Name of a combination's label file, e.g. ``flair+t1ce.nii.gz``, or ``rgb+depth.png`` of a 2-D task.

    ``seg``: of a DICOM SEG. ``case``: named too, for a folder that holds results of several.
    """
    name = f"{in_file_name(case)}_{key(combination)}{OURS}" if case else key(combination)
    return f"{name}{ENDING if seg else label_ending(task, frames)}"


def result_file(case: str = "") -> str:
    """Name of the JSON beside the label files."""
    return f"{in_file_name(case)}_{RESULT}" if case else RESULT


def in_file_name(case: str) -> str:
    """``case`` as files can be called on any system."""
    return re.sub(r"[^\w.+-]+", "_", case).strip("._")[:120] or "case"


def write_labels(
    labels_ipl: npt.NDArray[np.integer[Any]], source: Source, path: str | os.PathLike[str]
) -> None:
    """Write (I, P, L) label codes, 0 to 255, on the grid of ``source``, in the format that ``path`` names.

    The geometry is the source's; no description, tag or extension of it is copied, which may hold a patient's name.
    A file at ``path`` is replaced in one step or not at all. Raises InputError if it cannot be written.
    """
    path = Path(path)
    low, high = (int(labels_ipl.min()), int(labels_ipl.max())) if labels_ipl.size else (0, 0)
    if low < 0 or high > MOST_CODE:
        raise InputError(
            f"{path.name} was not written: its labels go from {low} to {high}, and a label file holds 0 to "
            f"{MOST_CODE}; change those that lie outside."
        )
    kind = format_of(path)
    if kind is None:
        of = format_of(source.path)
        raise InputError(
            f"{path.name} is no name of a label file; end it in {endings_text(of.ndim if of else 3)}."
        )
    if _same_file(path, source.path):
        raise InputError(f"{path.name} is the scan itself; choose another name for the labels.")
    if labels_ipl.shape != source.ipl_grid.shape:
        raise InputError(
            f"{path.name} was not written: its labels have the shape {labels_ipl.shape}, but the grid of "
            f"{source.path.name} has {source.ipl_grid.shape}; choose the scan they belong to."
        )
    labels = source.from_ipl(labels_ipl).astype(np.uint8, copy=False)
    _write_bytes(path, kind.encode(labels, source, path))


def write_prediction(
    prediction: Prediction,
    path: str | os.PathLike[str],
    study: Study | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write one prediction's labels into ``path``, on the grid of its first modality; .dcm: as DICOM SEG.

    ``study``: the scans it was made from, where it does not know its source. Raises InputError.
    """
    path = Path(path).expanduser()
    source = prediction.source
    if study is not None:
        if study.only(prediction.combination).digest != prediction.digest:
            raise InputError(
                f"{path.name} was not written: {study.case} is not what the prediction was made from; "
                "give the study that it was."
            )
        source = study.images[prediction.combination[0]].source
    if source is None:
        raise InputError(
            f"{path.name} was not written: the prediction does not know its scan any more; "
            "give the study it was made from: prediction.save(path, study)."
        )
    if path.exists() and not overwrite:
        raise InputError(f"{path.name} is there already; take another name, or overwrite=True.")
    if not path.parent.is_dir():
        raise InputError(f"{path.name} was not written: there is no folder {path.parent}; make it first.")
    if path.name.lower().endswith(ENDING) and names_series(source.path):
        model, combination = prediction.model, prediction.combination
        _write_bytes(path, encode_seg(prediction.labels, source, prediction.task, combination, model))
    else:
        write_labels(prediction.labels, source, path)


def check_outputs(
    out: str | os.PathLike[str],
    combinations: Iterable[Combination] = (),
    *,
    study: Study | None = None,
    grid: str | None = None,
    overwrite: bool = False,
    extra: Iterable[str] = (),
    seg: bool = False,
    case: str = "",
) -> None:
    """Raise InputError now for what :func:`write_results` would refuse later. Writes nothing.

    ``extra``: names of other files to come, which ``overwrite`` may replace whoever wrote them. ``seg``: as DICOM SEG.
    ``case``: as :func:`label_file`.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out.name} is a file; give a folder to write into.")
    wanted = tuple(combinations)
    if seg:
        check_writable()
    if seg and study is not None:
        for combination in wanted:
            source = study.images[_grid_of(combination, grid, study.task)].source
            if not names_series(source.path):
                raise InputError(
                    f"--format dicom-seg needs scans read from DICOM, and {source.path.name} is none; "
                    "use --format nifti."
                )
    if grid is not None and study is not None:
        for combination in wanted:
            _grid_of(combination, grid, study.task)
    free = [result_file(case), *extra]
    frames = study.grid.shape[0] if study else 1
    task = study.task if study else DEFAULT
    names = [label_file(c, task, seg=seg, frames=frames, case=case) for c in wanted] + free
    there = [name for name in names if (out / name).exists()]
    if study is not None:
        sources = [image.source.path for image in study.images.values()]
        sources += [study.reference.source.path] if study.reference else []
        for name in there:
            if any(_same_file(out / name, source) for source in sources):
                raise InputError(f"{name} in {out.name} is one of the scans; write into another folder.")
    if there and not overwrite:
        raise InputError(f"{there[0]} is already in {out.name}; use --overwrite or another folder.")
    # A file of that name that is no result of ours may be a scan that this study does not use.
    foreign = [name for name in there if name not in free and name not in listed_results(out)]
    if foreign:
        raise InputError(
            f"{foreign[0]} in {out.name} is not listed in a {RESULT} there and may be a scan; "
            "write into another folder."
        )


def write_results(
    study: Study,
    predictions: Iterable[Prediction],
    out: str | os.PathLike[str],
    *,
    model: Mapping[str, Any],
    grid: str | None = None,
    overwrite: bool = False,
    warnings: Iterable[Note] = (),
    dice: Dice | None = None,
    diameters: Measured | None = None,
    trust: Judged | None = None,
    worth: Callable[[Combination], Sequence[Mapping[str, Any]]] | None = None,
    extra_files: Mapping[str, str | bytes] = MappingProxyType({}),
    seg: bool = False,
    held: bool = False,
    named: bool = False,
) -> dict[str, Any]:
    """Write a label file per prediction and ``result.json`` into ``out``; return the JSON's content.

    ``predictions`` may be a generator that is still computing: files are gathered aside and moved in when the
    last one is there, so an error or a cancel leaves ``out`` as it was. Label files lie on the grid of the
    first used modality in the task's order, or on that of ``grid``. ``dice`` gives a prediction's Dice per
    region, or None; ``diameters`` the two of each; ``trust`` how far one may be believed beside all of them; ``worth``
    what each scan that a combination has not would change.
    ``seg``: DICOM SEG instead of the task's label files. ``named``: the case is in all names, for a folder that holds
    results of several. ``extra_files``: texts, or contents, by file name that move in together with the rest. With
    ``overwrite``, what else the earlier run left (label files that its ``result.json`` lists, its table and
    report) is taken away, so that the folder speaks of one run only. ``held``: the caller holds ``out`` already
    (:func:`~.lock.only_writer`).

    Raises InputError if another run is writing into ``out``, if an output is already there and ``overwrite`` is not
    set, if one would replace a scan of the study or a file that the ``result.json`` there does not list, or if
    ``grid`` is not among a prediction's modalities.
    """
    out = Path(out)
    case = study.case if named else ""
    check_outputs(out, study=study, overwrite=overwrite, extra=extra_files, case=case)
    done: list[Prediction] = []
    entries: list[dict[str, Any]] = []
    with nullcontext() if held else only_writer(out), set_aside(out) as temporary:
        for prediction in predictions:
            if prediction.preview:
                raise ValueError("A preview is not a result; wait for the final one.")
            check_outputs(
                out, [prediction.combination], study=study, grid=grid, overwrite=overwrite, seg=seg, case=case
            )
            frames = study.grid.shape[0]
            name = label_file(prediction.combination, study.task, seg=seg, frames=frames, case=case)
            source = study.images[_grid_of(prediction.combination, grid, study.task)].source
            if seg:
                encoded = encode_seg(prediction.labels, source, study.task, prediction.combination, model)
                _write_bytes(temporary / name, encoded)
            else:
                write_labels(prediction.labels, source, temporary / name)
            entry = _entry(prediction, name, dice(prediction) if dice else None)
            measured = diameters(prediction) if diameters else None
            entries.append(entry if measured is None else {**entry, "diameters": measured})
            done.append(prediction)
        if not done:
            raise ValueError("There is no prediction to write.")
        reports = [name for name in extra_files if name in (REPORT_PDF, LESIONS)]
        if trust is not None:
            entries = [{**entry, "trust": trust(p, done)} for entry, p in zip(entries, done, strict=True)]
        if worth is not None:
            entries = [
                {**entry, "worth": list(worth(p.combination))} for entry, p in zip(entries, done, strict=True)
            ]
        document = {
            "task": study.task.name,
            "model": {field: model.get(field) for field in ("name", "version", "sha256")},
            "case": study.case,
            "device": ", ".join(dict.fromkeys(p.device for p in done)),
            "precision": ", ".join(dict.fromkeys(p.precision for p in done)),
            "versions": versions(),
            "steps": _steps(study, done),
            "predictions": entries,
            **({"reports": reports} if reports else {}),
            "warnings": _warnings(study, done, warnings),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        result = result_file(case)
        for name, content in {**extra_files, result: text}.items():
            # A folder's name may hold bytes that are no text.
            packed = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
            _write_bytes(temporary / name, packed)
        names = [*dict.fromkeys(str(e["file"]) for e in entries), *extra_files, result]
        sources = [image.source.path for image in study.images.values()]
        stale = [
            name
            for name in (_earlier_of(out, case) if named else _earlier(out, study.task))
            if name not in names and not any(_same_file(out / name, source) for source in sources)
        ]
        move_in(temporary, names, out, stale)
    return document


def _earlier(out: Path, task: Task) -> list[str]:
    """Files of an earlier run in ``out``: labels that its result.json lists, and the table and report of that run."""
    kinds = [{"seg": False}, {"seg": True}, {"frames": 2}]
    ours = {label_file(c, task, **kind) for c in task.combinations() for kind in kinds}  # type: ignore[arg-type]
    found = sorted(ours & listed_results(out))
    try:
        document = json.loads((out / RESULT).read_text(encoding="utf-8"))
        found += [name for name in document.get("reports", ()) if name in (REPORT_PDF, LESIONS)]
        result, table = (
            json.loads((out / name).read_text(encoding="utf-8")) for name in (RESULT, TABLE_JSON)
        )
        listed = sorted(entry["combination"] for entry in result["predictions"])
        if listed == sorted(row["combination"] for row in table["rows"]):
            found += [TABLE_CSV, TABLE_JSON, REPORT]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the table beside it, if any, is not of that run
    return [name for name in found if (out / name).is_file()]


def _earlier_of(out: Path, case: str) -> list[str]:
    """Label files that the case's own result.json in ``out`` lists."""
    try:
        document = json.loads((out / result_file(case)).read_text(encoding="utf-8"))["predictions"]
        names = [str(entry["file"]) for entry in document]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [n for n in names if n.startswith(f"{in_file_name(case)}_") and OURS in n and (out / n).is_file()]


def versions() -> dict[str, str]:
    """Versions of what took part, without importing it."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _entry(prediction: Prediction, name: str, dice: Mapping[str, float | None] | None) -> dict[str, Any]:
    unit = prediction.task.unit
    return {
        "combination": list(prediction.combination),
        "file": name,
        "sizes": {r: {"value": _number(v), "unit": unit} for r, v in prediction.sizes.items()},
        "seconds": _number(prediction.seconds),
        "dice": None if dice is None else {region: _number(value) for region, value in dice.items()},
    }


def _steps(study: Study, done: Sequence[Prediction]) -> list[dict[str, Any]]:
    """What was done to the voxels of the scans in use, in order."""
    used = {name for prediction in done for name in prediction.combination}
    return [
        {"modality": name, "step": step.name, "settings": json.loads(step.settings)}
        for name, image in study.images.items()
        if name in used
        for step in image.steps
    ]


def _number(value: float | None) -> float | None:
    """A JSON number; None for what has no value (Dice of two empty regions, say)."""
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def _warnings(study: Study, done: Sequence[Prediction], more: Iterable[Note]) -> list[dict[str, str]]:
    used = {name for prediction in done for name in prediction.combination}
    notes = [n for n in study.notes if n.modality is None or n.modality in used]
    notes += [note for prediction in done for note in prediction.notes]
    notes += list(more)
    return [{"code": note.code, "message": note.message} for note in joined(notes)]


def _grid_of(combination: Combination, grid: str | None, task: Task) -> str:
    if grid is None:
        return combination[0]
    name = task.modality(grid).name
    if name not in combination:
        raise InputError(
            f"The grid of {name} was asked for, but {key(combination)} does not use {name}; "
            f"choose {' or '.join(combination)}."
        )
    return name


@contextmanager
def set_aside(out: Path) -> Iterator[Path]:
    """A hidden folder on the same file system as ``out``, gone afterwards."""
    base = Path(os.path.abspath(out))
    while not base.is_dir():
        base = base.parent
    temporary = base / f".mrseg-{uuid.uuid4().hex[:8]}.partial"
    try:  # from before it is made: a signal may come in between
        try:
            temporary.mkdir()
        except OSError as error:
            raise _unwritable(out, error) from None
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_in(temporary: Path, names: Sequence[str], out: Path, stale: Sequence[str] = ()) -> None:
    """Move ``names`` into ``out``, the last one last, and ``stale`` out; on any failure all is put back."""
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    moved: list[str] = []
    kept: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (*stale, *names):
            if (out / name).exists():
                os.replace(out / name, temporary / f"{name}.before")
                kept.append(name)
            if name in stale:
                continue
            os.replace(temporary / name, out / name)
            moved.append(name)
    except BaseException as error:
        for name in moved:
            (out / name).unlink(missing_ok=True)
        for name in kept:
            os.replace(temporary / f"{name}.before", out / name)
        for folder in created:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(out, error) from None
        raise


def _write_bytes(path: Path, data: bytes) -> None:
    """Write through a file beside it, so that ``path`` is never half written."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path.name} cannot be written ({error.strerror}); choose another folder.")


def _same_file(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
