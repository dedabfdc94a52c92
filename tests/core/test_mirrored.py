"""A scan with left and right exchanged under an unchanged header is said; a true study never is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from synthetic import save_nifti

from napari_mrseg.io import inspect, open_study
from napari_mrseg.io.read_options import ReadOptions

SHAPE = (96, 104, 80)  # RAS, 2 mm


def contrasts(seed: int, *, lean: float = 0.06) -> dict[str, np.ndarray]:
    """Scans of one head that is nearly symmetric: the same folds on both sides, some of its own on each."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    head = (axes[0] / 0.75 + lean * axes[1]) ** 2 + (axes[1] / 0.9) ** 2 + (axes[2] / 0.85) ** 2 < 1
    folds = gaussian_filter(rng.standard_normal(SHAPE), 3)
    folds = folds + folds[::-1] + 0.7 * gaussian_filter(rng.standard_normal(SHAPE), 3)
    folds /= folds.std()
    found = {}
    for name, weights in {"flair": (30, 10), "t1": (-40, 0), "t1ce": (-38, 2), "t2": (45, 12)}.items():
        noise = 6 * rng.standard_normal(SHAPE)
        found[name] = ((300 + weights[0] * folds + weights[1] * folds**2 + noise) * head).astype(np.int16)
    return found


def study(folder: Path, scans: dict[str, np.ndarray], turned: tuple[str, ...] = ()) -> Path:
    affine = np.diag([2.0, 2, 2, 1])
    for name, data in scans.items():
        save_nifti(folder / f"{name}.nii.gz", data[::-1] if name in turned else data, affine)
    return folder


def notes(folder: Path) -> list[str]:
    return [n.message for n in open_study(folder, brain="none").notes if n.code == "mirrored"]


@pytest.mark.parametrize("turned", ["flair", "t1", "t1ce", "t2"])
def test_one_mirrored_scan_of_four_is_named(turned: str, tmp_path: Path) -> None:
    """The file and what is probably wrong with it; mrseg inspect warns in the same words."""
    study(tmp_path, contrasts(0), (turned,))
    (said,) = notes(tmp_path)
    assert f"({turned}.nii.gz)" in said
    assert "left and right are probably exchanged" in said
    assert [
        w["message"]
        for w in inspect(tmp_path, options=ReadOptions(brain="none"))["warnings"]
        if w["code"] == "mirrored"
    ] == [said]


@pytest.mark.parametrize("seed", range(3))
def test_of_two_scans_both_are_named(seed: int, tmp_path: Path) -> None:
    """Which of two is mirrored cannot be told; as they were taken nothing is said, nor where all are mirrored."""
    scans = {name: data for name, data in contrasts(seed).items() if name in ("flair", "t1ce")}
    assert notes(study(tmp_path / "true", scans)) == []
    assert notes(study(tmp_path / "all", scans, ("flair", "t1ce"))) == []
    (said,) = notes(study(tmp_path / "one", scans, ("t1ce",)))
    assert "flair.nii.gz" in said
    assert "t1ce.nii.gz" in said


@pytest.mark.parametrize("seed", range(4))
def test_what_says_nothing_is_not_accused(seed: int, tmp_path: Path) -> None:
    """Scans of a perfectly symmetric head, of noise alone, and of different heads: no word of left and right."""
    rng = np.random.default_rng(seed)
    one, other = contrasts(seed), contrasts(seed + 50)
    alike = {name: (data + data[::-1]) // 2 for name, data in one.items()}
    noise = {name: (300 + 40 * rng.standard_normal(SHAPE)).astype(np.int16) for name in one}
    mixed = {"flair": one["flair"], "t1": other["t1"]}
    for number, scans in enumerate((alike, noise, mixed)):
        assert notes(study(tmp_path / str(number), scans)) == []


@pytest.mark.parametrize("case", ["BraTS2021_01476", "BraTS2021_01483"])
def test_a_real_study_and_its_mirrored_scan(case: str, real_data: Path, tmp_path: Path) -> None:
    """As it was taken nothing is said; with FLAIR mirrored, that file is named."""
    import nibabel as nib

    folder = real_data / case
    assert notes(folder) == []
    for path in folder.glob("*_t*.nii.gz"):
        (tmp_path / path.name).symlink_to(path)
    path = next(folder.glob("*_flair.nii.gz"))
    whole = nib.load(path)
    nib.save(
        nib.Nifti1Image(np.asarray(whole.dataobj)[::-1], whole.affine, whole.header), tmp_path / path.name
    )
    (said,) = notes(tmp_path)
    assert path.name in said
