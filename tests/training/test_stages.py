"""What each stage trains, what it leaves alone, and every ablation row for one step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
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
    from mrseg_training.model_card import model_card

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


def _consistency_by_hand(stage: Stage, data: Batch, rows: list[list[bool]]) -> dict[str, float]:
    """Eq. 4 and Eq. 5 over the combinations ``rows``, in numpy: sums over m and i, means over samples k."""

    def seen(available: torch.Tensor) -> tuple[list[np.ndarray], np.ndarray]:
        images = fill(data.images, available, stage.task)
        features = stage.network.encode(images, available)
        logits = stage.network.decode(features, images)[:, :3]  # of a joint stage more follow: the modalities
        return [f.numpy().astype(float) for f in features], 1 / (1 + np.exp(-logits.numpy().astype(float)))

    with torch.no_grad():
        whole, complete = seen(data.available)
        samples, sums = len(data.images), {"feature": 0.0, "prediction": 0.0}
        for row in rows:
            some, incomplete = seen(torch.tensor([row] * samples))
            for k in range(samples):
                levels = [np.abs(a[k] - b[k]).mean() for a, b in zip(whole, some, strict=True)]
                assert len(levels) == 5
                sums["feature"] += sum(levels) / 5 / samples
                p, q = complete[k].reshape(3, -1), incomplete[k].reshape(3, -1)
                dice = (2 * (p * q).sum(1) + 1e-5) / ((p * p).sum(1) + (q * q).sum(1) + 1e-5)
                sums["prediction"] += (1 - dice).mean() / samples
    return sums


def _weighted_consistency(
    stage: Stage, data: Batch, rows: list[list[bool]], monkeypatch: Any
) -> dict[str, float]:
    """What the stage adds to its loss for both consistencies when it draws ``rows``."""
    drawn = torch.tensor(rows)[:, None].expand(-1, len(data.images), -1)
    monkeypatch.setattr(perturb, "draw_combinations", lambda *_: drawn)
    stage.eval()
    terms: dict[str, float] = {}
    with torch.no_grad():
        for part in range(stage.parts):
            for key, value in stage(data, part).items():
                terms[key] = terms.get(key, 0.0) + float(value)
    return {key: stage.weights[key] * terms[key] for key in ("feature", "prediction")}


def _with_adapters_that_add(name: str, **changes: Any) -> Stage:
    """A stage whose adapters and decoder are not those of the start, so that every term is far from 0."""
    stage = stage_of(name, **changes)
    with torch.no_grad():
        for value in stage.network.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())))
        stage.network.head.weight.mul_(10)
        stage.network.head.bias.zero_()
    return stage.eval()


@pytest.mark.parametrize("name", ["adapt", "joint"])
def test_consistencies_are_the_papers_sum_over_all_combinations(name: str, monkeypatch: Any) -> None:
    """Eq. 4 and 5 by hand in numpy: with all 14 combinations in a step the stage's weighted terms equal them."""
    stage, data = _with_adapters_that_add(name, combinations_per_step=14), batch(2)
    rows = perturb.incomplete_combinations(4).tolist()
    assert len(rows) == 14
    expected = _consistency_by_hand(stage, data, rows)
    found = _weighted_consistency(stage, data, rows, monkeypatch)
    assert min(expected.values()) > 0.01
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [1, 13])
def test_drawn_combinations_have_the_sum_over_all_as_expectation(count: int, monkeypatch: Any) -> None:
    """The mean over all draws of 1 (or 13) of the 14 combinations is the sum over the 14."""
    stage, data = _with_adapters_that_add("adapt", combinations_per_step=count), batch(2)
    table = perturb.incomplete_combinations(4).tolist()
    expected = _consistency_by_hand(stage, data, table)
    draws = [list(rows) for rows in combinations(table, count)]
    assert len(draws) == 14
    found = [_weighted_consistency(stage, data, rows, monkeypatch) for rows in draws]
    mean = {key: float(np.mean([one[key] for one in found])) for key in expected}
    assert mean == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["adapt", "joint"])
def test_the_weighting_up_to_0_6_is_a_setting(name: str) -> None:
    """``over_combinations`` mean and ``feature`` 0.2: a fifth of a mean, and a mean, whatever is drawn."""
    stage = stage_of(name, combinations_per_step=7, over_combinations="mean", feature=0.2)
    assert stage.weights["feature"] == pytest.approx(0.2 / 7)
    assert stage.weights["prediction"] == pytest.approx(1 / 7)
    assert stage_of(name, combinations_per_step=7).weights["feature"] == pytest.approx(14 / 7)
