"""``doctor``, ``bench``, ``version``: this machine and what is installed on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_mrseg import __version__
from napari_mrseg.cli.options import (
    Device,
    Json,
    ModelName,
    Overwrite,
    Precision,
    TaskName,
    answer,
    given_model,
    say,
)
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import get_task

app = typer.Typer()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed and usable here: versions, devices, viewer, models.

    Example: mrseg doctor
    """
    from napari_mrseg.doctor import examine, summary

    report = examine()
    answer(report, as_json, lambda: summary(report))


@app.command()
def bench(
    task: TaskName = None,
    model: ModelName = None,
    size: Annotated[
        str | None, typer.Option("--size", help="compact or paper, with random weights: good for times only.")
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option("--study", metavar="PATH", help="A real study; default: a synthetic scan."),
    ] = None,
    window: Annotated[bool, typer.Option("--window", help="Measure in the viewer's window too.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A small scan, to try the command.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the JSON here too.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure speed and memory on this machine, beside the usual way with the same weights in the same run.

    Example: mrseg bench --size compact -o bench.json
    """
    from napari_mrseg.bench import bench as measure
    from napari_mrseg.bench import summary
    from napari_mrseg.models.store import load_model

    if size not in (None, "compact", "paper"):
        raise InputError(f"“{size}” is not a size; use compact or paper.")
    if size is not None and model is not None:
        raise InputError("--model and --size exclude each other; give one of them.")
    chosen = None if task is None else get_task(task)
    if out is not None and out.exists() and not overwrite:
        raise InputError(f"{out.name} is there already; use --overwrite or another name.")
    report = measure(
        given_model(model, task) or (load_model(task=chosen) if size is None else None),
        task=chosen,
        device=device,
        precision=precision,
        size=size,  # type: ignore[arg-type]
        study=study or (),
        quick=quick,
        window=window,
        report=say,
    )
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    answer(report, as_json, lambda: summary(report))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
