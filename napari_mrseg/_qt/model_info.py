"""What a model says about itself, for people."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QWidget

from napari_mrseg._qt.text_window import text_window
from napari_mrseg.tasks import key

if TYPE_CHECKING:
    from napari_mrseg.models.store import About

_SIZE = 620, 660  # pixels: fits a small laptop


def show_card(parent: QWidget, model: About | None) -> None:
    """Open a window with the model's card, which scrolls; returns when it is closed."""
    if model is not None:
        card_dialog(parent, model).exec()


def card_dialog(parent: QWidget | None, model: About) -> QDialog:
    """The window, not yet shown."""
    return text_window(parent, f"Model {model.card.name}", card_text(model), _SIZE)


def card_text(model: About) -> str:
    """HTML of the card; every word of it is escaped, since a model folder may come from anywhere."""
    card = model.card
    trained = "".join(f"<li>{escape(line)}</li>" for line in card.trained_on)
    head = "".join(f"<th>{escape(region)}</th>" for region in card.regions)
    rows = ""
    for combination, dice in card.measured_table():
        cells = "".join(f"<td>{dice[r]:.2f}</td>" if r in dice else "<td>–</td>" for r in card.regions)
        rows += f"<tr><td>{escape(key(combination))}</td>{cells}</tr>"
    measured = (
        f"<p><b>Measured Dice.</b> {escape(card.measured_on)}</p>"
        f"<table cellspacing='6'><tr><th></th>{head}</tr>{rows}</table>"
    )
    return (
        f"<h3>{escape(card.name)} {escape(card.version)}</h3>"
        f"<p>{escape(card.intended_use)}</p><p><b>Limits.</b> {escape(card.limitations)}</p>"
        f"<p><b>Trained on</b></p><ul>{trained}</ul>{measured if rows else ''}"
        f"<p>Licence: {escape(card.licence)}</p>"
    )
