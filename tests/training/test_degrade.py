"""Image degradations."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from napari_mrseg.degrade import DEGRADATIONS, Degradation

EACH = pytest.mark.parametrize("artefact", DEGRADATIONS.values(), ids=DEGRADATIONS.keys())


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def brain() -> Tensor:
    """A textured ball in an empty box, (24, 28, 20)."""
    axes = [torch.linspace(-1, 1, n) for n in (24, 28, 20)]
    down, back, left = torch.meshgrid(*axes, indexing="ij")
    texture = (
        100
        + 20 * torch.sin(9 * down)
        + 10 * torch.cos(7 * back)
        + torch.rand(24, 28, 20, generator=seeded(9))
    )
    return torch.where(down**2 + back**2 + left**2 < 0.8, texture, 0.0)


@EACH
def test_strength_zero_changes_nothing(artefact: Degradation, brain: Tensor) -> None:
    """Strength 0 gives the input back bit for bit, as a new tensor."""
    out = artefact(brain, 0.0, seeded())
    assert torch.equal(out, brain)
    assert out.data_ptr() != brain.data_ptr()


@EACH
def test_same_generator_same_result(artefact: Degradation, brain: Tensor) -> None:
    """The result depends on the generator's state alone, and the input is left as it was."""
    before = brain.clone()
    assert torch.equal(artefact(brain, 0.7, seeded(3)), artefact(brain, 0.7, seeded(3)))
    assert torch.equal(brain, before)


@EACH
def test_brain_and_background_stay_what_they_are(artefact: Degradation, brain: Tensor) -> None:
    """Background stays exactly 0, the brain finite and off 0, the shape the same."""
    out = artefact(brain, 1.0, seeded(5))
    assert out.shape == brain.shape
    assert torch.isfinite(out).all()
    assert torch.equal(out == 0, brain == 0)


@EACH
def test_stronger_changes_more(artefact: Degradation, brain: Tensor) -> None:
    """With the same draws, strength 1 changes the image more than strength 0.2."""

    def change(strength: float) -> float:
        return float((artefact(brain, strength, seeded(2)) - brain).abs().mean())

    assert change(1.0) > change(0.2) > 0


@EACH
def test_unit_does_not_matter(artefact: Degradation, brain: Tensor) -> None:
    """An image in other units is degraded alike: a factor in gives the same factor out."""
    a, b = artefact(brain, 0.6, seeded(4)), artefact(brain * 50, 0.6, seeded(4))
    torch.testing.assert_close(a * 50, b, rtol=1e-3, atol=1.0)
