"""Predictions of any program, from a folder of label files: what stands beside our model in a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_mrseg.compare.metrics import bounding_box
from napari_mrseg.errors import InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io import formats
from napari_mrseg.io.result_files import onto_grid, read_labels
from napari_mrseg.io.result_names import find_results, label_files, read_combination
from napari_mrseg.models.card import CARD
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task

_Scans = frozenset[str]


@dataclass(frozen=True)
class Elsewhere:
    """Whose results they are: the folder's name stands for a model's."""

    name: str

    @property
    def info(self) -> dict[str, str]:
        return {"name": self.name, "version": "", "sha256": ""}


class MadeElsewhere:
    """Label files in ``folder``, answering like an engine: :meth:`combinations` and :meth:`run`.

    File names say subject and modalities as for ``mrseg score`` (:func:`~napari_mrseg.io.result_names.find_results`);
    in a folder of one subject the modalities alone will do (``flair+t1ce.nii.gz``). Such names do not say whose results
    they are: they belong to the first study that is asked for, and to no other one. Codes are the task's.
    Raises InputError if there is no label file in or below the folder.
    """

    def __init__(self, folder: str | Path, task: Task) -> None:
        self.folder, self.task = Path(folder), task
        self.model = Elsewhere(self.folder.resolve().name)
        if not holds_results(self.folder, task):
            raise InputError(
                f"{self.model.name} is neither a model folder (no {CARD}) nor a folder of label files; choose another."
            )
        self._files: dict[_Scans, Mapping[Combination, Path]] = {}
        self._unnamed: _Scans | None = None  # whose results the files are whose names say no subject

    def find(self, study: Study) -> None:
        """Look for the results of ``study``. Raises InputError that says how names are read, if there are none."""
        self._files[_scans(study)] = self._find(study)

    def combinations(self, study: Study) -> tuple[Combination, ...]:
        """Combinations of the study's modalities that a label file is there for."""
        scans = _scans(study)
        if scans not in self._files:
            try:
                self.find(study)
            except InputError:
                self._files[scans] = {}
        files = self._files[scans]
        return tuple(c for c in study.task.combinations(study.present) if c in files)

    def run(
        self,
        study: Study,
        combination: Iterable[str],
        *,
        preview: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[Prediction]:
        """The result for ``combination`` on the study's grid; regions are 0 or 1. Raises InputError for a file that
        cannot be read or lies elsewhere."""
        wanted = study.task.combination(combination)
        if wanted not in self.combinations(study):
            raise InputError(f"{self.model.name} has no result for {'+'.join(wanted)} of {study.case}.")
        path = self._files[_scans(study)][wanted]
        check()
        found, _ = onto_grid(read_labels(path, study.task), study.grid, f"the scans of {study.case}")
        check()
        labels = np.ascontiguousarray(found)
        box = bounding_box(labels) or (slice(0, 1),) * 3
        inside = [np.isin(labels[box], region.codes) for region in study.task.regions]
        yield Prediction(
            task=study.task,
            case=study.case,
            combination=wanted,
            grid=study.grid,
            labels=labels,
            probabilities=np.stack(inside).astype(np.float16),
            box=box,
            model=self.model.info,
            device="elsewhere",
            precision="",
            spacing=study.grid.spacing[0],
            seconds=0.0,
        )

    def _find(self, study: Study) -> Mapping[Combination, Path]:
        try:
            found = find_results(self.folder, [study.case], self.task).files
            return found[study.case]
        except InputError:
            alone = [
                (p, read_combination(formats.stem(p), self.task)) for p in label_files(self.folder, self.task)
            ]
            files = {combination: path for path, combination in alone if combination is not None}
            if not files:
                raise
            scans = _scans(study)
            if self._unnamed is not None and not self._unnamed & scans:
                raise InputError(
                    f"The names in {self.model.name} say no subject, and it was chosen for another study; choose it "
                    f"again if its results are of {study.case}."
                ) from None
            self._unnamed = scans | (self._unnamed or frozenset())
            return files


def _scans(study: Study) -> _Scans:
    """What tells a study from all others, whatever its folder is called: the bytes of its files."""
    return frozenset(image.source.sha256 for image in study.images.values())


def holds_results(folder: Path, task: Task) -> bool:
    """Whether ``folder`` is no model's and has label files of ``task`` in it or in a folder within."""
    if not folder.is_dir() or (folder / CARD).exists():
        return False
    within = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return any(label_files(one, task) for one in (folder, *within))
