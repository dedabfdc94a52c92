"""The losses of SMML and CMC against values worked out by hand, and what their stages train."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small import modal_config, write_subjects
from test_stages import batch, step

from mrseg_training import losses_cmc, losses_smml
from mrseg_training.config import changed, load_config
from mrseg_training.data.datasets import labelled
from mrseg_training.loop import train
from mrseg_training.stages import Stage, make_stage
from napari_mrseg.errors import InputError, UnknownModelError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model

LOG3 = math.log(3.0)  # a logit of which the sigmoid is 3/4


def voxels(*values: float) -> torch.Tensor:
    """(1, 1, 1, 1, N), one sample and one region."""
    return torch.tensor(values).view(1, 1, 1, 1, -1)


def test_a_voxels_distance_from_the_truth() -> None:
    """Equation 1: −log of the probability of what is true, summed over regions, or of one class over all."""
    found = losses_smml.voxel_cross_entropy(voxels(LOG3, LOG3), voxels(1, 0), "sigmoid")
    assert found.flatten().tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])
    two = torch.tensor([math.log(2.0), 0.0]).view(1, 2, 1, 1, 1)  # none : first : second = 1 : 2 : 1
    truth = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)
    assert losses_smml.voxel_cross_entropy(two, truth, "softmax").item() == pytest.approx(math.log(2.0))
    assert losses_smml.voxel_cross_entropy(two, 0 * truth, "softmax").item() == pytest.approx(math.log(4.0))


def test_the_pixel_constraint_by_hand() -> None:
    """Equations 2 and 3: voxel 1 is better known by b, voxel 2 by a; each learns KL(own ‖ other) where it is worse."""
    a, b = voxels(0.0, LOG3), voxels(LOG3, 0.0)
    first, second = losses_smml.pixel_constraint(a, b, voxels(1, 1), temperature=1.0)
    wanted = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert first.item() == pytest.approx(wanted)
    assert second.item() == pytest.approx(wanted)
    # With a temperature of 2 the other's odds are the square root of 3.
    softer = losses_smml.pixel_constraint(a, b, voxels(1, 1), temperature=2.0)[0]
    p = math.sqrt(3) / (1 + math.sqrt(3))
    assert softer.item() == pytest.approx(0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p)))
    assert losses_smml.pixel_constraint(a, a, voxels(1, 1))[0].item() == 0.0


def test_the_pixel_constraint_pulls_on_one_branch() -> None:
    """Each value has a gradient for its own branch, only at the voxels where the other knows better, and none else."""
    a, b = voxels(0.0, LOG3).requires_grad_(), voxels(LOG3, 0.0).requires_grad_()
    first, _ = losses_smml.pixel_constraint(a, b, voxels(1, 1), temperature=1.0)
    first.backward()
    assert a.grad is not None
    assert b.grad is None
    assert a.grad.flatten()[0] != 0
    assert a.grad.flatten()[1] == 0


def test_prototypes_by_hand() -> None:
    """Equation 4: the mean feature over a class's voxels; the rest is a class; an absent one is not there."""
    features = torch.tensor([[1.0, 3.0, 5.0, 7.0], [0.0, 0.0, 2.0, 2.0]]).view(1, 2, 1, 1, 4)
    regions = torch.stack((torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.zeros(4))).view(1, 2, 1, 1, 4)
    means, there = losses_smml.prototypes(features, regions)
    assert means[0, 0].tolist() == [6.0, 2.0]
    assert means[0, 1].tolist() == [2.0, 0.0]
    assert there.tolist() == [[True, True, False]]
    # On a map of half the extents a voxel belongs to a class by its share of it.
    coarse, _ = losses_smml.prototypes(torch.tensor([1.0, 4.0]).view(1, 1, 1, 1, 2), voxels(1, 0, 1, 1))
    assert coarse[0, 1].item() == pytest.approx((0.5 * 1 + 1 * 4) / 1.5)


def test_the_feature_constraint_by_hand() -> None:
    """Equations 5 to 9 with two classes: cosines 1 and 0 between them, weights −p log p, both orders counted."""
    regions = voxels(1, 0)
    same = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 2, 1, 1, 2)
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 1, 2)
    logits = voxels(0.0, 0.0)  # p = 1/2 of either class everywhere
    found = losses_smml.feature_constraint((same, apart), (logits, logits), regions)
    assert found.item() == pytest.approx(2 * 1.0 * 0.5 * math.log(2))
    assert losses_smml.feature_constraint(
        (same, 3 * same), (logits, logits), regions
    ).item() == pytest.approx(0)


def test_the_feature_constraint_relates_samples() -> None:
    """Classes of other samples count, too: a class alike within each sample but not between them costs something."""
    one = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)
    other = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1)
    regions, logits = torch.ones(2, 1, 1, 1, 1), torch.zeros(2, 1, 1, 1, 1)
    pair = (torch.cat((one, one)).requires_grad_(), torch.cat((one, other)).requires_grad_())
    found = losses_smml.feature_constraint(pair, (logits, logits), regions)
    assert found.item() == pytest.approx(2 * 0.5 * math.log(2))
    # Away from the fold where parallel vectors have no slope, both branches are pulled.
    pair = (torch.randn(2, 2, 1, 1, 1, requires_grad=True), torch.randn(2, 2, 1, 1, 1, requires_grad=True))
    losses_smml.feature_constraint(pair, (logits, logits), regions).backward()
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in pair)


def test_the_refinement_teaches_and_is_not_taught() -> None:
    """Equation 11: KL(own ‖ refined) by hand, without a gradient to the refined prediction."""
    own, refined = voxels(0.0).requires_grad_(), voxels(LOG3).requires_grad_()
    found = losses_smml.refinement(own, refined)
    assert found.item() == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    found.backward()
    assert own.grad is not None
    assert refined.grad is None


def test_channel_consistency_by_hand() -> None:
    """L_CSC: channel 1 points the same way (cosine 1), channel 2 at a right angle (0); the second sample lacks one."""
    a = torch.tensor([[1.0, 2.0], [1.0, 0.0]]).view(1, 2, 1, 1, 2)
    b = torch.tensor([[2.0, 4.0], [0.0, 1.0]]).view(1, 2, 1, 1, 2)
    two = [torch.cat((x, torch.randn(1, 2, 1, 1, 2))) for x in (a, b)]
    found = losses_cmc.channel_consistency(*two, torch.tensor([True, False]))
    assert found.item() == pytest.approx(0.5)
    assert losses_cmc.channel_consistency(*two, torch.tensor([False, False])).item() == 0


def test_anatomical_consistency_by_hand() -> None:
    """L_CAC: probabilities 1/2 and 3/4 in one voxel: Dice 2·(3/8) / (1/4 + 9/16); equal maps cost nothing."""
    dice = 2 * 0.375 / (0.25 + 0.5625)
    here = torch.tensor([True])
    found = losses_cmc.anatomical_consistency(voxels(0.0), voxels(LOG3), here)
    assert found.item() == pytest.approx(1 - dice, abs=1e-5)
    assert losses_cmc.anatomical_consistency(voxels(LOG3), voxels(LOG3), here).item() == pytest.approx(
        0, abs=1e-6
    )


def test_another_subject_should_be_found_elsewhere() -> None:
    """The contrast: two subjects with objects apart cost less than two whose predictions are all alike."""
    far = 20.0
    left, right = voxels(far, -far), voxels(-far, far)
    both = torch.tensor([True, True])
    apart, alike = torch.cat((left, right)), torch.cat((left, left))
    own = math.log(1 + math.exp(-1 / 0.5))  # Dice 1 with itself and 0 with the other, temperature 1/2
    assert losses_cmc.anatomical_consistency(apart, apart, both).item() == pytest.approx(own, abs=1e-4)
    assert losses_cmc.anatomical_consistency(alike, alike, both).item() == pytest.approx(
        math.log(2), abs=1e-4
    )
    assert losses_cmc.anatomical_consistency(alike, alike, both, contrast=0).item() == pytest.approx(
        0, abs=1e-6
    )


def stage_of(network: str, name: str, **changes: object) -> Stage:
    torch.manual_seed(0)
    return make_stage(name, modal_config(network, name, stages={name: changes}))


def test_unlabelled_samples_have_a_gradient() -> None:
    """CMC's part without labels alone moves both encoders and both decoders."""
    stage = stage_of("cmc", "collaborate").train()
    data = batch(2)
    data.unlabelled = batch(2)
    terms = stage(data, 1)
    assert set(terms) == {"unlabelled_channel", "anatomy"}
    sum(stage.weights[k] * v for k, v in terms.items()).backward()
    for part in ("encoders.0", "encoders.1", "decoders.0", "decoders.1", "awareness", "heads.0", "heads.1"):
        gradients = [p.grad for n, p in stage.network.named_parameters() if n.startswith(part)]
        assert any(g is not None and float(g.abs().sum()) > 0 for g in gradients), part


@pytest.mark.parametrize("alone", ["pixel", "feature", "refine", "auxiliary"])
def test_every_constraint_is_a_switch(alone: str) -> None:
    """With one constraint on, its term is there with a gradient to both branches; the others are not computed."""
    others = {name: 0 for name in ("pixel", "feature", "refine", "auxiliary") if name != alone}
    stage = stage_of("smml", "mutual", **others).train()
    terms = stage(batch(2))
    own = {"refine": {"refined_truth", "refine"}}.get(alone, {alone})
    assert set(terms) == {"truth"} | own
    sum(terms[name] for name in own).backward()
    for branch in ("branches.0", "branches.1"):
        gradients = [p.grad for n, p in stage.network.named_parameters() if n.startswith(branch)]
        assert any(g is not None and float(g.abs().sum()) > 0 for g in gradients)


def test_branches_see_masks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a few steps the two branches are mostly shown different modalities, never none."""
    stage = stage_of("smml", "mutual", auxiliary=0, refine=0)
    assert isinstance(stage.branches, list)
    seen: list[list[torch.Tensor]] = [[], []]
    for k, branch in enumerate(stage.branches):
        look = branch.look
        monkeypatch.setattr(
            branch, "look", lambda x, m, k=k, look=look, **rest: (seen[k].append(m), look(x, m, **rest))[1]
        )
    data = batch(2)
    for _ in range(6):
        stage(data)
    first, second = (torch.cat(masks) for masks in seen)
    assert bool(first.any(1).all() and second.any(1).all())
    assert int((first != second).any(1).sum()) >= 6


def test_one_step_of_each(tmp_path: Path) -> None:
    """A batch of one, a subject that lacks a modality, mmFormer by its own stage and by supervised: finite terms."""
    for network, name in (
        ("smml", "mutual"),
        ("mmformer", "mutual"),
        ("mmformer", "supervised"),
        ("cmc", "collaborate"),
    ):
        for data in (batch(1), batch(2, lacking=0)):
            data.unlabelled = batch(2, lacking=1)
            terms = step(stage_of(network, name), data)
            assert all(math.isfinite(value) for value in terms.values()), (network, terms)


def test_a_stage_refuses_a_network_it_cannot_train() -> None:
    """Each names the networks it is for."""
    with pytest.raises(InputError, match="trains smml and mmformer, not cmc"):
        stage_of("cmc", "mutual")
    with pytest.raises(InputError, match="trains cmc, not smml"):
        stage_of("smml", "collaborate")


def test_a_prior_from_a_model_folder_guides_the_refinement(tmp_path: Path) -> None:
    """Any model folder of the task gives the cues; it is neither trained nor saved with the network."""
    config = modal_config(
        "mmformer", "mutual", write_subjects(tmp_path / "data"), stages={"mutual": {"steps": 1}}
    )
    prior = train(config, tmp_path / "prior", report=lambda _: None)
    stage = stage_of("smml", "mutual", prior=str(prior))
    before = [p.clone() for p in stage._prior[0].parameters()]
    terms = step(stage, batch(2))
    assert terms["refine"] > 0
    assert all(torch.equal(a, b) for a, b in zip(before, stage._prior[0].parameters(), strict=True))
    assert not any("prior" in name for name in stage.network.state_dict())
    with pytest.raises(UnknownModelError, match="Unknown model"):
        stage_of("smml", "mutual", prior=str(tmp_path / "nowhere"))


def test_a_share_of_the_subjects_keeps_its_labels() -> None:
    """At least one, the same ones for a seed, and those of a smaller share are among those of a larger one."""
    subjects = [f"s{k}" for k in range(20)]
    fifth, half = labelled(subjects, 0.2, 3), labelled(subjects, 0.5, 3)
    assert len(fifth) == 4
    assert fifth < half
    assert fifth != labelled(subjects, 0.2, 4)
    assert len(labelled(subjects, 0.001, 0)) == 1
    assert labelled(subjects, 1.0, 0) == set(subjects)


@pytest.mark.parametrize(
    ("network", "stage"), [("smml", "mutual"), ("mmformer", "mutual"), ("cmc", "collaborate")]
)
def test_trained_killed_resumed_and_opened(network: str, stage: str, tmp_path: Path) -> None:
    """From files to a model folder that the engine runs; stopped half way and resumed, the same weights to the bit."""
    root = write_subjects(tmp_path / "data", 5)
    data = {"proportions": [5, 0, 0], "labelled_share": 0.4 if network == "cmc" else 1.0}
    config = modal_config(network, stage, root, data=data, stages={stage: {"steps": 4}})
    whole = train(config, tmp_path / "whole", report=lambda _: None)

    class Killed(Exception):  # noqa: N818
        pass

    def killer(event: dict[str, object]) -> None:
        if event.get("kind") == "step" and event.get("step") == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config, tmp_path / "half", report=killer)
    half = train(config, tmp_path / "half", resume=True, report=lambda _: None)
    model, again = load_model(whole), load_model(half)
    assert model.sha256 == again.sha256
    if network == "cmc":
        assert model.card.sees == model.card.needs == ("flair", "t1ce")
        assert model.card.trained_on == ("2 subjects of a BraTS data set, and 3 without labels",)
    subject = open_study(root / "BraTS2021_00000")
    prediction = Engine(model, device="cpu").predict(subject, ("flair", "t1ce"))
    assert prediction.labels.shape == subject.grid.shape


def test_the_labels_of_the_others_are_not_seen(tmp_path: Path) -> None:
    """Other segmentations in the subjects that keep none: the same weights to the bit."""
    from small import write_subject

    found = []
    for seed in (0, 50):
        root = write_subjects(tmp_path / f"data-{seed}", 5)
        config = modal_config(
            "cmc",
            "collaborate",
            root,
            data={"proportions": [5, 0, 0], "labelled_share": 0.4},
            stages={"collaborate": {"steps": 2}},
        )
        names = sorted(path.name for path in root.iterdir())
        kept = labelled(names, 0.4, config.seed)
        for number, name in enumerate(names):
            if name not in kept and seed:
                folder = root / name
                segmentation = folder / f"{name}_seg.nii.gz"
                other = write_subject(tmp_path / "other" / name, seed=seed + number)
                segmentation.write_bytes((other / segmentation.name).read_bytes())
        found.append(load_model(train(config, tmp_path / f"run-{seed}", report=lambda _: None)).sha256)
    assert found[0] == found[1]


def test_a_share_below_one_needs_no_other_folder(tmp_path: Path) -> None:
    """The stage supervised takes its unlabelled subjects from the same data, too."""
    config = load_config("cmc-compact")
    assert config.data.has_unlabelled
    with pytest.raises(InputError, match=r"labelled_share below 1"):
        changed(modal_config("mmformer", "supervised"), {"stages": {"supervised": {"unlabelled": 1.0}}})
