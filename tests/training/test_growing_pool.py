"""The pool of generated subjects that grows beside the training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import small_config
from torch import Tensor

from mrseg_training.data.growing_pool import GrowingPool
from mrseg_training.data.prepared import fill_cache
from mrseg_training.data.subjects import open_source
from mrseg_training.loop import train
from mrseg_training.settings import Config
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model


class Sizes(GrowingPool):
    """Only the arithmetic, without subjects."""

    def __init__(self, first: int, grow: int) -> None:
        self._first, self.grow = first, grow


@given(first=st.integers(1, 50), grow=st.integers(1, 20), epochs=st.integers(1, 12))
def test_every_sample_of_an_epoch_has_its_own_place(first: int, grow: int, epochs: int) -> None:
    """Epoch e has the places 0 .. N + e · grow − 1, each once and in order, and samples() counts them."""
    sizes = Sizes(first, grow)
    places = [sizes.place(position) for position in range(sizes.samples(epochs))]
    assert places == [(e, k) for e in range(epochs) for k in range(first + e * grow)]


def config_of(steps: int, grow: int = 2) -> Config:
    return small_config(
        data={"source": "simulated", "spacing": 4.0, "simulate": {"train": 3, "validation": 0, "grow": grow}},
        recipe=["supervised"],
        stages={"supervised": {"steps": steps, "batch": 1}},
        run={"checkpoint_every": 4},
    )


def weights(model: Path) -> dict[str, Tensor]:
    return load_model(model).network.state_dict()


def test_the_pool_grows_and_a_stopped_run_goes_on_with_the_same_subjects(tmp_path: Path) -> None:
    """Three epochs of 3, 5 and 7 subjects: the third has its own; stopped in the second and resumed: bit-equal."""
    whole = train(config_of(15), tmp_path / "whole")
    drawn = sorted(p.stem for p in (tmp_path / "whole" / "cache").glob("sim-train-*.safetensors"))
    assert set(drawn) >= {f"sim-train-{k:04d}" for k in range(7)}
    assert "7 simulated" in load_model(whole).card.trained_on[0]

    def stop(event: dict[str, object]) -> None:
        if event.get("kind") == "step" and event["step"] == 6:
            raise KeyboardInterrupt

    config = config_of(15)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", report=stop)
    resumed = train(config, tmp_path / "stopped", resume=True)
    own, other = weights(whole), weights(resumed)
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_subject_that_cannot_be_drawn_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that draws has died: training stops with a sentence, and does not wait for ever."""
    monkeypatch.setattr("mrseg_training.data.growing_pool.fill_there", _die)
    with pytest.raises(InputError, match=r"sim-train-0003 cannot be drawn"):
        train(config_of(15), tmp_path / "run")


def _die(_: str) -> None:
    os._exit(1)


def test_another_process_waits_until_a_subject_is_there(tmp_path: Path) -> None:
    """A process that does not draw takes what the drawing one has written, and both see the same."""
    config = config_of(15)
    source = open_source(config.data, config.model_task)
    assert source.split is not None
    cached = fill_cache(source, source.split["train"], tmp_path)
    drawing = GrowingPool(cached, source, tmp_path, 2)
    waiting = GrowingPool(cached, source, tmp_path, 2, draws=False)
    try:
        wanted = drawing.epoch(1)
        assert list(waiting.epoch(1)) == list(wanted)
        assert len(wanted) == 5
        assert torch.equal(drawing.images(wanted[-1]), waiting.images(wanted[-1]))
    finally:
        drawing.close()


def test_a_pool_does_not_grow_where_it_must_not(tmp_path: Path) -> None:
    """Files cannot grow, nor a share of labels be kept of what is not drawn yet: refused with the settings."""
    for data in ({"source": "folders", "path": str(tmp_path)}, {"labelled_share": 0.5}):
        with pytest.raises(InputError, match="grow"):
            small_config(data={"simulate": {"grow": 2}, **data})
