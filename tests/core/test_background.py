"""Whatever lies outside the head, the same labels: the background is found as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from synthetic import save_nifti

from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.io.background import find_background, without_background

Change = Callable[[np.ndarray], np.ndarray]


def head(seed: int = 0) -> np.ndarray:
    """A ball of tissue with a bright part, 0 around it."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 32)] * 3, indexing="ij")
    ball = sum(a**2 for a in axes) < 0.7
    rng = np.random.default_rng(seed)
    bright = 200 * (sum((a - 0.2) ** 2 for a in axes) < 0.1)
    return ((300 + 40 * rng.standard_normal(ball.shape) + bright) * ball).astype(np.float32)


def floor_of_noise(x: np.ndarray) -> np.ndarray:
    noise = np.abs(np.random.default_rng(1).standard_normal(x.shape)) * 0.02 * x.max()
    return np.where(x == 0, noise, x)


CHANGES: dict[str, Change] = {
    "z-scored over the volume": lambda x: (x - x.mean()) / x.std(),
    "the brain's minimum": lambda x: np.where(x == 0, x[x > 0].min(), x),
    "-9": lambda x: np.where(x == 0, -9, (x - 300) / 40),
    "-1024": lambda x: x - 1024,
    "from -1 to 1": lambda x: 2 * x / x.max() - 1,
    "an intercept": lambda x: x + 50,
    "a floor of noise": floor_of_noise,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_labels_do_not_depend_on_the_background(tmp_path: Path, kind: str) -> None:
    """The same labels as with 0, and a note that names the file."""
    model = tiny.model(tmp_path / "model", spacings=(1.0,))
    save_nifti(tmp_path / "a" / "x_flair.nii.gz", head())
    save_nifti(tmp_path / "b" / "x_flair.nii.gz", CHANGES[kind](head()).astype(np.float32))
    engine = Engine(model, device="cpu", precision="fp32")
    before, after = (engine.predict(open_study(tmp_path / folder)).labels for folder in "ab")
    assert (before > 0).any()
    assert (before != after).mean() < 2e-3  # rounding of the changed intensities
    notes = [note for note in open_study(tmp_path / "b").notes if note.code == "background"]
    assert "x_flair.nii.gz" in notes[0].message


def test_a_background_of_zero_is_left_alone() -> None:
    """Exactly 0, or small values of either sign as resampling leaves them: nothing is found, nothing changes."""
    assert find_background(head()) is None
    rough = head() + (head() == 0) * 0.5 * np.random.default_rng(2).standard_normal((32, 32, 32)).astype("f4")
    assert find_background(rough) is None


def test_dark_voxels_inside_the_head_stay() -> None:
    """What is as dark as the background but not connected to the border is no background."""
    volume = head() - 1000
    volume[14:17, 14:17, 14:17] = -1000 + 1e-3
    found = find_background(volume)
    assert found is not None
    moved = without_background(volume, found)
    assert (moved[14:17, 14:17, 14:17] != 0).all()
    assert (moved[head() == 0] == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e9])
def test_units_do_not_matter(tmp_path: Path, scale: float) -> None:
    """float64 files of tiny and of huge values give the labels of the usual ones."""
    model = tiny.model(tmp_path / "model", spacings=(1.0,))
    save_nifti(tmp_path / "a" / "x_flair.nii.gz", head().astype(np.float64))
    save_nifti(tmp_path / "b" / "x_flair.nii.gz", head().astype(np.float64) * scale)
    engine = Engine(model, device="cpu", precision="fp32")
    before, after = (engine.predict(open_study(tmp_path / folder)).labels for folder in "ab")
    assert (before != after).mean() < 2e-3
