"""Label files and result.json: on the source's grid, complete or not at all, nothing of the patient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import MakeStudy
from synthetic import LPS, save_nifti

from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io import open_study, recognise, write_labels, write_results
from napari_mrseg.io.export import check_outputs
from napari_mrseg.io.nifti import GEOMETRY
from napari_mrseg.study import Note, Study

MODEL = {"name": "m", "version": "1", "sha256": "ab", "path": "/home/someone/m"}


def predict(study: Study, *modalities: str, code: int = 2, **fields: object) -> Prediction:
    """A synthetic result: one voxel of ``code`` in the corner at the patient's right, front and top."""
    combination = study.task.combination(modalities or study.present)
    grid = study.only(combination).grid
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[0, 0, 0] = code
    settings: dict[str, object] = {
        "task": study.task, "case": study.case, "combination": combination, "grid": grid, "labels": labels,
        "probabilities": np.zeros((3, *grid.shape), dtype=np.float16), "box": (slice(None),) * 3,
        "model": {"name": "m", "version": "1", "sha256": "ab"}, "device": "cpu", "precision": "fp32",
        "spacing": 1.0, "seconds": 0.5, **fields,
    }  # fmt: skip
    return Prediction(**settings)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones included."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    return open_study(make_study(("flair", "t1ce")))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "some" / "where" / "out"


def test_files_and_json(study: Study, out: Path) -> None:
    """A label file per combination and result.json exactly as the contract says."""
    dice = {"WT": 0.5, "TC": float("nan"), "ET": None}
    predictions = [predict(study), predict(study, "t1ce", code=3)]
    result = write_results(
        study, predictions, out, model=MODEL, dice=lambda p: dice if p.combination == ("t1ce",) else None
    )
    assert sorted(contents(out)) == ["flair+t1ce.nii.gz", "result.json", "t1ce.nii.gz"]
    assert json.loads((out / "result.json").read_text()) == result
    assert set(result) == {
        "task", "model", "case", "device", "precision", "versions", "steps", "predictions", "warnings"
    }  # fmt: skip
    assert result["task"] == "brats"
    assert result["case"] == "case-1"
    assert result["model"] == {"name": "m", "version": "1", "sha256": "ab"}
    assert (result["device"], result["precision"]) == ("cpu", "fp32")
    assert result["versions"]["nibabel"] == nib.__version__
    first, second = result["predictions"]
    assert first == {
        "combination": ["flair", "t1ce"],
        "file": "flair+t1ce.nii.gz",
        "sizes": {r: {"value": v, "unit": "mL"} for r, v in (("WT", 0.001), ("TC", 0.0), ("ET", 0.0))},
        "seconds": 0.5,
        "dice": None,
    }
    assert second["dice"] == {"WT": 0.5, "TC": None, "ET": None}


def test_labels_lie_on_the_source(study: Study, out: Path) -> None:
    """The label file has the grid and geometry of the first used modality, and the voxel is where it was."""
    write_results(study, [predict(study, "t1ce")], out, model=MODEL)
    written = nib.load(out / "t1ce.nii.gz")
    original = nib.load(study.images["t1ce"].source.path)
    assert written.shape == original.shape
    assert written.get_data_dtype() == np.uint8
    for name in GEOMETRY:
        np.testing.assert_array_equal(written.header[name], original.header[name], err_msg=name)
    labels = np.asanyarray(written.dataobj)
    assert labels.sum() == 2
    assert labels[0, 0, labels.shape[2] - 1] == 2  # LPS: right and front come first, top comes last
    assert (written.dataobj.slope, written.dataobj.inter) == (1.0, 0.0)


def test_grid_of_another_used_modality(make_study: MakeStudy, out: Path) -> None:
    """``grid`` writes on another used modality's file; one that is not used is refused, nothing written."""
    folder = make_study(("flair", "t1ce"), seg=False)
    turned = nib.as_closest_canonical(nib.load(folder / "case-1_t1ce.nii.gz"))
    save_nifti(folder / "case-1_t1ce.nii.gz", np.asanyarray(turned.dataobj), turned.affine)
    study = open_study(folder)
    write_results(study, [predict(study)], out, model=MODEL, grid="t1ce")
    assert nib.aff2axcodes(nib.load(out / "flair+t1ce.nii.gz").affine) == ("R", "A", "S")
    other = out.parent / "other"
    with pytest.raises(InputError, match="does not use t1ce"):
        write_results(study, [predict(study), predict(study, "flair")], other, model=MODEL, grid="t1ce")
    with pytest.raises(InputError, match="does not use t1ce"):
        check_outputs(other, [("flair",)], study=study, grid="t1ce")
    assert not other.exists()


def test_warnings(make_study: MakeStudy, out: Path) -> None:
    """Warnings come from the used modalities, the predictions and the caller, each once."""
    study = open_study(make_study(("flair", "t1ce"), seg=False))
    notes = (Note("a", "about flair", "flair"), Note("b", "about t1ce", "t1ce"))
    study = Study(study.task, study.case, study.images, notes=notes)
    own = (Note("et_without_contrast", "no contrast"),)
    predictions = [predict(study, "flair", notes=own), predict(study, "flair", notes=own)][:1]
    result = write_results(study, predictions, out, model=MODEL, warnings=[*own, Note("c", "mine")])
    assert [w["code"] for w in result["warnings"]] == ["a", "et_without_contrast", "c"]
    assert set(result["warnings"][0]) == {"code", "message"}


def test_nothing_of_the_patient_or_the_machine(study: Study, out: Path, tmp_path: Path) -> None:
    """No description of the source and no absolute path in any output."""
    write_results(study, [predict(study)], out, model=MODEL)
    text = (out / "result.json").read_text()
    assert str(tmp_path) not in text
    assert "/home" not in text
    header = nib.load(out / "flair+t1ce.nii.gz").header
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        assert bytes(header[name]).strip(b"\0") == b"", name
    assert len(header.extensions) == 0
    assert b"Doe" in bytes(nib.load(study.images["flair"].source.path).header["descrip"])  # it was there


def test_same_bytes_again(study: Study, out: Path) -> None:
    """The same labels give the same bytes: no time stamp, no name in the gzip header."""
    source = study.images["flair"].source
    labels = predict(study).labels
    out.mkdir(parents=True)
    write_labels(labels, source, out / "a.nii.gz")
    write_labels(labels, source, out / "b.nii.gz")
    a, b = contents(out).values()
    assert a == b
    write_labels(labels, source, out / "c.nii")
    np.testing.assert_array_equal(
        np.asanyarray(nib.load(out / "c.nii").dataobj), np.asanyarray(nib.load(out / "a.nii.gz").dataobj)
    )


@pytest.mark.parametrize("there", ["result.json", "flair.nii.gz"])
def test_existing_outputs(study: Study, out: Path, there: str) -> None:
    """One output already there: nothing at all is written; with overwrite only our files are replaced."""
    out.mkdir(parents=True)
    if there == "flair.nii.gz":
        (out / "result.json").write_text('{"predictions": [{"file": "flair.nii.gz"}]}')
    (out / there).write_text("old")
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    predictions = [predict(study), predict(study, "flair")]
    with pytest.raises(InputError, match=r"is already in out; use --overwrite"):
        write_results(study, predictions, out, model=MODEL)
    with pytest.raises(InputError, match="--overwrite"):
        check_outputs(out, [("flair",)])
    assert contents(out) == before
    write_results(study, predictions, out, model=MODEL, overwrite=True)
    after = contents(out)
    assert sorted(after) == ["flair+t1ce.nii.gz", "flair.nii.gz", "notes.txt", "result.json"]
    assert after["notes.txt"] == b"mine"
    assert after[there] != b"old"


def test_existing_result_is_refused_before_computing(study: Study, out: Path) -> None:
    """Where a result already lies, no prediction is asked for."""
    out.mkdir(parents=True)
    (out / "result.json").write_text("old")

    def never() -> Iterator[Prediction]:
        raise AssertionError("computed for nothing")
        yield

    with pytest.raises(InputError):
        write_results(study, never(), out, model=MODEL)


@pytest.mark.parametrize("error", [Cancelled("stop"), KeyboardInterrupt(), RuntimeError("boom")])
@pytest.mark.parametrize("existing", [False, True])
def test_cancel_midway(study: Study, out: Path, tmp_path: Path, error: BaseException, existing: bool) -> None:
    """A cancel or an error after the first prediction leaves everything as it was."""
    if existing:
        write_results(study, [predict(study, "flair", code=1)], out, model=MODEL)
    before = contents(tmp_path)

    def some() -> Iterator[Prediction]:
        yield predict(study, "flair")
        raise error

    with pytest.raises(type(error)):
        write_results(study, some(), out, model=MODEL, overwrite=True)
    assert contents(tmp_path) == before
    assert out.exists() is existing
    assert not list(tmp_path.rglob(".mrseg*"))


def test_failure_while_moving(study: Study, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure after some files were moved in puts the old ones back and takes the new ones out."""
    write_results(study, [predict(study, "flair", code=1)], out, model=MODEL)
    before = contents(out)
    import os

    real = os.replace

    def full(source: object, target: object) -> None:
        if str(target) == str(out / "result.json") and ".before" not in str(source):
            raise OSError(28, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_results(
            study, [predict(study), predict(study, "flair", code=3)], out, model=MODEL, overwrite=True
        )
    assert contents(out) == before


def test_never_over_a_scan(make_study: MakeStudy) -> None:
    """Writing into the subject's folder never replaces a scan, not even with overwrite."""
    folder = make_study(("flair",), seg=False)
    (folder / "case-1_flair.nii.gz").rename(folder / "flair.nii.gz")
    study = open_study(folder)
    before = contents(folder)
    with pytest.raises(InputError, match="one of the scans"):
        write_results(study, [predict(study)], folder, model=MODEL, overwrite=True)
    assert contents(folder) == before


def test_overwrite_spares_a_scan_that_is_not_in_use(make_study: MakeStudy) -> None:
    """A file of a label file's name that no result.json lists may be a scan: refused, and nothing changes."""
    folder = make_study(("flair", "t1"), seg=False)
    (folder / "case-1_t1.nii.gz").rename(folder / "t1.nii.gz")
    study = open_study(folder, assign={"t1.nii.gz": None})
    whole = Study(study.task, study.case, {**study.images, "t1": study.images["flair"]})
    before = contents(folder)
    for text in (None, "no JSON", '{"predictions": [{"file": "flair.nii.gz"}]}'):
        if text is not None:
            (folder / "result.json").write_text(text)
            before["result.json"] = text.encode()
        with pytest.raises(InputError, match=r"t1\.nii\.gz in case-1 is not listed"):
            check_outputs(folder, [("t1",)], study=study, overwrite=True)
        with pytest.raises(InputError, match="another folder"):
            write_results(whole, [predict(whole, "t1")], folder, model=MODEL, overwrite=True)
        assert contents(folder) == before


def test_results_beside_the_scans(make_study: MakeStudy) -> None:
    """Results written into the subject's folder are not taken for scans when it is opened again."""
    folder = make_study(("flair", "t1"), seg=False)
    study = open_study(folder)
    write_results(study, [predict(study), predict(study, "t1")], folder, model=MODEL)
    again = recognise(folder)
    assert {f.path.name for f in again.files if f.role} == {"case-1_flair.nii.gz", "case-1_t1.nii.gz"}


def test_unwritable_places(study: Study, tmp_path: Path) -> None:
    """A file where the folder should be, and a missing folder for one file, are sentences."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file"):
        write_results(study, [predict(study)], tmp_path / "file", model=MODEL)
    source = study.images["flair"].source
    with pytest.raises(InputError, match="cannot be written"):
        write_labels(predict(study).labels, source, tmp_path / "no" / "a.nii.gz")
    with pytest.raises(InputError, match="the scan itself"):
        write_labels(predict(study).labels, source, source.path)
    with pytest.raises(InputError, match=r"one frame, not 12; end the name in \.nii\.gz"):
        write_labels(predict(study).labels, source, tmp_path / "a.png")
    with pytest.raises(InputError, match="shape"):
        write_labels(np.zeros((2, 2, 2), dtype=np.uint8), source, tmp_path / "a.nii.gz")


def test_programming_errors(study: Study, out: Path) -> None:
    """A preview or nothing at all is not a result."""
    with pytest.raises(ValueError, match="preview"):
        write_results(study, [predict(study, preview=True)], out, model=MODEL)
    with pytest.raises(ValueError, match="no prediction"):
        write_results(study, [], out, model=MODEL)
    assert not out.exists()


def test_source_without_nifti_header(study: Study, tmp_path: Path) -> None:
    """A source that is no NIfTI file gets qform and sform from its grid."""
    from dataclasses import replace

    source = replace(study.images["flair"].source, header={})
    write_labels(predict(study).labels, source, tmp_path / "a.nii.gz")
    written = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(written.affine, LPS)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 1)


@pytest.mark.real
def test_real_scan_header(real_data: Path, tmp_path: Path) -> None:
    """BraTS-GLI-00000-000: a label file has the source's geometry and is its reference again."""
    study = open_study(real_data / "BraTS-GLI-00000-000")
    assert study.reference is not None
    source = study.images["flair"].source
    write_labels(study.reference.labels, source, tmp_path / "a.nii.gz")
    written, original = nib.load(tmp_path / "a.nii.gz"), nib.load(source.path)
    for name in (*GEOMETRY, "dim"):
        np.testing.assert_array_equal(written.header[name], original.header[name], err_msg=name)
    mask = nib.load(study.reference.source.path)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.rint(mask.get_fdata()))
