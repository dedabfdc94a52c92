"""Options and habits that every command shares."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Task, get_task

if TYPE_CHECKING:
    from napari_mrseg.io.read_options import ReadOptions
    from napari_mrseg.models.store import About, Model
    from napari_mrseg.remote.client import RemoteEngine

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="A subject's folder, or files, or pairs such as flair=a.nii.gz t1ce=b.nii.gz."
    ),
]
Out = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results; made if needed.")
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|DIR", help="Installed model or model folder; default: the bundled one."
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="Installed model or model folder; default: the bundled one. Given twice: both, and what differs.",
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK|FILE",
        help="What is asked, e.g. brats or rgbd-sod, or a task's YAML file; default: the model's task, else what "
        "modality=FILE pairs name.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:n.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
ReferenceFile = Annotated[
    str | None,
    typer.Option(
        "--reference", metavar="SEG", help="Segmentation to compare with; default: one found in the folder."
    ),
]
NoReference = Annotated[
    bool, typer.Option("--no-reference", help="Leave out a segmentation found in the folder.")
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="SCHEME",
        help="What the codes of the reference mean, e.g. msd, brats-ped or whole.",
    ),
]
AssumeRas = Annotated[
    bool,
    typer.Option("--assume-ras", help="Take axes as right, anterior, superior where a file does not say."),
]
Onto = Annotated[
    str | None,
    typer.Option(
        "--onto",
        metavar="MODALITY",
        help="Bring scans of different grids onto this one's; default: the finest.",
    ),
]


class BrainOption(StrEnum):
    auto = "auto"
    hd_bet = "hd-bet"
    synthstrip = "synthstrip"
    none = "none"


Brain = Annotated[
    BrainOption,
    typer.Option(
        "--brain",
        help="How the brain is cut out where scans show a skull; auto: by the bundled network.",
    ),
]
Depth = Annotated[
    str,
    typer.Option(
        "--depth",
        metavar="WORDS",
        help="What depth files say: far or near (what is bright), and mm, 0.1mm or m, e.g. near or far,0.1mm; auto: "
        "guessed and said.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Pdf = Annotated[
    bool,
    typer.Option(
        "--pdf", help="Also write report.pdf, two pages with the picture, and lesions.csv, a line per lesion."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")]
Grid = Annotated[
    str | None,
    typer.Option(
        "--grid", metavar="MODALITY", help="Write on this modality's grid; default: the first one used."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Keep results here, so that the next start is warm."),
]
EngineAt = Annotated[
    str | None,
    typer.Option("--engine", metavar="ADDRESS", help="Compute there, where mrseg serve runs, not here."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="The token of that engine.")
]
Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="PEM", help="Its certificate, if no authority has signed it."),
]
Screenshot = Annotated[
    Path | None,
    typer.Option(
        "--screenshot", metavar="FILE", help="Save a picture of the window and exit; needs no display."
    ),
]


@contextmanager
def with_training() -> Iterator[None]:
    """Turn a missing package into a sentence with the pip line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f'Training needs {error.name}, which is not installed; pip install "napari-mrseg[train]".'
        ) from None


def which_task(asked: str | None, model: About | None, paths: Sequence[str] = ()) -> Task:
    """The task ``asked`` for, else the model's, else the one that ``modality=file`` pairs name."""
    from napari_mrseg.io.open import task_of

    if asked is not None:
        return get_task(asked)
    return task_of(paths) if model is None else model.task


def given_model(name: str | None, task: str | None) -> Model | None:
    """The model of that name, if one is given. Raises ModelError if it is of another task than the one asked for."""
    if name is None:
        return None
    from napari_mrseg.models.store import load_model

    return load_model(name, task=None if task is None else get_task(task))


def remote_engine(
    address: str | None, token_file: Path | None, certificate: Path | None, *, model: object = None
) -> RemoteEngine | None:
    """The engine at ``--engine``, None without it. Raises InputError where a model is asked for, too."""
    if address is None:
        return None
    from napari_mrseg.remote.client import RemoteEngine
    from napari_mrseg.remote.token import given_token

    if model:
        raise InputError("--engine brings its own model; leave --model out.")
    return RemoteEngine(address, given_token(token_file), certificate=certificate)


def read_options(
    task: Task,
    *,
    reference: str | None = None,
    no_reference: bool = False,
    labels: str | None = None,
    assume_ras: bool = False,
    onto: str | None = None,
    brain: BrainOption,
    depth: str = "auto",
) -> ReadOptions:
    """What the command line says about reading the files. Raises InputError for what makes no sense."""
    from napari_mrseg.io.read_options import ReadOptions

    if reference and no_reference:
        raise InputError("--reference and --no-reference exclude each other; give one of them.")
    grid = "" if onto is None else task.modality(onto).name
    return ReadOptions(reference or not no_reference, labels, assume_ras, grid, brain.value, depth)


def answer(document: Any, as_json: bool, text: Callable[[], str]) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(document, indent=2, ensure_ascii=not utf8) if as_json else text())


def say(sentence: object) -> None:
    typer.echo(str(sentence), err=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr, or nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(title, total=1.0)
        yield lambda fraction, name: bar.update(line, completed=fraction, description=f"{title}: {name}")


def one_line(error: object) -> str:
    return " ".join(str(error).split())
