"""Studies and a predictor that cost next to nothing, for tests that switch hundreds of times."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny import study

from napari_mrseg.errors import InputError
from napari_mrseg.inference.imagining import Curves, Imagined
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import Model
from napari_mrseg.prepare import Frame
from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Combination

NAMES = ("alpha", "bravo", "charlie", "delta", "echo")
BROKEN = "broken"


def studies() -> dict[str, Study]:
    """By case. Each has a shape, a voxel size and a note of its own, so that nothing of one can pass for another's."""
    made = {}
    for number, name in enumerate(NAMES):
        one = study(
            ("flair", "t1ce"),
            shape=(6 + number, 9 + number, 8 + number),
            spacing=1.0 + 0.37 * number,
            reference=number % 2 == 0,
            case=name,
        )
        note = Note("doubt", f"{name} has a doubt of its own.")
        made[name] = Study(one.task, name, one.images, one.reference, notes=(note,))
    return made


class Reading:
    """In place of ``io.open_study``: the folder's name says which study it is; "broken" is refused."""

    def __init__(self, known: dict[str, Study], pause: Callable[[], float] = lambda: 0.0) -> None:
        self.known, self.pause = known, pause

    def __call__(self, paths: Sequence[str], *, reading: Any = None, **options: Any) -> Study:
        for number in range(3):
            if reading is not None:
                reading("flair", number / 3)
            time.sleep(self.pause())
        name = Path(paths[0]).name
        if name == BROKEN:
            raise InputError("broken holds nothing; open another folder.")
        one = self.known[name]
        return Study(one.task, one.case, one.images, one.reference, notes=one.notes)


class Quick:
    """A predictor: labels made of the images' digest. ``pause``: seconds between two checks of a run."""

    device_name, precision = "cpu", "fp32"

    def __init__(self, model: Model, pause: Callable[[], float] = lambda: 0.0) -> None:
        self.model, self.pause = model, pause

    def run(
        self,
        study: Study,
        combination: Iterable[str],
        *,
        focus: Any = None,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Iterator[Prediction]:
        yield self._made(study, tuple(combination), check, progress)

    def run_all(
        self,
        study: Study,
        combinations: Iterable[Iterable[str]],
        *,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[Combination, float], None] = lambda *_: None,
    ) -> Iterator[Prediction]:
        for one in combinations:
            combination = tuple(one)
            yield self._made(study, combination, check, lambda part, c=combination: progress(c, part))

    def forget(self) -> None:
        pass

    def _made(
        self,
        study: Study,
        combination: Combination,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Prediction:
        for part in range(3):
            check()
            progress(part / 3)
            time.sleep(self.pause())
        digest = study.only(combination).digest
        seed = int.from_bytes(hashlib.sha256(digest.encode()).digest()[:4], "big")
        rng = np.random.default_rng(seed)
        labels = (rng.random(study.grid.shape) < 0.4).astype(np.uint8) * rng.integers(
            1, 4, study.grid.shape, dtype=np.uint8
        )
        return Prediction(
            study.task,
            study.case,
            combination,
            study.grid,
            labels,
            np.zeros((len(study.task.regions), *study.grid.shape), np.float16),
            tuple(slice(0, n) for n in study.grid.shape),
            self.model.info,
            self.device_name,
            self.precision,
            1.0,
            0.01,
            digest=digest,
        )


class Dreamer:
    """In place of the network that imagines: the mean of the given scans.

    ``ran``: of which scans it was run; ``asked``: what it was asked to imagine from them. ``pause``: called once before
    it imagines and once before it ends.
    """

    device, precision = "cpu", "fp32"

    def __init__(
        self, model: Model, pause: Callable[[], object] = lambda: None, *, doubt: float = 1.0
    ) -> None:
        self.model, self.pause, self.doubt = model, pause, doubt
        self.ran: list[Combination] = []
        self.asked: list[tuple[str, Combination]] = []

    def __call__(self, *, device: str, precision: str) -> Dreamer:
        return self

    def curves(
        self, study: Study, given: Iterable[str], *, check: Callable[[], None] = lambda: None
    ) -> Curves:
        only = study.only(given)
        self.ran.append(only.present)
        check()
        whole = Frame(tuple(slice(0, n) for n in study.grid.shape), (0, 0, 0), (1, 1, 1), study.grid.shape)
        nothing = torch.empty(0)
        return Curves(only, whole, nothing, nothing, nothing)

    def imagine(self, study: Study, target: str, given: Iterable[str], *, curves: Curves) -> Imagined:
        used = tuple(given)
        assert used == curves.given.present
        self.asked.append((target, used))
        self.pause()
        middle = np.mean([self.real(study, name) for name in used], axis=0, dtype=np.float32)
        inside = np.any([self.shown(study, name) for name in used], axis=0)
        self.pause()
        return Imagined(
            task=study.task,
            case=study.case,
            target=target,
            given=used,
            middle=middle,
            low=middle - self.doubt,
            high=middle + self.doubt,
            inside=inside,
            model=self.model.info,
            device="cpu",
            precision="fp32",
            seconds=0.01,
            source=study.images[used[0]].source,
        )

    def real(self, study: Study, name: str) -> Any:
        """In units of the imagined ones."""
        data = study.images[name].data
        return np.where(data != 0, (data - 300) / 40, 0).astype(np.float32)

    def shown(self, study: Study, name: str) -> Any:
        """Where the scan shows something."""
        return study.images[name].data != 0
