"""The public names: typed and lazy; what they give can be shown, copied, saved and made in a child process."""

from __future__ import annotations

import ast
import copy
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from synthetic_dicom import write_series
from tiny import image_model, model, study, volume

import napari_mrseg
from napari_mrseg import extend, open_study, predict
from napari_mrseg.errors import DeviceError, InputError
from napari_mrseg.inference.cache import decode_prediction, encode_prediction
from napari_mrseg.inference.device import resolve_device
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import Model
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS, RGBD_SOD

AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 20], [0, 0, 1, 10], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Random weights, in a folder of their own."""
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def found(tiny_model: Model) -> Prediction:
    """A prediction whose scans nobody keeps."""
    return predict(study(), "flair+t1", model=tiny_model, device="cpu")


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [napari_mrseg, extend])
def test_types_and_lazy_names_are_the_same(module: object) -> None:
    """What a type checker sees of a public module is what importing gives: same names, from the same homes."""
    homes: dict[str, str] = module._HOMES  # type: ignore[attr-defined]
    tree = ast.parse(Path(str(module.__file__)).read_text())  # type: ignore[attr-defined]
    typed = {
        alias.name: (node.module or "").removeprefix("napari_mrseg.")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == homes
    assert set(module.__all__) - {"__version__"} == set(homes)  # type: ignore[attr-defined]
    for name in homes:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # type: ignore[attr-defined]  # noqa: B018


# -- combinations and models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["t1+flair", "FLAIR+T1", "flair, t1", ["T1", "flair"], ("flair", "t1n"), "t2f+T1"]
)
def test_a_combination_is_said_in_words_or_a_list(said: str | list[str]) -> None:
    """Any order, any case, plus signs or commas, and the words that files carry, mean the same."""
    assert BRATS.combination(said) == ("flair", "t1")
    assert study().only(said).present == ("flair", "t1")


def test_what_is_not_there_is_named_with_what_is(tiny_model: Model, found: Prediction) -> None:
    """A wrong modality, region or model is answered by those that there are."""
    with pytest.raises(InputError, match=r"“pet” is not a modality .* it has flair, t1, t1ce, t2"):
        predict(study(), "flair+pet", model=tiny_model)
    with pytest.raises(InputError, match="has no t2; there is flair"):
        predict(study(["flair"]), "T2", model=tiny_model)
    with pytest.raises(InputError, match=r"“edema” is not a region .* it has WT, TC, ET"):
        found.probability("edema")


def test_a_model_is_given_by_name_folder_or_itself(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three give the same voxels."""
    monkeypatch.setenv("MRSEG_MODELS", str(tiny_model.folder.parent))
    scans = study()
    results = [predict(scans, "t1", model=m, device="cpu") for m in (tiny_model, "tiny", tiny_model.folder)]
    assert results[0].labels.any()
    assert all(np.array_equal(r.labels, results[0].labels) for r in results)
    assert {r.model["name"] for r in results} == {"tiny"}


def test_a_probability_is_of_the_whole_grid(found: Prediction) -> None:
    """Values from 0 to 1 on the study's grid; where the outermost region is likely, and there alone, are labels."""
    whole = found.probability("wt")
    assert whole.shape == found.grid.shape
    assert 0 <= whole.min() < whole.max() <= 1
    assert (found.labels[whole > 0.51] > 0).all()
    assert not found.labels[whole < 0.49].any()


# -- shown, copied, pickled -----------------------------------------------------------------------------------


def test_repr_is_one_short_line(found: Prediction) -> None:
    """What a console shows of each says what it is, without voxels and without the folder, which may name a patient."""
    scans = study(reference=True)
    for value in (scans, scans.images, scans.reference, scans.images["t1"], scans.images["t1"].source, found):
        assert len(repr(value)) < 600
        assert "\n" not in repr(value)
    assert repr(scans) == (
        "<Study synthetic: flair+t1+t1ce+t2, 24×32×28 voxels of 1×1×1 mm, with a reference>"
    )
    assert repr(found).startswith("<Prediction synthetic: flair+t1 by tiny 0.0: WT ")


def test_a_notebook_shows_a_picture(tiny_model: Model, tmp_path: Path) -> None:
    """One self-contained picture, what it shows in words, and the notes; once the scan is gone, labels alone."""
    scans = study(reference=True)
    page = scans._repr_html_()
    assert page.count("data:image/png;base64,") == 1
    assert "FLAIR, T1, T1ce, T2, reference" in page
    assert "research use only" in page
    shown = predict(scans, "flair+t1", model=tiny_model, device="cpu")
    with_scan = shown._repr_html_()
    assert "no contrast: not observable" in with_scan
    assert "whole tumour (WT)" in with_scan
    assert pickle.loads(pickle.dumps(shown))._repr_html_() != with_scan  # noqa: S301
    frames = open_study({"rgb": _colours(), "depth": _depths()}, task=RGBD_SOD)
    page = predict(frames, model=image_model(tmp_path), device="cpu")._repr_html_()
    assert "frame: Colour + Depth" in page


def test_a_case_cannot_write_into_the_page() -> None:
    """A folder's name is text in the page, not markup."""
    assert "<script>" not in study(case="<script>x")._repr_html_()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])  # noqa: S301
def test_studies_and_predictions_are_copied(way: object, tiny_model: Model, found: Prediction) -> None:
    """A copy has the same content, is as read-only, and gives the same result; the order of modalities stays."""
    scans = study(reference=True)
    again: Study = way(scans)  # type: ignore[operator]
    assert again.digest == scans.digest
    assert again.present == scans.present
    assert repr(again) == repr(scans)
    for name, image in again.images.items():
        assert np.array_equal(image.data, scans.images[name].data)
        assert not image.data.flags.writeable
    assert again.reference is not None
    assert not again.reference.labels.flags.writeable
    with pytest.raises(TypeError):
        again.images["t1"] = scans.images["t1"]  # type: ignore[index]
    labels = predict(again, "flair+t1", model=tiny_model, device="cpu").labels
    assert np.array_equal(labels, found.labels)
    same: Prediction = way(found)  # type: ignore[operator]
    assert np.array_equal(same.labels, found.labels)
    assert (same.combination, same.sizes, same.notes) == (found.combination, found.sizes, found.notes)
    assert not same.labels.flags.writeable
    assert not same.probabilities.flags.writeable


# -- saved ----------------------------------------------------------------------------------------------------


def test_a_prediction_is_saved_on_its_scan_s_grid(tiny_model: Model, tmp_path: Path) -> None:
    """Shape, position and orientation of the file are those of the first modality's file; the codes are the labels."""
    opened = open_study({"t2": _image(2), "t1": _image(1)})
    made = predict(opened, model=tiny_model, device="cpu")
    made.save(tmp_path / "out.nii.gz")
    saved = nib.load(tmp_path / "out.nii.gz")
    assert saved.shape == (30, 28, 26)
    np.testing.assert_allclose(saved.affine, AFFINE)
    assert made.source is not None
    assert np.array_equal(made.source.to_ipl(np.asarray(saved.dataobj)), made.labels)
    assert made.labels.any()


def test_what_is_there_is_not_written_over(found: Prediction, tmp_path: Path) -> None:
    """A file of that name stays as it is without ``overwrite``; names of no format and folders that are not there are
    refused."""
    target = tmp_path / "t1.nii.gz"
    target.write_bytes(b"a scan")
    with pytest.raises(InputError, match="is there already"):
        found.save(target)
    assert target.read_bytes() == b"a scan"
    found.save(target, overwrite=True)
    assert nib.load(target).shape == found.grid.shape
    with pytest.raises(InputError, match=r"end it in \.nii\.gz or \.nii"):
        found.save(tmp_path / "labels.txt")
    with pytest.raises(InputError, match=r"not written in this format; end the name in \.nii\.gz or \.nii"):
        found.save(tmp_path / "labels.mha")
    with pytest.raises(InputError, match="there is no folder"):
        found.save(tmp_path / "missing" / "labels.nii.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t1.nii.gz"]


def test_a_prediction_of_elsewhere_is_saved_with_its_study(found: Prediction, tmp_path: Path) -> None:
    """From the cache on disk it knows no file: it says so, takes the study it was made from, and no other."""
    kept = decode_prediction(encode_prediction(found))
    with pytest.raises(InputError, match="give the study it was made from"):
        kept.save(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="is not what the prediction was made from"):
        kept.save(tmp_path / "a.nii.gz", study(spacing=2.0))
    kept.save(tmp_path / "a.nii.gz", study())
    found.save(tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_prediction_of_dicom_is_saved_as_dicom(tiny_model: Model, tmp_path: Path) -> None:
    """.dcm is a DICOM SEG of the series, with the labels that .nii.gz has; without a series it is refused."""
    import highdicom

    data = (volume(0, (30, 28, 26)) * 2).astype(np.int32)
    write_series(tmp_path / "export", data, AFFINE, description="AX FLAIR", times=(120.0, 9000.0, 2500.0))
    made = predict(open_study(tmp_path / "export"), model=tiny_model, device="cpu")
    assert made.labels.any()
    made.save(tmp_path / "out.dcm")
    frames = highdicom.seg.segread(tmp_path / "out.dcm").get_volume(combine_segments=False).array
    assert int((frames[..., 0] > 0).sum()) == np.count_nonzero(made.labels)
    made.save(tmp_path / "out.nii.gz")
    assert np.count_nonzero(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj)) == np.count_nonzero(
        made.labels
    )
    other = predict(open_study({"t1": _image(1)}), model=tiny_model, device="cpu")
    with pytest.raises(InputError, match="labels go into DICOM by"):
        other.save(tmp_path / "other.dcm")


def test_a_prediction_of_pictures_is_saved_as_a_picture(tmp_path: Path) -> None:
    """PNG of the codes; other endings are answered by those of pictures."""
    frame = open_study({"rgb": _colours(), "depth": _depths()}, task=RGBD_SOD)
    made = predict(frame, model=image_model(tmp_path), device="cpu")
    made.save(tmp_path / "out.png")
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), made.labels[0])
    with pytest.raises(InputError, match=r"end it in \.png, \.tif or \.tiff"):
        made.save(tmp_path / "out.txt")


# -- in memory ------------------------------------------------------------------------------------------------


def test_images_and_arrays_open_as_their_files_do(tmp_path: Path) -> None:
    """A mapping of files, nibabel images and (array, affine) gives the voxels and grid that the files give."""
    for name, seed in (("flair", 0), ("t1", 1), ("seg", 0)):
        image = _image(seed) if name != "seg" else _labels()
        nib.save(image, tmp_path / f"{name}.nii.gz")
    files = open_study(tmp_path)
    loaded = nib.load(tmp_path / "t1.nii.gz")
    given = {
        "T1": (np.asarray(loaded.dataobj), loaded.affine),
        "flair": tmp_path / "flair.nii.gz",
        "reference": _labels(),
    }
    mixed = open_study(given)
    assert mixed.present == files.present == ("flair", "t1")
    assert mixed.grid == files.grid
    for name, image in files.images.items():
        assert np.array_equal(image.data, mixed.images[name].data)
    assert files.reference is not None
    assert mixed.reference is not None
    assert np.array_equal(files.reference.labels, mixed.reference.labels)
    assert open_study(given, reference=False, use="t1").present == ("t1",)
    assert open_study({"t1": loaded}).case == tmp_path.name


def test_content_in_memory_has_an_identity() -> None:
    """The digest follows the voxels and where they lie, so that no result of others is taken for theirs."""
    voxels, thick = np.asarray(_image(1).dataobj), AFFINE @ np.diag([1, 1, 2, 1])
    digests = [
        open_study({"t1": given}).digest
        for given in ((voxels, AFFINE), (voxels.copy(), AFFINE), (voxels + 1, AFFINE), (voxels, thick))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "No scan was given"),
        ({"pet": np.ones((9, 9, 9))}, "“pet” is not a modality .* use flair, t1, t1ce, t2 or reference"),
        ({"t1": np.ones((9, 9, 9))}, r"does not say how it lies .* a nibabel image, or \(array, affine\)"),
        ({"t1": None}, "t1 is of type NoneType"),
        ({"t1": (np.ones((9, 9, 9)), np.eye(3))}, r"affine has the shape \(3, 3\)"),
        ({"t1": (np.ones((9, 9, 9)), np.zeros((4, 4)))}, "affine is singular"),
        ({"t1": (np.ones((9, 9, 9), complex), AFFINE)}, "one number per voxel"),
        ({"t1": (np.zeros((60, 60, 60)), AFFINE)}, r"t1 \(in memory\)\.nii is all zeros"),
        ({"t1": (np.ones((60, 60)), AFFINE)}, "is a single slice"),
        ({"t1": "missing.nii.gz"}, "missing.nii.gz does not exist"),
    ],
)
def test_what_cannot_be_a_scan_is_refused_in_one_sentence(given: dict[str, object], said: str) -> None:
    """The modality, what is wrong, and what to give."""
    with pytest.raises(InputError, match=said) as error:
        open_study(given)
    assert "\n" not in str(error.value)


# -- child processes ------------------------------------------------------------------------------------------


def test_a_spawned_process_answers(plain: Model) -> None:
    """Study and result travel between processes that share nothing: the same voxels come back."""
    options = {"model": str(plain.folder), "device": "cpu"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply_async(predict, (study(), "flair+t1"), options).get(600)
    here = predict(study(), "flair+t1", model=plain, device="cpu")
    assert here.labels.any()
    assert np.array_equal(there.labels, here.labels)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_answers(tiny_model: Model, tmp_path: Path) -> None:
    """After the parent computed on several cores, a forked child computes on one, says so, and comes to an end."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scans = study()
        engine = Engine(tiny_model, device="cpu")
        ours = engine.predict(scans, "t1")  # starts the threads that a child lacks
        child = os.fork()
        if child == 0:
            code = 1
            try:
                results = [engine.predict(scans, "t1"), predict(scans, "t1", model=tiny_model, device="cpu")]
                (tmp_path / "result").write_bytes(pickle.dumps(results))
                code = 0
            finally:
                os._exit(code)
        assert _ended(child, seconds=60) == 0
    finally:
        torch.set_num_threads(before)
    assert not [note for note in ours.notes if note.code == "forked"]
    for result in pickle.loads((tmp_path / "result").read_bytes()):  # noqa: S301
        assert [note.code for note in result.notes if note.code == "forked"] == ["forked"]
        assert (result.labels != ours.labels).mean() < 0.001


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_forked_process_without_its_gpu_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA does not survive a fork: the sentence names the two ways out; the CPU still answers."""
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(DeviceError, match=r"made by fork .* “spawn”, or use cpu"):
        resolve_device(name)
    assert resolve_device("cpu").type == "cpu"


def _ended(child: int, seconds: float) -> int:
    """The exit code of a child; it is killed and the test fails if it takes longer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the forked process did not answer")


def _image(seed: int) -> nib.Nifti1Image:
    """A scan of 30×28×26 voxels of 2 mm, its axes L, P, S."""
    return nib.Nifti1Image(volume(seed, (30, 28, 26)), AFFINE)


def _labels() -> nib.Nifti1Image:
    labels = np.zeros((30, 28, 26), np.uint8)
    labels[10:16, 10:16, 10:16] = 2
    return nib.Nifti1Image(labels, AFFINE)


def _colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (64, 80, 3)).astype(np.uint8)


def _depths() -> np.ndarray:
    return np.random.default_rng(1).integers(500, 900, (64, 80)).astype(np.uint16)
