"""``score``: predictions that were made elsewhere, measured as our own models are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_mrseg.cli.options import Json, Labels, Out, Overwrite, TaskName, answer, say, with_training
from napari_mrseg.tasks import DEFAULT, get_task

app = typer.Typer()


@app.command()
def score(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="Folder of predicted label files; of several, the first is what the others are held against. One that "
            "evaluate or score has written is taken as measured.",
        ),
    ],
    out: Out,
    reference: Annotated[
        Path,
        typer.Option(
            "--reference", metavar="DIR", help="Folder of subjects with references, or of label files."
        ),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            metavar="P",
            help="How the files are called, e.g. {combination}/{subject}.nii.gz; {missing}: the modalities left out. "
            "Default: guessed from ids and modalities in the names, and said.",
        ),
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(
            "--use", metavar="A,B", help="The modalities of all files, where their names do not say."
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option("--order", metavar="A,B,..", help="Modalities of names such as 1011, digit by digit."),
    ] = "",
    as_reference: Annotated[
        bool,
        typer.Option(
            "--as-reference",
            help="Voxels lie as in the reference's file, whatever the predictions' headers say.",
        ),
    ] = False,
    labels: Labels = None,
    predicted_labels: Annotated[
        str | None,
        typer.Option("--predicted-labels", metavar="SCHEME", help="What the codes of the predictions mean."),
    ] = None,
    subjects: Annotated[
        str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")
    ] = None,
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Lesion-wise Dice and HD95 (BraTS 2023) and surface Dice, too.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=0, help="Further processes; default: cores less one, at most 4."),
    ] = None,
    task: TaskName = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure predictions made by any program, in the tables that mrseg evaluate writes for our models.

    Example: mrseg score rfnet-results/ --reference subjects/ -o scores

    Example: mrseg score rfnet-results/ evaluation/ --reference subjects/ -o side-by-side
    """
    with with_training():
        from mrseg_training.score import Naming, score_several
        from mrseg_training.score import score as measure

        chosen = DEFAULT if task is None else get_task(task)
        fields = [chosen.modality(word).name for word in order.split(",") if word.strip()]
        naming = Naming(pattern, use, tuple(fields), predicted_labels, as_reference)
        wanted = None if subjects is None else [s.strip() for s in subjects.split(",") if s.strip()]
        count = min(4, (os.cpu_count() or 1) - 1) if processes is None else processes
        if len(folders) > 1:
            report = score_several(
                folders, reference, out, task=chosen, labels=labels, naming=naming, subjects=wanted,
                lesions=lesions, processes=count, overwrite=overwrite, say=say,
            )  # fmt: skip
            table = out / "models.md"
        else:
            report = measure(
                folders[0], reference, out, task=chosen, labels=labels, naming=naming, subjects=wanted,
                lesions=lesions, processes=count, overwrite=overwrite, say=say,
            )  # fmt: skip
            table = out / "table.md"
    answer(report, as_json, lambda: table.read_text(encoding="utf-8"))
