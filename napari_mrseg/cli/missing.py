"""``imagine``: what a network thinks a missing scan would look like, as files that say that they are no scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mrseg.cli.options import (
    AssumeRas,
    Brain,
    BrainOption,
    Device,
    Json,
    Labels,
    ModelName,
    NoReference,
    Onto,
    Out,
    Overwrite,
    Paths,
    Precision,
    ReferenceFile,
    answer,
    progress_bar,
    read_options,
    say,
)
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import DEFAULT

if TYPE_CHECKING:
    from napari_mrseg.study import Study

app = typer.Typer()


@app.command()
def imagine(
    paths: Paths,
    out: Out,
    missing: Annotated[
        str | None,
        typer.Option(
            "--missing",
            metavar="A,B",
            help="Modalities to imagine, each from the scans that are there and not named here; default: those "
            "that are not there. One that is there is compared with.",
        ),
    ] = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    reference: ReferenceFile = None,
    no_reference: NoReference = False,
    labels: Labels = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write what a network imagines missing scans to look like. It is no scan, and is refused as one.

    Each is a NIfTI file with two more, the ends of an interval that holds 80 % of what is possible, and all are listed
    in CASE_imagine.json.

    Example: mrseg imagine subject-01/ --missing t1ce -o imagined
    """
    from napari_mrseg.compare.likeness import likeness_to_real
    from napari_mrseg.inference.imagining import Imaginer
    from napari_mrseg.io import open_study
    from napari_mrseg.io.imagined import write_imagined
    from napari_mrseg.models.store import load_model
    from napari_mrseg.session.opening import settled
    from napari_mrseg.study import joined

    options = read_options(
        DEFAULT,
        reference=reference,
        no_reference=no_reference,
        labels=labels,
        assume_ras=assume_ras,
        onto=onto,
        brain=brain,
    )
    study = settled(open_study(paths, task=DEFAULT, **options.arguments()))
    for note in joined(study.notes):
        say(f"Warning: {note.message}")
    targets = _targets(study, missing)
    imaginer = Imaginer(
        None if model is None else load_model(model, segments=False), device=device, precision=precision
    )
    given = [name for name in study.present if name not in targets]
    made = []
    with progress_bar(f"{study.case} on {imaginer.device}, {imaginer.precision}") as report:
        for number, target in enumerate(targets):
            report(number / len(targets), target)
            made.append(imaginer.imagine(study, target, given))
    compared = {
        one.target: likeness_to_real(imaginer, study, one) for one in made if one.target in study.present
    }
    result = write_imagined(
        made,
        out,
        likeness={
            target: {part: one.rounded for part, one in found.items()} for target, found in compared.items()
        },
        overwrite=overwrite,
    )
    answer(result, as_json, lambda: _written(result, out))


def _targets(study: Study, missing: str | None) -> list[str]:
    """What is to be imagined. Raises InputError if that is nothing, or if nothing is left to imagine it from."""
    if missing is None:
        found = [name for name in study.task.names if name not in study.present]
        if not found:
            raise InputError(
                f"{study.case} has every modality; name one to compare with, e.g. --missing t1ce."
            )
    else:
        found = list(study.task.combination(missing))
    if not set(study.present) - set(found):
        raise InputError(
            f"{study.case} has only {', '.join(study.present)}, and nothing else to imagine from; name fewer."
        )
    return found


def _written(result: dict[str, Any], out: Path) -> str:
    lines = []
    for entry in result["imagined"]:
        like = (entry["likeness"] or {}).get("brain")
        against = f"; beside the real scan PSNR {like['psnr']} dB, SSIM {like['ssim']}" if like else ""
        lines.append(
            f"{out / entry['file']}: {entry['mark']}; it cannot know in {100 * entry['unsure']:.0f} % of the brain"
            f"{against}"
        )
    model = result["imagined"][0]["model"]
    on = f"{result['imagined'][0]['device']}, {result['imagined'][0]['precision']}"
    lines.append(f"Model {model['name']} {model['version']} on {on}. Research use only.")
    return "\n".join(lines)
