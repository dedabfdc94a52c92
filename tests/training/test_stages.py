"""What each stage trains, what it leaves alone, and every ablation row for one step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_config

from mrseg_training import perturb
from mrseg_training.ablate import AblationConfig, UpdatesPart, segment_config
from mrseg_training.rows import ROWS
from mrseg_training.stages import Batch, Stage, make_stage
from napari_mrseg.inference.fill import fill
from napari_mrseg.models.store import load_model, save_model


def batch(size: int = 2, lacking: int | None = None, extent: int = 16) -> Batch:
    """Random images with a ball; sample ``lacking`` has no T2."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 4, extent, extent, extent, generator=generator)
    regions = torch.zeros(size, 3, extent, extent, extent)
    for r, edge in enumerate((10, 8, 5)):
        regions[:, r, 2:edge, 2:edge, 2:edge] = 1
    available = torch.ones(size, 4, dtype=torch.bool)
    if lacking is not None:
        available[lacking, 3] = False
        images[lacking, 3] = 0
    return Batch(images, regions, available, perturb.generators(0, 0, 0, 0, size))


def step(stage: Stage, data: Batch) -> dict[str, float]:
    """All parts of a step with their backward; the terms."""
    stage.train()
    terms: dict[str, float] = {}
    for part in range(stage.parts):
        values = stage(data, part)
        weighted = [stage.weights[k] * v for k, v in values.items() if stage.weights.get(k)]
        if weighted:
            sum(weighted[1:], weighted[0]).backward()
        for key, value in values.items():
            terms[key] = terms.get(key, 0.0) + float(value)
    return terms


def stage_of(name: str, model: Mapping[str, Any] | None = None, **changes: Any) -> Stage:
    torch.manual_seed(0)
    return make_stage(name, small_config(model=model or {}, stages={name: changes}))


@pytest.mark.parametrize("name", ["reconstruct", "contrast", "adapt", "supervised", "joint"])
def test_every_stage_learns_with_any_batch_and_lacking_modalities(name: str) -> None:
    """One step, batch of one or with a subject that lacks a modality: finite terms, gradients where it learns."""
    for data in (batch(1), batch(2, lacking=0), batch(1, lacking=0)):
        stage = stage_of(name)
        terms = step(stage, data)
        assert all(torch.isfinite(torch.tensor(v)) for v in terms.values())
        with_gradient = [n for n, p in stage.network.named_parameters() if p.grad is not None]
        assert any(n.startswith("decoder.") for n in with_gradient)
        assert all(bool(torch.isfinite(p.grad).all()) for p in stage.parameters() if p.grad is not None)


def test_reconstruction_has_an_output_per_modality() -> None:
    """Stage 1 gives all modalities, none below zero, and never sees what was dropped."""
    stage = stage_of("reconstruct")
    data = batch()
    assert stage.network.settings.regions == 4
    output = stage.reconstruction(data.images)  # type: ignore[operator]
    assert output.shape == data.images.shape
    assert float(output.min()) >= 0


def test_frozen_encoder_keeps_weights_and_statistics() -> None:
    """Stage 3: no gradient and no new statistics in encoder and pyramid, in training mode too."""
    stage = stage_of("adapt")
    before = {k: v.clone() for k, v in stage.network.state_dict().items()}
    step(stage, batch())
    after = stage.network.state_dict()
    fixed = [k for k in before if k.startswith(("encoder.", "pyramid."))]
    assert all(torch.equal(before[k], after[k]) for k in fixed)
    assert all(
        p.grad is None for n, p in stage.network.named_parameters() if n.startswith(("encoder.", "pyramid."))
    )
    assert any(not torch.equal(before[k], after[k]) for k in before if "running_mean" in k and k not in fixed)


def test_targets_and_inputs_of_stage_3_share_eval_statistics() -> None:
    """With untrained adapters (which add nothing) a combination that keeps its signal has equal features.

    A dropped modality that was zero anyway changes nothing, so the feature loss must vanish: it would not if
    targets were made with batch statistics.
    """
    stage = stage_of("adapt", combinations_per_step=14)
    data = batch()
    data.images.zero_()
    terms = step(stage, data)
    assert terms["feature"] == pytest.approx(0.0, abs=1e-6)


def test_consistency_skips_subjects_without_a_complete_version() -> None:
    """A batch of subjects that all lack a modality: Dice only, on what they have."""
    terms = step(stage_of("adapt"), batch(1, lacking=0))
    assert terms["feature"] == terms["prediction"] == 0.0
    assert terms["complete"] > 0
    assert step(stage_of("contrast"), batch(2, lacking=0))["contrast"] == pytest.approx(0.0, abs=1e-6)


def test_truth_on_incomplete_predictions_is_a_switch() -> None:
    """Off as published; on, it adds a term."""
    assert "incomplete" not in step(stage_of("adapt"), batch())
    assert step(stage_of("adapt", incomplete=1.0), batch())["incomplete"] > 0


def test_unobservable_regions_can_be_left_out() -> None:
    """With ``estimated`` 0 ET does not count in a sample without T1ce."""
    stage = stage_of("supervised", truth={"estimated": 0.0})
    data = batch(1)
    data.available[0, 2] = False
    first = step(stage, data)["truth"]
    data.regions[:, 2] = 1 - data.regions[:, 2]
    stage.zero_grad()
    assert step(stage, data)["truth"] == pytest.approx(first, abs=1e-3)


def test_combinations_can_be_drawn_by_weights_without_stages() -> None:
    """With ``dropout`` 1 a supervised sample sees the combination of nearly all the weight; with 0 all modalities."""
    seen: list[torch.Tensor] = []
    for share in (1.0, 0.0):
        stage = stage_of("supervised", dropout=share, sampling_weights={"t1": 999.0})
        stage.network.encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        step(stage, batch(4))
    there = [(x.flatten(2).abs().sum(2) > 0).float().mean(0) for x in seen]
    assert there[0][1] > 0.9
    assert there[0][[0, 2, 3]].max() < 0.3
    assert torch.equal(there[1], torch.ones(4))


def test_coarser_outputs_are_looked_at_too() -> None:
    """``deep`` weights add the loss of the outputs at half the extents, and give their heads a gradient."""
    data = batch(1)
    plain = stage_of("supervised", {"stem": 2, "deep": 2, "norm": "instance"})
    deep = stage_of("supervised", {"stem": 2, "deep": 2, "norm": "instance"}, truth={"deep": [0.4, 0.2]})
    deep.load_state_dict(plain.state_dict())
    assert step(deep, data)["truth"] > step(plain, data)["truth"]
    assert all(head.weight.grad is not None for head in deep.network.deep)
    assert all(head.weight.grad is None for head in plain.network.deep)


def test_stage_2_keeps_the_norm_statistics_of_both_versions() -> None:
    """One step moves the running mean of the first norm as complete and incomplete versions in one batch do."""
    data, stage = batch(2), stage_of("contrast")
    available = perturb.incomplete(data.available, perturb.generators(0, 0, 0, 0, 2))
    versions = [fill(data.images, available, stage.task) for available in (data.available, available)]
    expected = copy.deepcopy(stage.network).train()
    expected.encode(torch.cat(versions))
    step(stage, data)
    found = {
        k: v for k, v in stage.network.state_dict().items() if k.startswith("encoder.") and "running" in k
    }
    assert found
    assert all(torch.allclose(v, expected.state_dict()[k], atol=1e-6) for k, v in found.items())


def test_norm_statistics_running() -> None:
    """Norm layers can be kept in eval statistics, for several processes without a GPU."""
    torch.manual_seed(0)
    stage = make_stage("contrast", small_config(run={"norm_statistics": "running"}))
    before = {k: v.clone() for k, v in stage.network.state_dict().items() if "running" in k}
    step(stage, batch())
    assert all(torch.equal(v, stage.network.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize("row", ROWS)
def test_every_ablation_row_trains_and_exports(row: str, tmp_path: Path) -> None:
    """One step of each segment of each row of the paper's tables, weights handed on, a model folder at the end."""
    from mrseg_training.export import model_card

    config = AblationConfig(
        base=small_config(), updates=UpdatesPart(reconstruct=1, contrast=1, adapt=1, passes=4), rows=(row,)
    )
    previous: Stage | None = None
    for segment in ROWS[row].segments:
        own = segment_config(config, row, segment, seed=0)
        stage = make_stage(segment.stage, own)
        if previous is not None:
            stage.start_from(previous.network.state_dict(), head=previous.segments and stage.segments)
        terms = step(stage, batch())
        assert any(stage.weights.get(k) for k in terms)
        previous = stage

    class Volumes:
        subjects = ("one",)

    assert previous is not None
    card = model_card(own, segment.stage, own.stage(segment.stage), Volumes())  # type: ignore[arg-type]
    save_model(tmp_path / "model", previous.exported(), card)
    logits = load_model(tmp_path / "model").network(
        batch(1).images, torch.tensor([[True, False, True, True]])
    )
    assert logits.shape == (1, 3, 16, 16, 16)


def test_rows_make_the_same_number_of_sample_passes() -> None:
    """Every rung: as many passes as the full recipe; with stage 1, as many segmentation updates as (0)."""
    updates = UpdatesPart(reconstruct=2, contrast=6, adapt=2, passes=4)
    config = AblationConfig(base=small_config(), updates=updates)
    versions = {"contrast": 2, "adapt": 2, "joint": 2}
    for row in config.rows:
        passes, segmenting = 0, 0
        for segment in ROWS[row].segments:
            part = segment_config(config, row, segment, seed=0).stage(segment.stage)
            assert part.steps is not None
            passes += part.steps * part.batch * versions.get(segment.stage, 1)
            segmenting += part.steps * (segment.stage != "reconstruct")
        assert passes == 40, row
        assert segmenting == (10 if row == "dropout-unet" else 8), row
