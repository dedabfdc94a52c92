"""Norm statistics at the end of a stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import small_config, write_subjects

from mrseg_training.data.cache import Volumes, fill_cache
from mrseg_training.data.loader import Loader
from mrseg_training.data.subjects import Files, find_brats
from mrseg_training.settle import settle
from mrseg_training.stages import Batch, make_stage
from napari_mrseg.tasks import BRATS


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    """Three batches of two made-up subjects each."""
    source = Files(find_brats(write_subjects(tmp_path_factory.mktemp("data"), 3)), BRATS, 1.0)
    volumes = Volumes(fill_cache(source, source.ids, tmp_path_factory.mktemp("cache")))
    part = small_config().stage("adapt").model_copy(update={"batch": 2})
    loader = Loader(volumes, part, BRATS, seed=0, stage=2, device=torch.device("cpu"))
    return [loader.batch(step) for step in range(3)]


def test_statistics_are_the_mean_over_the_batches(batches: list[Batch]) -> None:
    """Whatever was there before is gone; the weights, and how the norms go on learning, stay as they are."""
    stage = make_stage("supervised", small_config()).train()
    first = stage.network.encoder[0].first
    first.norm.running_mean.fill_(100.0)
    weights = [p.clone() for p in stage.parameters()]
    settle(stage, batches)
    means = [first.conv(batch.images).mean((0, 2, 3, 4)) for batch in batches]
    assert torch.allclose(first.norm.running_mean, torch.stack(means).mean(0), atol=1e-5)
    assert first.norm.momentum == 0.1
    assert all(torch.equal(a, b) for a, b in zip(weights, stage.parameters(), strict=True))


def test_a_frozen_encoder_keeps_its_statistics(batches: list[Batch]) -> None:
    """In stage 3 only the decoder's norms are taken anew, over complete and incomplete inputs."""
    stage = make_stage("adapt", small_config()).train()
    before = {k: v.clone() for k, v in stage.network.state_dict().items() if "running" in k}
    settle(stage, batches)
    changed = {
        k for k, v in stage.network.state_dict().items() if "running" in k and not torch.equal(v, before[k])
    }
    assert changed == {k for k in before if k.startswith("decoder.")}
    assert int(stage.network.decoder[0].convs.first.norm.num_batches_tracked) == 3 * stage.parts


def test_a_stage_ends_settled(tmp_path: Path) -> None:
    """What a stage leaves, and what the next one starts from, has settled statistics; 0 leaves them out."""
    from mrseg_training.checkpoint import latest, load_weights
    from mrseg_training.fit import train

    root = write_subjects(tmp_path / "data", 4)
    tracked = {}
    for count in (0, 3):
        config = small_config(root, recipe=["contrast"], run={"settle": count})
        train(config, tmp_path / str(count), report=lambda _: None)
        path = latest(tmp_path / str(count) / "1-contrast" / "checkpoints")
        assert path is not None
        tracked[count] = int(load_weights(path)["encoder.0.first.norm.num_batches_tracked"])
    versions = 2  # complete and incomplete
    assert tracked == {0: 2 * versions, 3: 3 * versions}
