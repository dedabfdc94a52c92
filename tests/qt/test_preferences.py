"""The Preferences page: the memory budget is set there, and followed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from napari.settings import get_plugin_settings

from napari_mrseg._qt import preferences
from napari_mrseg._qt.preferences import Preferences
from napari_mrseg.inference.cache import BUDGET, PredictionCache
from napari_mrseg.session import Session


@pytest.fixture
def memory() -> Iterator[Any]:
    """napari's own group of settings for the plugin, as its Preferences page changes it."""
    group = get_plugin_settings("napari-mrseg").memory
    before = group.results_gb
    yield group
    group.results_gb = before


def test_the_default_is_the_librarys(memory: Any) -> None:
    """An untouched page means the budget that scripts get."""
    assert memory.results_gb * 10**9 == BUDGET == Session().cache.budget


def test_the_budget_follows_the_page(memory: Any) -> None:
    """What is set there holds at once, and for a window opened later; a closed one is let go."""
    session, later = Session(), Session()
    kept = Preferences(session)
    memory.results_gb = 0.5
    assert session.cache.budget == 500_000_000
    also = Preferences(later)
    assert later.cache.budget == 500_000_000
    del kept
    memory.results_gb = 1.0
    assert (session.cache.budget, later.cache.budget) == (500_000_000, 1_000_000_000)
    assert also is not None


def test_a_budget_that_was_given_stays(memory: Any) -> None:
    """A script that names a budget keeps it in the window."""
    session = Session(cache=PredictionCache(123))
    kept = Preferences(session)
    memory.results_gb = 4.0
    assert session.cache.budget == 123
    assert kept is not None


def test_a_viewer_without_the_plugin_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where napari has the plugin switched off there is no page, and no error."""

    def unknown(_: str) -> SimpleNamespace:
        raise KeyError

    monkeypatch.setattr(preferences, "get_plugin_settings", unknown)
    session = Session()
    Preferences(session)
    assert session.cache.budget == BUDGET
