"""``models``: list, info, verify, add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_mrseg.cli.options import Json, Overwrite, answer

if TYPE_CHECKING:
    from napari_mrseg.models.card import ModelCard

app = typer.Typer(help="Model folders: list, info, verify, add.", no_args_is_help=True)


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

    card = load_model(name).card
    answer(card.model_dump(mode="json"), as_json, lambda: _words(card))


@app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR")] = None, as_json: Json = False
) -> None:
    """Check a model folder: names, shapes, types, finite values and sha256.

    Example: mrseg models verify ./my-model
    """
    from napari_mrseg.models.store import load_model

    info = load_model(name).info
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


def _words(card: ModelCard) -> str:
    """The card for people: what it is for, where it fails, what it learnt from, and its mean Dice."""
    from napari_mrseg.tasks import key

    lines = [f"{card.name} {card.version}", card.intended_use, "", f"Limits: {card.limitations}", ""]
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
