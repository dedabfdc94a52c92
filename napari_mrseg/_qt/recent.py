"""The menu of studies that were opened before, and of the worklists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_mrseg._qt.user_settings import forget_studies, last_folder, recent_studies, remember_folder
from napari_mrseg._qt.watching import Watching, watch
from napari_mrseg._qt.worklist import Worklist
from napari_mrseg.session.opening import name_of

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

_LONG = 48  # characters of a path, of which the end tells more


class RecentMenu(QMenu):
    """Filled anew each time it opens. Only paths are kept of a study, in the settings of this user."""

    def __init__(self, dock: Host, worklist: Worklist, parent: QWidget) -> None:
        super().__init__(parent)
        self._dock, self._worklist, self._parent = dock, worklist, parent
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        self.clear()
        task = self._dock.session.task.name
        for paths in recent_studies(task):
            first = Path(paths[0].rpartition("=")[2])
            folder = str(first.parent)
            shown = folder if len(folder) <= _LONG else f"…{folder[-_LONG:]}"
            action = self.addAction(f"{name_of(paths)}   {shown}".replace("&", "&&"))
            action.setToolTip("\n".join(paths))
            action.setEnabled(first.exists())
            action.triggered.connect(lambda _=False, these=paths: self._dock.open(these))
        if self.actions():
            self.addAction("Forget these studies", lambda: forget_studies(task)).setToolTip(
                "Their paths are in this user's settings, and nothing else of them"
            )
        else:
            self.addAction("No study was opened yet").setEnabled(False)
        self.addSeparator()
        self.addAction("Worklist of a folder …", self._worklist.ask_folder).setToolTip(
            "All studies below a folder, one after the other"
        )
        self.addAction("Worklist of a table …", self._worklist.ask_table).setToolTip(
            "The studies of a CSV file with a column path, or one for each modality, as for mrseg cohort"
        )
        if self._dock.session.task.ndim == 2:
            self._offer_watching()

    def _offer_watching(self) -> None:
        watching = self._parent.findChild(Watching)
        if watching is not None:
            self.addAction(f"Stop watching {watching.folder.name}", watching.stop)
        self.addAction("Watch a folder …", self._ask_watched).setToolTip(
            "The newest picture in a folder that a camera writes into, again whenever one comes"
        )

    def _ask_watched(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self._parent, "A folder that a camera writes into", last_folder()
        )
        if folder:
            remember_folder(folder)
            watch(self._dock, Path(folder), self._parent)
