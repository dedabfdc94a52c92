"""Predictions of any program beside ours: read by their names, on the study's grid, in one comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tiny

from napari_mrseg.compare.comparison import Comparison, Second
from napari_mrseg.compare.made_elsewhere import MadeElsewhere, holds_results
from napari_mrseg.errors import InputError
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS


@pytest.fixture
def study() -> Study:
    return tiny.study(["flair", "t1", "t2"], reference=True)


def write(path: Path, study: Study, labels: np.ndarray, spacing: float = 1.0) -> None:
    """``labels`` (I, P, L) as a NIfTI file where the study's scans lie."""
    affine = study.grid.matrix @ np.diag([spacing] * 3 + [1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), path)


@pytest.mark.parametrize("name", ["{0}.nii.gz", "synthetic/{0}.nii.gz", "{0}/synthetic_pred.nii.gz"])
def test_results_stand_beside_ours(name: str, study: Study, tmp_path: Path) -> None:
    """Label files by combination, named in any of the usual ways, give sizes and Dice like a second model."""
    assert study.reference is not None
    truth = study.reference.labels
    for combination, labels in (("flair+t1", truth), ("t2", 0 * truth)):
        write(tmp_path / "theirs" / name.format(combination), study, labels)
    theirs = MadeElsewhere(tmp_path / "theirs", BRATS)
    assert theirs.model.info["name"] == "theirs"
    assert theirs.combinations(study) == (("flair", "t1"), ("t2",))
    found = {c: next(theirs.run(study, c)) for c in theirs.combinations(study)}
    assert np.array_equal(found["flair", "t1"].labels, truth)
    assert found["flair", "t1"].probability("ET").sum() == (truth == 3).sum()
    ours = tiny.model(tmp_path / "m", spacings=(1.0,))
    from napari_mrseg.inference.engine import Engine

    engine = Engine(ours, device="cpu")
    comparison = Comparison(study, [engine.predict(study, "flair+t1")], second=Second("theirs", found))
    assert set(comparison.dice_of_second(("flair", "t1")).values()) == {1.0}
    assert comparison.dice_of_second(("t2",))["WT"] == 0.0


def test_another_grid_is_resampled_and_another_place_refused(study: Study, tmp_path: Path) -> None:
    """Every second voxel of a result at 2 mm; one that lies elsewhere is named."""
    assert study.reference is not None
    truth = study.reference.labels
    write(tmp_path / "coarse" / "t1.nii.gz", study, truth[::2, ::2, ::2], spacing=2.0)
    theirs = MadeElsewhere(tmp_path / "coarse", BRATS)
    labels = next(theirs.run(study, ["t1"])).labels
    assert labels.shape == study.grid.shape
    assert np.array_equal(labels[::2, ::2, ::2], truth[::2, ::2, ::2])
    away = study.grid.matrix.copy()
    away[:3, 3] += 500
    (tmp_path / "away").mkdir()
    nib.save(nib.Nifti1Image(truth, away), tmp_path / "away" / "t1.nii.gz")
    with pytest.raises(InputError, match=r"t1\.nii\.gz lies elsewhere than the scans of synthetic"):
        next(MadeElsewhere(tmp_path / "away", BRATS).run(study, ["t1"]))


def test_what_is_no_folder_of_results_is_refused(study: Study, tmp_path: Path) -> None:
    """A model folder is a model; an empty folder and a combination without a file are named."""
    model = tiny.model(tmp_path, spacings=(1.0,))
    assert not holds_results(model.folder, BRATS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty is neither a model folder"):
        MadeElsewhere(tmp_path / "empty", BRATS)
    write(tmp_path / "named" / "another-subject.nii.gz", study, np.zeros(study.grid.shape))
    stranger = MadeElsewhere(tmp_path / "named", BRATS)
    assert stranger.combinations(study) == ()
    with pytest.raises(InputError, match="No name in named, such as another-subject"):
        stranger.find(study)
    write(tmp_path / "one" / "t1.nii.gz", study, np.zeros(study.grid.shape))
    with pytest.raises(InputError, match="one has no result for t2 of synthetic"):
        next(MadeElsewhere(tmp_path / "one", BRATS).run(study, ["t2"]))


def test_names_without_a_subject_are_of_one_study(study: Study, tmp_path: Path) -> None:
    """Another patient's scans get none of these results, not even where both studies have one name and grid."""
    assert study.reference is not None
    write(tmp_path / "theirs" / "t1.nii.gz", study, study.reference.labels)
    theirs = MadeElsewhere(tmp_path / "theirs", BRATS)
    assert theirs.combinations(study) == (("t1",),)
    others = {
        name: replace(image, source=replace(image.source, sha256=f"another {name}"))
        for name, image in study.images.items()
    }
    another = replace(study, images=others, reference=None)
    assert another.case == study.case
    assert theirs.combinations(another) == ()
    with pytest.raises(InputError, match="chosen for another study; choose it again if its results are of"):
        theirs.find(another)
    assert theirs.combinations(study.only(["t1"])) == (("t1",),)
