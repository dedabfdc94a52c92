"""From the command to the first picture: what is left for later, and how the layers come."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from psygnal import Signal
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer
from waiting import MakeStudy, until_final

from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.garbage import modules_kept, spared
from napari_mrseg._qt.icon_files import icons_written_beside
from napari_mrseg.cli.window import without_garbage_collection


class Said:
    """Something that is ready."""

    ready = Signal()


def test_the_window_is_built_without_torch() -> None:
    """Its modules load no torch, which takes as long as they do; that comes on a thread, when the window is there."""
    code = "import sys, napari_mrseg._qt.app; assert 'torch' not in sys.modules, 'torch'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_napari_writes_its_icons_beside_and_only_those_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files as napari writes by itself; a second time only the one that is not as it should be."""
    from napari.resources import _icons

    monkeypatch.setattr(_icons, "_theme_path", lambda name: tmp_path / name)
    _icons.build_theme_svgs("dark", "builtin")
    expected = {path.name: path.read_bytes() for path in (tmp_path / "dark").iterdir()}
    shutil.rmtree(tmp_path / "dark")

    def build() -> dict[str, Path]:
        with icons_written_beside():
            _icons.build_theme_svgs("dark", "builtin")
        return {path.name: path for path in (tmp_path / "dark").iterdir()}

    icons = build()
    assert {name: path.read_bytes() for name, path in icons.items()} == expected
    old = 10**18  # ns
    for path in icons.values():
        os.utime(path, ns=(old, old))
    icons["add.svg"].write_text("of another version")
    again = build()
    assert {name: path.read_bytes() for name, path in again.items()} == expected
    written = {name for name, path in again.items() if path.stat().st_mtime_ns != old}
    assert written == {"add.svg", _icons.PLUGIN_FILE_NAME}
    assert _icons.write_colorized_svgs.__module__ == _icons.__name__


def test_nothing_is_looked_through_until_all_is_loaded() -> None:
    """No garbage is looked for from the command until the signal; then what is there is out of sight, to the end."""
    said, before = Said(), gc.get_freeze_count()
    if before:
        gc.unfreeze()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
            with modules_kept(said.ready):
                assert not gc.isenabled()
                said.ready.emit()
                assert gc.isenabled()
                assert gc.get_freeze_count() > 0
                assert len(said.ready) == 0
            assert gc.get_freeze_count() == 0
        assert gc.isenabled()
        with without_garbage_collection(), modules_kept(said.ready):
            pass
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0
    finally:
        if before:
            gc.freeze()


def test_napari_looks_for_no_garbage_while_layers_go() -> None:
    """Its own call does nothing there, and what it needs is put back."""
    from napari._vispy import canvas

    with spared():
        assert canvas.gc.collect() == 0
        assert canvas.gc is not gc
    assert canvas.gc is gc


def test_layers_come_one_a_turn(qtbot: QtBot, dock: MrsegDock, make_study: MakeStudy) -> None:
    """Between two layers of a study the event loop turns: a key, a click or a frame has its time there."""
    seen: set[int] = set()
    ticker = QTimer(dock)
    ticker.timeout.connect(lambda: seen.add(len(dock.viewer.layers)))
    ticker.start(0)
    dock.open([make_study(case="first")])
    until_final(qtbot, dock)
    ticker.stop()
    assert seen >= set(range(len(dock.viewer.layers) + 1))
