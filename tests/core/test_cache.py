"""The cache: a budget in memory, and a warm start from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import model, study

from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> list[Prediction]:
    engine = Engine(model(tmp_path_factory.mktemp("m")), device="cpu")
    return list(engine.run_all(study(), BRATS.combinations()[:3]))


def test_the_least_recently_used_leave_first(predictions: list[Prediction]) -> None:
    """Beyond the budget the oldest unused prediction goes; the newest always stays."""
    cache = PredictionCache(budget=2 * predictions[0].nbytes)
    cache.put("a", predictions[0])
    cache.put("b", predictions[1])
    assert cache.get("a") is predictions[0]
    cache.put("c", predictions[2])
    assert cache.get("b") is None
    assert cache.get("a") is predictions[0]
    small = PredictionCache(budget=1)
    small.put("a", predictions[0])
    assert len(small) == 1


def test_disk_gives_back_the_same_prediction(predictions: list[Prediction], tmp_path: Path) -> None:
    """Labels, probabilities and all that labels them come back as they were, in another process's cache."""
    PredictionCache(folder=tmp_path).put(("a", 1), predictions[1])
    fresh = PredictionCache(folder=tmp_path)
    assert fresh.get(("a", 1)) is None
    got = fresh.recall(("a", 1))
    assert got is not None
    assert np.array_equal(got.labels, predictions[1].labels)
    assert np.array_equal(got.probabilities, predictions[1].probabilities)
    for field in (
        "combination",
        "grid",
        "box",
        "digest",
        "model",
        "device",
        "precision",
        "seconds",
        "notes",
        "sizes",
    ):
        assert getattr(got, field) == getattr(predictions[1], field), field
    assert fresh.recall(("a", 2)) is None


def test_a_damaged_file_is_computed_again(predictions: list[Prediction], tmp_path: Path) -> None:
    """Truncated, empty or foreign files are no results."""
    PredictionCache(folder=tmp_path).put("a", predictions[0])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a file of ours"):
        file.write_bytes(content)
        assert PredictionCache(folder=tmp_path).recall("a") is None


def test_a_second_session_starts_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache folder the second opening needs no network at all."""
    tiny = model(tmp_path / "m")
    for start in ("cold", "warm"):
        session = Session(device="cpu", cache=PredictionCache(folder=tmp_path / "cache"))
        session.set_model(tiny)
        if start == "warm":
            monkeypatch.setattr(Engine, "_pass", lambda *_: pytest.fail("computed again"))
        session.set_study(study(shape=(16, 16, 16)))
        session.wait_for_sweep(60)
        assert session.error is None
        assert len(session.predictions) == 15
        session.close()


def test_a_smaller_budget_holds_at_once(predictions: list[Prediction]) -> None:
    """Lowering the budget lets the least recently used go; one is always kept."""
    cache = PredictionCache()
    assert not cache.chosen
    for name, prediction in zip("abc", predictions, strict=True):
        cache.put(name, prediction)
    cache.limit(2 * predictions[0].nbytes)
    assert [cache.get(name) is None for name in "abc"] == [True, False, False]
    cache.limit(1)
    assert len(cache) == 1
    assert PredictionCache(budget=1).chosen
