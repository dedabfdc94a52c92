"""Configurations: checked in full before anything runs, and refused in a sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mrseg_training.ablate import AblationConfig
from mrseg_training.benchmark import load_benchmark
from mrseg_training.config import load_as, load_config, shipped
from mrseg_training.settings import PerturbPart
from mrseg_training.stage_run import OPTIMIZERS, learning_rate
from mrseg_training.stages import check_stage
from napari_mrseg.errors import InputError


@pytest.mark.parametrize(
    "name", [name for name in shipped() if not name.startswith(("ablation", "benchmark"))]
)
def test_shipped_configurations_are_valid(name: str) -> None:
    """Every shipped recipe passes its own check; UniMRSeg's have the three stages, the other systems their own."""
    recipe = load_config(name).recipe
    own = {
        "bundled": "supervised",
        "scenes": "supervised",
        "lite": "supervised",
        "brain": "extract",
        "imagine": "imagine",
        "cmc": "collaborate",
        "smml": "mutual",
        "mmformer": "mutual",
    }
    stage = own.get(name.partition("-")[0])
    assert recipe == (("reconstruct", "contrast", "adapt") if stage is None else (stage,))


def test_paper_is_the_published_recipe() -> None:
    """AdamW 1e-4 and 1e-5, 300 epochs a stage, warm-up 50, crops of 128³, batch 2/2/1, all 14 combinations."""
    config = load_config("paper")
    assert config.model.size == "paper"
    assert config.data.proportions == (219, 50, 100)
    for name, batch in (("reconstruct", 2), ("contrast", 2), ("adapt", 1)):
        part = config.stage(name)
        assert (part.epochs, part.batch, part.extents) == (300, batch, ((128, 128, 128),))
        assert (part.learning_rate, part.weight_decay, round(part.warmup * 300)) == (1e-4, 1e-5, 50)
    assert config.stages.adapt is not None
    assert config.stages.adapt.combinations_per_step == 14
    assert (config.stages.adapt.over_combinations, config.stages.adapt.feature) == ("sum", 1.0)


def test_paper_sets_every_published_switch_and_ours_none() -> None:
    """Single voxels masked, dropout by sample, NT-Xent without its positive; ``paper-ours`` has the defaults there."""
    paper, ours = load_config("paper").stages, load_config("paper-ours").stages
    for stages in (paper, ours):
        assert stages.reconstruct is not None
        assert stages.contrast is not None
        assert stages.adapt is not None
        assert (stages.adapt.over_combinations, stages.adapt.feature) == ("sum", 1.0)
    perturb = paper.reconstruct.perturb  # type: ignore[union-attr]
    assert (perturb.mask, perturb.mask_ratio, perturb.dropout_by) == ("voxels", 0.15, "sample")
    assert not paper.contrast.positive_in_denominator  # type: ignore[union-attr]
    assert ours.reconstruct.perturb == PerturbPart()  # type: ignore[union-attr]
    assert ours.contrast.positive_in_denominator  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["tiny", "compact"])
def test_recipes_measured_before_keep_the_weighting_they_were_measured_with(name: str) -> None:
    """``tiny`` and ``compact`` say it in their files, and so do the two benchmarks."""
    adapt = load_config(name).stages.adapt
    assert adapt is not None
    assert (adapt.over_combinations, adapt.feature) == ("mean", 0.2)
    ablation = load_as(AblationConfig, "ablation").base.stages
    plan = load_benchmark("compact").methods["unimrseg"].changes["stages"]["adapt"]
    for part in (ablation.adapt, ablation.joint):
        assert part is not None
        assert (part.over_combinations, part.feature) == ("mean", 0.2)
    assert (plan["over_combinations"], plan["feature"]) == ("mean", 0.2)


def test_published_image_recipes_have_the_published_rates() -> None:
    """``rgbd`` and ``sunrgbd``: 1, 6, 12, 18, voxels masked, dropout by sample."""
    for name in ("rgbd", "sunrgbd"):
        config = load_config(name)
        assert config.model.aspp_rates == (1, 6, 12, 18)
        assert config.stages.reconstruct is not None
        assert config.stages.reconstruct.perturb.mask == "voxels"


def test_smml_has_its_papers_optimiser() -> None:
    """Adam, and a rate that falls by a polynomial of the remaining steps to 0."""
    part = load_config("smml-paper").stage("mutual")
    assert (part.optimizer, part.schedule, part.weight_decay) == ("adam", "poly", 1e-4)
    assert type(OPTIMIZERS[part.optimizer]([torch.zeros(1)])) is torch.optim.Adam
    assert learning_rate(part, 0, 100) == pytest.approx(2e-4)
    assert learning_rate(part, 60, 100) == pytest.approx(2e-4 * 0.4**0.9)
    assert learning_rate(part, 100, 100) == 0.0


def test_a_length_on_the_command_line_takes_the_place_of_the_files() -> None:
    """``stages.X.steps=N`` on a recipe of epochs, minutes on one of steps; a file with two is told the way out."""
    part = load_config("paper", ["stages.adapt.steps=7"]).stage("adapt")
    assert (part.steps, part.epochs) == (7, None)
    part = load_config("tiny", ["stages.adapt.minutes=0.5"]).stage("adapt")
    assert (part.steps, part.minutes) == (None, 0.5)
    with pytest.raises(InputError, match=r"not epochs and steps; a key=value .* takes the place"):
        load_config("paper", ["stages.adapt={epochs: 2, steps: 3}"])


def test_another_network_takes_the_place_of_the_files() -> None:
    """``tiny`` with a network of MONAI: what the file says of UniMRSeg's shape is left out, the rest stays."""
    changes = [
        "model.arguments={channels: [4, 8], strides: [2]}",
        "recipe=[supervised]",
        "model.network=monai:UNet",
    ]
    config = load_config("tiny", changes)
    assert config.model.network == "monai:UNet"
    assert config.model.name == "tiny"
    assert config.data.simulate.train == 64
    with pytest.raises(InputError, match="width is of the network unimrseg"):
        load_config("tiny", [*changes, "model.width=8"])
    with pytest.raises(InputError, match=r"looks at features.*recipe=\[supervised\]"):
        check_stage(load_config("tiny", [changes[0], changes[2]]), "contrast")


def test_ablation_configuration_is_valid() -> None:
    """The benchmark has three seeds, at least 50 test subjects and the rungs of the issue."""
    config = load_as(AblationConfig, "ablation")
    assert config.seeds == 3
    assert config.base.data.simulate.test >= 50
    assert len(config.rows) == 7


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("stages.adapt.combination_per_step=3", "did you mean stages.adapt.combinations_per_step"),
        ("modle.width=3", "unknown key modle; did you mean model"),
        ("stages.adapt.combinations_per_step=15", "at most 14"),
        ("stages.adapt.sampling_weights={t1+flair: 2}", "t1\\+flair is no incomplete combination"),
        ("stages.contrast.sampling_weights={t1: 0}", "sampling_weights must be above 0"),
        ("stages.contrast.batch=0", "stages.contrast.batch is wrong"),
        ("stages.contrast.extents=[[100,100,100]]", "multiples of 8"),
        ("model.stem=2", "multiples of 16"),
        ("stages.contrast.steps=null", "exactly one of epochs, steps and minutes"),
        ("model.heads=[3, 2, 4, 8, 8]", "heads"),
        ("recipe=[reconstruct, mutual]", "stages.mutual is not there"),
        ("task=knees", "task is wrong .unknown task “knees”; known: brats"),
        ("data.source=brats", "path is needed"),
        ("data.simulate.brains=[one]", "path is needed for simulate.brains"),
        ("data.simulate.labelled=[one]", "not among brains"),
        ("data.simulate.real_share=0.2", "labelled and a real_share"),
        ("data.simulate.template_share=0.5", "without brains"),
        ("run.device", "write key=value"),
        ("run={", "cannot be read"),
    ],
)
def test_mistakes_are_refused_by_name(override: str, match: str) -> None:
    """One sentence with the key, and the nearest known one."""
    with pytest.raises(InputError, match=match) as caught:
        load_config("tiny", [override])
    assert "\n" not in str(caught.value)


def test_overrides_are_read_as_yaml() -> None:
    """Numbers in scientific notation, lists and switches."""
    config = load_config(
        "tiny", ["stages.contrast.learning_rate=1e-3", "run.tensorboard=true", "data.simulate.seed=7"]
    )
    assert config.stages.contrast is not None
    assert config.stages.contrast.learning_rate == 1e-3
    assert config.run.tensorboard is True
    assert config.data.simulate.seed == 7


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    """Missing, not YAML, not settings: a sentence with the file's name."""
    with pytest.raises(
        InputError,
        match="shipped configuration; those are ablation, benchmark-compact, brain, cmc-compact, cmc-paper",
    ):
        load_config("papre")
    for text, match in (("a: [", "not YAML near line 1"), ("- a", "no settings but a list"), ("", "stages")):
        path = tmp_path / "own.yaml"
        path.write_text(text)
        with pytest.raises(InputError, match=match):
            load_config(path)
