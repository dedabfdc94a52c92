"""A folder that a camera writes into."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_mrseg.errors import InputError
from napari_mrseg.io.watched import Watched
from napari_mrseg.tasks import RGBD_SOD

GREY = np.random.default_rng(0).integers(0, 255, (8, 10), dtype=np.uint8)


def write(path: Path, second: float) -> Path:
    """A picture that was written at that second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path)
    os.utime(path, (second, second))
    return path


def seen(watched: Watched) -> dict[str, str] | None:
    """What two looks find: a file is whole once it stays as it is."""
    watched.look()
    frame = watched.look()
    return None if frame is None else {role: path.name for role, path in frame.items()}


@pytest.mark.parametrize("pattern", ["{k}_{role}.png", "{role}/{k}.png"])
def test_the_newest_complete_frame_is_given_once(tmp_path: Path, pattern: str) -> None:
    """Colour and depth belong together by name; half a frame waits; what was given is not given again."""
    for role in ("rgb", "depth"):
        for k in (1, 2):
            write(tmp_path / pattern.format(k=k, role=role), 1000 + k)
    watched = Watched(tmp_path, RGBD_SOD)
    newest = {role: Path(pattern.format(k=2, role=role)).name for role in ("rgb", "depth")}
    assert seen(watched) == newest
    assert seen(watched) is None
    write(tmp_path / pattern.format(k=3, role="rgb"), 1003)
    assert seen(watched) is None
    write(tmp_path / pattern.format(k=3, role="depth"), 1003)
    assert seen(watched) == {role: Path(pattern.format(k=3, role=role)).name for role in ("rgb", "depth")}


def test_a_webcam_that_writes_one_file_again_and_again(tmp_path: Path) -> None:
    """A picture without a word is colour; each time it is written anew it is a new frame."""
    watched = Watched(tmp_path, RGBD_SOD)
    for second in (1000, 1001, 1002):
        write(tmp_path / "snapshot.jpg", second)
        assert seen(watched) == {"rgb": "snapshot.jpg"}


def test_a_file_that_is_being_written_is_left(tmp_path: Path) -> None:
    """A first look never gives anything, and a file that grew between two looks is not given."""
    path = write(tmp_path / "a.png", time.time())
    watched = Watched(tmp_path, RGBD_SOD)
    assert watched.look() is None
    path.write_bytes(path.read_bytes() + b"more")
    assert watched.look() is None
    assert watched.look() == {"rgb": path}


def test_no_such_folder_is_a_sentence(tmp_path: Path) -> None:
    """Named, with what to give."""
    with pytest.raises(InputError, match="is no folder; give the one that the camera writes into"):
        Watched(tmp_path / "none", RGBD_SOD)
