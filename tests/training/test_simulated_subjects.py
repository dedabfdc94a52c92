"""Simulated subjects as a source of data and as files; TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mrseg_training.config import load_config
from mrseg_training.data.simulated_subjects import Simulated, write_studies
from mrseg_training.settings import SimulatePart
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.tasks import BRATS
from tools.gpu_hours import cost

PART = SimulatePart(train=2, validation=1, test=1, seed=3)


def test_a_simulated_subject_is_always_the_same() -> None:
    """Number k of a group and seed, on the grid asked for; other numbers and seeds are other subjects."""
    source = Simulated(PART, BRATS, 4.0)
    assert source.ids == ["sim-train-0000", "sim-train-0001", "sim-validation-0000", "sim-test-0000"]
    one, again = source.load("sim-train-0000"), Simulated(PART, BRATS, 4.0).load("sim-train-0000")
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.labels, again.labels)
    assert all(n % 8 == 0 for n in one.labels.shape)
    assert one.available.all()
    other = Simulated(PART.model_copy(update={"seed": 4}), BRATS, 4.0)
    assert other.fingerprint("sim-train-0000") != source.fingerprint("sim-train-0000")
    assert other.load("sim-train-0000").images.shape != one.images.shape or not torch.equal(
        other.load("sim-train-0000").images, one.images
    )


def test_finer_grids_are_drawn_not_enlarged() -> None:
    """Below 2 mm the generator draws at the grid's own spacing: a head of a head's size, with detail of that size."""

    def sampled(image: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(image[None, None], size=tuple(size), mode="trilinear")[0, 0]

    def detail(image: Tensor) -> float:
        """What of ``image`` (1.5 mm) a grid of 2 mm cannot hold, relative to how much neighbours differ."""
        lost = image - sampled(sampled(image, [round(n * 0.75) for n in image.shape]), image.shape)
        steps = (image[1:] - image[:-1])[(image[1:] != 0) & (image[:-1] != 0)]
        return float(lost[image != 0].abs().mean() / steps.abs().mean())

    coarse, fine = (Simulated(PART, BRATS, s).load("sim-train-0000") for s in (2.0, 1.5))
    assert all(110 < n * 1.5 < 230 for n in fine.labels.shape)  # mm
    enlarged = sampled(coarse.images[1], [round(n / 0.75) for n in coarse.images.shape[1:]])
    assert detail(fine.images[1]) > 1.2 * detail(enlarged)


def test_tumours_are_painted_into_real_brains(real_data: Path) -> None:
    """Subjects come from the scans named, their own tumour kept for its share; the scans decide the fingerprint."""
    named = {"brains": ("BraTS2021_01476",), "labelled": ("BraTS2021_01476",), "real_share": 1.0}
    part = PART.model_copy(update={**named, "template_share": 0.0})
    source = Simulated(part, BRATS, 2.0, real_data)
    drawn = source.load("sim-train-0000")
    reference = open_study(real_data / "BraTS2021_01476").reference
    assert reference is not None
    ml = 8e-3 * float((drawn.labels > 0).sum())  # voxels of 2 mm; the head is scaled by up to 12 % an axis
    assert ml == pytest.approx(1e-3 * float((reference.labels > 0).sum()), rel=0.5)
    plain = Simulated(PART, BRATS, 2.0)
    assert source.fingerprint("sim-train-0000") != plain.fingerprint("sim-train-0000")


def test_a_brain_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One sentence, before anything is drawn."""
    part = PART.model_copy(update={"brains": ("nobody",), "template_share": 0.0})
    with pytest.raises(InputError, match=r"no folder nobody.*data\.path"):
        Simulated(part, BRATS, 2.0, tmp_path)


def test_simulated_studies_open_in_the_viewer(tmp_path: Path) -> None:
    """Folders of NIfTI files with a reference, marked as simulated, the left side on the left."""
    (folder,) = write_studies(PART, BRATS, tmp_path)
    study = open_study(folder)
    assert study.simulated
    assert study.present == BRATS.names
    assert study.reference is not None
    _, labels = Simulated(PART, BRATS, 2.0).draw(folder.name)
    assert torch.equal(torch.tensor(study.reference.labels), labels)


def test_tensorboard_gets_curves_and_pictures(tmp_path: Path) -> None:
    """With the extra installed a run writes events; a picture has a row per combination."""
    pytest.importorskip("tensorboard")
    from small import small_config, write_subjects

    from mrseg_training.loop import train

    config = small_config(
        write_subjects(tmp_path / "data", 4),
        run={"tensorboard": True, "pictures_every": 1, "validate_every": 1, "keep": "best"},
        stages={name: {"steps": 1} for name in ("reconstruct", "contrast", "adapt")},
    )
    events: list[dict] = []
    train(config, tmp_path / "run", report=lambda event: events.append(dict(event)))
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    assert sum(e["kind"] == "validation" for e in events) == 3
    assert (tmp_path / "run" / "3-adapt" / "checkpoints" / "best.safetensors").is_file()


def test_cost_of_the_papers_recipe() -> None:
    """A 128³ pass without adapters is 3.24 TFLOP, trained at batch 2 three times that twice; stage 3 dominates."""
    rows = {name: each for name, _, each, _ in cost(load_config("paper"), subjects=219)}
    assert rows["reconstruct"] == pytest.approx(3 * 2 * 3.24, rel=0.03)
    assert rows["contrast"] == pytest.approx(2 * rows["reconstruct"], rel=0.01)
    assert rows["adapt"] > 150
