"""Colour and depth images: read behind a gate, held as a volume of one slice, labels written beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_mrseg.errors import InputError
from napari_mrseg.io import inspect, open_study, write_labels
from napari_mrseg.io.formats import FORMATS, format_of, label_ending, stem
from napari_mrseg.io.picture import Picture
from napari_mrseg.tasks import BRATS, RGBD_SOD

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEPTH = np.random.default_rng(1).integers(0, 4000, (6, 9), dtype=np.uint16)
MASK = np.zeros((6, 9), np.uint8)
MASK[2:4, 3:7] = 255


def frame(folder: Path, **arrays: np.ndarray) -> Path:
    """A folder with scene_<role>.png of each array."""
    folder.mkdir(exist_ok=True)
    for role, array in arrays.items():
        Image.fromarray(array).save(folder / f"scene_{role}.png")
    return folder


@pytest.mark.parametrize("ending", [".png", ".tif", ".npy"])
def test_values_come_out_as_they_were_saved(tmp_path: Path, ending: str) -> None:
    """Colour has a last axis of three, depth none; 16 bits and floats keep their values; one slice."""
    for array, channels in ((COLOUR, 3), (DEPTH, 1), (DEPTH.astype(np.float32) / 1000, 1)):
        path = tmp_path / f"a{ending}"
        if ending == ".npy":
            np.save(path, array)
        elif ending == ".png" and array.dtype == np.float32:
            continue  # PNG holds no floats
        else:
            Image.fromarray(array).save(path)
        values, source, notes = Picture().read(path, channels=channels)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[0], array.astype(np.float32))
        assert source.grid.shape == (1, 6, 9)
        assert source.grid.spacing == (1, 1, 1)
        assert np.shares_memory(source.to_ipl(values), values)
        assert not notes


def test_a_frame_opens_as_a_study(tmp_path: Path) -> None:
    """A folder of colour, depth and mask: one study on one grid, the mask (0 and 255) its reference."""
    study = open_study(frame(tmp_path / "f", rgb=COLOUR, depth=DEPTH, gt=MASK), task=RGBD_SOD)
    assert study.present == ("rgb", "depth")
    assert study.images["rgb"].data.shape == (1, 6, 9, 3)
    assert study.images["depth"].data.shape == study.grid.shape == (1, 6, 9)
    assert study.reference is not None
    np.testing.assert_array_equal(study.reference.labels[0], MASK // 255)


def test_inspection_tells_pictures_too(tmp_path: Path) -> None:
    """Roles, sizes and combinations of a frame, as of a scan."""
    found = inspect(frame(tmp_path / "f", rgb=COLOUR, depth=DEPTH), task=RGBD_SOD)
    assert found["usable"]
    assert found["combinations"] == ["rgb+depth", "rgb", "depth"]
    assert {f["name"]: f["role"] for f in found["files"]} == {
        "scene_rgb.png": "rgb",
        "scene_depth.png": "depth",
    }


def test_labels_are_grey_values_on_the_same_pixels(tmp_path: Path) -> None:
    """The label image holds the codes, nothing of the source's tags, and is the same file each time."""
    tagged = tmp_path / "a_depth.png"
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "Doe^Jane")
    Image.fromarray(DEPTH).save(tagged, pnginfo=info)
    study = open_study([f"depth={tagged}"], task=RGBD_SOD)
    labels = (MASK // 255)[None]
    for name in ("depth.png", "again.png"):
        write_labels(labels, study.images["depth"].source, tmp_path / name)
    with Image.open(tmp_path / "depth.png") as written:
        assert written.mode == "L"
        assert written.info == {}
        np.testing.assert_array_equal(np.asarray(written), MASK // 255)
    assert (tmp_path / "depth.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    with pytest.raises(InputError, match=r"end the name in \.png"):
        write_labels(labels, study.images["depth"].source, tmp_path / "depth.jpg")


def test_invalid_depth_is_noted_and_becomes_zero(tmp_path: Path) -> None:
    """NaN and infinity say that the sensor saw nothing, as 0 does; a mask may hold none."""
    depth = DEPTH.astype(np.float32)
    depth[0, :2] = np.nan, np.inf
    np.save(tmp_path / "a_depth.npy", depth)
    values, _, notes = Picture().read(tmp_path / "a_depth.npy")
    assert values[0, 0, :2].tolist() == [0, 0]
    assert [n.code for n in notes] == ["invalid_pixels"]
    with pytest.raises(InputError, match="NaN or infinite"):
        Picture().read(tmp_path / "a_depth.npy", labels=True)


@pytest.mark.parametrize(
    ("name", "array", "channels", "says"),
    [
        ("a.png", COLOUR, 1, "is a colour image"),
        ("a.png", DEPTH, 3, "no colours"),
        ("a.png", np.full((4, 4), 7, np.uint8), 1, "constant"),
        ("a.png", np.zeros((1, 4), np.uint8), 1, "no picture"),
        ("a.png", np.arange(64, dtype=np.uint8).reshape(4, 4, 4), 3, "transparent"),
        ("a.npy", np.zeros((4, 4, 4), np.float32), 1, "4×4×4 values"),
        ("a.npy", np.array([["a", "b"], ["c", "d"]]), 1, "values of type <U1"),
    ],
)
def test_what_is_no_such_image_is_refused(
    tmp_path: Path, name: str, array: np.ndarray, channels: int, says: str
) -> None:
    """One sentence that names the file."""
    path = tmp_path / name
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array).save(path)
    with pytest.raises(InputError, match=says) as error:
        Picture().read(path, channels=channels)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.tif"])
@pytest.mark.parametrize("damage", ["cut", "text", "empty", "gone"])
def test_damaged_files_are_sentences(tmp_path: Path, name: str, damage: str) -> None:
    """Truncated, of another kind, empty, missing: never a traceback, never half an image."""
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, DEPTH)
    else:
        Image.fromarray(DEPTH).save(path)
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": whole[: len(whole) * 3 // 4], "text": b"no picture at all", "empty": b""}[damage]
        )
    with pytest.raises(InputError, match=r"^a\.") as error:
        Picture().read(path)
    assert "\n" not in str(error.value)


def test_an_array_that_asks_for_more_than_the_file_holds_takes_no_memory(tmp_path: Path) -> None:
    """The header of a NPY file is compared with the file's size before anything is read."""
    np.save(tmp_path / "a.npy", DEPTH)
    raw = (tmp_path / "a.npy").read_bytes()
    assert raw.count(b"(6, 9), }        ") == 1
    (tmp_path / "a.npy").write_bytes(raw.replace(b"(6, 9), }        ", b"(99999, 99999), }"))
    with pytest.raises(InputError, match="truncated"):
        Picture().read(tmp_path / "a.npy")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    """An array of Python objects is refused: reading it would run code."""
    np.save(tmp_path / "a.npy", np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="no array of numbers"):
        Picture().read(tmp_path / "a.npy")


def test_each_format_knows_its_own_names() -> None:
    """No ending belongs to two formats; the ending of a label file follows from the task."""
    endings = [ending for f in FORMATS for ending in f.endings]
    assert len(set(endings)) == len(endings)
    assert (label_ending(BRATS), label_ending(RGBD_SOD)) == (".nii.gz", ".png")
    assert stem(Path("a.b.NII.GZ")) == "a.b"
    assert stem(Path("a.b.txt")) == "a.b.txt"
    assert format_of(Path("a.txt")) is None


@pytest.mark.real
def test_a_kinect_frame(real_data: Path) -> None:
    """The shared colour and depth images lie on one grid; depth keeps its sixteen bits, and 65535 is a hole as 0 is."""
    study = open_study(real_data / "rgbd-kinect", task=RGBD_SOD)
    assert study.present == ("rgb", "depth")
    assert study.grid.shape == (1, 424, 512)
    depth = study.images["depth"].data
    assert 60_000 < depth.max() < 65_535
    with Image.open(real_data / "rgbd-kinect" / "sample_depth.png") as stored:
        kept = np.asarray(stored)
    assert np.array_equal(depth[0], np.where(kept == 65535, 0, kept))
