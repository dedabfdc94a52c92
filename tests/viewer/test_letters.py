"""The orientation letters agree with where a landmark of known world position lies in the picture.

A wrong letter is the worst bug this project can have. Nothing here uses the code under test to know where the
landmark is: its world position comes from the source's affine, its place on the canvas from the screenshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari import Viewer
from napari.components import Camera
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_mrseg._qt.layers import StudyLayers
from napari_mrseg._qt.orientation import OrientationLetters
from napari_mrseg._qt.overlay_style import OverlayStyle
from napari_mrseg.io import open_study
from napari_mrseg.session.state import Session

WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
SHAPE = (40, 60, 50)  # of the file
OFFSET = np.array([8.0, 14.0, 20.0])  # mm right, forward and up from the centre; all different


def affine_of(codes: str, spacing: tuple[float, float, float], tilt: float = 0.0) -> np.ndarray:
    """An affine whose file axes grow towards ``codes``, turned by ``tilt`` radians about the z axis."""
    matrix = np.zeros((3, 3))
    for axis, letter in enumerate(codes):
        world, sign = WORLD[letter]
        matrix[world, axis] = sign * spacing[axis]
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ matrix
    affine[:3, 3] = (11, -7, 5)
    return affine


def write_landmark(folder: Path, affine: np.ndarray) -> Path:
    """A FLAIR scan with a bright ball at OFFSET from its centre, in world axes."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    world = index @ affine[:3, :3].T
    centre = (np.array(SHAPE) - 1) / 2 @ affine[:3, :3].T
    bright = 1000 + np.arange(np.prod(SHAPE)).reshape(SHAPE) % 97  # a scan has more than a few values
    data = np.where(((world - centre - OFFSET) ** 2).sum(-1) < 2.6**2, bright, 0).astype(np.int16)
    folder.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), folder / "landmark_flair.nii.gz")
    return folder


class Shown:
    """The landmark's study in a real window, with letters."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.layers, self.letters = StudyLayers(viewer, session, OverlayStyle()), OrientationLetters(viewer)

    def open(self, folder: Path) -> None:
        self.session.set_study(open_study([folder]))
        for _ in self.layers.show_study(self.session.study):
            pass
        image = self.layers.images["flair"]
        image.contrast_limits = (0, 1000)
        assert self.session.study is not None
        self.letters.follow([image], self.session.study.grid.axis_codes)
        self.viewer.canvas.overlays.scale_bar.visible = False
        self.point = np.argwhere(image.data > 500).mean(0)
        self.viewer.dims.set_point((0, 1, 2), tuple(self.point * image.scale))

    def landmark(self, reset: bool = True) -> np.ndarray:
        """Where the landmark lies in the picture: mm to the right of the canvas's centre, and up."""
        if reset:
            self.viewer.reset_view()
        picture = self.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        ys, xs = np.nonzero(picture.min(-1) > 120)  # white; the letters are yellow
        assert len(xs), "the landmark is not in the picture"
        height, width = picture.shape[:2]
        zoom = self.viewer.scene.camera.zoom * picture.shape[1] / self.viewer.window._qt_viewer.canvas.size[1]
        return np.array([xs.mean() - (width - 1) / 2, (height - 1) / 2 - ys.mean()]) / zoom

    def check(self, what: str, *, reset: bool = True) -> None:
        """Right and top letters say on which side of the centre the landmark must be, and how far."""
        letters, found = self.letters.shown, self.landmark(reset)
        for side, opposite, mm in (("right", "left", found[0]), ("top", "bottom", found[1])):
            world, sign = WORLD[letters[side]]
            assert WORLD[letters[opposite]] == (world, -sign), what
            assert mm == pytest.approx(sign * OFFSET[world], abs=1.5), f"{what}: {letters}, {side}"
        assert letters["right"] not in (letters["top"], letters["bottom"]), what


@pytest.fixture
def shown(one_viewer: Viewer, session: Session) -> Iterator[Shown]:
    viewer = one_viewer
    viewer.window.resize(900, 700)
    made = Shown(viewer, session)
    yield made
    made.letters.close()
    made.layers.close()
    viewer.layers.clear()
    viewer.dims.ndisplay, viewer.dims.order = 2, (0, 1, 2)
    viewer.scene.camera.orientation = Camera().orientation


@pytest.mark.parametrize(
    ("codes", "spacing"),
    [("LPS", (1.0, 1.0, 1.0)), ("RAS", (1.0, 1.0, 1.2)), ("PIR", (1.2, 1.0, 1.0)), ("SLA", (1.0, 0.8, 1.1))],
)
def test_letters_in_all_planes_and_orders(
    shown: Shown, tmp_path: Path, codes: str, spacing: tuple[float, float, float]
) -> None:
    """Every plane, either way round, of files stored in any order: the letters say where the landmark is."""
    shown.open(write_landmark(tmp_path / codes, affine_of(codes, spacing)))
    for order in permutations(range(3)):
        shown.viewer.dims.order = order
        shown.check(f"{codes}, order {order}")


def test_planes_show_radiologically(shown: Shown, tmp_path: Path) -> None:
    """As opened: patient's left on the right, front at the top; coronal and sagittal with the head up."""
    shown.open(write_landmark(tmp_path / "x", affine_of("RAS", (1, 1, 1))))
    expected = {(0, 1, 2): "A P R L", (1, 0, 2): "S I R L", (2, 0, 1): "S I A P"}
    for order, letters in expected.items():
        shown.viewer.dims.order = order
        assert list(shown.letters.shown.values()) == letters.split()
        shown.check(f"order {order}")


def test_letters_follow_the_cameras_orientation(shown: Shown, tmp_path: Path) -> None:
    """Axes of the canvas turned round in the camera: the letters turn with the picture."""
    shown.open(write_landmark(tmp_path / "x", affine_of("LPS", (1, 1, 1))))
    for order, vertical, horizontal in product([(0, 1, 2), (2, 0, 1)], ["up", "down"], ["left", "right"]):
        shown.viewer.dims.order = order
        shown.viewer.scene.camera.orientation2d = (vertical, horizontal)
        shown.check(f"order {order}, {vertical}, {horizontal}")


def test_letters_follow_flipped_and_turned_layers(shown: Shown, tmp_path: Path) -> None:
    """A layer mirrored by a negative scale, or turned by 90°, takes its letters along."""
    shown.open(write_landmark(tmp_path / "x", affine_of("LPS", (1, 1, 1))))
    image = shown.layers.images["flair"]
    shown.viewer.layers.remove(shown.layers.prediction)
    image.scale = (1, 1, -1)
    shown.viewer.dims.set_point((0, 1, 2), tuple(shown.point * image.scale))
    shown.check("mirrored")
    image.scale = (1, 1, 1)
    image.rotate = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    shown.viewer.dims.set_point((0, 1, 2), tuple(image.data_to_world(shown.point)))
    shown.check("turned")
    assert shown.letters.shown["top"] in "RL"


def test_letters_after_rolling_and_transposing_by_keys(shown: Shown, tmp_path: Path, qtbot: QtBot) -> None:
    """napari's own keys for rolling and transposing axes change the letters with the picture."""
    shown.open(write_landmark(tmp_path / "x", affine_of("RAS", (1, 1, 1))))
    canvas = shown.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    seen = set()
    for key in (Qt.Key.Key_E, Qt.Key.Key_E, Qt.Key.Key_E, Qt.Key.Key_T, Qt.Key.Key_E, Qt.Key.Key_E):
        qtbot.keyClick(canvas, key, Qt.KeyboardModifier.ControlModifier)
        shown.check(f"order {shown.viewer.dims.order}")
        seen.add(tuple(shown.letters.shown.values()))
    assert len(seen) == 6


def test_letters_in_three_dimensions(shown: Shown, tmp_path: Path) -> None:
    """In 3-D the letters follow the camera's angles and orientation, whichever side is looked at."""
    shown.open(write_landmark(tmp_path / "x", affine_of("LPS", (1, 1, 1))))
    shown.viewer.dims.ndisplay = 3
    camera = shown.viewer.scene.camera
    views = [(0, 0, 0), (0, 0, 90), (0, 90, 0), (0, -90, 90), (90, 0, 0), (180, 0, 0)]
    for order, angles in [
        *(((0, 1, 2), view) for view in views),
        ((1, 2, 0), (0, 90, 0)),
        ((2, 1, 0), (0, 0, 90)),
    ]:
        shown.viewer.dims.order = order
        shown.viewer.reset_view()
        camera.angles = angles
        shown.check(f"order {order}, angles {angles}", reset=False)
    shown.viewer.dims.order = (0, 1, 2)
    for orientation in [("away", "down", "right"), ("towards", "up", "left"), ("away", "up", "left")]:
        camera.orientation = orientation
        shown.viewer.reset_view()
        camera.angles = (0, 0, 90)
        shown.check(f"{orientation}", reset=False)


def test_letters_of_an_oblique_scan(shown: Shown, tmp_path: Path) -> None:
    """A scan tilted by 15° keeps the letters of its nearest axes, which is where the landmark leans to."""
    affine = affine_of("LPS", (1, 1, 1), tilt=np.deg2rad(15))
    shown.open(write_landmark(tmp_path / "x", affine))
    turned = np.linalg.inv(affine_of("RAS", (1, 1, 1), tilt=np.deg2rad(15))[:3, :3]) @ OFFSET
    letters, found = shown.letters.shown, shown.landmark()
    assert letters == {"top": "A", "bottom": "P", "left": "R", "right": "L"}
    assert found == pytest.approx([-turned[0], turned[1]], abs=1.5)


def test_the_letters_are_in_the_picture(shown: Shown, tmp_path: Path) -> None:
    """A screenshot of the canvas holds all four letters, each at its side."""
    shown.open(write_landmark(tmp_path / "x", affine_of("LPS", (1, 1, 1))))
    picture = shown.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    ys, xs = np.nonzero((picture[..., 0] > 200) & (picture[..., 1] > 150) & (picture[..., 2] < 120))
    height, width = picture.shape[:2]
    middle_x, middle_y = abs(xs - width / 2) < 30, abs(ys - height / 2) < 30
    assert (middle_x & (ys < 60)).sum() > 20
    assert (middle_x & (ys > height - 60)).sum() > 20
    assert (middle_y & (xs < 60)).sum() > 20
    assert (middle_y & (xs > width - 60)).sum() > 20
