"""``models``: list, info, verify, add, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_mrseg.cli.options import Json, Overwrite, TaskName, answer
from napari_mrseg.errors import InputError, ModelError

if TYPE_CHECKING:
    from napari_mrseg.models.card import ModelCard

app = typer.Typer(help="Model folders: list, info, verify, add, import, export.", no_args_is_help=True)


@app.command("list")
def models_list(as_json: Json = False) -> None:
    """List the installed models.

    Example: mrseg models list
    """
    from napari_mrseg.models.store import list_models

    rows = [{"name": name, "bundled": bundled} for name, _, bundled in list_models()]
    answer(
        rows, as_json, lambda: "\n".join(f"{r['name']}{'  (bundled)' if r['bundled'] else ''}" for r in rows)
    )


@app.command("info")
def models_info(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR")] = None, as_json: Json = False
) -> None:
    """Show a model's card.

    Example: mrseg models info compact
    """
    from napari_mrseg.models.store import load_model

    card = load_model(name, segments=False).card
    answer(card.model_dump(mode="json"), as_json, lambda: _words(card))


@app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR")] = None, as_json: Json = False
) -> None:
    """Check a model folder: names, shapes, types, finite values and sha256.

    Example: mrseg models verify ./my-model
    """
    from napari_mrseg.models.store import load_model

    info = load_model(name, segments=False).info
    answer(info, as_json, lambda: f"{info['name']} {info['version']}: sound, sha256 {info['sha256']}.")


@app.command("add")
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
    answer({"name": where.name}, as_json, lambda: f"Added {where.name}; use it with --model {where.name}.")


@app.command("import")
def models_import(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE", help="a MONAI bundle on disk, or with --as a checkpoint (.pth, .pt)"
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NETWORK",
            help="whose published code the checkpoint is of: rfnet, mmformer, unimrseg, m3ae, imfuse, or "
            "imfuse-concatenated (trained without --interleaved_tokenization)",
        ),
    ] = None,
    task: TaskName = None,
    name: Annotated[
        str | None, typer.Option(help="name of the model; default: the folder's or file's")
    ] = None,
    inputs: Annotated[
        str, typer.Option(help="modalities of its channels in order, e.g. t1ce,t1,t2,flair")
    ] = "",
    outputs: Annotated[str, typer.Option(help="regions of its outputs in order, e.g. TC,WT,ET")] = "",
    axes: Annotated[str | None, typer.Option(help="where the axes of its arrays point; default: LPS")] = None,
    spacing: Annotated[float, typer.Option(help="mm of its voxels")] = 1.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a model of a MONAI bundle or a checkpoint: its weights as safetensors, and a card that says what it needs.

    Example: mrseg models import brats_mri_segmentation/ --name monai-brats

    Example: mrseg models import model_last.pth --as rfnet --name rfnet-2020
    """
    from napari_mrseg.models.bundle import read_bundle
    from napari_mrseg.models.published.published_checkpoint import KINDS, read_published
    from napari_mrseg.models.store import install_model
    from napari_mrseg.tasks import DEFAULT, get_task

    if kind is not None:
        published, own = read_published(source, kind, name=name, axes=axes)
        where = install_model(published, own, overwrite=overwrite)
        words = f"Imported {where.name}, a network of {KINDS[kind]}; use it with --model {where.name}."
        answer({"name": where.name, "needs": []}, as_json, lambda: words)
        return
    network, card = read_bundle(
        source,
        get_task(task) if task else DEFAULT,
        name=name,
        inputs=[word for word in inputs.split(",") if word.strip()],
        outputs=[word for word in outputs.split(",") if word.strip()],
        axes=axes or "LPS",
        spacing=spacing,
    )
    where = install_model(network, card, overwrite=overwrite)
    words = f"Imported {where.name}, which needs {', '.join(card.needs)}; use it with --model {where.name}."
    answer({"name": where.name, "needs": list(card.needs)}, as_json, lambda: words)


@app.command("export")
def models_export(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR")],
    out: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write.")],
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="PATH",
            help="A subject's folder to compare both on; default: the bundled sample of the task, if there is one.",
        ),
    ] = None,
    extents: Annotated[
        str,
        typer.Option(metavar="I,P,L", help="voxels of a window; default: the largest in the model's card"),
    ] = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX (images and availability in, logits out), and check that the results agree.

    Example: mrseg models export compact --onnx compact.onnx --check subject-01/
    """
    from napari_mrseg.inference.onnx_check import check_onnx
    from napari_mrseg.io import open_study
    from napari_mrseg.models.onnx_export import export_onnx
    from napari_mrseg.models.store import load_model
    from napari_mrseg.resources import sample_study

    if out.exists() and not overwrite:
        raise InputError(f"{out.name} is there already; use --overwrite, or another name.")
    if not all(word.strip().isdigit() for word in extents.split(",") if extents):
        raise InputError(f"--extents {extents}: give numbers of voxels, such as 80,96,80.")
    model = load_model(name)
    window = [int(word) for word in extents.split(",")] if extents else None
    paths = check or [str(sample_study(model.task))]
    study = open_study(paths, task=model.task, reference=False)
    export_onnx(model, out, window)
    found = check_onnx(model, out, study, window)
    rows = [
        {"combination": list(a.combination), "difference": a.difference, "equal": a.equal, "voxels": a.voxels}
        for a in found
    ]
    answer(rows, as_json, lambda: "\n".join(str(a) for a in found))
    wrong = [a for a in found if not a.holds]
    if wrong:
        raise ModelError(
            f"{out.name} does not agree with {model.card.name} on {len(wrong)} of {len(found)} combinations; do not "
            "use it."
        )


def _words(card: ModelCard) -> str:
    """The card for people: what it is for, where it fails, what it learnt from, and its mean Dice."""
    from napari_mrseg.tasks import key

    lines = [f"{card.name} {card.version}", card.intended_use, "", f"Limits: {card.limitations}", ""]
    if card.needs:
        lines += [f"Needs {', '.join(card.needs)}.", ""]
    lines += ["Trained on:", *(f"  {line}" for line in card.trained_on), ""]
    if card.measured:
        lines += [
            f"Measured Dice. {card.measured_on}".strip(),
            f"  {'':18}" + "".join(f"{r:>7}" for r in card.regions),
        ]
        for combination, dice in card.measured_table():
            cells = (f"{dice[r]:7.2f}" if r in dice else f"{'–':>7}" for r in card.regions)
            lines.append(f"  {key(combination):18}" + "".join(cells))
        lines.append("")
    return "\n".join([*lines, f"Licence: {card.licence}"])
