"""A folder that a camera writes into: its newest frame, once all of it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.io.formats import is_readable
from napari_mrseg.io.frames import bare_name
from napari_mrseg.io.keywords import words_of
from napari_mrseg.tasks import Task

Frame = dict[str, Path]
"""The file of each modality."""
_Seen = tuple[int, int]
"""Size and time of change of a file: when both stay, it is written."""


class Watched:
    """The folder and the folders in it, looked at again and again; pictures may come, go and be written anew.

    Files are one frame if their names are alike but for the words of what they show (``12_rgb.png``, ``12_depth.png``;
    ``rgb/12.png``, ``depth/12.png``). A picture whose name says nothing is colour. A frame is complete once it has
    every modality that some frame in the folder has. Raises InputError if there is no such folder.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the one that the camera writes into.")
        self.folder, self.task = folder, task
        self._before: dict[Path, _Seen] = {}
        self._given: tuple[int, str] = (-1, "")

    def look(self) -> Frame | None:
        """The newest complete frame if it is newer than the last one given, and nothing of it is being written."""
        now = dict(self._files())
        before, self._before = self._before, now
        frames: dict[str, Frame] = {}
        for path in sorted(now):
            role = self._role(path)
            if role is not None:
                frames.setdefault(bare_name(path, self.task), {})[role] = path
        wanted = {role for frame in frames.values() for role in frame}
        complete = [
            (max(now[path][1] for path in frame.values()), name)
            for name, frame in frames.items()
            if set(frame) == wanted and all(before.get(path) == now[path] for path in frame.values())
        ]
        newest = max(complete, default=None)
        if newest is None or newest <= self._given:
            return None
        self._given = newest
        return {role: frames[newest[1]][role] for role in self.task.names if role in frames[newest[1]]}

    def _files(self) -> Iterator[tuple[Path, _Seen]]:
        inside = [
            self.folder,
            *(p for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith(".")),
        ]
        for folder in inside:
            for path in folder.iterdir():
                try:
                    if path.is_file() and not path.name.startswith(".") and is_readable(path, self.task):
                        about = path.stat()
                        yield path, (about.st_size, about.st_mtime_ns)
                except OSError:
                    continue  # gone again

    def _role(self, path: Path) -> str | None:
        """What the file shows, by its name, then by its folder's; None for references and the like."""
        places = [path.stem] + ([path.parent.name] if path.parent != self.folder else [])
        for place in places:
            words = words_of(place)
            if set(words) & set(self.task.reference_names):
                return None
            for modality in self.task.modalities:
                if set(words) & {modality.name, *modality.names}:
                    return modality.name
        return self.task.names[0]
