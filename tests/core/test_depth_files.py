"""Depth as people have it: 30 kinds of files and more layouts, each read right or refused by a sentence."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from napari_mrseg.display import image_title
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.io.depth import brighter_below, parse, turned
from napari_mrseg.study import Study
from napari_mrseg.tasks import RGBD_SOD, RGBT_SOD

SIZE = (48, 64)
COLOUR = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def metres() -> np.ndarray:
    """A floor that comes nearer towards the lower edge, a box on it, and a hole."""
    rows = np.linspace(4.0, 1.0, SIZE[0], dtype=np.float32)[:, None]
    depth = np.broadcast_to(rows, SIZE).copy()
    depth[20:34, 24:44] = 1.2
    depth[2:6, 3:9] = 0
    return depth


def _holes(depth: np.ndarray, hole: float) -> np.ndarray:
    return np.where(depth == 0, hole, depth)


def _png(values: np.ndarray, dtype: type) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(values.astype(dtype)).save(folder / "a_depth.png")
        return folder / "a_depth.png"

    return write


def _tif(values: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(values).save(folder / "a_depth.tif")
        return folder / "a_depth.tif"

    return write


def _npy(values: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "a_depth.npy", values)
        return folder / "a_depth.npy"

    return write


def _npz(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez_compressed(folder / "a_depth.npz", **arrays)
        return folder / "a_depth.npz"

    return write


def _mat(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        savemat(folder / "a_depth.mat", arrays)
        return folder / "a_depth.mat"

    return write


def _pfm(values: np.ndarray, order: str, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        scale = b"-1.0" if order == "<" else b"1.0"
        head = b"Pf\n%d %d\n%s\n" % (values.shape[1], values.shape[0], scale)
        (folder / name).write_bytes(head + values[::-1].astype(f"{order}f4").tobytes())
        return folder / name

    return write


M = metres()
MM = 1000 * M
INVERSE = np.where(M > 0, 1 / np.maximum(M, 0.1), 0)
GREY = np.where(M > 0, 255 * (M.max() - M) / M.max() + 1, 0)  # near bright, as in NJU2K

# What is written, the values meant (None: those of the distance turned round), and the title in the window.
READ: dict[str, tuple[Callable[[Path], Path], np.ndarray | None, str]] = {
    "npy, float32, m": (_npy(M), M, "Depth (m)"),
    "npy, float64, m": (_npy(M.astype(float)), M, "Depth (m)"),
    "npy, float16, m": (_npy(M.astype(np.float16)), M.astype(np.float16), "Depth (m)"),
    "npy, uint16, mm": (_npy(MM.astype(np.uint16)), MM.astype(np.uint16), "Depth (mm)"),
    "npy, int32, mm": (_npy(MM.astype(np.int32)), MM.astype(np.int32), "Depth (mm)"),
    "npy, height × width × 1": (_npy(M[..., None]), M, "Depth (m)"),
    "npy, 1 × height × width": (_npy(M[None]), M, "Depth (m)"),
    "npy, 1 × 1 × height × width": (_npy(M[None, None]), M, "Depth (m)"),
    "npy, holes NaN": (_npy(_holes(M, np.nan)), M, "Depth (m)"),
    "npy, holes infinite": (_npy(_holes(M, np.inf)), M, "Depth (m)"),
    "npy, Fortran order": (_npy(np.asfortranarray(M)), M, "Depth (m)"),
    "npz, one array": (_npz(arr_0=M), M, "Depth (m)"),
    "npz, several, one called depth": (_npz(depth=M, intrinsics=np.eye(3), mask=M > 0), M, "Depth (m)"),
    "png, 16 bits, mm": (_png(MM, np.uint16), MM.astype(np.uint16), "Depth (mm)"),
    "png, 16 bits, 0.1 mm, near objects": (
        _png(10 * MM / 4, np.uint16),
        (10 * MM / 4).astype(np.uint16),
        "Depth (mm)",
    ),
    "png, 16 bits, holes 65535": (_png(_holes(MM, 65535), np.uint16), MM.astype(np.uint16), "Depth (mm)"),
    "png, 8 bits, far bright": (_png(60 * M, np.uint8), (60 * M).astype(np.uint8), "Depth"),
    "png, 8 bits, near bright": (_png(GREY, np.uint8), None, "Depth"),
    "png, 8 bits, grey as colour": (
        _png(np.repeat((60 * M)[..., None], 3, 2), np.uint8),
        (60 * M).astype(np.uint8),
        "Depth",
    ),
    "tiff, float32, m": (_tif(M), M, "Depth (m)"),
    "tiff, float32, mm": (_tif(MM.astype(np.float32)), MM, "Depth (mm)"),
    "tiff, 16 bits, mm": (_tif(MM.astype(np.uint16)), MM.astype(np.uint16), "Depth (mm)"),
    "tiff, 32 bits, mm": (_tif(MM.astype(np.int32)), MM.astype(np.int32), "Depth (mm)"),
    "mat, double, m": (_mat(depth=M.astype(float)), M, "Depth (m)"),
    "mat, several, one called depth": (_mat(depthMap=M, rgb=COLOUR, K=np.eye(3)), M, "Depth (m)"),
    "pfm, little-endian": (_pfm(M, "<", "a_depth.pfm"), M, "Depth (m)"),
    "pfm, big-endian": (_pfm(M, ">", "a_depth.pfm"), M, "Depth (m)"),
    "pfm, named disparity": (_pfm(40 * INVERSE, "<", "a_disparity.pfm"), None, "Depth"),
    "npy, inverse depth by its values": (_npy(INVERSE.astype(np.float32) * 0.09), None, "Depth"),
}

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "npz of nothing that is named": (
        _npz(a=M, b=M),
        r"a_depth.npz holds 2 arrays \(a, b\); save one, or call it",
    ),
    "npy of four channels": (
        _npy(np.zeros((*SIZE, 4), np.float32)),
        r"48×64×4 values of type float32; save height × width",
    ),
    "npy of a whole film": (_npy(np.zeros((9, *SIZE), np.float32)), r"holds 9×48×64 values"),
    "npy of objects": (_npy(np.array([[{}]], dtype=object)), r"no array of numbers"),
    "png in false colours": (_png(np.stack([GREY, 255 - GREY, GREY], -1), np.uint8), r"is a colour image"),
    "all holes": (_npy(np.zeros(SIZE, np.float32)), r"constant"),
}


def opened(folder: Path, file: Path, **options: str) -> Study:
    Image.fromarray(COLOUR).save(folder / "a_rgb.png")
    return open_study({"rgb": folder / "a_rgb.png", "depth": file}, task=RGBD_SOD, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READ)
def test_read_as_it_is_meant(tmp_path: Path, kind: str) -> None:
    """Values, holes 0, far is large whatever the file says, and the unit in the title where it can be known."""
    write, meant, title = READ[kind]
    study = opened(tmp_path, write(tmp_path))
    found = study.images["depth"].data[0]
    assert ((found == 0) == (M == 0)).all()
    if meant is not None:
        np.testing.assert_allclose(found, meant, rtol=1e-6)
    else:
        assert [note.code for note in study.notes if note.code != "invalid_pixels"] == ["depth_turned"]
        there = M > 0
        assert np.corrcoef(found[there], M[there])[0, 1] > 0.8
    assert image_title(study, "depth") == title


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_a_sentence(tmp_path: Path, kind: str) -> None:
    """The file by name, what is wrong, the mend; no traceback."""
    write, says = REFUSED[kind]
    with pytest.raises(InputError, match=says) as error:
        opened(tmp_path, write(tmp_path))
    assert "\n" not in str(error.value)


def test_an_exr_file_is_read_or_its_reader_is_named(tmp_path: Path) -> None:
    """With the package OpenEXR the values come; without it a sentence says which package is needed."""
    path = tmp_path / "a_depth.exr"
    try:
        import OpenEXR
    except ImportError:
        path.write_bytes(b"v/1\x01" + struct.pack("<i", 2) + bytes(64))
        with pytest.raises(InputError, match="pip install OpenEXR"):
            opened(tmp_path, path)
        return
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": M}) as file:
        file.write(str(path))
    np.testing.assert_allclose(opened(tmp_path, path).images["depth"].data[0], M)


def test_what_was_guessed_can_be_said_better(tmp_path: Path) -> None:
    """The direction and the unit that the user gives are taken; the note of the guess says how."""
    path = READ["png, 8 bits, near bright"][0](tmp_path)
    guessed = opened(tmp_path, path)
    assert guessed.notes[0].message.endswith("If that is wrong, say it: --depth far.")
    kept = opened(tmp_path, path, depth="far")
    assert not kept.notes
    assert (kept.images["depth"].data[0] == np.asarray(Image.open(path))).all()
    tenth = opened(tmp_path, READ["png, 16 bits, mm"][0](tmp_path), depth="far,0.1mm")
    assert image_title(tenth, "depth") == "Depth (0.1 mm)"
    said = opened(tmp_path, READ["npy, float32, m"][0](tmp_path), depth="near")
    assert "as you said" in said.notes[0].message
    with pytest.raises(InputError, match="“upside” says nothing of depth"):
        parse("upside")


def test_a_map_turned_twice_is_the_map() -> None:
    """Highest and lowest change places, order is reversed, holes stay."""
    depth = M[None].astype(np.float32)
    np.testing.assert_allclose(turned(turned(depth)), depth, rtol=1e-5)
    assert brighter_below(turned(depth)) > 0.8 > 0 > brighter_below(depth)


def test_colour_and_depth_of_other_sizes_of_one_view(tmp_path: Path) -> None:
    """1920 × 1080 with 640 × 360 comes onto one grid and is said; Kinect 2's 512 × 424 is another view and refused."""
    Image.fromarray(
        np.zeros((108, 192, 3), np.uint8) + COLOUR[:1, :1] + np.arange(192, dtype=np.uint8)[:, None]
    ).save(tmp_path / "a_rgb.png")
    for size, fits in (((36, 64), True), ((42, 51), False)):
        depth = np.linspace(500, 4000, size[0] * size[1]).reshape(size).astype(np.uint16)
        Image.fromarray(depth).save(tmp_path / "a_depth.png")
        if not fits:
            with pytest.raises(InputError, match="another shape of view"):
                open_study(tmp_path, task=RGBD_SOD)
            continue
        study = open_study(tmp_path, task=RGBD_SOD)
        assert study.images["depth"].data.shape == (1, 108, 192)
        assert "resized" in [note.code for note in study.notes]


# Names as cameras, recorders and data sets give them.
LAYOUTS = {
    "NJU2K": ("RGB_left/000001_left.jpg", "depth/000001_left.png"),
    "NLPR": ("RGB/1_02-02-40.jpg", "depth/1_02-02-40_Depth.bmp"),
    "SIP": ("RGB/1.jpg", "depth/1.png"),
    "STERE": ("RGB/010_left.jpg", "depth/010_left.png"),
    "DUT-RGBD": ("train_images/0004.png", "train_depth/0004.png"),
    "SUN RGB-D": ("image/0000103.jpg", "depth_bfx/0000103.png"),
    "RealSense viewer": ("d435_Color.png", "d435_Depth.png"),
    "RealSense, folders": ("color/000001.png", "depth/000001.png"),
    "Kinect, TUM": ("rgb/1305031102.175304.png", "depth/1305031102.160407.png"),
    "Azure Kinect": ("color_000012.png", "depth_000012.png"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders_are_told_by_their_names(tmp_path: Path, name: str) -> None:
    """Colour and depth of each layout, with nothing said."""
    rgb, depth = (tmp_path / part for part in LAYOUTS[name])
    for path in (rgb, depth):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOUR).save(rgb)
    kind = np.uint8 if depth.suffix == ".bmp" else np.uint16
    Image.fromarray((MM / 20 if kind is np.uint8 else MM).astype(kind)).save(depth)
    assert open_study(tmp_path, task=RGBD_SOD).present == ("rgb", "depth")


def test_the_layout_of_vt5000_is_told(tmp_path: Path) -> None:
    """RGB and T."""
    for folder in ("RGB", "T"):
        (tmp_path / folder).mkdir()
    Image.fromarray(COLOUR).save(tmp_path / "RGB" / "1.jpg")
    Image.fromarray(COLOUR[..., 0]).save(tmp_path / "T" / "1.jpg")
    assert open_study(tmp_path, task=RGBT_SOD).present == ("rgb", "thermal")
