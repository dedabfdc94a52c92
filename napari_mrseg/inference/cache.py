"""Finished predictions, kept within a memory budget and optionally on disk, so that a demo starts warm."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Grid, Note
from napari_mrseg.tasks import get_task

BUDGET = 2 * 10**9  # the default of the preference in napari.yaml too
FORMAT = 1  # of the files; others are not read


class PredictionCache:
    """A thread-safe dictionary of predictions.

    Parameters
    ----------
    budget
        Bytes kept in memory; the least recently used leave first, the newest always stays. None: :data:`BUDGET`,
        until the window sets what its preferences say.
    folder
        Where predictions are kept from one session to the next; None: nowhere.
    """

    def __init__(self, budget: int | None = None, folder: Path | None = None) -> None:
        self.chosen = budget is not None
        self.budget = BUDGET if budget is None else budget
        self.folder = folder
        self._items: OrderedDict[Hashable, Prediction] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Prediction | None:
        """The prediction kept in memory under ``key``."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def recall(self, key: Hashable) -> Prediction | None:
        """:meth:`get`, else from disk; slower, not for a thread that must not wait."""
        found = self.get(key)
        if found is None and self.folder is not None:
            found = read_prediction(self._path(key))
            if found is not None:
                self._remember(key, found)
        return found

    def put(self, key: Hashable, prediction: Prediction) -> None:
        self._remember(key, prediction)
        if self.folder is not None:
            # A full or read-only disk only means a colder start next time.
            with suppress(OSError):
                write_prediction(self._path(key), prediction)

    def clear(self) -> None:
        """Forget what is in memory."""
        with self._lock:
            self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

    def limit(self, budget: int) -> None:
        """Keep no more than ``budget`` bytes from now on."""
        with self._lock:
            self.budget = budget
            self._shrink()

    def _remember(self, key: Hashable, prediction: Prediction) -> None:
        with self._lock:
            self._items[key] = prediction
            self._items.move_to_end(key)
            self._shrink()

    def _shrink(self) -> None:
        while len(self._items) > 1 and sum(p.nbytes for p in self._items.values()) > self.budget:
            self._items.popitem(last=False)

    def _path(self, key: Hashable) -> Path:
        assert self.folder is not None
        return self.folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.safetensors"


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write one prediction as safetensors, in one step or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encode_prediction(prediction))
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_prediction(path: Path) -> Prediction | None:
    """What :func:`write_prediction` wrote; None if it is missing, damaged or of another format."""
    try:
        return decode_prediction(path.read_bytes())
    except (OSError, ValueError):
        return None


def encode_prediction(prediction: Prediction) -> bytes:
    """One prediction as safetensors: labels and probabilities in the box, the rest as JSON in the header."""
    from safetensors.numpy import save

    p = prediction
    about = {
        "format": FORMAT,
        "task": p.task.name,
        "case": p.case,
        "combination": p.combination,
        "shape": p.grid.shape,
        "affine": p.grid.affine,
        "box": [(s.start, s.stop) for s in p.box],
        "digest": p.digest,
        "model": dict(p.model),
        "device": p.device,
        "precision": p.precision,
        "spacing": p.spacing,
        "seconds": p.seconds,
        "preview": p.preview,
        "notes": [asdict(n) for n in p.notes],
    }
    arrays = {"labels": np.ascontiguousarray(p.labels[p.box]), "probabilities": p.probabilities}
    content: bytes = save(arrays, {"prediction": json.dumps(about)})
    return content


def decode_prediction(content: bytes) -> Prediction:
    """The inverse of :func:`encode_prediction`. Raises ValueError for what is damaged or of another format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        about: dict[str, Any] = json.loads(header["__metadata__"]["prediction"])
        if about["format"] != FORMAT:
            raise ValueError("of another format")
        arrays = load(content)
        box = tuple(slice(a, b) for a, b in about["box"])
        whole = np.zeros(about["shape"], dtype=np.uint8)
        whole[box] = arrays["labels"]
        return Prediction(
            task=get_task(about["task"]),
            case=about["case"],
            combination=tuple(about["combination"]),
            grid=Grid.of(about["shape"], about["affine"]),
            labels=whole,
            probabilities=arrays["probabilities"],
            box=box,
            digest=about["digest"],
            model=about["model"],
            device=about["device"],
            precision=about["precision"],
            spacing=about["spacing"],
            seconds=about["seconds"],
            preview=about.get("preview", False),
            notes=tuple(Note(**n) for n in about["notes"]),
        )
    except (SafetensorError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no prediction ({type(error).__name__})") from None
