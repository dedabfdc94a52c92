"""The generator: shapes, labels, cover, modalities."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Generator, Tensor

from mrseg_training.data import graft, signal, simulate, tumour
from mrseg_training.data.anatomy import MEDIAN, Anatomy, cover, from_template
from mrseg_training.data.simulate import Simulator


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def maps(size: tuple[int, int, int] = (36, 44, 36)) -> Tensor:
    """A ball of white matter in a shell of grey with a ventricle: (3, I, P, L) grey, white, brain."""
    axes = [torch.linspace(-1, 1, n) for n in size]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    white = ((radius < 0.7) & (radius > 0.15)).float()
    grey = ((radius < 0.95) & (radius >= 0.7)).float()
    return torch.stack([grey, white, (radius < 0.95).float()])


@pytest.fixture(scope="module")
def brain() -> Anatomy:
    return from_template(maps(), seeded(1))


def test_samples_fit_the_network(brain: Anatomy) -> None:
    """Extents are multiples of 8, regions nested, all modalities there."""
    simulator = Simulator([brain], template_share=0)
    for seed in range(6):
        s = simulator.sample(seeded(seed))
        assert all(n % 8 == 0 for n in s.images.shape[1:])
        assert s.regions.shape == (3, *s.images.shape[1:])
        assert (s.regions[0] >= s.regions[1]).all()
        assert (s.regions[1] >= s.regions[2]).all()
        assert all(image.any() for image in s.images)
        assert torch.isfinite(s.images).all()


def test_same_seed_same_sample(brain: Anatomy) -> None:
    """The generator's state decides everything."""
    simulator = Simulator([brain], maps=maps(), template_share=0.5)
    for seed in range(3):
        a, b = simulator.sample(seeded(seed)), simulator.sample(seeded(seed))
        assert all(
            torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(simulate.Sample)
        )


@pytest.mark.parametrize("kind", tumour.KINDS)
def test_painted_tumours_are_what_their_kind_says(kind: str, brain: Anatomy) -> None:
    """Masks are nested, the core lies in the brain, and only a low-grade tumour has no enhancement."""
    inside = (brain.images[1] > 0).float()
    shapes = tumour.draw(inside, brain.white, brain.fluid, (18, 22, 18), 14.0, 2.0, seeded(7), kind=kind)
    assert (shapes.whole >= shapes.core).all()
    assert (shapes.core >= shapes.enhancing).all()
    assert not shapes.whole[inside == 0].any()
    codes = set(tumour.label_map([shapes], inside).unique().tolist())
    assert (3 in codes) == (kind != "none")
    assert {0, 2} <= codes


@pytest.mark.parametrize("kind", ["ring", "none"])
def test_a_modality_may_hide_what_another_shows(kind: str) -> None:
    """Most cores are dark on T1, some hardly show; a ring and a core may be darker on T2 than oedema, or alike."""
    generator = seeded()
    drawn = [signal.levels(kind, generator) for _ in range(300)]
    t1 = torch.tensor([core[1] for _, core, _ in drawn])
    assert (t1 < -0.6).float().mean() > 0.5
    assert 0.1 < (t1.abs() < 0.5).float().mean() < 0.4
    if kind == "ring":
        darker = torch.tensor([rim[3] < oedema[3] for oedema, _, rim in drawn]).float().mean()
        alike = torch.tensor([abs(core[3] - oedema[3]) < 1 for oedema, core, _ in drawn]).float().mean()
        assert 0.3 < darker < 0.8
        assert 0.3 < alike < 0.7


def test_oedema_follows_white_matter() -> None:
    """Where one side of a core is white matter and the other grey, most of the oedema lies in the white."""
    inside = torch.ones(36, 44, 36)
    white = torch.zeros_like(inside)
    white[:, :, 18:] = 1
    sides = torch.zeros(2)
    for seed in range(8):
        t = tumour.draw(
            inside,
            white,
            torch.zeros_like(inside),
            (18, 22, 17.5),
            8.0,
            2.0,
            seeded(seed),
            kind="solid",
            reach=14.0,
        )
        oedema = ((t.whole >= 0.5) & (t.core < 0.5)).float()
        sides += torch.stack([oedema[:, :, :18].sum(), oedema[:, :, 18:].sum()])
    assert sides[1] > 2 * sides[0] > 0


def test_a_thin_rim_that_shines_is_labelled(brain: Anatomy) -> None:
    """A rim as thin as a voxel is enhancing tumour in the label as on T1ce, all around the core."""
    inside = torch.ones_like(brain.white)
    shapes = tumour.draw(
        inside, inside, torch.zeros_like(inside), (18, 22, 18), 16.0, 2.0, seeded(3), kind="ring", rim=2.5
    )
    labels = tumour.label_map([shapes], inside)
    outermost = (shapes.core >= 0.5) & (shapes.depth < 1.0)
    assert float((labels[outermost] == 3).float().mean()) > 0.7
    assert float((labels[shapes.depth > 8.0] == 1).float().mean()) > 0.9


def test_healthy_samples_have_no_label(brain: Anatomy) -> None:
    """With the share of healthy samples at 1 nothing is labelled, whatever was added to mislead."""
    simulator = Simulator([brain], healthy_share=1.0)
    assert not any(simulator.sample(seeded(k)).regions.any() for k in range(3))


def test_real_labels_move_with_the_image() -> None:
    """A labelled lesion, marked bright, is still the bright part after warping."""
    anatomy = from_template(maps(), seeded(1), texture=0.0)
    labels = torch.zeros(anatomy.white.shape, dtype=torch.uint8)
    labels[10:18, 12:22, 20:28] = 3
    anatomy.images[0][labels == 3] = MEDIAN + 40
    real = dataclasses.replace(anatomy, labels=labels)
    for seed in range(3):
        grid, _ = simulate.warp(real, seeded(seed))
        images, _, _, _, _, moved = simulate.resampled(real, grid)
        bright = images[0] > MEDIAN + 20
        overlap = 2 * float((bright & (moved == 3)).sum()) / float(bright.sum() + (moved == 3).sum())
        assert overlap > 0.9


def with_lesion() -> Anatomy:
    """A brain with a lesion of all three codes, bright on FLAIR."""
    anatomy = from_template(maps(), seeded(1), texture=0.05)
    labels = torch.zeros(anatomy.white.shape, dtype=torch.uint8)
    labels[12:20, 16:24, 20:28] = 2
    labels[14:18, 18:22, 22:26] = 3
    labels[15:17, 19:21, 23:25] = 1
    anatomy.images[0][labels > 0] = MEDIAN + 20
    return dataclasses.replace(anatomy, labels=labels)


def test_a_moved_tumour_takes_its_labels_along(brain: Anatomy) -> None:
    """Laid into another brain a real tumour is bright where its labels are, of about its size, and only there."""
    own = graft.source_lesion(with_lesion(), 2.0)
    assert own.radius == pytest.approx((512 * 8 * 3 / 4 / torch.pi) ** (1 / 3), rel=1e-3)
    inside = (brain.images[1] > 0).float()
    for seed in range(4):
        images, labels = graft.graft(brain.images, inside, own, (18, 22, 18), seeded(seed))
        bright = images[0] > MEDIAN + 10
        overlap = 2 * float((bright & (labels > 0)).sum()) / float(bright.sum() + (labels > 0).sum())
        assert overlap > 0.85
        assert set(labels.unique().tolist()) == {0, 1, 2, 3}
        assert 512 / 3 < float((labels > 0).sum()) < 512 * 3
        untouched = labels.roll(14, 2) > 0
        assert torch.equal(images[:, untouched & ~bright], brain.images[:, untouched & ~bright])


def test_real_tumours_come_in_their_own_brain_and_in_others(
    brain: Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the real share some are moved; all have a label."""
    moved: list[int] = []

    def seen(*given: object) -> object:
        moved.append(1)
        return graft.graft(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(simulate, "graft", seen)
    simulator = Simulator([brain], [with_lesion()], real_share=1.0, template_share=0.0)
    assert all(simulator.sample(seeded(k)).regions.any() for k in range(8))
    assert 0 < len(moved) < 8


def test_a_pale_tumour_hardly_shows(brain: Anatomy) -> None:
    """Of its contrast each modality keeps a part by itself; what enhances keeps all of it on T1ce; all else stays."""
    plain = brain.images
    shape = torch.zeros(plain.shape[1:])
    shape[14:20, 18:24, 14:20] = 1
    marked = plain + 3 * shape
    enhancing = torch.zeros_like(shape)
    enhancing[16:18, 20:22, 16:18] = 1
    rest = (shape > 0) & (enhancing == 0)
    for seed in range(8):
        left = (signal.pale(plain, marked, enhancing, seeded(seed)) - plain) / 3
        for kept, (least, most) in zip(left[:, rest], signal.PALE, strict=True):
            assert least - 1e-3 <= kept.min()
            assert kept.max() <= most + 1e-3
        assert torch.allclose(left[2][enhancing > 0], torch.tensor(1.0), atol=1e-3)
        assert not left[:, shape == 0].any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_so_many_tumours_are_pale(share: float, brain: Anatomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """None or all, as the setting says; what lies beneath is the brain before its tumour."""
    seen: list[Tensor] = []

    def pale(without: Tensor, images: Tensor, enhancing: Tensor, generator: Generator) -> Tensor:
        seen.append((images - without).abs().amax(0))
        return images

    monkeypatch.setattr(signal, "pale", pale)
    simulator = Simulator([brain], healthy_share=0, template_share=0, pale_share=share)
    simulator.sample(seeded(3))
    assert len(seen) == share
    for difference in seen:
        assert 0 < float((difference > 0.5).float().mean()) < 0.9


def test_a_cavity_is_no_tumour(brain: Anatomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole full of fluid is dark on T1 and FLAIR and bright on T2, and carries no label."""
    inside = (brain.images[1] > 0).float()
    hole = tumour.draw(inside, brain.white, brain.fluid, (18, 22, 18), 10.0, 2.0, seeded(7), kind="none")
    flair, t1, _, t2 = signal.cavity(brain.images, hole, seeded(1))
    middle = hole.core > 0.95
    assert float(t1[middle].mean()) < MEDIAN - 1.5
    assert float(flair[middle].mean()) < MEDIAN - 1
    assert float(t2[middle].mean()) > MEDIAN + 2.5
    monkeypatch.setattr(simulate, "CAVITY", 1.0)
    simulator = Simulator([brain], healthy_share=1.0)
    assert not any(simulator.sample(seeded(k)).regions.any() for k in range(3))


def test_cover_takes_the_lesion_away() -> None:
    """Where a bright lesion was, the covered brain looks like the other side; the rest is untouched."""
    anatomy = from_template(maps(), seeded(1), texture=0.05)
    lesion = torch.zeros(anatomy.white.shape, dtype=torch.bool)
    lesion[14:22, 18:26, 24:29] = True
    sick = torch.where(lesion & (anatomy.images > 0), anatomy.images + 6, anatomy.images)
    covered, valid = cover(sick, lesion)
    left = (covered - anatomy.images)[:, lesion].abs().mean()
    assert left < 0.6  # of the 6 units it was brighter by
    far = lesion.roll(-14, 2)
    assert torch.equal(covered[:, far], sick[:, far])
    assert valid[lesion].mean() > 0.9
