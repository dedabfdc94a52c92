"""What must not change a result: how the same scan is stored, and in which unit.

With the bundled model on the bundled sample, and with a tiny random model, whose output depends on every voxel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from synthetic import save_nifti
from tiny import model

from napari_mrseg.compare.metrics import dice
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.resources import sample_study
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import BRATS

Volume = tuple[npt.NDArray[np.generic], npt.NDArray[np.float64]]  # voxels and affine
USED = ("flair", "t1ce")
# Array axes in a new order, and which of them are then turned round.
STORED = {
    "left-right turned": ((0, 1, 2), (0,)),
    "all turned": ((0, 1, 2), (0, 1, 2)),
    "sagittal": ((1, 2, 0), ()),
    "coronal, turned": ((0, 2, 1), (1,)),
}


def stored(volume: Volume, axes: Sequence[int], turned: Sequence[int]) -> Volume:
    """The same voxels at the same places of the world, in another order of storage."""
    data, affine = volume
    move = np.zeros((4, 4))
    move[3, 3] = 1
    for new, old in enumerate(axes):
        last = data.shape[old] - 1
        move[old, new] = -1 if new in turned else 1
        move[old, 3] = last if new in turned else 0
    return np.flip(data.transpose(axes), turned), affine @ move


class Subject:
    """A model and the scans it is asked about, as volumes that a test may store anew."""

    def __init__(self, engine: Engine, volumes: dict[str, Volume]) -> None:
        self.engine, self.volumes = engine, volumes
        self._as_they_are: Prediction | None = None

    def write(self, folder: Path, volumes: dict[str, Volume] | None = None) -> list[Path]:
        found = volumes or self.volumes
        return [save_nifti(folder / f"case_{name}.nii.gz", *volume) for name, volume in found.items()]

    def predict(self, paths: Iterable[Path]) -> Prediction:
        return self.engine.predict(open_study(list(paths)))

    def as_they_are(self, folder: Path) -> Prediction:
        """The result on the scans as they are; computed once."""
        if self._as_they_are is None:
            self._as_they_are = self.predict(self.write(folder / "as they are"))
            assert self._as_they_are.labels.any()
        return self._as_they_are


def synthetic() -> dict[str, Volume]:
    """Whole numbers that every type below holds; no symmetry, and a grid that is not cubic."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (28, 33, 25)], indexing="ij")
    brain = sum(a**2 for a in axes) < 0.8
    volumes = {}
    for index, name in enumerate(USED):
        tumour = sum((a - 0.2 * (index + 1)) ** 2 for a in axes) < 0.1
        data = np.round((300 + 40 * rng.standard_normal(brain.shape) + 200 * tumour) * brain)
        volumes[name] = data.clip(0, 4000).astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0])
    return volumes


@pytest.fixture(scope="module", params=["tiny", "bundled"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if request.param == "tiny":
        return Subject(Engine(model(tmp_path_factory.mktemp("models")), device="cpu"), synthetic())
    volumes = {}
    for name in USED:
        image = nib.load(sample_study() / f"sample_{name}.nii.gz")
        volumes[name] = np.asarray(image.dataobj), image.affine
    return Subject(Engine(load_model(), device="cpu"), volumes)


def same(one: Prediction, other: Prediction) -> None:
    """Both results hold the same bits. Labels are held in one anatomical order, however the file is stored."""
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert one.sizes == other.sizes


def test_order_of_files(subject: Subject, tmp_path: Path) -> None:
    """The order in which files are given changes no bit."""
    paths = subject.write(tmp_path)
    same(subject.predict(reversed(paths)), subject.as_they_are(tmp_path))


@pytest.mark.parametrize("how", STORED)
def test_order_of_storage(subject: Subject, tmp_path: Path, how: str) -> None:
    """Axes turned or exchanged in the file, with the affine that belongs to it: same bits at the same places."""
    turned = {name: stored(volume, *STORED[how]) for name, volume in subject.volumes.items()}
    got = subject.predict(subject.write(tmp_path / "turned", turned))
    same(got, subject.as_they_are(tmp_path))
    assert np.allclose(got.grid.matrix, subject.as_they_are(tmp_path).grid.matrix, atol=1e-4)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64"])
def test_type_of_the_same_values(subject: Subject, tmp_path: Path, dtype: str) -> None:
    """The type in which the same values are stored changes no bit."""
    recast = {name: (data.astype(dtype), affine) for name, (data, affine) in subject.volumes.items()}
    same(subject.predict(subject.write(tmp_path / dtype, recast)), subject.as_they_are(tmp_path))


def test_shifted_origin(subject: Subject, tmp_path: Path) -> None:
    """Where the scanner's origin lies changes no bit."""
    shift = np.zeros((4, 4))
    shift[:3, 3] = 17.25, -31.5, 8
    moved = {name: (data, affine + shift) for name, (data, affine) in subject.volumes.items()}
    same(subject.predict(subject.write(tmp_path / "moved", moved)), subject.as_they_are(tmp_path))


def test_unit_of_intensities(subject: Subject, tmp_path: Path) -> None:
    """Intensities times 1000, in float32: Dice between the results at least 0.99 in every region found."""
    thousand = {
        n: (data.astype(np.float32) * np.float32(1000), a) for n, (data, a) in subject.volumes.items()
    }
    got, want = subject.predict(subject.write(tmp_path / "thousand", thousand)), subject.as_they_are(tmp_path)
    for region in BRATS.regions:
        assert dice(np.isin(got.labels, region.codes), np.isin(want.labels, region.codes)) >= 0.99


def mirrored(study: Study) -> Study:
    """The study of a patient who is the mirror image: left and right exchanged, on the same grid."""
    images = {
        name: Image(
            np.ascontiguousarray(image.data[:, :, ::-1]),
            replace(image.source, sha256=f"{image.source.sha256}-mirrored"),
        )
        for name, image in study.images.items()
    }
    return Study(study.task, f"{study.case}-mirrored", images)


@pytest.mark.real
@pytest.mark.parametrize("case", ["BraTS-GLI-00000-000", "BraTS2021_01481"])
def test_anatomical_mirror(case: str, real_data: Path) -> None:
    """Left and right of the patient exchanged: the mean WT Dice to the reference changes by at most 0.02.

    Over two combinations here; ``benchmarks/mirror.py`` measures all fifteen.
    """
    study = open_study(real_data / case)
    assert study.reference is not None
    truth = study.reference.labels > 0
    engine = Engine(load_model(), device="cpu")
    change = []
    for combination in (BRATS.names, ("flair",)):
        plain = engine.predict(study, combination).labels > 0
        other = engine.predict(mirrored(study.only(combination)), combination).labels > 0
        change.append(dice(other[:, :, ::-1], truth) - dice(plain, truth))
    assert abs(np.mean(change)) <= 0.02
