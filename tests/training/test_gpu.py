"""The run in the minutes of a GPU: what is packed comes out again, and the minutes are kept to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from mrseg_training import gpu
from mrseg_training.bundled import read_folds
from mrseg_training.data.anatomy import Anatomy, from_template, load_pair, save_pair
from mrseg_training.settings import Config
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model


def brains(seed: int) -> tuple[Anatomy, Anatomy]:
    """A small brain without and with a lesion."""
    extents = torch.zeros(3, 20, 24, 20)
    extents[0, 4:16, 4:20, 4:16], extents[1, 7:13, 8:16, 7:13], extents[2, 3:17, 3:21, 3:17] = 0.8, 0.9, 1.0
    healthy = from_template(extents, torch.Generator().manual_seed(seed))
    labels = torch.zeros(20, 24, 20, dtype=torch.uint8)
    labels[8:12, 8:12, 8:12] = 2
    labels[9:11, 9:11, 9:11] = 3
    images = torch.where(labels > 0, healthy.images + 2, healthy.images)
    valid = healthy.valid.clone()
    valid[0] = 0
    healthy = Anatomy("brain", healthy.images, healthy.white, healthy.fluid, valid)
    return healthy, Anatomy("brain", images, healthy.white, healthy.fluid, torch.ones_like(valid), labels)


def test_a_packed_brain_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Images to float16's precision, with the lesion and without; labels and what is certain exactly."""
    pair = brains(0)
    save_pair(tmp_path / "brain.npz", pair)
    for before, after in zip(pair, load_pair(tmp_path / "brain.npz"), strict=True):
        torch.testing.assert_close(after.images, before.images, rtol=2e-3, atol=2e-2)
        assert torch.equal(after.valid, before.valid)
    assert torch.equal(load_pair(tmp_path / "brain.npz")[1].labels, pair[1].labels)  # type: ignore[arg-type]
    (tmp_path / "bad.npz").write_bytes((tmp_path / "brain.npz").read_bytes()[:900])
    with pytest.raises(InputError, match=r"bad\.npz is no packed brain or is damaged"):
        load_pair(tmp_path / "bad.npz")


class Clock:
    """Minutes that pass only when something says that it took some."""

    now = 0.0

    def monotonic(self) -> float:
        return 60 * self.now


@pytest.mark.parametrize("slow", [1.0, 2.5])
def test_the_minutes_are_shared_out_and_kept_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: float
) -> None:
    """Base, the fold to ship, the benchmark, the other fold; where one takes longer, what has no time left is said."""
    folds = read_folds()
    for name in [*folds["base"], *(s for test in folds["test"].values() for s in test)]:
        save_pair(tmp_path / "pack" / f"{name}.npz", brains(0))
    clock, begun = Clock(), []

    def train(config: Config, out: Path, *, resume: bool, report: Any) -> Path:
        begun.append((out.name, config.stages.supervised.minutes))  # type: ignore[union-attr]
        clock.now += slow * config.stages.supervised.minutes / (1 - gpu.DRAWING)  # type: ignore[union-attr, operator]
        tiny.model(out / "1-supervised", name="model")
        report({"kind": "step", "stage": "1-supervised", "step": 1, "loss": 0.5, "rate": 1.0})
        assert load_model(tmp_path / "out" / out.name).sha256  # as it learns, too
        tiny.model(out, name="model")
        return out / "model"

    monkeypatch.setattr(gpu, "train", train)
    monkeypatch.setattr(gpu, "time", clock)
    monkeypatch.setattr(gpu, "_bench", lambda out: "bench.json")
    told = gpu.train_within(tmp_path / "pack", tmp_path / "out", 10.0, tmp_path / "work", [])
    assert told == json.loads((tmp_path / "out" / "told.json").read_text())
    assert begun[0] == ("base", pytest.approx(10 * 0.5 * 0.75))
    if slow == 1.0:
        assert begun[1:] == [("a", pytest.approx(10 * 0.35 * 0.75)), ("b", pytest.approx(10 * 0.15 * 0.75))]
        assert told["bench"] == "bench.json"
    else:
        assert [name for name, _ in begun] == ["base"]
        assert told["a"] == told["b"] == told["bench"] == "no time left"
    assert (tmp_path / "out" / "base" / "model.json").is_file()
