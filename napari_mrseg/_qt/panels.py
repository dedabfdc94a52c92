"""Panels of the dock that come from a list, below the tools: each shows the session, and asks it for changes."""

from __future__ import annotations

from importlib import import_module

from qtpy.QtWidgets import QWidget

from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Task

PANELS = ("napari_mrseg._qt.worth_panel:WorthPanel",)
"""The panels there are, in the order in which they stand. A new one is a module of its own and a line here."""


class DockPanel(QWidget):
    """One of :data:`PANELS`. Its widgets are made in ``__init__`` and brought up to date in :meth:`refresh`."""

    def __init__(self, task: Task) -> None:
        super().__init__()

    def refresh(self, session: Session | None) -> None:
        """Show what the session holds now; None: a study is being opened, and nothing of another may be seen.

        It is called in the window's thread after each change, so it must take no longer than a frame.
        """
        raise NotImplementedError


def make_panels(task: Task) -> list[DockPanel]:
    """A new one of each."""
    made = []
    for name in PANELS:
        module, _, attribute = name.partition(":")
        made.append(getattr(import_module(module), attribute)(task))
    return made
