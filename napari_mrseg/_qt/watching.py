"""A watched folder in the window: its newest frame is opened, and the next one once that one's result is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_mrseg.io.watched import Watched

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host


class Watching(QObject):
    """Looks ``every`` so many seconds. A frame that cannot be read is said, and the next one is waited for."""

    def __init__(self, dock: Host, watched: Watched, every: float, depth: str, parent: QObject) -> None:
        super().__init__(parent)
        self._dock, self._watched, self._depth = dock, watched, depth
        self.timer = QTimer(self)
        self.timer.setInterval(max(20, round(1000 * every)))
        self.timer.timeout.connect(self.look)
        self.timer.start()

    @property
    def busy(self) -> bool:
        """Whether the frame before is still being read or segmented."""
        session = self._dock.session
        if session.opening:
            return True
        shown = session.shown
        return (
            session.study is not None
            and session.error is None
            and (shown is None or shown.preview or session.stale)
        )

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
