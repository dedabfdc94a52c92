"""The stage that learns to imagine modalities: its loss, what it is shown, and the model folder it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import LPS, save_nifti

from mrseg_training.config import load_config
from mrseg_training.loop import train
from mrseg_training.stages import Batch, check_stage, make_stage
from mrseg_training.stages.imagine import one_of, pinball
from napari_mrseg.errors import InputError
from napari_mrseg.inference.imagining import Imaginer
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model

SMALL = ("model.arguments={width: 4, heads: [1, 1, 1, 1, 1]}", "stages.imagine.extents=[[32, 32, 32]]")


@pytest.fixture
def subjects(tmp_path: Path) -> Path:
    """Two subjects: all four modalities and a segmentation, and FLAIR and T1 alone without one."""
    rng = np.random.default_rng(0)
    brain = np.zeros((32, 32, 32), np.float32)
    brain[4:28, 4:28, 4:28] = 1
    for subject, names in (("a", ("flair", "t1", "t1ce", "t2")), ("b", ("flair", "t1"))):
        folder = tmp_path / "scans" / subject
        folder.mkdir(parents=True)
        shared = rng.normal(size=brain.shape)
        for scale, name in enumerate(names, start=1):
            scan = brain * (100 + 10 * scale * shared + rng.normal(size=brain.shape))
            save_nifti(folder / f"{subject}_{name}.nii.gz", scan.astype(np.float32), LPS)
    save_nifti(tmp_path / "scans" / "a" / "a_seg.nii.gz", (brain * (shared > 1)).astype(np.uint8), LPS)
    return tmp_path / "scans"


def test_each_quantile_is_what_makes_its_loss_least() -> None:
    """Over the numbers 0 to 100, constants of 10, 50 and 90 cost less than neighbours of theirs."""
    target = torch.linspace(0, 100, 1001)[None]

    def cost(*quantiles: float) -> float:
        constants = torch.tensor(quantiles)[None, :, None].expand(1, 3, 1001)
        return float(pinball(constants, target).mean())

    best = cost(10, 50, 90)
    for moved in ((20, 50, 90), (10, 60, 90), (10, 40, 90), (10, 50, 80), (0, 50, 90), (10, 50, 100)):
        assert cost(*moved) > best


def test_what_is_imagined_was_not_shown() -> None:
    """One of the missing modalities of each sample; where none is missing, one of those that are there."""
    missing = torch.tensor([[False, True, False, True], [False, False, False, False]])
    available = torch.tensor([[True, True, True, True], [True, False, False, False]])
    drawn = set()
    for seed in range(20):
        first, second = one_of(missing, available, [torch.Generator().manual_seed(seed) for _ in range(2)])
        drawn.add(first)
        assert second == 0
    assert drawn == {1, 3}


def test_the_loss_counts_the_brain_alone() -> None:
    """What a scan shows outside the brain, nothing, changes no term of the loss."""
    config = load_config("imagine", ["data.path=.", *SMALL])
    stage = make_stage("imagine", config).eval()
    images = torch.zeros(1, 4, 32, 32, 32)
    images[:, :, 8:24, 8:24, 8:24] = torch.randn(1, 4, 16, 16, 16)
    with torch.no_grad():
        stage.network.head.weight.zero_()
        stage.network.head.bias.view(4, 15)[:, 12] = 3.0  # every modality is 3 everywhere
    available = torch.ones(1, 4, dtype=torch.bool)
    draws = [torch.Generator().manual_seed(1)]
    with torch.no_grad():
        terms = stage(Batch(images, torch.zeros(1, 3, 32, 32, 32), available, draws))
    inside = images[0, 0, 8:24, 8:24, 8:24]
    assert float(terms["quantiles"]) > float((3 - inside).abs().mean()) / 2
    assert set(terms) == {"quantiles", "ssim"}


def test_the_stage_trains_no_other_network() -> None:
    """One sentence that names the network to take."""
    config = load_config("imagine", ["data.path=.", "model={name: other, size: compact}"])
    with pytest.raises(InputError, match=r"imagine trains the network unimrseg-imagining, not unimrseg"):
        check_stage(config, "imagine")


def test_the_recipe_leaves_a_model_that_imagines(subjects: Path, tmp_path: Path) -> None:
    """``mrseg train imagine``, made small, on subjects with and without a segmentation or all modalities."""
    settings = [f"data.path={subjects}", "stages.imagine.steps=2", "data.spacing=1", *SMALL]
    folder = train(load_config("imagine", settings), tmp_path / "run", report=lambda event: None)
    model = load_model(folder, segments=False)
    made = Imaginer(model, device="cpu").imagine(open_study([subjects / "b"]), "t2")
    assert made.given == ("flair", "t1")
    assert np.isfinite(made.middle).all()
    assert "segments nothing" in model.card.limitations


def test_other_stages_still_ask_for_segmentations(subjects: Path, tmp_path: Path) -> None:
    """Subjects without one are refused where the truth is learnt from."""
    settings = ["data.source=folders", f"data.path={subjects}", "stages.supervised.steps=1"]
    with pytest.raises(InputError, match="b cannot be used"):
        train(
            load_config("compact", [*settings, "recipe=[supervised]"]),
            tmp_path / "run",
            report=lambda event: None,
        )
