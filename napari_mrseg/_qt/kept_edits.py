"""What the user painted: none of it is lost unasked, also while its study is not in the window."""

from __future__ import annotations

from collections.abc import Callable

from napari.components import ViewerModel
from napari.layers import Labels

from napari_mrseg._qt.edits import Edits, about_edit, copies_in, edits_in, is_unsaved
from napari_mrseg._qt.put_away import Away


class KeptEdits:
    """Copies edited by hand, wherever they are; :class:`.layers.StudyLayers` puts them into the window.

    ``shelf``: copies that are in no window, because their study is not: those with unsaved work, until it is saved or
    given up. ``deleted``: by the user, with work in them that is not saved. ``given_up``: copies whose work the user
    does not want to keep, should another study come.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.on_painted: Callable[[], None] = lambda: None  # called when a copy was painted in
        self.edits = Edits(self._painted)
        self.shelf: list[Labels] = []
        self.deleted: list[Labels] = []
        self.given_up: list[Labels] = []
        self._away: Away | None = None
        self._copy: Labels | None = None  # in front, unless it is None
        self._subject = ""  # whose layers are there; the worker may open another study before we hear of it

    def edited(self) -> Labels | None:
        """The edited copy that is selected, or in front, else the newest one."""
        found = copies_in(self.viewer)
        active = self.viewer.layers.selection.active
        if active in found:
            return active
        return self._copy or (found[-1] if found else None)

    def unsaved(self) -> list[Labels]:
        """All that the user painted and did not save, also where its study is not in the window."""
        away = () if self._away is None else (layer for _, layer in self._away.layers)
        found = edits_in([*self.viewer.layers, *away, *self.shelf, *self.deleted])
        return [layer for layer in dict.fromkeys(found) if layer not in self.given_up]

    def whose(self, copy: Labels) -> str:
        """The case an edited copy is of, and whether that is another study than the one that is open."""
        about = about_edit(copy)
        return f"{about['case']}{'' if about['subject'] == self._subject else ' (ANOTHER STUDY)'}"

    def _painted(self, layer: Labels) -> None:
        if layer in self.given_up:
            self.given_up.remove(layer)
        self.on_painted()

    def _sort_shelf(self) -> None:
        """Keep what is of the open study, and of others what is not saved, unless the user gave it up."""
        shelf = list(dict.fromkeys(self.shelf))
        lost, self.given_up = self.given_up, []
        self.shelf = [la for la in shelf if self._is_ours(la) or (is_unsaved(la) and la not in lost)]
        if self._copy not in filter(self._is_ours, self.shelf):
            self._copy = None

    def _of_subject(self) -> list[Labels]:
        """Off the shelf: the copies of predictions of the open study."""
        ours = list(filter(self._is_ours, self.shelf))
        self.shelf = [layer for layer in self.shelf if layer not in ours]
        return ours

    def _is_ours(self, layer: Labels) -> bool:
        """Whether it is a copy of a prediction of the open study."""
        about = about_edit(layer)
        return "combination" in about and about["subject"] == self._subject
