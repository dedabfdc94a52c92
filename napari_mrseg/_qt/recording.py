"""The tour as a moving picture: one frame for each of its scenes, with what was found."""

from __future__ import annotations

import io
import time
from pathlib import Path

from napari import Viewer
from PIL import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_mrseg._qt.tour import Tour
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.errors import InputError, MrsegError

KINDS = (".gif", ".webp", ".png")
WIDTH = 1000  # pixels of a frame
FRAME_S = 2.5  # a frame stays
PATIENCE_S = 300.0  # for the next scene, after which there will be none
HOLD_S = 1.5  # a scene of the tour, once it is there: until the contact sheet has its last tile too


class Recorder(QObject):
    """Plays one round of the tour and keeps a frame of each scene; ``finished`` when it is over.

    It is over too when a run failed, or the next scene did not come for ``patience_s``; :meth:`save` then says why.
    """

    finished = Signal()

    def __init__(self, viewer: Viewer, tour: Tour, *, patience_s: float = PATIENCE_S) -> None:
        super().__init__(tour)
        self._viewer, self._tour, self._patience = viewer, tour, patience_s
        self._last = time.monotonic()
        self.failure = ""
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._look)
        self._watch.start(500)
        self.frames: list[Image.Image] = []
        tour.hold_s = HOLD_S
        tour.scene_ending.connect(self._keep)
        tour.round_ended.connect(self._end)
        tour.start()

    def _keep(self) -> None:
        frame = Image.fromarray(self._viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
        frame.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        self.frames.append(frame)
        self._last = time.monotonic()

    def _look(self) -> None:
        """Whether a next scene can still come."""
        error = self._tour.error
        if error is not None:
            self.failure = error
        elif time.monotonic() - self._last > self._patience:
            self.failure = (
                f"Nothing new was on screen for {self._patience:.0f} s; try another device or model."
            )
        if self.failure:
            self._end()

    def _end(self) -> None:
        self._watch.stop()
        self._tour.close()
        self.finished.emit()

    def save(self, file: Path) -> None:
        """Write the frames. Raises MrsegError if the tour did not come to its end, InputError if there are none or
        the file cannot be written."""
        check_name(file)
        if self.failure:
            raise MrsegError(self.failure)
        if not self.frames:
            raise InputError(f"{file.name}: nothing was recorded; let the tour play.")
        stream = io.BytesIO()
        first, *rest = [
            _few_colours(frame) if file.suffix.lower() == ".gif" else frame for frame in self.frames
        ]
        milliseconds = round(1000 * FRAME_S)
        kind = file.suffix.lower().removeprefix(".")
        first.save(
            stream, kind, save_all=True, append_images=rest, duration=milliseconds, loop=0, optimize=True
        )
        write_bytes(file, stream.getvalue())


def check_name(file: Path) -> None:
    """Raises InputError if a moving picture cannot have this name."""
    if file.suffix.lower() not in KINDS:
        raise InputError(f"{file.name}: the name of a moving picture must end in {', '.join(KINDS)}.")


def _few_colours(frame: Image.Image) -> Image.Image:
    return frame.quantize(128, dither=Image.Dither.NONE)
