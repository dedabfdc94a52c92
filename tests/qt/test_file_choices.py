"""What the file dialogs offer."""

from __future__ import annotations

import re

import pytest

from napari_mrseg._qt.file_choices import file_kinds
from napari_mrseg.io.formats import scan_endings
from napari_mrseg.tasks import BRATS, RGBD_SOD, Task


@pytest.mark.parametrize(
    ("task", "some"),
    [
        (BRATS, {".nii.gz", ".mhd", ".nhdr", ".mgh", ".hdr", ".dcm", ".zip"}),
        (RGBD_SOD, {".png", ".jpg", ".tif", ".npy"}),
    ],
)
def test_the_dialog_shows_every_format_of_the_task(task: Task, some: set[str]) -> None:
    """All endings that can be read, none of the other kind of task, and a way to see everything."""
    first, everything = file_kinds(task).split(";;")
    shown = re.findall(r"\*(\.[\w.]+)", first)
    assert shown == list(scan_endings(task))
    assert some <= set(shown)
    other = RGBD_SOD if task is BRATS else BRATS
    assert not set(shown) & set(scan_endings(other))
    assert everything == "All files (*)"
