"""Waiting for a dock, the way a user does: by looking at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytestqt.qtbot import QtBot

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.unsaved import Answer

PATIENCE = 240_000  # ms; a slow machine draws four panes in software, and may have other work

MakeStudy = Callable[..., Path]


class Asked(list[str]):
    """In place of the question about unsaved work: keeps what was asked, and gives ``answer``."""

    answer: Answer = "discard"

    def __call__(self, question: str, parent: object) -> Answer:
        self.append(question)
        return self.answer


def until_final(qtbot: QtBot, dock: MrsegDock, combination: tuple[str, ...] | None = None) -> None:
    """Until the dock shows the final result of ``combination`` (default: of what is switched on)."""

    def shown() -> bool:
        session = dock.session
        wanted = combination or session.combination
        return (
            session.shown is not None
            and session.shown.combination == wanted
            and not session.shown.preview
            and not session.stale
            and dock.layers.prediction is not None
            and dock.layers.prediction.data is session.shown.labels
            and dock.banner.property("state") in ("final", "edited")
            and dock.settled
        )

    qtbot.waitUntil(shown, timeout=PATIENCE)


def until_error(qtbot: QtBot, dock: MrsegDock) -> str:
    """Until the dock says an error; returns the sentence."""
    qtbot.waitUntil(lambda: bool(dock.error.text()), timeout=PATIENCE)
    return dock.error.text()
