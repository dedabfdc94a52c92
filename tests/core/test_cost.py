"""Slow choices are said in a sentence, with every result, and only where they are slow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import model, study

from napari_mrseg import doctor
from napari_mrseg.bench.synthetic import random_model
from napari_mrseg.inference import cost
from napari_mrseg.inference.cost import costly_choices
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.counting import count
from napari_mrseg.models.store import Model
from napari_mrseg.models.unimrseg import SIZES, UniMRSeg

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


def machine(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, bf16: bool = True) -> None:
    """A synthetic machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(cost, "has_bf16", lambda _: bf16)


def codes(model: Model, device: torch.device, precision: str) -> list[str]:
    return [note.code for note in costly_choices(model, device, precision, 2)]


def test_the_quick_choice_is_not_commented(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``auto`` chooses for a small model calls for no remark, on any machine."""
    for bf16, precision in ((True, "bf16"), (False, "fp32")):
        machine(monkeypatch, bf16=bf16)
        assert codes(tiny, CPU, precision) == []
    machine(monkeypatch, gpus=1)
    assert codes(tiny, torch.device("cuda:0"), "bf16") == []


def test_the_cpu_beside_a_gpu_is_slow(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing the CPU although there is a GPU is said, with what to choose."""
    machine(monkeypatch, gpus=1)
    (note,) = costly_choices(tiny, CPU, "bf16", 2)
    assert note.code == "slow_device"
    assert "cuda:0" in note.message


def test_the_wrong_precision_is_slow(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 where there is bf16, and bf16 where there is none."""
    machine(monkeypatch, bf16=True)
    assert codes(tiny, CPU, "fp32") == ["slow_precision"]
    machine(monkeypatch, bf16=False)
    assert codes(tiny, CPU, "bf16") == ["slow_precision"]


def test_a_large_model_on_the_cpu_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published size on two threads: counted operations over the stated rate, in seconds."""
    machine(monkeypatch)
    large = random_model(tmp_path / "paper", "paper")
    (note,) = costly_choices(large, CPU, "bf16", 2)
    want = count(UniMRSeg, SIZES["paper"], cost.BRAIN_MM, channels=4, incomplete=True).flops
    assert cost.tera(large) * 1e12 == pytest.approx(want)
    assert note.code == "slow_model"
    assert f"at least {want / (2 * cost.RATES['bf16']):.0f} s on 2 threads" in note.message
    assert codes(large, torch.device("cuda:0"), "bf16") == []


def test_other_devices_are_marked_untested(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is neither CPU nor CUDA is accepted and marked."""
    machine(monkeypatch)
    assert codes(tiny, torch.device("xpu"), "fp32")[:1] == ["untested_device"]


def test_every_result_says_it(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preview and final carry the sentence, so dock, command line, result.json and report show it."""
    machine(monkeypatch, gpus=1)
    engine = Engine(tiny, device="cpu")
    for prediction in engine.run(study(), ["flair", "t1ce"]):
        assert [n.code for n in prediction.notes if n.code.startswith("slow")] == [
            n.code for n in engine.slow
        ]
    assert "slow_device" in [n.code for n in engine.slow]


def test_the_doctor_says_how_long_a_model_takes() -> None:
    """For each model the least seconds of one combination on this machine's CPU, in JSON and in words."""
    found = doctor.examine()
    assert found["models"]
    assert all(m["least_seconds_on_cpu"] > 0 for m in found["models"])
    assert "one combination of a whole brain at least" in doctor.summary(found)
