"""Imagined scans: what they are made from, how sure they are, and that none is ever taken for a scan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_mrseg.compare.likeness import likeness, likeness_to_real
from napari_mrseg.degrade import degrade_study
from napari_mrseg.errors import InputError, ModelError
from napari_mrseg.inference.imagining import Imagined, Imaginer, imagining_model
from napari_mrseg.io import inspect, open_study
from napari_mrseg.io.imagined import imagined_file, write_imagined
from napari_mrseg.models.imagining_network import COARSER, ImaginingNet, mix_one, outputs_for
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.resources import IMAGINING_MODEL, sample_study
from napari_mrseg.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(sample_study())


@pytest.fixture(scope="module")
def imaginer() -> Imaginer:
    return Imaginer(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def imagined(imaginer: Imaginer, study: Study) -> Imagined:
    return imaginer.imagine(study, "t2", ["flair", "t1"])


def test_outputs_say_what_each_intensity_of_the_given_scans_means() -> None:
    """A curve with two bends for each scan, plus what is added; missing scans take no part."""
    own = torch.zeros(1, outputs_for(2) // 2, 1, 1, 3)
    slope, above, below, added, width = 0, 2, 4, 6, 7
    own[:, slope], own[:, above], own[:, below], own[:, added] = 2.0, -1.0, 3.0, 1.0
    own[:, slope + 1], own[:, above + 1], own[:, below + 1] = 5.0, 5.0, 5.0
    own[:, width:] = 0.0
    scans = torch.zeros(1, 2, 1, 1, 3)
    scans[:, 0] = torch.tensor([-3.0, 0.5, 2.0])
    low, middle, high = mix_one(own, scans)[0]
    assert middle.flatten().tolist() == [2 * -3 + 3 * 2 + 1, 2 * 0.5 + 1, 2 * 2 - 1 + 1]
    assert torch.equal(low, middle - 1)
    assert torch.equal(high, middle + 1)


def test_outputs_are_half_as_fine_as_the_scans() -> None:
    """The network gives (B, M (3 M + 3), I / 2, P / 2, L / 2), which are laid over the scans' own voxels."""
    network = ImaginingNet.configured({}, channels=4, outputs=3).eval()
    with torch.inference_mode():
        found = network(torch.zeros(1, 4, 32, 48, 32))
    assert found.shape == (1, outputs_for(4), 32 // COARSER, 48 // COARSER, 32 // COARSER)


def test_it_lies_on_the_grid_of_the_study_and_inside_the_brain(imagined: Imagined, study: Study) -> None:
    """Its arrays have the study's shape, are 0 outside the given scans, and low ≤ middle ≤ high everywhere."""
    assert imagined.middle.shape == study.grid.shape
    seen = np.maximum(study.images["flair"].data, study.images["t1"].data)
    assert float((imagined.inside != (seen > 0)).mean()) < 0.001
    assert imagined.inside[seen > seen.max() / 10].all()
    assert not imagined.middle[~imagined.inside].any()
    assert (imagined.low <= imagined.middle).all()
    assert (imagined.middle <= imagined.high).all()


def test_a_modality_that_is_off_was_never_there(imaginer: Imaginer, study: Study, imagined: Imagined) -> None:
    """T2 from FLAIR and T1 is bit for bit the same where T1ce and T2 itself lie beside them and where they do not."""
    alone = imaginer.imagine(study.only(["flair", "t1"]), "t2")
    assert alone.given == ("flair", "t1")
    assert np.array_equal(alone.middle, imagined.middle)


def test_it_is_nearer_to_the_real_scan_than_its_mean(imaginer: Imaginer, study: Study) -> None:
    """On the bundled sample, T1 imagined from the other three differs less from T1 than T1's own mean does."""
    made, real = imaginer.imagine(study, "t1"), imaginer.real(study, "t1")
    error = float(np.mean((made.middle - real)[made.inside] ** 2))
    assert error < float(real[made.inside].var())


def test_what_cannot_be_imagined_is_refused(imaginer: Imaginer, study: Study) -> None:
    """The target among the given, nothing given, a modality that is not there: one sentence each."""
    with pytest.raises(InputError, match="leave it out of the given scans"):
        imaginer.imagine(study, "t2", ["t2", "t1"])
    with pytest.raises(InputError, match="give one at least"):
        imaginer.imagine(study.only("t1"), "t1")
    with pytest.raises(InputError, match="has no t2"):
        imaginer.imagine(study.only("t1"), "t1ce", ["t2"])


def test_check_stops_it(imaginer: Imaginer, study: Study) -> None:
    """What ``check`` raises ends the imagining."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imaginer.imagine(study, "t1", check=stop)


def test_the_bundled_network_is_small_and_segments_nothing(tmp_path: Path) -> None:
    """At most 10 MB, not among the models to choose from, and refused where a segmentation is asked for."""
    assert (IMAGINING_MODEL / "weights.safetensors").stat().st_size < 10e6
    model = imagining_model()
    folder = save_model(tmp_path / "mine", model.network, model.card)
    with pytest.raises(ModelError, match="segments nothing"):
        load_model(folder)
    with pytest.raises(ModelError, match="imagines no modalities"):
        Imaginer(load_model("compact"))


def test_a_file_of_it_says_so_in_name_and_header(imagined: Imagined, study: Study, tmp_path: Path) -> None:
    """Name, description and list carry the mark; the voxels lie where the given scan lies."""
    document = write_imagined([imagined], tmp_path)
    path = tmp_path / document["imagined"][0]["file"]
    assert "imagined-t2_from_flair+t1" in path.name
    image = nib.load(path)
    assert image.header["descrip"].item().decode() == "T2 imagined from FLAIR + T1: not a scan"
    source = study.images["flair"].source
    assert np.allclose(image.affine, source.grid.matrix)
    assert np.allclose(source.to_ipl(np.asarray(image.dataobj)), imagined.middle)
    assert json.loads((tmp_path / f"{imagined.case}_imagine.json").read_text()) == document
    assert "not a scan" in document["imagined"][0]["mark"]


def test_a_file_of_it_is_no_scan_whatever_it_is_called(imagined: Imagined, tmp_path: Path) -> None:
    """Found in a folder it is passed over, given as a modality it is refused, also under another name."""
    write_imagined([imagined], tmp_path)
    path = tmp_path / imagined_file(imagined)
    assert not inspect([tmp_path])["usable"]
    with pytest.raises(InputError, match="a network imagined it"):
        open_study([f"t2={path}"])
    renamed = path.rename(tmp_path / "patient_t2.nii.gz")
    with pytest.raises(InputError, match="a network imagined it"):
        open_study([renamed])


def test_a_rewritten_header_or_a_pair_is_no_scan_either(imagined: Imagined, tmp_path: Path) -> None:
    """Refused with the description alone, as another program leaves it, and as two files."""
    write_imagined([imagined], tmp_path)
    image = nib.load(tmp_path / imagined_file(imagined))
    again = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    again.header["descrip"] = image.header["descrip"]
    nib.save(again, tmp_path / "a_t1ce.nii.gz")
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine, image.header), tmp_path / "b_t1ce.hdr")
    for name in ("a_t1ce.nii.gz", "b_t1ce.hdr"):
        with pytest.raises(InputError, match="a network imagined it"):
            open_study([tmp_path / name])


def test_nothing_is_replaced_unasked_and_nothing_else_lost(imagined: Imagined, tmp_path: Path) -> None:
    """Files that are there stay, unless overwriting is asked for; another imagined scan is listed beside the first."""
    write_imagined([imagined], tmp_path)
    with pytest.raises(InputError, match="--overwrite"):
        write_imagined([imagined], tmp_path)
    other = replace(imagined, given=("flair",))
    assert len(write_imagined([other], tmp_path)["imagined"]) == 1
    write_imagined([other], tmp_path, overwrite=True)
    listed = json.loads((tmp_path / f"{imagined.case}_imagine.json").read_text())["imagined"]
    assert [entry["file"] for entry in listed] == [imagined_file(imagined), imagined_file(other)]
    assert len(list(tmp_path.glob("*.nii.gz"))) == 6


def test_what_was_done_to_the_given_scans_is_said(imaginer: Imaginer, study: Study, tmp_path: Path) -> None:
    """Imagined from a scan that was made worse on purpose: the step is in the list, with its settings."""
    worse = degrade_study(study, {"flair": ("noise", 0.5)})
    entry = write_imagined([imaginer.imagine(worse, "t2", ["flair"])], tmp_path)["imagined"][0]
    assert entry["steps"][-1]["modality"] == "flair"
    assert entry["steps"][-1]["settings"]


def test_likeness_is_that_of_scikit_image() -> None:
    """PSNR and SSIM over a mask equal those of scikit-image, averaged over the same voxels."""
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    real = rng.normal(size=(24, 26, 28))
    near = real + 0.3 * rng.normal(size=real.shape)
    mask = np.zeros(real.shape, bool)
    mask[8:16, 8:18, 8:20] = True
    low, high = np.percentile(real[mask], (0.1, 99.9))
    _, similar = metrics.structural_similarity(
        near,
        real,
        data_range=high - low,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    found = likeness(near, real, mask, {"brain": mask})["brain"]
    assert found.ssim == pytest.approx(similar[mask].mean(), abs=1e-6)
    assert found.psnr == pytest.approx(
        metrics.peak_signal_noise_ratio(real[mask], near[mask], data_range=high - low), abs=1e-9
    )


def test_likeness_counts_brain_and_tumour(imaginer: Imaginer, imagined: Imagined, study: Study) -> None:
    """With a reference there are two parts, without only the brain; the scan itself is like itself."""
    assert set(likeness_to_real(imaginer, study, imagined)) == {"brain", "tumour"}
    assert set(likeness_to_real(imaginer, replace(study, reference=None), imagined)) == {"brain"}
    itself = replace(imagined, middle=imaginer.real(study, "t2"))
    assert likeness_to_real(imaginer, study, itself)["brain"].ssim == pytest.approx(1.0)
