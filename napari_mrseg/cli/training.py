"""``simulate``, ``train``, ``evaluate``, ``ablate``, ``benchmark``: the training package, if it is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mrseg.cli.options import (
    Device,
    Json,
    Labels,
    ModelNames,
    Out,
    Overwrite,
    Precision,
    TaskName,
    answer,
    say,
    with_training,
)
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import DEFAULT, RGBD_SOD, get_task

app = typer.Typer()

Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A shipped configuration's name, or a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE ...]", help="Settings to change, e.g. stages.adapt.steps=100."),
]


def _with_task(overrides: list[str] | None, task: str | None, key: str = "task") -> list[str]:
    """The settings to change, ``--task`` among them. Raises InputError for an unknown task."""
    return [*(overrides or []), *([] if task is None else [f"{key}={get_task(task).name}"])]


@app.command()
def simulate(
    config: Config,
    out: Out,
    overrides: Overrides = None,
    task: TaskName = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the simulated, labelled test subjects of a configuration as folders of NIfTI files, or of pictures.

    Example: mrseg simulate tiny -o simulated data.simulate.test=5
    """
    with with_training():
        from mrseg_training.config import load_config
        from mrseg_training.data.scene_generator import write_scenes
        from mrseg_training.data.simulated_subjects import write_studies

        settings = load_config(config, _with_task(overrides, task))
        if out.exists() and any(out.iterdir()) and not overwrite:
            raise InputError(f"{out.name} is not empty; use --overwrite or another folder.")
        write = write_scenes if settings.model_task.ndim == 2 else write_studies
        folders = write(settings.data.simulate, settings.model_task, out, say=say)
    typer.echo(f"{len(folders)} simulated subjects are in {out}.")


@app.command()
def train(
    config: Config,
    out: Out,
    overrides: Overrides = None,
    task: TaskName = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Only this stage of the recipe.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run in this folder stopped.")
    ] = False,
) -> None:
    """Run a training recipe, or one stage of it; leaves a model folder in DIR/model.

    Example: mrseg train tiny -o runs/tiny
    """
    with with_training():
        from mrseg_training.config import load_config
        from mrseg_training.loop import train as fit

        settings = load_config(config, _with_task(overrides, task))
        model = fit(settings, out, stage=stage, resume=resume)
    look = "demo" if settings.task in (DEFAULT.name, RGBD_SOD.name) else "view SUBJECT"  # those have a sample
    typer.echo(f"The model is in {model}; look at it with: mrseg {look} --model {model}")


@app.command()
def evaluate(
    out: Out,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder of subjects, each with a reference.")
    ],
    task: TaskName = None,
    model: ModelNames = None,
    device: Device = "auto",
    precision: Precision = "auto",
    labels: Labels = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="run|all|FILE|DIR",
            help="Which subjects: the test list of the model's own run, where that is there; all; or a list of ids.",
        ),
    ] = "run",
    subjects: Annotated[
        str | None,
        typer.Option("--subjects", metavar="A,B", help="Only these subjects, whatever --split says."),
    ] = None,
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Lesion-wise Dice and HD95 (BraTS 2023) and surface Dice, too.")
    ] = False,
    order: Annotated[
        bool, typer.Option("--order", help="Measure on four subjects what shuffled inputs change, too.")
    ] = False,
    activations: Annotated[
        bool,
        typer.Option("--activations", help="Draw mean activations of the features of four subjects, too."),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=0,
            help="Further processes that compute scores; default: cores less one, at most 4.",
        ),
    ] = None,
    folds: Annotated[
        Path | None,
        typer.Option(
            "--folds",
            metavar="DIR",
            help="Runs of a cross-validation, a folder each: every subject is measured by the model that tests it.",
        ),
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the paper-style table: a row per combination, a column per region, average and standard deviation.

    With several models, a folder of each, and models.md with the paired differences to the first and their intervals.

    A model in the folder of its run is measured on that run's test subjects, and the table says how many it has seen.

    Example: mrseg evaluate --model compact --data subjects/ -o evaluation

    Example: mrseg evaluate --model compact --model runs/smml/model --data subjects/ -o evaluation --split all

    Example: mrseg evaluate --folds runs/folds --data subjects/ -o evaluation
    """
    if folds is not None and (model or subjects or order or activations or split != "run"):
        raise InputError(
            "--folds brings its own models and subjects; leave --model, --split, --subjects, --order and --activations "
            "out."
        )
    with with_training():
        from mrseg_training.evaluate import evaluate as measure
        from mrseg_training.evaluate_models import evaluate_models

        chosen = None if task is None else get_task(task)
        options: dict[str, Any] = {
            "task": chosen,
            "device": device,
            "precision": precision,
            "overwrite": overwrite,
            "labels": labels,
            "split": split,
            "subjects": None if subjects is None else [s.strip() for s in subjects.split(",") if s.strip()],
            "lesions": lesions,
            "shuffles": 5 if order else 0,
            "activations": activations,
            "processes": min(4, (os.cpu_count() or 1) - 1) if processes is None else processes,
            "say": say,
        }
        names = list(model or [])
        if folds is not None:
            from mrseg_training.evaluate_folds import evaluate_folds

            for key in ("split", "subjects", "shuffles", "activations"):
                options.pop(key)
            report, table = evaluate_folds(folds, data, out, **options), out / "table.md"
        elif len(names) > 1:
            report, table = evaluate_models(names, data, out, **options), out / "models.md"
        else:
            report, table = measure(names[0] if names else None, data, out, **options), out / "table.md"
    answer(report, as_json, lambda: table.read_text())


@app.command()
def ablate(
    config: Config,
    out: Out,
    overrides: Overrides = None,
    task: TaskName = None,
    rows: Annotated[str | None, typer.Option("--rows", metavar="A,B", help="Only these rows.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds.")] = None,
) -> None:
    """Train and measure the rows of an ablation table. Goes on where a run in this folder stopped.

    Example: mrseg ablate ablation -o runs/ablation --rows baseline,full --seeds 1
    """
    with with_training():
        from mrseg_training.ablate import AblationConfig
        from mrseg_training.ablate import ablate as run
        from mrseg_training.config import load_as

        wanted = None if rows is None else [row for row in rows.split(",") if row.strip()]
        table = run(
            load_as(AblationConfig, config, _with_task(overrides, task, "base.task")), out, wanted, seeds
        )
    typer.echo(table.read_text())


@app.command()
def benchmark(
    config: Config,
    out: Out,
    overrides: Overrides = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder with the plan's real subjects; default: none, simulated ones.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", min=2, help="Test each real subject once, in so many folds; one table of all."
        ),
    ] = None,
    rows: Annotated[str | None, typer.Option("--rows", metavar="A,B", help="Only these methods.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds.")] = None,
) -> None:
    """Train methods for equally long on the same data, and measure them on the same subjects. Goes on where it stopped.

    Example: mrseg benchmark compact -o runs/benchmark --rows dropout-unet,smml --seeds 1

    Example: mrseg benchmark compact -o runs/folds --data subjects/ --folds 3 minutes=30
    """
    if folds is not None and data is None:
        raise InputError("--folds needs --data, the folder of the plan's real subjects.")
    with with_training():
        from mrseg_training.benchmark import benchmark as run
        from mrseg_training.benchmark import load_benchmark

        wanted = None if rows is None else [row for row in rows.split(",") if row.strip()]
        plan = load_benchmark(config, overrides or [])
        if folds is not None and data is not None:
            from mrseg_training.benchmark_folds import benchmark_folds

            table = benchmark_folds(plan, out, data=data, folds=folds, rows=wanted, seeds=seeds)
        else:
            table = run(plan, out, data=data, rows=wanted, seeds=seeds)
    typer.echo(table.read_text())
