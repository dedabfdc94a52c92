"""Session files, ``*.mrsession``: what was open, by path and hash, how it was looked at, and the results.

A zip of ``session.json``, one safetensors file per result, and one of a brain mask that was edited by hand. It holds
no image; scans are found again by their path, relative to the session file, and refused if they changed.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.inference.cache import read_prediction, write_prediction
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io.dicom import names_series
from napari_mrseg.io.formats import format_of
from napari_mrseg.io.read_options import SAVED
from napari_mrseg.study import Study

FORMAT = 1
# What zipfile, zlib and json raise for bytes that are no session of ours, an encrypted archive included.
_DAMAGED = (
    *(OSError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError),
)
_BRAIN = "brain.safetensors"
LARGEST = 4 * 1024**3  # unpacked bytes; more is no session of ours


@dataclass(frozen=True)
class Saved:
    """What a session file says. ``files``: role → (path, sha256); ``view``: what the window wants to remember.

    ``options``: how the scans were read, those of :data:`~.read_options.SAVED`.
    ``brain``: (I, P, L) the brain as somebody drew it, where it was.
    """

    task: str
    files: Mapping[str, tuple[Path, str]]
    model: Mapping[str, str]
    combination: tuple[str, ...]
    degradations: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    brain: npt.NDArray[np.bool_] | None = None


def files_of(study: Study) -> dict[str, tuple[Path, str]]:
    """Role → (path, sha256) of the scans, and of the reference, that ``study`` was read from."""
    found = {name: image.source for name, image in study.images.items()}
    if study.reference is not None:
        found["reference"] = study.reference.source
    return {role: (source.path, source.sha256) for role, source in found.items()}


def write_saved(path: Path, saved: Saved) -> None:
    """Write a session file in one step. Raises InputError if it cannot be written."""
    folder = path.resolve().parent
    try:
        files = {
            role: {"path": Path(os.path.relpath(file.resolve(), folder)).as_posix(), "sha256": sha256}
            for role, (file, sha256) in saved.files.items()
        }
    except ValueError:  # no relative path leads from one drive to another
        raise InputError(
            f"{path.name} would lie on another drive than the scans; save it on theirs."
        ) from None
    document = {
        "format": FORMAT,
        "task": saved.task,
        "files": files,
        "options": dict(saved.options),
        "model": dict(saved.model),
        "combination": list(saved.combination),
        "degradations": {name: list(what) for name, what in saved.degradations.items()},
        "view": dict(saved.view),
    }
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("session.json", json.dumps(document, indent=2, ensure_ascii=False))
                if saved.brain is not None:
                    archive.writestr(_BRAIN, _packed(saved.brain))
                _add_predictions(archive, saved.predictions)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be written ({error.strerror}); choose another folder."
        ) from None


def read_saved(path: Path) -> Saved:
    """Read a session file. Raises InputError if it is none, is damaged, or a scan is gone or has changed."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError
            document = json.loads(archive.read("session.json"))
            if document["format"] != FORMAT:
                raise ValueError
            folder = path.resolve().parent
            files = {
                r: (Path(os.path.normpath(folder / _relative(f["path"]))), str(f["sha256"]))
                for r, f in document["files"].items()
            }
            saved = Saved(
                task=document["task"],
                files=files,
                model={name: str(document["model"][name]) for name in ("name", "version", "sha256")},
                combination=tuple(document["combination"]),
                degradations={name: (kind, float(s)) for name, (kind, s) in document["degradations"].items()},
                view=dict(document["view"].items()),
                predictions=_predictions(archive),
                options=_options(document.get("options", {"assume_ras": document.get("assume_ras", False)})),
                brain=_unpacked(archive.read(_BRAIN)) if _BRAIN in archive.namelist() else None,
            )
    except FileNotFoundError:
        raise InputError(f"{path.name} does not exist; check the path.") from None
    except _DAMAGED:
        raise InputError(
            f"{path.name} is no session file, or is damaged; open the scans themselves."
        ) from None
    for role, (file, sha256) in saved.files.items():
        _unchanged(path, role, file, sha256)
    return saved


def fits(prediction: Prediction, study: Study, model_sha256: str) -> bool:
    """True if ``prediction`` is that model's final of ``study``: same images, same grid, whole arrays."""
    p = prediction
    if p.combination not in study.task.combinations(study.present) or p.task.name != study.task.name:
        return False
    used = study.only(p.combination)
    box = tuple(len(range(*s.indices(n))) for s, n in zip(p.box, p.grid.shape, strict=True))
    return (
        (p.model.get("sha256"), p.digest, p.grid.shape) == (model_sha256, used.digest, used.grid.shape)
        and p.grid.same_as(used.grid)
        and p.labels.shape == p.grid.shape
        and p.probabilities.shape == (len(study.task.regions), *box)
    )


def _options(found: Mapping[str, Any]) -> dict[str, Any]:
    """``found`` if it holds nothing but :data:`~.read_options.SAVED`; else ValueError."""
    if any(type(value) is not SAVED.get(name) for name, value in found.items()):
        raise ValueError
    # Up to version 0.1 a template could be fitted; the bundled network took its place.
    return {name: value for name, value in found.items() if (name, value) != ("brain", "template")}


def _relative(path: str) -> str:
    """``path`` as it stands; ValueError for one that would lead anywhere on this machine."""
    if PurePosixPath(path).anchor or PureWindowsPath(path).anchor:
        raise ValueError
    return path


def _unchanged(path: Path, role: str, file: Path, sha256: str) -> None:
    try:
        kind = format_of(file)
        if kind is None or not (file.is_file() or names_series(file)):  # a device or a pipe may never end
            raise FileNotFoundError
        found = kind.sha256(file)
    except (OSError, InputError):
        raise InputError(
            f"{file.name} ({role}) is not where it was when {path.name} was saved; put it back, or open the scans anew."
        ) from None
    if found != sha256:
        raise InputError(
            f"{file.name} ({role}) has changed since {path.name} was saved; open the scans anew and save again."
        )


def _add_predictions(archive: zipfile.ZipFile, predictions: Iterable[Prediction]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, prediction in enumerate(predictions):
            file = Path(folder) / f"{number}.safetensors"
            write_prediction(file, prediction)
            archive.write(file, f"predictions/{number}.safetensors")
            file.unlink()


def _packed(mask: npt.NDArray[np.bool_]) -> bytes:
    from safetensors.numpy import save

    result: bytes = save({"mask": np.packbits(mask), "shape": np.array(mask.shape)})
    return result


def _unpacked(content: bytes) -> npt.NDArray[np.bool_]:
    """Raises ValueError for what :func:`_packed` did not write."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(content)
    except SafetensorError as error:
        raise ValueError from error
    shape = tuple(int(n) for n in found["shape"])
    if min(shape) < 1 or -(-math.prod(shape) // 8) != found["mask"].size:
        raise ValueError
    bits = np.unpackbits(found["mask"], count=math.prod(shape))
    return bits.reshape(shape).astype(bool)


def _predictions(archive: zipfile.ZipFile) -> tuple[Prediction, ...]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in archive.namelist():
            if name.startswith("predictions/"):
                file = Path(folder) / "one.safetensors"
                file.write_bytes(archive.read(name))
                prediction = read_prediction(file)
                if prediction is not None:
                    found.append(prediction)
    return tuple(found)
