"""Heads drawn to learn the brain from: always the same, the brain known, nothing of those left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from heads import head

from mrseg_training.config import load_config
from mrseg_training.data import contrasts, things
from mrseg_training.data.heads import Heads, around
from mrseg_training.data.subjects import open_source
from mrseg_training.loop import train
from mrseg_training.settings import HeadsPart
from mrseg_training.stages import Batch, check_stage, make_stage
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import get_task

BRAIN = get_task("brain")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads with their masks and a folder of one brain without its skull, at 4 mm."""
    root = tmp_path_factory.mktemp("heads")
    affine = np.diag([-4.0, -4.0, -4.0, 1.0])

    def save(data: np.ndarray, *place: str) -> None:
        path = root.joinpath(*place)
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.ascontiguousarray(data[::2, ::2, ::2].transpose(2, 1, 0)), affine), path)

    for number in range(2):
        for contrast in ("flair", "t1"):
            scan, brain = head(contrast)
            save(scan, "with", f"head{number}", f"{contrast}.nii.gz")
        save(brain.astype(np.uint8), "with", f"head{number}", "brain.nii.gz")
    save(scan * brain, "without", "one", "t1.nii.gz")
    return root


def source(root: Path, **told: object) -> Heads:
    part = HeadsPart.model_validate(
        {"each": 6, "alone": 2, "things": 3, "brains": [root / "without"], **told}
    )
    return Heads(part, BRAIN, 4.0, root / "with")


def test_a_sample_is_always_the_same(root: Path) -> None:
    """Same seed, same voxels; another seed, others; the fingerprint follows."""
    one, again, other = source(root), source(root), source(root, seed=2)
    a, b, c = (s.load("head0-001") for s in (one, again, other))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.labels, b.labels)
    assert not torch.equal(a.images, c.images)
    assert one.fingerprint("head0-001") == again.fingerprint("head0-001") != other.fingerprint("head0-001")


def test_every_sample_has_its_brain_or_none(root: Path) -> None:
    """Heads and brains alone hold a brain of some size where there is tissue; things hold none."""
    heads = source(root)
    for subject in heads.ids:
        sample = heads.load(subject)
        assert sample.images.shape == (1, *heads.size)
        assert torch.isfinite(sample.images).all()
        if subject.startswith("thing"):
            assert not sample.labels.any()
    held = [int(heads.load(s).labels.sum()) * 0.064 for s in heads.ids if s.startswith(("head", "alone"))]
    assert sum(ml > 300 for ml in held) >= 0.7 * len(held)


def test_heads_that_are_left_out_are_in_no_sample(root: Path) -> None:
    """Folds: no sample bears their name, and a name that is unknown is refused."""
    assert not any(s.startswith("head0") for s in source(root, leave_out=["head0"]).ids)
    with pytest.raises(InputError, match="has no head nobody"):
        source(root, leave_out=["nobody"])
    with pytest.raises(InputError, match=r"holds no folder with scans and brain\.nii\.gz"):
        Heads(HeadsPart(), BRAIN, 4.0, root)


def test_a_brain_put_into_another_head_keeps_its_shape() -> None:
    """Its voxels are what they were; around it lies the other head's tissue, as far outside as it lay there."""
    scan, brain = (a[::2, ::2, ::2] for a in head("t1"))
    smaller = brain & np.roll(brain, 4, 0) & np.roll(brain, -4, 0)
    made, its = around(np.full(scan.shape, 5.0), smaller, scan, brain, np.random.default_rng(0))
    assert np.array_equal(its, smaller)
    assert (made[smaller] == 5.0).all()
    assert not (made[~smaller] == 5.0).any()
    assert (made[~smaller] > 0).sum() > 0.5 * (scan[~brain] > 0).sum()


def test_other_contrasts_keep_air_dark() -> None:
    """Whatever curve the intensities go through, 0 stays 0."""
    scan, brain = head("t1")
    for seed in range(12):
        made, _ = contrasts.recoloured(scan / np.median(scan[brain]), brain, np.random.default_rng(seed))
        assert np.abs(made[scan == 0]).max() < 0.02, seed


def test_no_face_is_taken_from_the_brain() -> None:
    """A plane in front of and below the brain: nothing of it is lost, something of the head is."""
    scan, brain = head("t1")
    for seed in range(4):
        made = contrasts._faceless(scan, brain, np.random.default_rng(seed), 2.0)
        assert np.array_equal(made[brain], scan[brain])
        assert (made != scan).any()


def test_a_cut_field_cuts_the_brain_with_it() -> None:
    """Where the scan shows nothing any more, no brain is asked for."""
    scan, brain = head("t1")
    for seed in range(4):
        short, left = contrasts._cut_short(scan, brain, np.random.default_rng(seed))
        gone = (scan != 0) & (short == 0)
        assert gone.any()
        assert not left[gone].any()
        shown = short != 0
        assert np.array_equal(left[shown], brain[shown])


@pytest.mark.parametrize("kind", things.KINDS)
def test_things_differ_and_are_finite(kind: Callable[..., np.ndarray]) -> None:
    """Every kind, of the size asked for; no two of a kind are alike but those of nothing."""
    drawn = [kind(np.random.default_rng(seed), (24, 32, 24)) for seed in range(4)]
    assert all(thing.shape == (24, 32, 24) and np.isfinite(thing).all() for thing in drawn)
    assert kind is things.nothing or len({round(float(thing.std()), 6) for thing in drawn}) == 4
    assert things.draw(np.random.default_rng(0), (24, 32, 24)).dtype == np.float32


def test_the_stage_asks_for_mask_and_presence() -> None:
    """Both are terms of its loss; of a sample with a few voxels of brain it is not asked whether it shows one."""
    config = load_config("brain", ["data.path=.", "model.arguments={widths: [8, 8], blocks: [1, 1]}"])
    stage = make_stage("extract", config)
    regions = torch.zeros(3, 1, 16, 16, 16)
    regions[1, :, 4:12, 4:12, 4:12] = 1
    draws = [torch.Generator() for _ in range(3)]
    images, available = torch.rand(3, 1, 16, 16, 16), torch.ones(3, 1, dtype=torch.bool)
    torch.nn.init.zeros_(stage.network.presence.answer[-1].weight)
    torch.nn.init.constant_(stage.network.presence.answer[-1].bias, 2.0)
    with torch.no_grad():
        terms = stage(Batch(images, regions, available, draws))
    wrong, right = (torch.nn.functional.softplus(torch.tensor(x)) for x in (2.0, -2.0))
    assert terms["truth"] > 0
    assert float(terms["presence"]) == pytest.approx(float(2 * wrong + right) / 3)
    regions[2, :, :3, :4, :4] = 1
    with torch.no_grad():
        terms = stage(Batch(images, regions, available, draws))
    assert float(terms["presence"]) == pytest.approx(float(wrong + right) / 3)


def test_the_judge_changes_no_mask() -> None:
    """Its stage moves the second output's weights and no other."""
    config = load_config("brain", ["data.path=.", "model.arguments={widths: [8, 8], blocks: [1, 1]}"])
    stage = make_stage("judge", config)
    images, available = torch.rand(1, 1, 16, 16, 16), torch.ones(1, 1, dtype=torch.bool)
    stage(Batch(images, torch.zeros(1, 1, 16, 16, 16), available, [torch.Generator()]))["presence"].backward()
    moved = {name for name, weight in stage.network.named_parameters() if weight.grad is not None}
    assert moved
    assert all(name.startswith("presence.") for name in moved)


def test_the_stage_trains_no_other_network() -> None:
    """One sentence that names the network to take."""
    config = load_config(
        "brain", ["data.path=.", "model={name: other}", "stages.extract.extents=[[64, 64, 64]]"]
    )
    with pytest.raises(InputError, match="stage extract trains the network brain"):
        check_stage(config, "extract")


def test_the_recipe_leaves_a_model_folder(root: Path, tmp_path: Path) -> None:
    """``mrseg train brain`` with its settings made small: a model of the task brain that looks at the level."""
    config = load_config(
        "brain",
        [
            *(f"data.path={root / 'with'}", f"data.heads.brains=[{root / 'without'}]", "data.spacing=4"),
            *("data.heads.each=2", "data.heads.alone=1", "data.heads.things=1"),
            *("model.arguments={widths: [8, 8], blocks: [1, 1], }", "stages.extract.steps=2"),
            "stages.extract.extents=[[24, 24, 24]]",
        ],
    )
    assert isinstance(open_source(config.data, BRAIN), Heads)
    card = load_model(train(config, tmp_path / "run", report=lambda event: None)).card
    assert (card.task, card.normalisation, card.expects) == ("brain", {"name": "level"}, "anything")
    assert card.validated[0].spacing_mm == 4.0
