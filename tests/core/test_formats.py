"""File formats: one list of endings, which another package may add to."""

from __future__ import annotations

import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from napari_mrseg.errors import InputError
from napari_mrseg.extend import Format
from napari_mrseg.io import formats, write_labels
from napari_mrseg.study import Grid, Source
from napari_mrseg.tasks import BRATS, RGBD_SOD

PACKAGE = """
from napari_mrseg.extend import Format


class Raw(Format):
    title = "raw volume"
    endings = (".raw3d",)
    ndim = 3

    def read(self, path, *, channels=1, labels=False, assume_ras=False):
        raise NotImplementedError
"""


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of one file with a format, and entry points to it and to nothing."""
    (tmp_path / "rawpackage.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(tmp_path)
    found = [
        EntryPoint("raw", "rawpackage:Raw", formats.GROUP),
        EntryPoint("gone", "rawpackage:Gone", formats.GROUP),
    ]
    monkeypatch.setattr(formats, "entry_points", lambda group: found if group == formats.GROUP else [])


@pytest.mark.usefixtures("entries")
def test_a_format_of_another_package_is_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its ending wherever the list is read; one that cannot be loaded is named and left out."""
    with pytest.warns(UserWarning, match=r"“gone” of rawpackage:Gone cannot be loaded"):
        (raw,) = formats.installed()
    assert isinstance(raw, Format)
    monkeypatch.setattr(formats, "FORMATS", (*formats.OWN, raw))
    assert formats.format_of(Path("a.RAW3D")) is raw
    assert ".raw3d" in formats.scan_endings(BRATS)
    assert ".raw3d" not in formats.scan_endings(RGBD_SOD)
    source = Source(Path("a.raw3d"), Grid.of((4, 4, 4), np.eye(4)), "")
    with pytest.raises(InputError, match=r"not written in this format; end the name in \.nii\.gz or \.nii"):
        write_labels(np.zeros((4, 4, 4), np.uint8), source, "b.raw3d")


def test_each_format_says_what_it_is() -> None:
    """Endings are lower case, begin with a dot, belong to one format; labels are written in some of them."""
    endings = [ending for kind in formats.OWN for ending in kind.endings]
    assert len(set(endings)) == len(endings)
    assert all(ending == ending.lower() and ending[0] == "." for ending in endings)
    for kind in formats.OWN:
        assert set(kind.label_endings) <= set(kind.endings)
        assert kind.title
    for task in (BRATS, RGBD_SOD):
        assert formats.label_ending(task) in formats.formats_of(task)[0].label_endings


@pytest.mark.parametrize("name", ["labels", "labels.txt", "labels.nii.bz2"])
def test_a_label_file_of_no_format_is_refused_with_those_there_are(name: str, tmp_path: Path) -> None:
    """The sentence has the endings for the scan's own kind: volumes or pictures. Nothing is written."""
    source = Source(tmp_path / "a.nii.gz", Grid.of((4, 4, 4), np.eye(4)), "")
    with pytest.raises(InputError, match=r"end it in \.nii\.gz or \.nii\.$"):
        write_labels(np.zeros((4, 4, 4), np.uint8), source, tmp_path / name)
    picture = Source(tmp_path / "a.jpg", Grid.of((1, 4, 4), np.eye(4)), "")
    with pytest.raises(InputError, match=r"end it in \.png, \.tif or \.tiff\.$"):
        write_labels(np.zeros((1, 4, 4), np.uint8), picture, tmp_path / name)
    assert not list(tmp_path.iterdir())
