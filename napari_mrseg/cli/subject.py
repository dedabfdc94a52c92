"""``inspect``, ``predict``, ``compare``: a subject's files in, labels and tables out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date as today
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mrseg.cli.options import (
    AssumeRas,
    Brain,
    BrainOption,
    Certificate,
    Depth,
    Device,
    EngineAt,
    Grid,
    Json,
    Labels,
    ModelName,
    ModelNames,
    NoReference,
    Onto,
    Out,
    Overwrite,
    Paths,
    Pdf,
    Precision,
    ReferenceFile,
    TaskName,
    TokenFile,
    answer,
    given_model,
    progress_bar,
    read_options,
    remote_engine,
    say,
    which_task,
)
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Combination, Task, get_task, key, sized

if TYPE_CHECKING:
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.inference.predictor import Predictor
    from napari_mrseg.io.read_options import ReadOptions
    from napari_mrseg.models.card import ModelCard
    from napari_mrseg.models.store import About
    from napari_mrseg.remote.client import RemoteEngine
    from napari_mrseg.study import Study

app = typer.Typer()


class Format(StrEnum):
    nifti = "nifti"
    dicom_seg = "dicom-seg"


@app.command()
def inspect(
    paths: Paths,
    task: TaskName = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    depth: Depth = "auto",
    as_json: Json = False,
) -> None:
    """Say what was recognised as what and why, grids, orientation and problems. Runs no model.

    Example: mrseg inspect subject-01/
    """
    from napari_mrseg.io import describe
    from napari_mrseg.io import inspect as inspect_files

    asked = which_task(task, None, paths)
    report = inspect_files(
        paths, asked, read_options(asked, assume_ras=assume_ras, onto=onto, brain=brain, depth=depth)
    )
    report["suggested"] = {}
    if report["problems"] and not report["usable"]:
        from napari_mrseg.session.opening import suggested_roles

        suggested = suggested_roles(paths, asked)
        report["suggested"] = {Path(path).name: role for path, role in suggested.items()}
    answer(report, as_json, lambda: describe(report))
    if report["problems"]:
        raise typer.Exit(InputError.exit_code)


@app.command()
def predict(
    paths: Paths,
    out: Out,
    use: Annotated[
        str | None,
        typer.Option(
            "--use", metavar="A,B", help="Modalities to use, e.g. flair,t1ce; default: all that are there."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every non-empty subset of those that are there.")
    ] = False,
    grid: Grid = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="File format of the labels.")
    ] = Format.nifti,
    pdf: Pdf = False,
    task: TaskName = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine_at: EngineAt = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    labels: Labels = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    depth: Depth = "auto",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one label file per combination of modalities, and result.json.

    Example: mrseg predict subject-01/ -o results --use flair,t1ce

    Example: mrseg predict subject-01/ -o results --all --engine http://localhost:8765
    """
    from napari_mrseg.compare import dice_to_reference
    from napari_mrseg.compare.case_report import case_files
    from napari_mrseg.compare.comparison import trust_in
    from napari_mrseg.compare.diameters import diameters_of
    from napari_mrseg.compare.worth import worth_by
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.io.export import LESIONS, REPORT_PDF, check_outputs, versions, write_results
    from napari_mrseg.models.store import load_model

    if use and every:
        raise InputError("--use and --all exclude each other; give one of them.")
    seg = file_format is Format.dicom_seg
    remote = remote_engine(engine_at, token_file, certificate, model=model)
    loaded = given_model(model, task)
    known = _same_task(remote, task) if remote is not None else loaded
    kind = which_task(task, known, paths)
    options = read_options(
        kind,
        reference=reference,
        no_reference=no_reference,
        labels=labels,
        assume_ras=assume_ras,
        onto=onto,
        brain=brain,
        depth=depth,
    )
    study = _open(paths, kind, options, use)
    engine: Predictor = remote or Engine(
        loaded or load_model(task=study.task), device=device, precision=precision
    )
    combinations = _combinations(study, engine.model.card, use, every)
    reports = (REPORT_PDF, LESIONS) if pdf else ()
    check_outputs(out, combinations, study=study, grid=grid, overwrite=overwrite, seg=seg, extra=reports)
    predictions: Iterable[Prediction] = _predictions(engine, study, combinations)
    extra: dict[str, bytes] = {}
    if pdf:
        predictions = list(predictions)
        extra = case_files(study, predictions, date=today.today().isoformat(), versions=versions())
    result = write_results(
        study,
        predictions,
        out,
        model=engine.model.info,
        grid=grid,
        overwrite=overwrite,
        dice=dice_to_reference(study),
        diameters=diameters_of,
        extra_files=extra,
        trust=trust_in(study),
        worth=worth_by(engine.model.card, study.task),
        seg=seg,
    )
    if seg:
        say(
            "A DICOM SEG carries the name and number of the patient whose scans it belongs to, as DICOM asks."
        )
    answer(result, as_json, lambda: _written(result, out, study))


@app.command()
def compare(
    paths: Paths,
    out: Out,
    grid: Grid = None,
    pdf: Pdf = False,
    task: TaskName = None,
    model: ModelNames = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine_at: EngineAt = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    labels: Labels = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    depth: Depth = "auto",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict every combination, and write table.csv, table.json and report.html beside the labels.

    With two models, a folder of each and both beside each other in models.html, models.csv and models.json.

    Example: mrseg compare subject-01/ -o comparison

    Example: mrseg compare subject-01/ -o comparison --model compact --model runs/smml/model
    """
    from napari_mrseg.compare import write_comparison
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.models.store import load_model

    names = list(model or [])
    if len(names) > 2:
        raise InputError("Two models are compared at a time; give --model once or twice.")
    if pdf and len(names) == 2:
        raise InputError("--pdf reports one model; give --model once, or leave --pdf out.")
    remote = remote_engine(engine_at, token_file, certificate, model=names)
    loaded = given_model(names[0] if names else None, task)
    known = _same_task(remote, task) if remote is not None else loaded
    kind = which_task(task, known, paths)
    options = read_options(
        kind,
        reference=reference,
        no_reference=no_reference,
        labels=labels,
        assume_ras=assume_ras,
        onto=onto,
        brain=brain,
        depth=depth,
    )
    study = _open(paths, kind, options)
    if len(names) == 2 and loaded is not None:
        engines = [
            Engine(one, device=device, precision=precision)
            for one in (loaded, load_model(names[1], task=study.task))
        ]
        _compare_models(study, engines, out, grid, overwrite, as_json)
        return
    engine: Predictor = remote or Engine(
        loaded or load_model(task=study.task), device=device, precision=precision
    )
    combinations = _combinations(study, engine.model.card, None, True)
    result = write_comparison(
        study,
        _predictions(engine, study, combinations),
        out,
        combinations=combinations,
        model=engine.model.info,
        grid=grid,
        overwrite=overwrite,
        pdf=pdf,
        card=engine.model.card,
    )
    answer(result, as_json, lambda: f"{_written(result, out, study)}\nReport: {out / 'report.html'}")


def _same_task(remote: RemoteEngine, task: str | None) -> About:
    """The model of the engine elsewhere. Raises InputError if it is of another task than the one asked for."""
    if task is not None and get_task(task).name != remote.model.task.name:
        raise InputError(
            f"The engine's model is for the task {remote.model.task.name}, not {task}; leave --task out."
        )
    return remote.model


def _compare_models(
    study: Study, engines: Sequence[Engine], out: Path, grid: str | None, overwrite: bool, as_json: bool
) -> None:
    from napari_mrseg.compare import write_models

    combinations = [_combinations(study, engine.model.card, None, True) for engine in engines]
    result = write_models(
        study,
        [_predictions(e, study, c, e.model.card.name) for e, c in zip(engines, combinations, strict=True)],
        out,
        models=[engine.model.info for engine in engines],
        combinations=combinations,
        grid=grid,
        overwrite=overwrite,
    )
    names = [result["model"]["name"], result["second_model"]["called"]]
    answer(
        result,
        as_json,
        lambda: (
            f"{names[0]} and {names[1]} beside each other: {out / 'models.html'}, {out / 'models.csv'}\n"
            f"On {result['device']}, {result['precision']}. Research use only."
        ),
    )


def _open(
    paths: Sequence[str],
    task: Task,
    options: ReadOptions,
    use: str | None = None,
) -> Study:
    from napari_mrseg.io import open_study
    from napari_mrseg.session.opening import settled
    from napari_mrseg.study import joined

    names = None if use is None else _names(use, task)  # a file that is not used is not even read
    study = settled(open_study(paths, task=task, use=names, **options.arguments()))
    for note in joined(study.notes):
        say(f"Warning: {note.message}")
    return study


def _combinations(study: Study, card: ModelCard, use: str | None, every: bool) -> tuple[Combination, ...]:
    """Those asked for. Raises InputError if the model has no answer to one of them, or to none."""
    if every:
        found = card.combinations(study.present)
        if not found:
            raise InputError(card.refusal(study.present))
        return found
    combination = study.present if use is None else study.only(_names(use, study.task)).present
    if not card.can_do(combination):
        raise InputError(card.refusal(combination))
    return (combination,)


def _names(use: str, task: Task) -> Combination:
    return task.combination(use)


def _predictions(
    engine: Predictor, study: Study, combinations: Sequence[Combination], by: str = ""
) -> Iterator[Prediction]:
    """Finals one by one, with a progress bar on stderr."""
    done: list[Combination] = []
    with progress_bar(
        f"{study.case}{f' by {by}' if by else ''} on {engine.device_name}, {engine.precision}"
    ) as report:

        def advance(combination: Combination, fraction: float) -> None:
            report((len(done) + fraction) / len(combinations), key(combination))

        for prediction in engine.run_all(study, combinations, progress=advance):
            done.append(prediction.combination)
            yield prediction


def _light(trust: Mapping[str, Any]) -> str:
    """What a result's line ends in if it is not to be believed; the warnings below say why."""
    from napari_mrseg.compare.trust import WORDS

    return "" if trust["level"] == "green" else f"; {WORDS[trust['level']]}"


def _written(result: dict[str, Any], out: Path, study: Study) -> str:
    """What was written, with the warnings that were not said when the study was opened."""
    from napari_mrseg.study import joined

    messages = {note.message for note in joined(study.notes)}
    lines = []
    for entry in result["predictions"]:
        sizes = ", ".join(
            f"{region} {sized(s['value'], s['unit'])} {s['unit']}" for region, s in entry["sizes"].items()
        )
        # Two empty regions count as 1: of one that cannot be seen that would say the opposite.
        unseen = {region.name for region in study.task.estimated(entry["combination"])}
        dice = {r: v for r, v in (entry.get("dice") or {}).items() if v is not None and r not in unseen}
        against = f"; Dice {', '.join(f'{r} {v:.3f}' for r, v in dice.items())}" if dice else ""
        lines.append(f"{out / entry['file']}: {sizes}{against}{_light(entry['trust'])}")
    model = result["model"]
    lines.append(
        f"Model {model['name']} {model['version']} on {result['device']}, {result['precision']}. Research use only."
    )
    lines += [f"Warning: {w['message']}" for w in result["warnings"] if w["message"] not in messages]
    return "\n".join(lines)
