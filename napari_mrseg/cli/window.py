"""``demo`` and ``view``: the viewer, or a picture of it."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mrseg.cli.options import (
    AssumeRas,
    Brain,
    BrainOption,
    Cache,
    Certificate,
    Depth,
    Device,
    EngineAt,
    Labels,
    ModelName,
    NoReference,
    Onto,
    Paths,
    Precision,
    ReferenceFile,
    Screenshot,
    TaskName,
    TokenFile,
    given_model,
    read_options,
    remote_engine,
    which_task,
)
from napari_mrseg.doctor import unwritable_folder
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Task

if TYPE_CHECKING:
    from napari_mrseg.io.watched import Watched
    from napari_mrseg.models.store import Model
    from napari_mrseg.remote.client import RemoteEngine

app = typer.Typer()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """While the program starts: nothing is looked through, since nearly all that is made then is kept."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command()
def demo(
    task: TaskName = None,
    screenshot: Screenshot = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    tour: Annotated[
        bool,
        typer.Option("--tour", help="Play by itself, for a booth: a touch stops it, left alone it goes on."),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Play the tour once, save it as a moving picture (.gif, .webp, .png) and exit; needs no display.",
        ),
    ] = None,
) -> None:
    """Open the bundled case, which is simulated and not a patient, with the bundled model in the viewer.

    Example: mrseg demo --screenshot demo.png

    Example: mrseg demo --tour --record tour.gif
    """
    from napari_mrseg.resources import sample_study

    with without_garbage_collection():
        loaded = given_model(model, task)
        chosen = which_task(task, loaded)
        _show(
            [str(sample_study(chosen))],
            chosen,
            screenshot,
            loaded,
            device,
            precision,
            cache,
            {},
            tour,
            record=record,
        )


@app.command()
def view(
    paths: Paths,
    task: TaskName = None,
    screenshot: Screenshot = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    labels: Labels = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    depth: Depth = "auto",
    cache: Cache = None,
    engine: EngineAt = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
) -> None:
    """Open your own files in the viewer.

    Example: mrseg view subject-01/

    Example: mrseg view subject-01/ --engine http://localhost:8765
    """
    with without_garbage_collection():
        remote = remote_engine(engine, token_file, certificate, model=model)
        loaded = given_model(model, task)
        chosen = remote.model.task if remote is not None else which_task(task, loaded, paths)
        options = read_options(
            chosen,
            reference=reference,
            no_reference=no_reference,
            labels=labels,
            assume_ras=assume_ras,
            onto=onto,
            brain=brain,
            depth=depth,
        )
        _show(paths, chosen, screenshot, loaded, device, precision, cache, options.arguments(), remote=remote)


def show_watched(
    watched: Watched, model: Model | None, device: str, precision: str, every: float, depth: str
) -> None:
    """The viewer on a folder that is watched."""
    _show((), watched.task, None, model, device, precision, None, {}, live=(watched, every, depth))


def _show(
    paths: Sequence[str],
    task: Task,
    screenshot: Path | None,
    model: Model | None,
    device: str,
    precision: str,
    cache: Path | None,
    options: dict[str, Any],
    tour: bool = False,
    record: Path | None = None,
    remote: RemoteEngine | None = None,
    live: tuple[Watched, float, str] | None = None,
) -> None:
    if screenshot is not None and record is not None:
        raise InputError("Give --screenshot or --record, not both: one picture, or the tour as a moving one.")
    settings = unwritable_folder()
    if settings is not None:
        raise InputError(settings)
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if screenshot is None and record is None:
            raise InputError("There is no display here; add --screenshot FILE to save a picture instead.")
        _again_under_xvfb()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # within Qt's loop no handler of Python's would be reached
    try:
        from napari_mrseg._qt.icon_files import icons_written_beside

        with icons_written_beside():
            from napari_mrseg._qt.app import launch
    except ImportError as error:
        raise InputError(
            f'The viewer needs Qt, which is not installed ({error}); pip install "napari-mrseg[all]".'
        ) from None
    from napari_mrseg.inference.cache import PredictionCache
    from napari_mrseg.session.state import Session

    session = Session(task=task, device=device, precision=precision, cache=PredictionCache(folder=cache))
    if remote is not None:
        session.set_predictor(remote)
    elif model is not None:
        session.set_model(model)
    elif screenshot is not None or (device, precision) != ("auto", "auto"):
        session.load_model()  # else the window does, when it is there: it takes as long to load as the window
    if screenshot is None:
        launch(session, paths=paths, options=options, tour=tour, record=record, live=live)
    else:
        session.open(paths, **options)
        launch(session, screenshot=screenshot)


def _again_under_xvfb() -> None:
    """Run this very command once more inside a virtual display, and exit with its code."""
    import shutil
    import subprocess

    if shutil.which("xvfb-run") is None:
        raise InputError(
            "There is no display here, and no virtual one; install Xvfb (Debian: apt-get install xvfb)."
        )
    command = [
        "xvfb-run",
        "-a",
        "-s",
        "-screen 0 1600x1000x24",
        sys.executable,
        "-m",
        "napari_mrseg.cli",
        *sys.argv[1:],
    ]
    raise typer.Exit(
        subprocess.run(command, env={**os.environ, "QT_QPA_PLATFORM": "xcb"}, check=False).returncode
    )
