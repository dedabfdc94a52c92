"""A watched folder in the window: its newest frame is opened, and the next one once that one's result is on screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_mrseg.errors import InputError
from napari_mrseg.io.watched import Watched

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

EVERY = 0.2  # seconds between two looks


def watch(
    dock: Host, folder: Path, parent: QObject, *, every: float = EVERY, depth: str = "auto"
) -> Watching | None:
    """Watch ``folder`` from now on, and no other one; where that cannot be, the dock says why."""
    for before in parent.findChildren(Watching):
        before.stop()
    try:
        return Watching(dock, Watched(folder, dock.session.task), parent, every=every, depth=depth)
    except InputError as error:
        dock.say(str(error))
        return None


class Watching(QObject):
    """Looks ``every`` so many seconds. A frame that cannot be read is said, and the next one is waited for."""

    def __init__(
        self, dock: Host, watched: Watched, parent: QObject, *, every: float = EVERY, depth: str = "auto"
    ) -> None:
        super().__init__(parent)
        self._dock, self._watched, self._depth = dock, watched, depth
        self.timer = QTimer(self)
        self.timer.setInterval(max(20, round(1000 * every)))
        self.timer.timeout.connect(self.look)
        self.timer.start()

    @property
    def folder(self) -> Path:
        return self._watched.folder

    @property
    def busy(self) -> bool:
        """Whether the frame before is still being read or segmented."""
        session = self._dock.session
        if session.opening:
            return True
        shown = session.shown
        awaited = shown is None or shown.preview or session.stale
        return session.study is not None and session.error is None and awaited

    def look(self) -> None:
        """Open what is new, unless the frame before is not done."""
        if self._dock.closed:
            self.timer.stop()
            return
        if self.busy:
            return
        frame = self._watched.look()
        if frame is not None:
            self._dock.open([f"{role}={path}" for role, path in frame.items()], depth=self._depth)

    def stop(self) -> None:
        """Look no more; what is open stays."""
        self.timer.stop()
        self.setParent(None)
        self.deleteLater()
