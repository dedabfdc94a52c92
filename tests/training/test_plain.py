"""The plain training script and the table of Dice, on tiny made-up brains."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_simulate import maps, seeded

from mrseg_training import evaluate_plain, plain
from mrseg_training.data.anatomy import from_template
from mrseg_training.data.sample import save
from mrseg_training.data.simulate import Sample, Simulator
from napari_mrseg.models.store import load_model
from napari_mrseg.models.unimrseg import SIZES, Settings
from napari_mrseg.study import Grid


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", Settings(width=2, aspp_rates=(1,), heads=(1, 1, 1, 1, 1)))


def options(steps: int) -> argparse.Namespace:
    return argparse.Namespace(
        size="tiny",
        seed=0,
        lr=1e-2,
        minutes=60,
        steps=steps,
        batch=2,
        pool=2,
        workers=0,
        save_every=60,
        report=100,
        split="first",
    )


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator([from_template(maps((20, 22, 20)), seeded(1))], template_share=0)


def test_training_goes_on_where_it_stopped(tmp_path: Path, simulator: Simulator) -> None:
    """A second run on a folder starts from the first one's weights and counts on."""
    plain.train(simulator, tmp_path, options(1))
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    plain.train(simulator, tmp_path, options(1))
    again = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(torch.equal(first["network"][k], again["network"][k]) for k in first["network"])
    plain.train(simulator, tmp_path, options(3))
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (first["step"], last["step"]) == (1, 3)
    assert last["elapsed"] > first["elapsed"]


def test_a_view_is_a_crop_with_modalities_dropped(simulator: Simulator) -> None:
    """Crops have the size asked for; dropped modalities are zero; ET is learnt only with T1ce."""
    draws = seeded(3)
    sample = next(iter(plain.Stream(simulator, 1)))
    for size in ((16, 8, 24), (48, 48, 48)):
        for _ in range(12):
            got = plain.view(sample, size, draws)
            assert got.images.shape == (4, *size)
            assert got.regions.shape == (3, *size)
            assert [bool((i != 0).any()) for i in got.images] == got.present.tolist()
            assert bool(got.learn[2]) == bool(got.present[2])


def test_misses_weigh_more_at_first() -> None:
    """With ``miss`` above one half, missing a tumour costs more than inventing one of its size."""
    truth = torch.zeros(3, 8, 8, 8)
    truth[:, :4] = 1
    sample = Sample(torch.zeros(4, 8, 8, 8), truth, torch.ones(8, 8, 8), torch.ones(3), torch.ones(4) > 0)
    none, all_of_it = torch.full((3, 8, 8, 8), -6.0), torch.full((3, 8, 8, 8), 6.0)
    harsh = [float(plain.loss_of(y, sample, 0.75)[0]) for y in (none, all_of_it)]
    even = [float(plain.loss_of(y, sample, 0.5)[0]) for y in (none, all_of_it)]
    assert harsh[0] - harsh[1] > even[0] - even[1] > 0
    assert plain.weight_of_misses(0) == pytest.approx(0.82)
    assert plain.weight_of_misses(1) == pytest.approx(0.72)


def test_training_leaves_a_model_folder(tmp_path: Path, simulator: Simulator) -> None:
    """DIR/model loads, has no adapters, and its card says what it is and what it never saw."""
    plain.train(simulator, tmp_path, options(1))
    model = load_model(tmp_path / "model")
    assert model.network.settings.adapters == "none"
    assert any("Never seen" in line and "BraTS-GLI-00000-000" in line for line in model.card.trained_on)
    assert "Research" in model.card.intended_use


def test_loss_ignores_what_is_not_known() -> None:
    """Uncertain voxels and regions that cannot be learnt change nothing in the loss."""
    truth = (torch.rand(3, 8, 8, 8, generator=seeded()) > 0.7).float()
    certain = (torch.rand(8, 8, 8, generator=seeded(1)) > 0.2).float()
    learn = torch.tensor([1.0, 1.0, 0.0])
    logits = torch.randn(3, 8, 8, 8, generator=seeded(2))
    other_logits, other_truth = logits.clone(), truth.clone()
    other_logits[2] = 7
    other_logits[:, certain == 0] = -9
    other_truth[:, certain == 0] = 1

    def loss(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(plain.loss_of(a, Sample(torch.zeros(4, 8, 8, 8), b, certain, learn, learn > 0))[0])

    assert loss(logits, truth) == pytest.approx(loss(other_logits, other_truth))
    assert loss(logits, truth) > loss((truth * 2 - 1) * 9, truth)


def test_norms_freeze(simulator: Simulator) -> None:
    """Frozen norms keep their statistics in a training step; others collect them."""
    norm = torch.nn.BatchNorm3d(2)
    plain.set_norms(norm, frozen=True)
    norm(torch.randn(1, 2, 4, 4, 4))
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(2))
    plain.set_norms(norm, frozen=False)
    norm(torch.randn(1, 2, 4, 4, 4))
    assert not torch.equal(norm.running_mean, torch.zeros(2))


def test_table_has_all_combinations_and_goes_into_the_card(
    tmp_path: Path, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """15 rows on a study with reference; estimated regions marked; the card holds the same rows."""
    plain.train(simulator, tmp_path, options(1))
    study = tmp_path / "study"
    study.mkdir()
    anatomy = simulator.brains[0]
    grid = Grid.of(anatomy.white.shape, [[0, 0, -2, 20], [0, -2, 0, 20], [-2, 0, 0, 20], [0, 0, 0, 1]])
    for name, image in zip(("flair", "t1", "t1ce", "t2"), anatomy.images, strict=True):
        save(study / f"x_{name}.nii.gz", image * 100, grid, np.int16)
    save(study / "x_seg.nii.gz", (anatomy.white > 0.5) * 2, grid, np.uint8)
    model = str(tmp_path / "model")
    evaluate_plain.main(
        [model, str(study), "--no-tumour", str(study), "-o", str(tmp_path / "out"), "--into-card"]
    )
    rows = json.loads((tmp_path / "out" / "table.json").read_text())
    assert len(rows) == 15
    assert rows[0]["combination"] == ["flair", "t1", "t1ce", "t2"]
    assert rows[0]["estimated"] == []
    assert [r["estimated"] for r in rows if "t1ce" not in r["combination"]] == [["ET"]] * 7
    assert list(load_model(tmp_path / "model").card.measured) == rows
    assert capsys.readouterr().out.count("\n| ") == 15 + 4
