"""Generated scenes of colour and depth: what they show, that they are always the same, as a source and as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from synthetic_frames import LAYOUTS, THERMAL, lay_out, write_frame
from synthetic_frames import SIZE as FRAME

from mrseg_training.data import scene_generator
from mrseg_training.data.scene_generator import FAR, NEAR, Scenes, draw_scene, write_scenes
from mrseg_training.data.subjects import find_folders, open_source, prepare
from mrseg_training.evaluate import evaluate
from mrseg_training.settings import DataPart, SimulatePart
from napari_mrseg import cli
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import RGBD_SOD, RGBT_SOD, SUNRGBD

PART = SimulatePart(train=2, validation=0, test=2, seed=3)
SIZE = (60, 80)


def contrast(values: np.ndarray, truth: np.ndarray) -> float:
    """How far apart the means of object and rest are, in standard deviations of the rest."""
    outside = values[~truth]
    return float(
        np.linalg.norm(values[truth].mean(0) - outside.mean(0)) / (np.linalg.norm(outside.std(0)) + 1e-6)
    )


def test_a_scene_is_always_the_same() -> None:
    """Number k of a seed; another number, another scene."""
    source = Scenes(PART, RGBD_SOD, 4.0)
    assert source.ids == ["scene-train-0000", "scene-train-0001", "scene-test-0000", "scene-test-0001"]
    one, again = source.load("scene-train-0000"), Scenes(PART, RGBD_SOD, 4.0).load("scene-train-0000")
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.labels, again.labels)
    assert one.images.shape == (4, 1, 120, 160)
    assert not torch.equal(one.images, source.load("scene-train-0001").images)


@pytest.mark.parametrize("k", range(12))
def test_a_scene_is_what_a_camera_gives(k: int) -> None:
    """Depth in its range or 0, some of it missing; an object that is neither all nor nothing."""
    scene = draw_scene(np.random.default_rng(k), SIZE)
    assert scene.colour.shape == (*SIZE, 3)
    measured = scene.depth[scene.depth > 0]
    assert measured.min() > NEAR - 1
    assert measured.max() < FAR
    assert 0.3 < len(measured) / scene.depth.size < 1
    assert 0 < scene.truth.mean() < 0.8


def test_one_image_rescues_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Camouflaged: colour hardly tells the object, depth does. Flat: the other way round."""
    found = {}
    for kind, shares in {"camouflaged": (1.0, 0.0), "flat": (0.0, 1.0)}.items():
        monkeypatch.setattr(scene_generator, "CAMOUFLAGED", shares[0])
        monkeypatch.setattr(scene_generator, "FLAT", shares[1])
        drawn = [draw_scene(np.random.default_rng(k), SIZE) for k in range(30)]
        found[kind] = (
            np.median([contrast(s.colour.astype(float), s.truth) for s in drawn]),
            np.median([contrast(np.log(s.depth + 500.0)[..., None], s.truth) for s in drawn]),
        )
    assert found["camouflaged"][0] < 0.5 * found["flat"][0]
    assert found["flat"][1] < 0.5 * found["camouflaged"][1]


def test_the_source_normalises_as_the_engine_does(tmp_path: Path) -> None:
    """A scene written to files and opened again is, prepared, what the source gives at that spacing."""
    (folder, _) = write_scenes(PART, RGBD_SOD, tmp_path)
    study = open_study(folder, task=RGBD_SOD)
    assert study.simulated
    assert study.reference is not None
    opened = prepare(study, 1.0)
    drawn = Scenes(PART, RGBD_SOD, 1.0).load("scene-test-0000")
    assert torch.equal(opened.images, drawn.images)
    assert torch.equal(opened.labels, drawn.labels)


def test_other_tasks_have_no_scenes() -> None:
    """There is no thermal camera yet: a sentence."""
    with pytest.raises(InputError, match="no generator for the task rgbt-sod"):
        Scenes(PART, RGBT_SOD, 1.0)


def test_simulate_train_and_evaluate_from_the_command_line(tmp_path: Path) -> None:
    """``mrseg simulate scenes``, a short training, and the table with the papers' measures over three combinations."""
    assert cli.main(["simulate", "scenes", "-o", str(tmp_path / "scenes"), "data.simulate.test=2"]) == 0
    small = ["data.simulate.train=2", "stages.supervised.steps=2", "stages.supervised.extents=[[1,48,64]]"]
    small += ["data.spacing=8", "data.workers=1", "model.width=4", "model.heads=[1,1,1,1,1]"]
    assert cli.main(["train", "scenes", "-o", str(tmp_path / "run"), *small]) == 0
    out = tmp_path / "table"
    document = evaluate(tmp_path / "run" / "model", tmp_path / "scenes", out, hd95=False, shuffles=0)
    rows = {"+".join(row["combination"]): row["saliency"] for row in document["rows"]}
    assert list(rows) == ["rgb+depth", "rgb", "depth"]
    values = [row["s"] for row in rows.values()]
    assert document["average"]["saliency"]["s"] == pytest.approx(np.mean(values))
    assert document["sd"]["saliency"]["s"] == pytest.approx(np.std(values))
    head = (out / "table.md").read_text().splitlines()[0]
    assert [cell.strip() for cell in head.strip("| ").split("|")][:6] == [
        "Colour",
        "Depth",
        "S",
        "MAE",
        "F",
        "E",
    ]
    assert " mm" not in (out / "table.md").read_text()
    lines = [line.split(",") for line in (out / "table.csv").read_text().splitlines()]
    measures = ["s", "mae", "f", "e", "f_max", "e_max", "f_adaptive", "e_adaptive", "f_weighted"]
    assert lines[0][-9:] == measures
    assert float(lines[1][-9]) == pytest.approx(document["by_subject"][0]["saliency"]["s"], rel=1e-5)
    assert rows["rgb"]["f_max"] <= np.mean(
        [r["saliency"]["f_max"] for r in document["by_subject"] if r["combination"] == ["rgb"]]
    )  # of the mean curve


@pytest.mark.parametrize("layout", ["NJUD", "NLPR", "STERE"])
def test_a_data_set_of_frames_is_a_source_of_subjects(tmp_path: Path, layout: str) -> None:
    """The exact layout of a data set: each frame is a subject with its own files, whatever their sizes."""
    root = lay_out(tmp_path / "data" / layout, LAYOUTS[layout], 3, drawn=tmp_path / "drawn")
    found = find_folders(tmp_path / "data", "**/", RGBD_SOD)
    assert len(found) == 3
    for files in found.values():
        assert set(files) == {"rgb", "depth", "reference"}
        numbers = {int("".join(c for c in path.stem.split("_")[0] if c.isdigit())) for path in files.values()}
        assert len(numbers) == 1
    (root / "GT" if layout != "NLPR" else root / "groundtruth").rename(root / "gone")
    assert all(
        set(files) == {"rgb", "depth"} for files in find_folders(tmp_path / "data", "**/", RGBD_SOD).values()
    )


def test_the_split_that_a_data_set_comes_with(tmp_path: Path) -> None:
    """VT5000's Train and Test and NJU2K's folders are its split; without such folders one is drawn."""
    for name, count in (("Train", 3), ("Test", 2)):
        lay_out(tmp_path / "VT5000" / name, THERMAL["VT5000"], count, thermal=True, drawn=tmp_path / "drawn")
        lay_out(tmp_path / "sets" / f"NJU2K_{name.upper()}", LAYOUTS["NJUD"], count, drawn=tmp_path / "drawn")
    for root, task in ((tmp_path / "VT5000", RGBT_SOD), (tmp_path / "sets", RGBD_SOD)):
        split = open_source(DataPart(source="folders", path=root, pattern="**/"), task).split
        assert split is not None
        assert [len(split[group]) for group in ("train", "validation", "test")] == [3, 0, 2]
        assert all("train" in subject.lower() for subject in split["train"])
    lay_out(tmp_path / "plain" / "STERE", LAYOUTS["STERE"], 2, drawn=tmp_path / "drawn")
    part = DataPart(source="folders", path=tmp_path / "plain", pattern="**/")
    assert open_source(part, RGBD_SOD).split is None


def test_the_list_of_sun_rgbd_is_its_split(tmp_path: Path) -> None:
    """allsplit.mat of the toolbox, whose paths are of another machine; scenes that are not in it are left out."""
    root = tmp_path / "SUNRGBD"
    for scene in ("kv1/NYUdata/NYU0001", "kv1/NYUdata/NYU0002", "xtion/sun3ddata/a/b/c", "kv2/odd"):
        frame = write_frame(tmp_path / "drawn", 1)
        for name, source in (("image", "rgb"), ("depth_bfx", "depth")):
            (root / scene / name).mkdir(parents=True)
            shutil.copy(frame / f"{source}.png", root / scene / name / "0.png")
        savemat(
            root / scene / "seg.mat", {"seglabel": np.ones(FRAME), "names": np.array(["bed"], dtype=object)}
        )
    there = "/n/fs/sun3d/data/SUNRGBD/"
    alltrain = np.array([there + "kv1/NYUdata/NYU0001", there + "xtion/sun3ddata/a/b/c"], dtype=object)
    alltest = np.array([there + "kv1/NYUdata/NYU0002"], dtype=object)
    (root / "SUNRGBDtoolbox" / "traintestSUNRGBD").mkdir(parents=True)
    listed = root / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat"
    savemat(listed, {"alltrain": alltrain, "alltest": alltest})
    split = open_source(DataPart(source="folders", path=root, pattern="**/"), SUNRGBD).split
    assert split == {"train": ["NYU0001", "c"], "validation": [], "test": ["NYU0002"]}
    listed.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"allsplit\.mat is not the list of SUN RGB-D"):
        open_source(DataPart(source="folders", path=root, pattern="**/"), SUNRGBD)


def test_scenes_of_sun_rgbd_train_and_are_measured(tmp_path: Path) -> None:
    """image/, depth_bfx/ and seg.mat of each scene, as distributed: the shipped config made small, and the mean IoU."""
    pytest.importorskip("transformers")
    for k in range(2):
        frame, scene = write_frame(tmp_path / "drawn" / str(k), k), tmp_path / "data" / "kv1" / f"NYU{k:04d}"
        for name, source in (("image", "rgb"), ("depth", "depth"), ("depth_bfx", "depth")):
            (scene / name).mkdir(parents=True)
            shutil.copy(frame / f"{source}.png", scene / name / f"NYU{k:04d}.png")
        numbers = np.random.default_rng(k).integers(0, 4, FRAME).astype(np.uint16)
        names = np.array(["wall", "bed", "chair"], dtype=object)
        savemat(scene / "seg.mat", {"seglabel": numbers, "names": names})
    short = [f"data.path={tmp_path / 'data'}", "data.proportions=[2,0,0]", "model.size=compact-2d"]
    short += ["model.width=4", "model.heads=[1,1,1,1,1]"]
    for stage in ("reconstruct", "contrast", "adapt"):
        short += [f"stages.{stage}.epochs=1", f"stages.{stage}.extents=[[1,64,64]]"]
    assert cli.main(["train", "sunrgbd", "-o", str(tmp_path / "run"), *short]) == 0
    model, out = tmp_path / "run" / "model", tmp_path / "table"
    document = evaluate(model, tmp_path / "data", out, hd95=False, shuffles=0)
    assert document["subjects"] == ["NYU0000", "NYU0001"]
    assert 0 <= document["average"]["mean_iou"] < 0.5
    assert (out / "table.md").read_text().startswith("| Colour | Depth | mean IoU |")


def test_what_is_wrong_in_a_layout_is_said_by_name(tmp_path: Path) -> None:
    """A frame without depth: the data set, the folders and the frame are named."""
    root = lay_out(tmp_path / "data" / "NJUD", LAYOUTS["NJUD"], 3, drawn=tmp_path / "drawn")
    (root / "depth" / "000001_left.png").unlink()
    with pytest.raises(InputError, match=r"NJUD: depth holds 2 frames and RGB_left 3, e.g. none for 000001"):
        find_folders(tmp_path / "data", "**/", RGBD_SOD)


def test_a_network_of_photographs_trains_on_a_data_set(tmp_path: Path) -> None:
    """The shipped config for RGB-D, its ResNet made narrow, three stages of one step on the layout of NJUD."""
    pytest.importorskip("transformers")
    lay_out(tmp_path / "data" / "NJUD", LAYOUTS["NJUD"], 3, drawn=tmp_path / "drawn")
    short = [
        f"data.path={tmp_path / 'data'}",
        "data.proportions=[3,0,0]",
        "model.width=8",
        "model.heads=[1,1,1,1,1]",
    ]
    short += [
        f"stages.{s}.{k}"
        for s in ("reconstruct", "contrast", "adapt")
        for k in ("epochs=1", "extents=[[1,64,64]]")
    ]
    assert cli.main(["train", "rgbd", "-o", str(tmp_path / "run"), *short]) == 0
    assert load_model(tmp_path / "run" / "model").network.settings.backbone == "resnet50"
