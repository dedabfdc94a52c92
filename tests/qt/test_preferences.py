"""The Preferences page: the memory budget is set there, and followed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from napari.settings import get_plugin_settings
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from napari_mrseg._qt import preferences
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.legend import Legend
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg._qt.preferences import Preferences
from napari_mrseg.display import label_rgba, rgb
from napari_mrseg.inference.cache import BUDGET, PredictionCache
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS, PALETTES, Task, use_palette


@pytest.fixture
def memory() -> Iterator[Any]:
    """napari's own group of settings for the plugin, as its Preferences page changes it."""
    group = get_plugin_settings("napari-mrseg").memory
    before = group.results_gb
    yield group
    group.results_gb = before


@pytest.fixture
def engine() -> Iterator[Any]:
    """As ``memory``, for the device."""
    group = get_plugin_settings("napari-mrseg").engine
    yield group
    group.device = "auto"


def test_the_device_follows_the_page(engine: Any) -> None:
    """What is set there is asked for at once and in a window opened later, unless that one was given a device."""
    chosen: list[str] = []
    kept = Preferences(Session(), chosen.append)
    assert chosen == []
    engine.device = "cpu"
    assert chosen == ["cpu"]
    del kept
    later = Preferences(Session(), chosen.append)
    assert chosen == ["cpu", "cpu"]
    given = Preferences(Session(device="cpu"), chosen.append)
    assert chosen == ["cpu", "cpu"]
    assert later is not given


def test_a_device_set_on_the_page_is_used_by_the_dock(qtbot: QtBot, engine: Any, dock: MrsegDock) -> None:
    """The dock's session moves to it; one that is not there is said, and the old one stays."""
    engine.device = "cpu"
    qtbot.waitUntil(lambda: dock.session.device == "cpu", timeout=10_000)
    if not torch.cuda.is_available():
        engine.device = "cuda"
        qtbot.waitUntil(lambda: not dock.panel.error.isHidden(), timeout=10_000)
        assert dock.session.device == "cpu"


def test_the_default_is_the_librarys(memory: Any) -> None:
    """An untouched page means the budget that scripts get."""
    assert memory.results_gb * 10**9 == BUDGET == Session().cache.budget


def test_the_budget_follows_the_page(memory: Any) -> None:
    """What is set there holds at once, and for a window opened later; a closed one is let go."""
    chosen: list[str] = []
    session, later = Session(), Session()
    kept = Preferences(session, chosen.append)
    memory.results_gb = 0.5
    assert session.cache.budget == 500_000_000
    also = Preferences(later, chosen.append)
    assert later.cache.budget == 500_000_000
    del kept
    memory.results_gb = 1.0
    assert (session.cache.budget, later.cache.budget) == (500_000_000, 1_000_000_000)
    assert also is not None


def test_a_budget_that_was_given_stays(memory: Any) -> None:
    """A script that names a budget keeps it in the window."""
    chosen: list[str] = []
    session = Session(cache=PredictionCache(123))
    kept = Preferences(session, chosen.append)
    memory.results_gb = 4.0
    assert session.cache.budget == 123
    assert kept is not None


def test_a_viewer_without_the_plugin_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where napari has the plugin switched off there is no page, and no error."""
    chosen: list[str] = []

    def unknown(_: str) -> SimpleNamespace:
        raise KeyError

    monkeypatch.setattr(preferences, "get_plugin_settings", unknown)
    session = Session()
    Preferences(session, chosen.append)
    assert session.cache.budget == BUDGET


def test_colours_are_the_same_everywhere(qtbot: QtBot) -> None:
    """The palette chosen on the page is the overlay's and the legend's, and so everything's that asks the label."""
    group = get_plugin_settings("napari-mrseg").look
    before = group.colours
    try:
        group.colours = "red green yellow"
        use_palette(preferences.colours())
        colours = [label.colour for label in BRATS.labels]
        assert colours == ["#E41A1C", "#4DAF4A", "#FFE119"]
        for label in BRATS.labels:
            assert tuple(label_rgba(BRATS)[label.code][:3]) == pytest.approx(rgb(label.colour))
            assert label.colour in legend_styles(BRATS)
    finally:
        group.colours = before
        use_palette(PALETTES[0])
    assert BRATS.labels[0].colour == "#D55E00"


def legend_styles(task: Task) -> str:
    """What the legend's swatches are painted with."""
    legend = Legend(task, OverlayStyle())
    return " ".join(swatch.styleSheet() for swatch in legend.findChildren(QLabel))
