"""What napari.yaml promises: reader, writer, sample and dock do what a user expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name
from pytestqt.qtbot import QtBot
from waiting import MakeStudy, until_final

from napari_mrseg import _contributions
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.errors import InputError
from napari_mrseg.session.state import Session

MANIFEST = Path(_contributions.__file__).with_name("napari.yaml")


def test_every_command_of_the_manifest_exists() -> None:
    """Each python_name in napari.yaml can be imported and called."""
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == "napari-mrseg"
    names = [command.python_name for command in manifest.contributions.commands or []]
    assert len(names) >= 4
    for name in names:
        assert callable(import_python_name(str(name)))


def test_the_reader_takes_studies_and_nothing_else(make_study: MakeStudy, tmp_path: Path) -> None:
    """Folders with scans and NIfTI files are ours; other folders and files are left to other plugins."""
    folder = make_study()
    assert _contributions.get_reader(str(folder)) is not None
    assert _contributions.get_reader([str(p) for p in folder.glob("*.nii.gz")]) is not None
    (tmp_path / "empty.zarr").mkdir()
    assert _contributions.get_reader(str(tmp_path / "empty.zarr")) is None
    assert _contributions.get_reader(str(tmp_path / "picture.png")) is None


def test_reading_then_opening_the_dock_loses_nothing(
    qtbot: QtBot, session: Session, make_study: MakeStudy
) -> None:
    """Layers that the reader made become the dock's study; layers of the user's own stay."""
    viewer = ViewerModel()
    reader = _contributions.get_reader(str(make_study(("flair", "t2"))))
    assert reader is not None
    for data, options, kind in reader(str(make_study(("flair", "t2")))):
        getattr(viewer, f"add_{kind}")(data, **options)
    assert [layer.name for layer in viewer.layers] == ["T2", "FLAIR", "Reference"]
    assert [layer.visible for layer in viewer.layers] == [False, True, False]
    mine = viewer.add_points([[0, 0, 0]])
    dock = MrsegDock(viewer, session)
    qtbot.addWidget(dock)
    until_final(qtbot, dock)
    assert session.combination == ("flair", "t2")
    names = sorted(layer.name for layer in viewer.layers if layer is not mine)
    assert names == ["FLAIR", "Reference", "Segmentation: FLAIR+T2", "T2"]
    assert mine in viewer.layers


def test_files_dropped_together_make_one_study(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """napari hands dropped files over one by one; with the dock open they still make one study."""
    monkeypatch.setattr(_contributions, "_dock", lambda: dock)
    for path in sorted(make_study(("flair", "t1")).glob("*.nii.gz")):
        assert _contributions.read(str(path)) == [(None,)]
    until_final(qtbot, dock, ("flair", "t1"))


def test_the_writer_keeps_the_scans_grid(
    qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy, tmp_path: Path
) -> None:
    """A saved overlay has the scan's shape and affine, and its voxels lie where they were drawn."""
    affine = np.array([[0, 2.0, 0, -9], [1.5, 0, 0, 4], [0, 0, -1.0, 30], [0, 0, 0, 1]])
    folder = make_study(affine=affine)
    dock.open([folder])
    until_final(qtbot, dock)
    layer = dock.layers.prediction
    assert layer is not None
    out = tmp_path / "saved.nii.gz"
    data, meta, _ = layer.as_layer_data_tuple()
    assert _contributions.write_labels(str(out), data, meta) == [str(out)]
    saved, scan = nib.load(out), nib.load(folder / "case-1_flair.nii.gz")
    assert saved.shape == scan.shape
    assert np.array_equal(saved.affine, scan.affine)
    source = dock.session.study.images["flair"].source  # type: ignore[union-attr]
    assert np.array_equal(np.asarray(saved.dataobj), source.from_ipl(layer.data))


def test_the_writer_refuses_layers_that_are_not_ours(tmp_path: Path) -> None:
    """A layer of unknown geometry is not written with a synthetic one."""
    out = tmp_path / "saved.nii.gz"
    meta: dict[str, Any] = {"name": "mine", "metadata": {}}
    with pytest.raises(InputError, match="mine was not made by MRSeg"):
        _contributions.write_labels(str(out), np.zeros((3, 3, 3), np.uint8), meta)
    assert not out.exists()
