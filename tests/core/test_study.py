"""What flows through the house: values that can be compared, hashed and put in a set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny import model, study

from napari_mrseg.inference.engine import Engine


def test_studies_compare_and_hash_without_looking_at_voxels() -> None:
    """A study, an image and a reference are equal to themselves alone; equal content has an equal digest."""
    first, second = study(reference=True), study(reference=True)
    assert first == first
    assert first != second
    assert first in [second, first]
    assert len({first, second, first.images["t1"], second.images["t1"], first.reference}) == 5
    assert first.digest == second.digest == replace(first, case="other").digest
    assert first.digest != first.only(["t1"]).digest


def test_predictions_compare_and_hash(tmp_path: Path) -> None:
    """Two predictions with the same voxels are still two; neither comparison nor hashing raises."""
    engine = Engine(model(tmp_path), device="cpu")
    found = [engine.predict(study(), ["t1"]) for _ in range(2)]
    assert found[0] == found[0]
    assert found[0] != found[1]
    assert len(set(found)) == 2
