"""``mrseg evaluate --folds``: the runs of a cross-validation in one table, each subject measured once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mrseg_training.evaluate import OUTPUTS, Measured, check_all, find_labelled
from mrseg_training.log import Say, silent
from mrseg_training.measure import measuring
from mrseg_training.selection import split_of_run
from napari_mrseg.errors import InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.card import CARD
from napari_mrseg.models.store import Model, load_model
from napari_mrseg.tasks import Task


def evaluate_folds(
    runs: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    task: Task | None = None,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    hd95: bool = True,
    lesions: bool = False,
    labels: str | None = None,
    processes: int = 0,
    say: Say = silent,
) -> dict[str, Any]:
    """Measure each subject under ``data`` by the model of the fold that tests it; writes what ``evaluate`` writes.

    ``runs``: a folder with a run of ``mrseg train data.folds=K data.fold=k`` in each of its folders. Returns the
    content of ``table.json``, whose ``folds`` say which model has measured whom. Raises InputError if the folder holds
    no runs, if they are of several tasks, or if a subject is in two test lists or in the training list of its model.
    """
    out, data, runs = Path(out), Path(data), Path(runs).expanduser()
    taken = [name for name in OUTPUTS if (out / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} is already in {out.name}; use --overwrite, or another folder.")
    models = [load_model(path.parent, task=task) for path in sorted(runs.glob(f"*/model/{CARD}"))]
    if len(models) < 2:
        raise InputError(
            f"{runs} holds {len(models)} runs; --folds takes a folder with a run of mrseg train for each fold."
        )
    kinds = list(dict.fromkeys(model.card.task for model in models))
    if len(kinds) > 1:
        raise InputError(f"The folds are of different tasks ({', '.join(kinds)}); keep those of one.")
    tester = _testers(models)
    source = find_labelled(data, models[0].task, None, labels)
    there = [subject for subject in source.ids if subject in tester]
    if not there:
        raise InputError(f"None of the subjects in the folds' test lists is under {data}; check --data.")
    source = source.only(there)
    say(
        f"{len(there)} subjects of {len(models)} folds are measured; {len(tester) - len(there)} are not there."
    )
    check_all(source, say)
    folds = [
        {"model": model.info, "run": _run(model), "subjects": [s for s in there if tester[s] is model]}
        for model in models
    ]
    measured = Measured(models[0], folds=folds)
    engines: dict[int, Engine] = {}

    def engine_of(subject: str) -> Engine:
        model = tester[subject]
        if id(model) not in engines:
            engines.clear()  # one network in memory at a time
            engines[id(model)] = Engine(model, device=device, precision=precision)
        return engines[id(model)]

    source = source.only([subject for fold in folds for subject in fold["subjects"]])
    with measuring(processes) as pool:
        measured.add_all(source, engine_of, out, data.name, pool, hd95=hd95, lesions=lesions, say=say)
    return measured.write(out, data.name, next(iter(engines.values())))


def _run(model: Model) -> str:
    return model.folder.resolve().parent.name


def _testers(models: list[Model]) -> dict[str, Model]:
    """The model that tests each subject."""
    found: dict[str, Model] = {}
    for model in models:
        split = split_of_run(model)
        if split is None or not split["test"]:
            raise InputError(
                f"{_run(model)} has no split/test.txt with subjects; train it with data.folds and data.fold."
            )
        for subject in split["test"]:
            if subject in found:
                raise InputError(
                    f"{subject} is in the test lists of {_run(found[subject])} and {_run(model)}; these are no folds "
                    "of one cross-validation."
                )
            if subject in split["train"] or subject in split["validation"]:
                raise InputError(f"{_run(model)} was trained on {subject}, which is in its test list, too.")
            found[subject] = model
    return found
