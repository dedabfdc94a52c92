"""Asks what to open, and takes over what napari's reader found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSettings, QTimer
from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host
from napari_mrseg.errors import InputError

_FILES = "Scans (*.nii *.nii.gz *.mha *.nrrd *.mgz *.dcm *.ima *.zip);;All files (*)"


class Opener:
    """The ways a study gets into the dock. Reading is the session's work."""

    def __init__(self, dock: Host) -> None:
        self._dock = dock
        self._offered: list[str] = []

    def ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._dock, "Open a subject's folder", last_folder())
        if folder:
            remember_folder(str(Path(folder).parent))
            self._dock.open([folder])

    def ask_files(self) -> None:
        title = "Open one subject's scans"
        files, _ = QFileDialog.getOpenFileNames(self._dock, title, last_folder(), _FILES)
        if files:
            remember_folder(str(Path(files[0]).parent))
            self._dock.open(files)

    def open_sample(self) -> None:
        from napari_mrseg.resources import sample_study

        try:
            self._dock.open([sample_study(self._dock.session.task)])
        except InputError as error:
            self._dock.say(str(error))

    def offer(self, path: str) -> None:
        """Open a path dropped on the window; files dropped together make one study."""
        if not self._offered:
            QTimer.singleShot(100, self._open_offered)
        self._offered.append(path)

    def adopt(self) -> None:
        """Take over what the reader opened before the dock was there."""
        session = self._dock.session
        if session.study is not None or session.opening:
            return
        layers = self._dock.viewer.layers
        paths = [p for la in layers for p in la.metadata.get("mrseg", {}).get("paths", ())]
        if paths:
            self._dock.open(list(dict.fromkeys(paths)))

    def _open_offered(self) -> None:
        paths, self._offered = self._offered, []
        if not self._dock.closed:
            self._dock.open(paths)


def last_folder() -> str:
    """Where the user last opened or saved something."""
    return str(QSettings("napari-mrseg", "dock").value("folder", ""))


def remember_folder(folder: str) -> None:
    QSettings("napari-mrseg", "dock").setValue("folder", folder)
