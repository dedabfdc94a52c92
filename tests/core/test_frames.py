"""Folders of frames as volumes, data sets' layouts, sizes that differ, many pages; and back into files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from synthetic_frames import LAYOUTS, SIZE, THERMAL, lay_out, write_frame

from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study, recognise
from napari_mrseg.io.export import write_labels
from napari_mrseg.io.frames import _resized
from napari_mrseg.tasks import RGBD_SOD, RGBT_SOD, SUNRGBD


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_data_sets_of_colour_and_depth_open_as_they_are(tmp_path: Path, name: str) -> None:
    """The folders' names say the roles; frames pair by their numbers; each slice is its frame."""
    task = SUNRGBD if name == "SUN-RGBD" else RGBD_SOD
    root = lay_out(tmp_path / name, LAYOUTS[name])
    found = recognise(root, task)
    assert {f.role for f in found.files} == {"rgb", "depth", "reference"}
    assert found.problems(task) == ()
    study = open_study(root, task=RGBD_SOD, reference=name != "SUN-RGBD")
    assert study.present == ("rgb", "depth")
    assert study.grid.shape == (4, *SIZE)
    for k in range(4):
        alone = open_study(tmp_path / "drawn" / str(k), task=RGBD_SOD)
        assert np.array_equal(study.images["depth"].data[k], alone.images["depth"].data[0])
    if name != "SUN-RGBD":
        assert study.reference is not None  # of NLPR a JPEG
        for k in range(4):
            with Image.open(tmp_path / "drawn" / str(k) / "gt.png") as image:
                assert (np.asarray(image) > 0).sum() == pytest.approx(study.reference.labels[k].sum(), abs=6)


@pytest.mark.parametrize("name", THERMAL)
def test_the_data_sets_of_colour_and_thermal_open_as_they_are(tmp_path: Path, name: str) -> None:
    """RGB, T and GT."""
    study = open_study(lay_out(tmp_path / name, THERMAL[name], thermal=True), task=RGBT_SOD)
    assert study.reference is not None
    assert set(np.unique(study.reference.labels)) == {0, 1}
    assert study.present == ("rgb", "thermal")
    assert study.grid.shape == (4, *SIZE)


def test_the_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Frame 10 comes after frame 9, whatever the alphabet says."""
    root = lay_out(tmp_path / "many", ("rgb/{k}.png", "depth/{k}.png", "gt/{k}.png"), 12)
    study = open_study(root, task=RGBD_SOD)
    last = open_study(tmp_path / "drawn" / "11", task=RGBD_SOD)
    assert np.array_equal(study.images["depth"].data[11], last.images["depth"].data[0])


def test_a_frame_without_a_partner_is_named(tmp_path: Path) -> None:
    """One depth image missing: which, in one sentence, and nothing opens."""
    root = lay_out(tmp_path / "torn", LAYOUTS["NJUD"])
    (root / "depth" / "000002_left.png").unlink()
    with pytest.raises(InputError, match=r"depth holds 3 frames and RGB_left 4.*none for 000002"):
        open_study(root, task=RGBD_SOD)


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    """A data set of photographs of many sizes is no film; the sentence names two of them."""
    root = lay_out(tmp_path / "sizes", LAYOUTS["STERE"])
    Image.new("RGB", (30, 20), "red").save(root / "RGB" / "000003_left.jpg")
    with pytest.raises(InputError, match=r"RGB holds frames of different sizes .*000003_left.jpg: 30×20"):
        open_study(root, task=RGBD_SOD)


def test_depth_of_another_size_comes_onto_the_colour_image(tmp_path: Path) -> None:
    """Half as many pixels of one view: enlarged with a note, holes stay holes; labels go back onto its own size."""
    folder = write_frame(tmp_path / "frame", 3)
    with Image.open(folder / "depth.png") as image:
        small = np.asarray(image)[::2, ::2]
    Image.fromarray(small).save(folder / "depth.png")
    study = open_study(folder, task=RGBD_SOD)
    depth = study.images["depth"]
    assert depth.data.shape == (1, *SIZE)
    assert set(np.unique(depth.data)) <= set(np.unique(small))
    assert [note.code for note in study.notes] == ["resized"]
    assert "28×20 pixels" in study.notes[0].message
    labels = np.zeros((1, *SIZE), np.uint8)
    labels[:, 10:20, 20:40] = 1
    write_labels(labels, depth.source, tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        back = np.asarray(image)
    assert back.shape == small.shape
    assert np.array_equal(np.argwhere(back).min(0), [5, 10])
    assert np.array_equal(np.argwhere(back).max(0), [9, 19])


def test_another_view_is_refused(tmp_path: Path) -> None:
    """A depth image of another shape does not lie on the colour image: refused, with both sizes."""
    folder = write_frame(tmp_path / "frame", 3)
    Image.fromarray(np.full((30, 30), 700, np.uint16) + np.arange(30, dtype=np.uint16)).save(
        folder / "depth.png"
    )
    with pytest.raises(InputError, match=r"depth.png \(depth\) has 30×30 pixels and rgb.png \(rgb\) 56×40"):
        open_study(folder, task=RGBD_SOD)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(2, 40), st.integers(2, 40))
def test_a_resized_measurement_has_no_new_values(rows: int, columns: int, high: int, wide: int) -> None:
    """For all sizes: every value is one that was measured, and the corners stay."""
    data = np.arange(rows * columns, dtype=np.float32).reshape(1, rows, columns)
    found = _resized(data, (high, wide), nearest=True)
    assert found.shape == (1, high, wide)
    assert set(np.unique(found)) <= set(np.unique(data))
    if high >= rows and wide >= columns:
        assert set(np.unique(found)) == set(np.unique(data))


def test_labels_of_frames_are_one_file_that_opens_again(tmp_path: Path) -> None:
    """A TIFF with a page a frame: the same labels, as a reference beside the frames."""
    root = lay_out(tmp_path / "film", ("rgb/{k}.png", "depth/{k}.png", "gt/{k}.png"))
    study = open_study(root, task=RGBD_SOD)
    labels = (np.random.default_rng(0).random((4, *SIZE)) < 0.3).astype(np.uint8)
    write_labels(labels, study.images["rgb"].source, tmp_path / "seg.tif")
    again = open_study(root, task=RGBD_SOD, reference=tmp_path / "seg.tif")
    assert again.reference is not None
    assert np.array_equal(again.reference.labels, labels)


def test_a_scene_of_sun_rgbd_as_distributed(tmp_path: Path) -> None:
    """image/, depth/, depth_bfx/, seg.mat and more: the filled depth is taken, and the labels by their names."""
    frame = write_frame(tmp_path / "drawn", 5)
    scene = tmp_path / "kv1" / "NYUdata" / "NYU0001"
    for name, source in (("image", "rgb"), ("depth", "depth"), ("depth_bfx", "depth"), ("fullres", "rgb")):
        (scene / name).mkdir(parents=True)
        shutil.copy(frame / f"{source}.png", scene / name / "NYU0001.png")
    with Image.open(frame / "depth.png") as image:
        filled = np.where(np.asarray(image) == 0, 1234, np.asarray(image)).astype(np.uint16)
    Image.fromarray(filled).save(scene / "depth_bfx" / "NYU0001.png")
    (scene / "intrinsics.txt").write_text("518 0 325")
    numbers = np.random.default_rng(0).integers(0, 5, SIZE)
    names = np.array(["wall", "night_stand", "a mug", "Bag"], dtype=object)
    savemat(scene / "seg.mat", {"seglabel": numbers.astype(np.uint16), "names": names})
    study = open_study(scene, task=SUNRGBD)
    assert study.present == ("rgb", "depth")
    assert np.array_equal(study.images["depth"].data[0], filled)
    assert study.reference is not None
    assert np.array_equal(study.reference.labels[0], np.array([0, 1, 32, 0, 37])[numbers])
    (scene / "seg.mat").write_bytes(b"no such thing")
    study = open_study(scene, task=SUNRGBD)
    assert [note.code for note in study.notes] == ["reference_unusable"]
    assert "seg.mat is no label file of SUN RGB-D" in study.notes[0].message


def test_classes_have_their_names_and_colours() -> None:
    """37 classes in the benchmark's order, every colour once, none nested."""
    assert len(SUNRGBD.labels) == len({label.colour for label in SUNRGBD.labels}) == 37
    assert [SUNRGBD.labels[i].name for i in (0, 1, 36)] == ["wall", "floor", "bag"]
    assert SUNRGBD.output == "softmax"


def test_frames_are_never_paired_by_chance(tmp_path: Path) -> None:
    """As many of each but one name of another frame: refused, not shifted; names with nothing in common go in order."""
    root = lay_out(tmp_path / "shifted", LAYOUTS["NJUD"])
    (root / "depth" / "000002_left.png").rename(root / "depth" / "000009_left.png")
    with pytest.raises(InputError, match=r"depth holds 4 frames and RGB_left 4, e.g. none for 000002"):
        open_study(root, task=RGBD_SOD)
    twice = lay_out(tmp_path / "twice", LAYOUTS["STERE"])
    shutil.copy(twice / "RGB" / "000001_left.jpg", twice / "RGB" / "000001_right.jpg")
    with pytest.raises(InputError, match=r"depth holds 4 frames and RGB 5"):
        open_study(twice, task=RGBD_SOD)
    times = lay_out(tmp_path / "camera", ("rgb/1{k}.125.png", "depth/2{k}.375.png", "gt/3{k}.5.png"))
    assert open_study(times, task=RGBD_SOD).grid.shape[0] == 4
