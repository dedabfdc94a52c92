"""Data sets as people have them: what cannot be used is named before any work, and other labels are noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from small import small_config, write_subject, write_subjects
from synthetic import save_nifti
from tiny import image_model

from mrseg_training.data.official_split import distributed_split
from mrseg_training.data.splits import read_split
from mrseg_training.data.subjects import Files, find_brats, find_folders
from mrseg_training.evaluate import evaluate
from mrseg_training.evaluate_models import evaluate_models
from mrseg_training.loop import train
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.models.store import Model
from napari_mrseg.tasks import BRATS, RGBD_SOD


def test_a_data_set_is_read_before_it_is_measured(tmp_path: Path, tiny: Model) -> None:
    """A truncated last subject is named with all others that cannot be used; nothing is measured, nothing written."""
    root = write_subjects(tmp_path / "data")
    last, third = root / "BraTS2021_00003" / "BraTS2021_00003_t1.nii.gz", root / "BraTS2021_00002"
    last.write_bytes(last.read_bytes()[:2000])
    (third / "BraTS2021_00002_t2.nii.gz").write_bytes(b"")
    said: list[object] = []
    with pytest.raises(InputError) as caught:
        evaluate(tiny.folder, root, tmp_path / "out", say=said.append)
    for part in (
        "BraTS2021_00003: BraTS2021_00003_t1.nii.gz is truncated",
        "BraTS2021_00002_t2.nii.gz is empty",
        "nothing was measured",
    ):
        assert part in str(caught.value)
    assert not any("measured" in str(line) for line in said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("extra", ["flair", "seg"])
def test_two_files_for_one_role_are_named(extra: str, tmp_path: Path, tiny: Model) -> None:
    """Two FLAIRs or two segmentations: the subject and both files, not "no folder holds a modality"."""
    root = write_subjects(tmp_path / "data")
    for subject in ("BraTS2021_00001", "BraTS2021_00002"):
        shutil.copy(root / subject / f"{subject}_{extra}.nii.gz", root / subject / f"second_{extra}.nii.gz")
    with pytest.raises(InputError) as caught:
        evaluate(tiny.folder, root, tmp_path / "out")
    for part in ("BraTS2021_00001: ", "BraTS2021_00002: ", f"second_{extra}.nii.gz"):
        assert part in str(caught.value)


def relabelled(root: Path, codes: dict[int, int], subjects: slice = slice(None)) -> Path:
    """The subjects' masks with other codes."""
    for path in sorted(root.glob("*/*_seg.nii.gz"))[subjects]:
        labels = np.asarray(nib.load(path).dataobj)
        other = np.zeros_like(labels)
        for old, new in codes.items():
            other[labels == old] = new
        save_nifti(path, other)
    return root


def test_a_data_set_in_another_scheme_is_refused_until_it_is_stated(tmp_path: Path, tiny: Model) -> None:
    """Evaluation and training notice the order of codes; stated, it is read right; the task's can be insisted on."""
    own = write_subjects(tmp_path / "own")
    msd = relabelled(write_subjects(tmp_path / "msd"), {1: 2, 2: 1, 4: 3})
    with pytest.raises(
        InputError, match=r"4 of 4 subjects look labelled in another scheme.*say --labels brats"
    ):
        evaluate(tiny.folder, msd, tmp_path / "out")
    with pytest.raises(InputError, match=r"look labelled in another scheme.*data\.labels"):
        train(small_config(msd, recipe=["supervised"]), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    right = evaluate(tiny.folder, own, tmp_path / "right", shuffles=0)
    stated = evaluate(tiny.folder, msd, tmp_path / "stated", shuffles=0, labels="msd")
    assert [row["dice"] for row in stated["by_subject"]] == [row["dice"] for row in right["by_subject"]]
    insisted = evaluate(tiny.folder, msd, tmp_path / "insisted", shuffles=0, labels="brats")
    assert [row["dice"] for row in insisted["by_subject"]] != [row["dice"] for row in right["by_subject"]]
    train(small_config(msd, recipe=["supervised"], data={"labels": "msd"}), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


def test_old_and_new_codes_in_one_data_set_are_said(tmp_path: Path, tiny: Model) -> None:
    """{1, 2, 3} beside {1, 2, 4}: both are read as enhancing tumour, and it is said once."""
    root = relabelled(write_subjects(tmp_path / "data"), {1: 1, 2: 2, 4: 3}, slice(2))
    said: list[object] = []
    evaluate(tiny.folder, root, tmp_path / "out", shuffles=0, say=said.append)
    mixed = [str(line) for line in said if "the code 4" in str(line)]
    assert len(mixed) == 1
    assert "2 (BraTS2021_00000, …) the code 3; both are read as ET" in mixed[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_list_of_ids_in_any_editors_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    """A byte-order mark, UTF-16 and CRLF are read; bytes that are no text are refused by name."""
    ids = ["größe-1", "b", "c"]
    folder = tmp_path / "split"
    folder.mkdir()
    text = "größe-1\r\nb\r\n"
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    (folder / "train.txt").write_bytes(mark + text.encode(encoding))
    assert read_split(folder, ids)["train"] == ["größe-1", "b"]
    (folder / "train.txt").write_bytes("größe-1".encode("cp1252"))
    with pytest.raises(InputError, match=r"train\.txt is not text in UTF-8"):
        read_split(folder, ids)


def test_training_that_is_refused_writes_nothing(tmp_path: Path) -> None:
    """No data, no split, a start that is no model: no folder, no config.json."""
    root = write_subjects(tmp_path / "data")
    for config in (
        small_config(tmp_path / "nowhere"),
        small_config(root, start=str(tmp_path / "no-model")),
        small_config(root, data={"split": str(tmp_path / "no-split")}),
    ):
        with pytest.raises(MrsegError):
            train(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "why", [KeyboardInterrupt(), InputError("b_t1.nii.gz cannot be read (gone); check it.")]
)
def test_what_is_measured_is_kept(
    why: BaseException, tmp_path: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the third subject, or it is gone since it was checked: the tables of two are there, which is said."""
    root = write_subjects(tmp_path / "data")
    opened: list[str] = []
    read = Files.open

    def until(self: Files, subject: str) -> object:
        opened.append(subject)
        if len(opened) == 3:
            raise why
        return read(self, subject)

    monkeypatch.setattr(Files, "open", until)
    with pytest.raises(MrsegError, match="the tables of the 2 subjects measured before are in out") as caught:
        evaluate(tiny.folder, root, tmp_path / "out", shuffles=0)
    assert caught.value.exit_code == (130 if isinstance(why, KeyboardInterrupt) else 2)
    document = json.loads((tmp_path / "out" / "table.json").read_text())
    assert document["subjects"] == ["BraTS2021_00000", "BraTS2021_00001"]
    assert {row["subject"] for row in document["by_subject"]} == set(document["subjects"])
    assert len(document["by_subject"]) == 30


def test_links_to_files_and_folders_are_followed(tmp_path: Path, tiny: Model) -> None:
    """Subjects that are links to a shared disk, and subjects whose files are links: trained on and measured alike."""
    disk = write_subjects(tmp_path / "disk", 4)
    root = tmp_path / "mine"
    root.mkdir()
    for subject in sorted(disk.iterdir())[:2]:
        (root / subject.name).symlink_to(subject)
    for subject in sorted(disk.iterdir())[2:]:
        (root / subject.name).mkdir()
        for path in subject.iterdir():
            (root / subject.name / path.name).symlink_to(path)
    names = [subject.name for subject in sorted(disk.iterdir())]
    assert list(find_brats(root)) == names
    assert list(find_folders(root, "**/BraTS*", BRATS)) == names
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    config = small_config(linked, recipe=["supervised"], data={"source": "folders"})
    train(config, tmp_path / "run")
    assert sorted((tmp_path / "run" / "cache").glob("BraTS*.safetensors"))
    assert evaluate(tiny.folder, linked, tmp_path / "out", hd95=False)["subjects"] == names


def test_a_split_in_folders_is_found_through_links(tmp_path: Path) -> None:
    """``Train`` and ``Test`` count by their names where the files are, not by where links lead."""
    disk = write_subjects(tmp_path / "disk", 2)
    root = tmp_path / "set"
    for group, subject in zip(("Train", "Test"), sorted(disk.iterdir()), strict=True):
        (root / group).mkdir(parents=True)
        (root / group / subject.name).symlink_to(subject)
    split = distributed_split(find_folders(root, "**/", BRATS), root)
    assert split == {"train": ["BraTS2021_00000"], "validation": [], "test": ["BraTS2021_00001"]}


def test_a_link_whose_file_is_gone_is_named(tmp_path: Path) -> None:
    """A dangling link is no modality that the subject lacks: training names the file."""
    root = write_subjects(tmp_path / "data", 4)
    lost = root / "BraTS2021_00001" / "BraTS2021_00001_t1.nii.gz"
    lost.unlink()
    lost.symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match="BraTS2021_00001_t1"):
        train(small_config(root, recipe=["supervised"]), tmp_path / "run")


def test_brats_2015_is_measured(tmp_path: Path, tiny: Model) -> None:
    """A folder for each image, as distributed: ``evaluate`` finds subjects and segmentation as training does."""
    sitk = pytest.importorskip("SimpleITK")
    source = write_subject(tmp_path / "nifti" / "one")
    subject = tmp_path / "2015" / "HGG" / "brats_2013_pat0001_1"
    for kind, role in (
        ("MR_Flair", "flair"),
        ("MR_T1", "t1"),
        ("MR_T1c", "t1ce"),
        ("MR_T2", "t2"),
        ("3more.XX.O.OT", "seg"),
    ):
        name = f"VSD.Brain_{kind}.54{role}" if role == "seg" else f"VSD.Brain.XX.O.{kind}.54{role}"
        (subject / name).mkdir(parents=True)
        image = sitk.ReadImage(str(source / f"one_{role}.nii.gz"))
        sitk.WriteImage(image, str(subject / name / f"{name}.mha"))
    found = evaluate(tiny.folder, tmp_path / "2015", tmp_path / "out", labels="brats-2015", hd95=False)
    assert found["subjects"] == [subject.name]
    assert len(found["rows"]) == 15


def written(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def frame(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, depth and mask of 48 × 64 pixels with a bright, near square."""
    rng = np.random.default_rng(number)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 15:40] = 255
    depth = np.where(mask > 0, 90, 200).astype(np.uint8)
    colour = (rng.integers(0, 60, (48, 64, 3)) + 150 * (mask[..., None] > 0)).astype(np.uint8)
    return colour, depth, mask


def test_nlpr_keeps_its_depth(tmp_path: Path) -> None:
    """RGB/x.jpg, depth/x_Depth.bmp, groundtruth/x.jpg: three files for each frame."""
    root = tmp_path / "NLPR"
    for number, name in enumerate(("1_02-02-40", "1_02-05-11")):
        colour, depth, mask = frame(number)
        written(root / "RGB" / f"{name}.jpg", colour)
        written(root / "depth" / f"{name}_Depth.bmp", depth)
        written(root / "groundtruth" / f"{name}.jpg", mask)
    found = find_folders(root, "**/", RGBD_SOD)
    assert len(found) == 2
    for roles in found.values():
        assert set(roles) == {"rgb", "depth", "reference"}
        assert roles["depth"].suffix == ".bmp"
    prepared = Files(found, RGBD_SOD, 1.0).load(next(iter(found)))
    assert prepared.available.all()
    assert float(prepared.images[3].std()) > 0


def test_dut_rgbd_is_found_with_its_split(tmp_path: Path) -> None:
    """train_data/train_images, train_depth, train_masks and the same of test_data, and which are for training."""
    root = tmp_path / "DUT-RGBD"
    for group in ("train", "test"):
        for number in range(2):
            colour, depth, mask = frame(number)
            for kind, values, ending in (
                ("images", colour, "jpg"),
                ("depth", depth, "png"),
                ("masks", mask, "png"),
            ):
                written(root / f"{group}_data" / f"{group}_{kind}" / f"{number:04d}.{ending}", values)
    found = find_folders(root, "**/", RGBD_SOD)
    assert len(found) == 4
    assert all(set(roles) == {"rgb", "depth", "reference"} for roles in found.values())
    split = distributed_split(found, root)
    assert split is not None
    assert [len(split[group]) for group in ("train", "validation", "test")] == [2, 0, 2]


def test_two_models_are_measured_on_folders_of_frames(tmp_path: Path) -> None:
    """Each frame is a subject under its own name, which a list can hold, for one model and in the comparison of two."""
    root = tmp_path / "NJUD"
    for number in range(2):
        for kind, values in zip(("RGB", "depth", "GT"), frame(number), strict=True):
            written(root / kind / f"{number:06d}.png", values)
    models = [image_model(tmp_path / name, seed=seed).folder for seed, name in enumerate(("a", "b"))]
    assert list(find_folders(root, "**/", RGBD_SOD, ["NJUD__000001"])) == ["NJUD__000001"]
    # As the command asks for them: both models on one list of ids.
    found = evaluate_models(models, root, tmp_path / "out", hd95=False, split="run")
    assert found["subjects"] == ["NJUD__000000", "NJUD__000001"]
    assert len(found["rows"]) == 4
    names = list(found["models"])
    lines = (tmp_path / "out" / names[0] / "table.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == set(found["subjects"])
