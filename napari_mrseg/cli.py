"""The command line, ``mrseg``: thin commands over the library. Exit codes: 0, 2, 3, 130 (see errors)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mrseg import __version__
from napari_mrseg.errors import Cancelled, InputError, MrsegError
from napari_mrseg.tasks import BRATS, Combination, get_task, key

if TYPE_CHECKING:
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.study import Study

app = typer.Typer(
    name="mrseg",
    help="See how a segmentation changes with the modalities you have. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Model folders: list, info, verify, add.", no_args_is_help=True)
app.add_typer(models_app, name="models")


class Format(StrEnum):
    nifti = "nifti"
    dicom_seg = "dicom-seg"


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
AssumeRas = Annotated[
    bool,
    typer.Option("--assume-ras", help="Take axes as right, anterior, superior where a file does not say."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")]
Grid = Annotated[
    str | None,
    typer.Option(
        "--grid", metavar="MODALITY", help="Write on this modality's grid; default: the first one used."
    ),
]


# -- look and predict ---------------------------------------------------------------------------------------


@app.command()
def inspect(paths: Paths, assume_ras: AssumeRas = False, as_json: Json = False) -> None:
    """Say what was recognised as what and why, grids, orientation and problems. Runs no model.

    Example: mrseg inspect subject-01/
    """
    from napari_mrseg.io import describe
    from napari_mrseg.io import inspect as look

    report = look(paths, task=BRATS, assume_ras=assume_ras)
    _answer(report, as_json, lambda: describe(report))
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
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    assume_ras: AssumeRas = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one label file per combination of modalities, and result.json.

    Example: mrseg predict subject-01/ -o results --use flair,t1ce
    """
    from napari_mrseg.compare import dice_to_reference
    from napari_mrseg.io.export import check_outputs, write_results

    if use and every:
        raise InputError("--use and --all exclude each other; give one of them.")
    if file_format is Format.dicom_seg:
        raise InputError(
            "--format dicom-seg needs a study read from DICOM, and this one is NIfTI; use --format nifti."
        )
    study = _open(paths, reference, no_reference, assume_ras, use)
    combinations = _combinations(study, use, every)
    check_outputs(out, combinations, study=study, grid=grid, overwrite=overwrite)
    engine = _engine(study, model, device, precision)
    result = write_results(
        study,
        _predictions(engine, study, combinations),
        out,
        model=engine.model.info,
        grid=grid,
        overwrite=overwrite,
        dice=dice_to_reference(study),
    )
    _answer(result, as_json, lambda: _written(result, out))


@app.command()
def compare(
    paths: Paths,
    out: Out,
    grid: Grid = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    assume_ras: AssumeRas = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict every combination, and write table.csv, table.json and report.html beside the labels.

    Example: mrseg compare subject-01/ -o comparison
    """
    from napari_mrseg.compare import write_comparison

    study = _open(paths, reference, no_reference, assume_ras)
    combinations = _combinations(study, None, True)
    engine = _engine(study, model, device, precision)
    result = write_comparison(
        study,
        _predictions(engine, study, combinations),
        out,
        combinations=combinations,
        model=engine.model.info,
        grid=grid,
        overwrite=overwrite,
    )
    _answer(result, as_json, lambda: f"{_written(result, out)}\nReport: {out / 'report.html'}")


def _open(
    paths: Sequence[str], reference: str | None, no_reference: bool, assume_ras: bool, use: str | None = None
) -> Study:
    from napari_mrseg.io import open_study

    if reference and no_reference:
        raise InputError("--reference and --no-reference exclude each other; give one of them.")
    names = None if use is None else _names(use)  # a file that is not used is not even read
    study = open_study(
        paths, task=BRATS, reference=reference or not no_reference, assume_ras=assume_ras, use=names
    )
    for note in study.notes:
        _say(f"Warning: {note.message}")
    return study


def _combinations(study: Study, use: str | None, every: bool) -> tuple[Combination, ...]:
    if every:
        return study.task.combinations(study.present)
    return (study.present if use is None else study.only(_names(use)).present,)


def _names(use: str) -> Combination:
    return BRATS.combination(name for name in use.split(",") if name.strip())


def _engine(study: Study, model: str | None, device: str, precision: str) -> Engine:
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.models.store import load_model

    return Engine(load_model(model, task=study.task), device=device, precision=precision)


def _predictions(engine: Engine, study: Study, combinations: Sequence[Combination]) -> Iterator[Prediction]:
    """Finals one by one, with a progress bar on stderr."""
    done: list[Combination] = []
    with _progress(f"{study.case} on {engine.device_name}, {engine.precision}") as report:

        def advance(combination: Combination, fraction: float) -> None:
            report((len(done) + fraction) / len(combinations), key(combination))

        for prediction in engine.run_all(study, combinations, progress=advance):
            done.append(prediction.combination)
            yield prediction


def _written(result: dict[str, Any], out: Path) -> str:
    lines = []
    for entry in result["predictions"]:
        sizes = ", ".join(f"{region} {s['value']:.1f} {s['unit']}" for region, s in entry["sizes"].items())
        dice = entry.get("dice")
        against = (
            f"; Dice {', '.join(f'{r} {v:.3f}' for r, v in dice.items() if v is not None)}" if dice else ""
        )
        lines.append(f"{out / entry['file']}: {sizes}{against}")
    model = result["model"]
    lines.append(
        f"Model {model['name']} {model['version']} on {result['device']}, {result['precision']}. Research use only."
    )
    lines += [f"Warning: {w['message']}" for w in result["warnings"]]
    return "\n".join(lines)


# -- the viewer ---------------------------------------------------------------------------------------------

Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Keep results here, so that the next start is warm."),
]
Screenshot = Annotated[
    Path | None,
    typer.Option(
        "--screenshot", metavar="FILE", help="Save a picture of the window and exit; needs no display."
    ),
]


@app.command()
def demo(
    task: Annotated[str, typer.Option("--task", help="What to show.")] = BRATS.name,
    screenshot: Screenshot = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
) -> None:
    """Open the bundled case, which is simulated and not a patient, with the bundled model in the viewer.

    Example: mrseg demo --screenshot demo.png
    """
    from napari_mrseg.resources import sample_study

    get_task(task)
    _show([str(sample_study())], screenshot, model, device, precision, cache, {})


@app.command()
def view(
    paths: Paths,
    screenshot: Screenshot = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    assume_ras: AssumeRas = False,
    cache: Cache = None,
) -> None:
    """Open your own files in the viewer.

    Example: mrseg view subject-01/
    """
    if reference and no_reference:
        raise InputError("--reference and --no-reference exclude each other; give one of them.")
    options = {"reference": reference or not no_reference, "assume_ras": assume_ras}
    _show(paths, screenshot, model, device, precision, cache, options)


def _show(
    paths: Sequence[str],
    screenshot: Path | None,
    model: str | None,
    device: str,
    precision: str,
    cache: Path | None,
    options: dict[str, Any],
) -> None:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        if screenshot is None:
            raise InputError("There is no display here; add --screenshot FILE to save a picture instead.")
        _again_under_xvfb()
    try:
        from napari_mrseg._qt.app import launch
    except ImportError as error:
        raise InputError(
            f'The viewer needs Qt, which is not installed ({error}); pip install "napari-mrseg[all]".'
        ) from None
    from napari_mrseg.inference.cache import PredictionCache
    from napari_mrseg.session import Session

    session = Session(device=device, precision=precision, cache=PredictionCache(folder=cache))
    session.open(paths, **options)
    session.load_model(model)
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


# -- models -------------------------------------------------------------------------------------------------


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List the installed models.

    Example: mrseg models list
    """
    from napari_mrseg.models.store import list_models

    rows = [{"name": name, "bundled": bundled} for name, _, bundled in list_models()]
    _answer(
        rows, as_json, lambda: "\n".join(f"{r['name']}{'  (bundled)' if r['bundled'] else ''}" for r in rows)
    )


@models_app.command("info")
def models_info(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR")] = None, as_json: Json = False
) -> None:
    """Show a model's card.

    Example: mrseg models info first
    """
    from napari_mrseg.models.store import load_model

    card = load_model(name).card.model_dump(mode="json")
    _answer(card, as_json, lambda: json.dumps(card, indent=2, ensure_ascii=False))


@models_app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR")] = None, as_json: Json = False
) -> None:
    """Check a model folder: names, shapes, types, finite values and sha256.

    Example: mrseg models verify ./my-model
    """
    from napari_mrseg.models.store import load_model

    info = load_model(name).info
    _answer(info, as_json, lambda: f"{info['name']} {info['version']}: sound, sha256 {info['sha256']}.")


@models_app.command("add")
def models_add(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Check a model folder and copy it to the installed ones.

    Example: mrseg models add ./my-model
    """
    from napari_mrseg.models.store import add_model

    where = add_model(folder, overwrite=overwrite)
    _answer({"name": where.name}, as_json, lambda: f"Added {where.name}; use it with --model {where.name}.")


# -- the machine --------------------------------------------------------------------------------------------


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed and usable here: versions, devices, viewer, models.

    Example: mrseg doctor
    """
    from napari_mrseg.doctor import examine, summary

    report = examine()
    _answer(report, as_json, lambda: summary(report))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


# -- common -------------------------------------------------------------------------------------------------


def _answer(document: Any, as_json: bool, text: Callable[[], str]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else text())


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr, or nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(title, total=1.0)
        yield lambda fraction, name: bar.update(line, completed=fraction, description=f"{title}: {name}")


def main(arguments: Iterable[str] | None = None) -> int:
    """Run a command; returns the exit code. Every error is one line on stderr, without a traceback."""
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's own, wherever typer keeps it
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        code = code if isinstance(code, int) else 0
        if code == Cancelled.exit_code:  # typer's way of passing on Ctrl-C
            raise typer.Abort
        return code
    except MrsegError as error:
        _say(_one_line(error))
        return error.exit_code
    except usage_error as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "mrseg"
        _say(_one_line(f"{error.format_message()} See {command} --help."))
        return InputError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _say("Cancelled; nothing was written.")
        return Cancelled.exit_code


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _exit() -> None:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
