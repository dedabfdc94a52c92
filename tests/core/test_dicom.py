"""DICOM exports: which series is which, where its voxels lie, and what is refused or set aside, with the reason."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import save_nifti
from synthetic_dicom import CANARY, LPS, TIMES, write_series

from napari_mrseg.cli import main
from napari_mrseg.errors import InputError
from napari_mrseg.io import inspect, open_study
from napari_mrseg.io.dicom.archive import members
from napari_mrseg.io.export import check_outputs
from napari_mrseg.session.file import Saved, read_saved, write_saved

SECONDARY = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture
SHAPE = (24, 20, 16)
DESCRIPTIONS = {"flair": "AX T2 FLAIR", "t1": "AX T1 SE", "t1ce": "AX T1 SE +C", "t2": "AX T2 TSE"}


def scan(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Noise in a box, nothing around it."""
    data = np.zeros(shape, np.int32)
    inner = tuple(slice(3, n - 3) for n in shape)
    data[inner] = np.random.default_rng(seed).integers(100, 1200, data[inner].shape)
    return data


def affine(spacing: float = 2.0) -> np.ndarray:
    matrix = np.diag([-spacing, -spacing, spacing, 1.0])
    matrix[:3, 3] = 20, 18, -10
    return matrix


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Four series in one folder, shuffled, their names in tags only, with what else a scanner's export holds."""
    folder = tmp_path / "export"
    for number, (name, description) in enumerate(DESCRIPTIONS.items(), start=2):
        where = folder / f"DIR{number % 2}"
        for path in write_series(
            where / name,
            scan(number),
            affine(),
            number=number,
            description=description,
            times=TIMES[name],
            seed=number,
        ):
            path.rename(where / f"{name}{path.name}")
        (where / name).rmdir()
    write_series(folder / "loc", scan(9)[:, :, :3], affine(10.0), number=1, description="3-plane loc")
    write_series(
        folder / "adc", scan(8), affine(), number=9, description="ADC", kind=("DERIVED", "PRIMARY", "ADC")
    )
    (folder / "README.txt").write_text("nothing")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    return folder


def same_images(a: Any, b: Any) -> None:
    assert a.present == b.present
    for name in a.present:
        assert a.images[name].source.ipl_grid.same_as(b.images[name].source.ipl_grid)
        assert np.array_equal(a.images[name].data, b.images[name].data)


def test_an_export_opens_as_the_nifti_files_it_was_made_from(export: Path, tmp_path: Path) -> None:
    """Roles from tags, voxels and places from the slices, whatever the order and names of the files."""
    for number, name in enumerate(DESCRIPTIONS, start=2):
        save_nifti(tmp_path / "nifti" / f"{name}.nii.gz", scan(number).astype(np.float32), affine())
    study = open_study(export)
    same_images(study, open_study(tmp_path / "nifti"))
    assert study.case.startswith("case-")
    report = inspect(export)
    reasons = {entry["name"]: (entry["role"], entry["reason"]) for entry in report["files"]}
    assert reasons["series 1 (3-plane loc)"][0] is None
    assert "localiser" in reasons["series 1 (3-plane loc)"][1]
    assert reasons["series 9 (ADC)"] == (None, "computed from other series (ADC)")
    sure = {entry["role"]: entry["confidence"] for entry in report["files"] if entry["role"]}
    assert sure == {
        "flair": "sure",
        "t1": "likely",
        "t1ce": "likely",
        "t2": "sure",
    }  # of an agent only one source speaks, "+C", and of T1 none: both are asked about
    assert [w["code"] for w in report["warnings"] if w["code"] == "contrast_unsure"] == [
        "contrast_unsure"
    ] * 2


def test_an_archive_and_loose_files_are_the_same_study(export: Path, tmp_path: Path) -> None:
    """A zip is read as the folder it holds; files chosen one by one stand for their series; a series has a name."""
    packed = tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(export.rglob("*")):
            archive.write(path, f"deep/{path.relative_to(export)}")
    whole = open_study(export)
    same_images(open_study(packed), whole)
    flair = [str(path) for path in sorted(export.rglob("flair*"))]
    assert open_study(flair).present == ("flair",)
    named = open_study([f"t1ce={export}/series 4"])
    assert np.array_equal(named.images["t1ce"].data, whole.images["t1ce"].data)


@pytest.mark.parametrize(
    "how",
    [
        {"enhanced": True},
        {"syntax": "1.2.840.10008.1.2.5"},
        {"syntax": "1.2.840.10008.1.2.4.80"},
        {"enhanced": True, "syntax": "1.2.840.10008.1.2.5"},
    ],
    ids=["enhanced", "RLE", "JPEG-LS", "enhanced RLE"],
)
def test_every_way_to_store_a_series_gives_the_same_voxels(tmp_path: Path, how: dict[str, Any]) -> None:
    """Classic, enhanced and packed files: voxels, places and modality alike."""
    common = {"description": "T1 post", "times": TIMES["t1"], "agent": "Gadovist"}
    write_series(tmp_path / "plain", scan(), affine(), **common)  # type: ignore[arg-type]
    write_series(tmp_path / "other", scan(), affine(), **common, **how)
    study = open_study(tmp_path / "other")
    assert study.present == ("t1ce",)
    same_images(study, open_study(tmp_path / "plain"))


@pytest.mark.parametrize("syntax", ["J2K", "JPEGLossless"])
def test_what_scanners_pack_with_is_unpacked(tmp_path: Path, syntax: str) -> None:
    """JPEG 2000 and lossless JPEG, written by GDCM."""
    gdcm = pytest.importorskip("gdcm")
    wanted = {
        "J2K": gdcm.TransferSyntax.JPEG2000Lossless,
        "JPEGLossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    }
    for path in write_series(tmp_path / "plain", scan(), affine(), description="T2"):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(wanted[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        (tmp_path / "packed").mkdir(exist_ok=True)
        writer.SetFileName(str(tmp_path / "packed" / path.name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    same_images(open_study(tmp_path / "packed"), open_study(tmp_path / "plain"))


def test_slices_have_their_own_scale(tmp_path: Path) -> None:
    """RescaleSlope is applied."""
    write_series(tmp_path / "s", scan(), affine(), description="T2", slope=0.5)
    assert open_study(tmp_path / "s").images["t2"].data.max() == scan().max() / 2


@given(
    axes=st.permutations([0, 1, 2]),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    angle=st.floats(-0.3, 0.3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_orientation_lies_where_its_tags_say(
    tmp_path: Path, axes: list[int], flips: tuple[bool, bool, bool], angle: float
) -> None:
    """A bright voxel is at the place in space that the tags give it: any axes, mirrored or oblique."""
    matrix = np.zeros((4, 4))
    for axis, (world, flip) in enumerate(zip(axes, flips, strict=True)):
        matrix[world, axis] = (-1 if flip else 1) * (2.0, 2.5, 3.0)[axis]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3], matrix[3, 3] = (5, -7, 11), 1
    matrix = turn @ matrix
    data = scan()
    data[5, 7, 9] = 30000
    shutil.rmtree(tmp_path / "s", ignore_errors=True)
    write_series(tmp_path / "s", data, matrix, description="T2", seed=1)
    image = open_study(tmp_path / "s").images["t2"]
    found = np.unravel_index(int(image.data.argmax()), image.data.shape)
    place = image.source.ipl_grid.matrix @ [*found, 1]
    assert np.allclose(place, matrix @ [5, 7, 9, 1], atol=1e-3)


def refused(folder: Path, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_study([f"t2={folder}/series 1"])


def test_a_series_that_is_no_whole_volume_is_refused(tmp_path: Path) -> None:
    """Slices missing, uneven or different at one place: a sentence each; a copied slice does no harm."""
    write_series(tmp_path / "gap", scan(), affine(), description="T2", skip=(7, 8))
    refused(tmp_path / "gap", r"series 1 \(T2\) lacks 2 of its slices")
    paths = write_series(tmp_path / "uneven", scan(), affine(), description="T2")
    moved = pydicom.dcmread(paths[8])
    moved.ImagePositionPatient = [*moved.ImagePositionPatient[:2], float(moved.ImagePositionPatient[2]) + 0.7]
    moved.save_as(paths[8])
    refused(tmp_path / "uneven", "slices at uneven distances")
    paths = write_series(tmp_path / "twice", scan(), affine(), description="T2")
    shutil.copy(paths[3], tmp_path / "twice" / "copy of a slice.dcm")
    assert open_study(tmp_path / "twice").present == ("t2",)
    other = pydicom.dcmread(paths[3])
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    other.save_as(tmp_path / "twice" / "again.dcm")
    assert open_study(tmp_path / "twice").present == ("t2",)  # the same slice under another number
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "twice" / "again.dcm")
    refused(tmp_path / "twice", "two different slices at one place")


def test_what_is_no_scan_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    """Another modality, a picture of the screen, diffusion, a dynamic series, a map, phase images."""
    t2 = {"description": "AX T2", "times": TIMES["t2"]}
    write_series(tmp_path / "e" / "1", scan(), affine(), number=1, **t2)  # type: ignore[arg-type]
    write_series(tmp_path / "e" / "2", scan(), affine(), number=2, description="CT head", Modality="CT")
    write_series(
        tmp_path / "e" / "3",
        scan(),
        affine(),
        number=3,
        description="shot",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
    )
    write_series(
        tmp_path / "e" / "4", scan(), affine(), number=4, description="ep2d_diff b1000", times=TIMES["t2"]
    )
    write_series(
        tmp_path / "e" / "5",
        scan(),
        affine(),
        number=5,
        description="T2 MIP",
        kind=("DERIVED", "SECONDARY", "MIP"),
    )
    write_series(
        tmp_path / "e" / "6", scan(), affine(), number=6, description="T2", kind=("ORIGINAL", "PRIMARY", "P")
    )
    for moment in range(3):
        dynamic = {"description": "perf", "AcquisitionNumber": moment}
        for path in write_series(tmp_path / "e" / f"7{moment}", scan(moment), affine(), number=7, **dynamic):  # type: ignore[arg-type]
            one = pydicom.dcmread(path)
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = (
                f"{one.SOPInstanceUID[:50]}.{moment}"
            )
            one.save_as(path)
    said = {
        entry["name"].partition(" (")[0]: (entry["role"], entry["reason"])
        for entry in inspect(tmp_path / "e")["files"]
    }
    assert said["series 1"][0] == "t2"
    assert all(role is None for name, (role, _) in said.items() if name != "series 1")
    assert "modality is CT" in said["series 2"][1]
    assert "no MR image" in said["series 3"][1]
    assert "diff" in said["series 4"][1]
    assert "MIP" in said["series 5"][1]
    assert "phase" in said["series 6"][1]
    assert "3 volumes at one place" in said["series 7"][1]


def test_of_several_the_finest_is_chosen_then_the_earliest_t1(tmp_path: Path) -> None:
    """A later T1 may be after an agent; of others the latest. All that were not say why; any can be chosen by hand."""
    for number, spacing in ((1, 1.0), (2, 3.0), (3, 1.0)):
        series = {"number": number, "description": "T1 SE", "times": TIMES["t1"]}
        write_series(tmp_path / "e" / str(number), scan(number, (70, 70, 60)), affine(spacing), **series)  # type: ignore[arg-type]
    said = {entry["name"]: (entry["role"], entry["reason"]) for entry in inspect(tmp_path / "e")["files"]}
    assert said["series 1 (T1 SE)"][0] == "t1"
    assert "series 1 (T1 SE) is finer (1.0 against 3.0 mm)" in said["series 2 (T1 SE)"][1]
    assert "series 1 (T1 SE) was taken earlier" in said["series 3 (T1 SE)"][1]
    (note,) = [note for note in open_study(tmp_path / "e").notes if note.code == "set_aside"]
    assert "series 2 (T1 SE)" in note.message
    assert "series 3 (T1 SE)" in note.message
    for number in (1, 2):
        series = {"number": number, "description": "AX T2", "times": TIMES["t2"]}
        write_series(tmp_path / "t2" / str(number), scan(number), affine(), **series)  # type: ignore[arg-type]
    said = {entry["name"]: (entry["role"], entry["reason"]) for entry in inspect(tmp_path / "t2")["files"]}
    assert said["series 2 (AX T2)"][0] == "t2"
    assert "series 2 (AX T2) was taken later" in said["series 1 (AX T2)"][1]
    by_hand = open_study(tmp_path / "e", assign={"series 2 (T1 SE)": "t1"})
    assert by_hand.images["t1"].source.path.name == "series 2 (T1 SE)"


def test_two_patients_are_never_mixed(tmp_path: Path) -> None:
    """An export of several studies is refused with their list; each can be opened by its number."""
    write_series(tmp_path / "e" / "a", scan(1), affine(), description="T2", study="1.2.3")
    other = {"study": "1.2.4", "PatientID": "other", "StudyDate": "20250102"}
    write_series(tmp_path / "e" / "b", scan(2), affine(), description="FLAIR", **other)  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"holds 2 studies: study 1 \(patient 1, 2024-03-01, 1 series\); study 2 \(patient 2"
    ):
        open_study(tmp_path / "e")
    assert open_study(f"{tmp_path}/e/study 2").present == ("flair",)
    assert open_study(f"{tmp_path}/e/study 1").case != open_study(f"{tmp_path}/e/study 2").case
    with pytest.raises(InputError, match="no study 3"):
        open_study(f"{tmp_path}/e/study 3")


def test_a_data_set_of_nifti_folders_is_no_export(tmp_path: Path) -> None:
    """Whatever DICOM lies between them: the hint is to open one of the folders."""
    write_series(tmp_path / "z" / "deep", scan(), affine(), description="T2")
    save_nifti(tmp_path / "case-1" / "t2.nii.gz", scan().astype(np.float32), affine())
    with pytest.raises(InputError, match="but its subfolder case-1 does"):
        open_study(tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """A bomb, a damaged and a locked archive: a sentence before anything is unpacked."""
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(2**27))
    with pytest.raises(InputError, match=r"bomb\.zip would unpack to"):
        list(members(bomb))
    (tmp_path / "broken.zip").write_bytes(bomb.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"broken\.zip is a damaged archive"):
        open_study(tmp_path / "broken.zip")


def test_results_name_no_patient_and_a_session_comes_back(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name and number are in nothing that is printed or written; a session file finds the series again."""
    out = tmp_path / "out"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main(["inspect", str(export), "--json"])
        main(["predict", str(export), "-o", str(out)])
    said = capsys.readouterr()
    document = json.loads((out / "result.json").read_text())
    assert document["case"].startswith("case-")
    written = b"".join(path.read_bytes() for path in out.iterdir())
    written += nib.load(out / "flair+t1+t1ce+t2.nii.gz").header.binaryblock
    everything = said.out + said.err + written.decode("latin-1") + " ".join(str(w.message) for w in caught)
    assert CANARY.lower() not in everything.lower()
    study = open_study(export)
    files = {name: (image.source.path, image.source.sha256) for name, image in study.images.items()}
    model = {"name": "m", "version": "1", "sha256": "0"}
    path = tmp_path / "x.mrsession"
    write_saved(path, Saved("brats", files, model, study.present))
    again = read_saved(path)
    same_images(open_study([f"{name}={file}" for name, (file, _) in again.files.items()]), study)
    assert CANARY not in path.read_bytes().decode("latin-1")


def test_a_name_in_a_description_is_left_out(tmp_path: Path) -> None:
    """Some type the patient's name where the sequence should stand."""
    write_series(tmp_path / "e", scan(), affine(), description=f"T2 {CANARY.upper()} Jane", times=TIMES["t2"])
    (entry,) = inspect(tmp_path / "e")["files"]
    assert entry["role"] == "t2"
    assert CANARY.lower() not in json.dumps(entry).lower()
    assert "jane" not in json.dumps(entry).lower()


def test_a_segmentation_goes_back_to_its_series_as_dicom(export: Path, tmp_path: Path) -> None:
    """Read again by highdicom and by SimpleITK: each region voxel by voxel in its place in space, with its codes."""
    import highdicom
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    from napari_mrseg.io.dicom.seg import encode_seg

    study = open_study(export)
    source = study.images["flair"].source
    labels = np.zeros(study.grid.shape, np.uint8)
    labels[4:9, 5:12, 6:15] = 2
    labels[5:8, 6:10, 7:12] = 1
    labels[6:8, 7:9, 8:11] = 3
    content = encode_seg(labels, source, study.task, ("flair",), {"name": "m", "version": "1"})
    path = tmp_path / "seg.dcm"
    path.write_bytes(content)
    seg = highdicom.seg.segread(path)
    assert seg.StudyInstanceUID == "1.2.3"
    assert [str(s.SegmentedPropertyTypeCodeSequence[0].CodeValue) for s in seg.SegmentSequence] == [
        region.code[0] for region in study.task.regions if region.code
    ]
    volume = seg.get_volume(combine_segments=False)
    itk = sitk.ReadImage(str(path))
    frames = sitk.GetArrayFromImage(itk)
    assert int((frames > 0).sum()) == sum(int(np.isin(labels, r.codes).sum()) for r in study.task.regions)
    for number, region in enumerate(study.task.regions):
        inside = np.argwhere(np.isin(labels, region.codes))
        expected = inside @ study.grid.matrix[:3, :3].T + study.grid.matrix[:3, 3]
        there = np.argwhere(volume.array[..., number] > 0)
        world = there @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        world = world @ LPS[:3, :3]
        assert np.allclose(np.sort(expected.round(2), 0), np.sort(world.round(2), 0), atol=0.02)
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert len(referenced) == SHAPE[2]
    nifti = save_nifti(tmp_path / "n" / "t2.nii.gz", scan().astype(np.float32), affine())
    assert main(["predict", str(nifti), "-o", str(tmp_path / "o"), "--format", "dicom-seg"]) == 2


def test_damaged_files_end_in_a_sentence(export: Path, tmp_path: Path) -> None:
    """Pixels cut off, a header cut off, no pixels, sizes that lie."""
    for number, harm in enumerate(("pixels", "header", "none", "rows")):
        folder = tmp_path / harm
        paths = write_series(folder, scan(), affine(), description="T2", number=1)
        if harm == "pixels":
            paths[4].write_bytes(paths[4].read_bytes()[:-200])
        elif harm == "header":
            paths[4].write_bytes(paths[4].read_bytes()[:700])
        else:
            one = pydicom.dcmread(paths[4])
            if harm == "none":
                del one.PixelData
            else:
                one.Rows = 21
            one.save_as(paths[4])
        with pytest.raises(InputError, match=r"series 1"):
            open_study([f"t2={folder}/series 1"])
        assert number < 4


def test_writing_without_its_extra_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without highdicom a DICOM SEG is refused with the extra that brings it, and nothing is written."""
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.setattr("napari_mrseg.io.dicom.seg.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "napari-mrseg\[dicom\]"'):
        check_outputs(tmp_path / "out", [("flair",)], seg=True)
    assert not (tmp_path / "out").exists()
