"""Studies to be read one after the other: those of a folder, or of a table as ``mrseg cohort`` takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_mrseg._qt.user_settings import last_folder, remember_folder
from napari_mrseg._qt.worklist_bar import WorklistBar
from napari_mrseg.cohort.find import Listed, find_studies

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

_NONE = "There is no worklist; press “Recent” and choose a worklist of a folder or of a table first."


class Worklist(QObject):
    """Knows the studies of the list and which one is open; opening is the dock's work."""

    def __init__(self, dock: Host, bar: WorklistBar, parent: QObject) -> None:
        super().__init__(parent)
        self._dock, self._bar = dock, bar
        self.studies: tuple[Listed, ...] = ()
        self.at = -1  # of the study that was asked for last; -1: none yet
        bar.stepped.connect(self.step)

    def ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._parent, "A folder of studies", last_folder())
        if folder:
            remember_folder(folder)
            self.load(folder)

    def ask_table(self) -> None:
        kinds = "Table of studies (*.csv *.tsv);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self._parent, "A table of studies", last_folder(), kinds)
        if path:
            remember_folder(str(Path(path).parent))
            self.load(path)

    def load(self, source: str) -> None:
        """Find the studies of a folder or table on a thread, and open the first."""
        self._dock.hush()
        task = self._dock.session.task
        self._dock.later(lambda: tuple(find_studies(source, task)), done=self._start)

    def step(self, by: int) -> None:
        """The next study (1), or the one before (-1); at an end of the list nothing happens."""
        if not self.studies:
            self._dock.say(_NONE)
            return
        to = self.at + by
        if 0 <= to < len(self.studies) and self._open(to):
            self.at = to
            self.show()

    def show(self) -> None:
        """Which study of the list is open, in the bar."""
        if not self.studies:
            return
        session, asked, listed = self._dock.session, self._dock.opener.asked, self.studies[max(self.at, 0)]
        what = listed.name
        if (asked or session.opened).paths != listed.sources:
            what = "another study is open"
        elif asked is not None and not session.opening:
            what += " could not be opened"
        self._bar.show_place(
            f"{self.at + 1} of {len(self.studies)}: {what}",
            first=self.at <= 0,
            last=self.at >= len(self.studies) - 1,
        )

    def _start(self, found: tuple[Listed, ...]) -> None:
        self.studies, self.at = found, -1
        self.step(1)

    def _open(self, number: int) -> bool:
        listed = self.studies[number]
        return bool(self._dock.opener.open(listed.sources, name=listed.name))

    @property
    def _parent(self) -> QWidget:
        return self._dock.panel
