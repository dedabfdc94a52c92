"""Rolling the axes shows each plane upright, and the slider says which one it is."""

from __future__ import annotations

from pytestqt.qtbot import QtBot
from tiny import study
from waiting import until_final

from napari_mrseg._qt.dock import MrsegDock


def test_rolling_shows_each_plane_upright_and_named(qtbot: QtBot, dock: MrsegDock) -> None:
    """Axial, sagittal, coronal and round again: front or head up, the patient's left on the right of the canvas."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dims = dock.viewer.dims
    expected = [("sagittal", "SIAP"), ("coronal", "SIRL"), ("axial", "APRL")] * 2
    for name, letters in expected:
        dims.roll()
        assert "".join(dock.letters.shown.values()) == letters
        assert dims.axis_labels[dims.order[0]] == name


def test_a_transposed_plane_is_left_as_it_is(qtbot: QtBot, dock: MrsegDock) -> None:
    """What the user turns on purpose stays turned."""
    dock.session.set_study(study())
    until_final(qtbot, dock)
    dock.viewer.dims.transpose()
    assert tuple(dock.viewer.dims.order) == (0, 2, 1)
    assert "".join(dock.letters.shown.values()) == "RLAP"
