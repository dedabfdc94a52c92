"""Scans on different grids or in different poses, and heads with a skull: onto one grid, the brain alone, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study, write_labels
from napari_mrseg.io.align import Align, find_motion, sample, stated_pose
from napari_mrseg.io.background import ZeroBackground
from napari_mrseg.io.brain import BrainMask, GivenMask
from napari_mrseg.steps import take
from napari_mrseg.study import Grid, Image, Source, Study
from napari_mrseg.tasks import BRATS

IPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


def turned(degrees: float, shift: tuple[float, float, float], centre: np.ndarray) -> np.ndarray:
    """(4, 4): about an oblique axis through ``centre``, then shifted, mm."""
    axis = np.array([1.0, 0.5, -0.7]) / np.linalg.norm([1.0, 0.5, -0.7])
    angle = np.radians(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, centre + np.array(shift) - turn @ centre
    return motion


def with_motion(study: Study, name: str, motion: np.ndarray) -> Study:
    """The study with one contrast taken after the head had moved, on a grid with thick slices."""
    own = study.grid
    matrix = own.matrix @ np.diag([3.0, 1, 1, 1])
    thick = Grid.of((own.shape[0] // 3, *own.shape[1:]), matrix)
    data = sample(study.images[name].data, own, thick, np.linalg.inv(motion))
    source = replace(study.images[name].source, grid=thick)
    images = {**study.images, name: Image(data, source)}
    return images  # type: ignore[return-value]


@pytest.mark.real
def test_a_moved_contrast_is_found_and_its_labels_go_back(real_data: Path, tmp_path: Path) -> None:
    """12° and 15 mm on thick slices of a real case: put back within 0.5° and 1 mm, said, and back on its own grid."""
    study = open_study(real_data / "BraTS-GLI-00000-000")
    centre = (study.grid.matrix @ [*(np.array(study.grid.shape) / 2), 1])[:3]
    motion = turned(12, (9, -10, 6), centre)
    images = with_motion(study, "t2", motion)
    moved, notes = Align().apply(images, BRATS)  # type: ignore[arg-type]
    assert [(note.code, note.modality) for note in notes] == [("registered", "t2")]
    source = moved["t2"].source
    rest = np.array(source.motion) @ np.linalg.inv(motion)
    assert np.degrees(np.arccos((np.trace(rest[:3, :3]) - 1) / 2)) < 0.5
    assert np.linalg.norm(((np.array(source.motion) - motion) @ [*centre, 1])[:3]) < 1
    both = (moved["t2"].data > 0) & (study.images["t2"].data > 0)
    assert np.corrcoef(moved["t2"].data[both], study.images["t2"].data[both])[0, 1] > 0.85  # thick slices
    assert study.reference is not None
    path = tmp_path / "t2.nii.gz"
    write_labels(study.reference.labels, source, path)
    written = nib.load(path)
    expected = sample(study.reference.labels, study.grid, source.own_grid, np.linalg.inv(motion), order=0)
    found = source.to_ipl(np.asarray(written.dataobj))
    assert np.array_equal(written.shape, source.grid.shape)
    overlap = 2 * ((found > 0) & (expected > 0)).sum() / ((found > 0).sum() + (expected > 0).sum())
    assert overlap > 0.95


@given(
    factors=st.tuples(*[st.sampled_from([1.0, 1.5, 2.0, 3.0])] * 3),
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_what_is_sampled_keeps_its_place(
    factors: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    """The centre of a blob is at one place in space before and after, whatever the grids."""
    data = np.zeros((40, 40, 40), np.float32)
    data[18:23, 16:22, 20:26] = 1
    data = ndimage.gaussian_filter(data, 2)
    own = Grid.of(data.shape, IPL)
    matrix = IPL @ np.diag([*factors, 1.0])
    matrix[:3, 3] += shift
    grid = Grid.of([int(40 / f) for f in factors], matrix)
    found = sample(data, own, grid)
    places = [
        (g.matrix @ [*ndimage.center_of_mass(values), 1])[:3] for g, values in ((own, data), (grid, found))
    ]
    assert np.allclose(*places, atol=0.35)


def test_the_same_space_is_resampled_without_a_motion() -> None:
    """A blob-like head on two grids: no motion is made up, and the note says resampled."""
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=(90, 100, 80)), 3)
    place = np.indices(texture.shape) - np.array([45, 50, 40])[:, None, None, None]
    head = (place[0] / 40) ** 2 + (place[1] / 45) ** 2 + (place[2] / 34) ** 2 < 1
    data = np.where(head, 100 + 2000 * texture, 0).astype(np.float32)
    own = Grid.of(data.shape, 2 * IPL + np.diag([0, 0, 0, -1.0]))
    other = Grid.of((30, 100, 80), own.matrix @ np.diag([3.0, 1, 1, 1]))
    images = {
        "flair": Image(data, Source(Path("flair.nii"), own, "a")),
        "t2": Image(
            sample(np.where(head, 300 - data, 0).astype(np.float32), own, other),
            Source(Path("t2.nii"), other, "b"),
        ),
    }
    changed, (note,) = Align().apply(images, BRATS)
    assert list(changed) == ["t2"]
    assert note.code == "resampled"
    assert np.array_equal(np.array(changed["t2"].source.motion), np.eye(4))
    assert changed["t2"].source.ipl_grid.same_as(own)


def head_of(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, Grid]:
    """Texture within an ellipsoid, on a grid of 2 mm."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    inside = (place**2).sum(0) < 0.85
    return np.where(inside, 100 + 2000 * texture, 0).astype(np.float32), Grid.of(
        shape, 2 * IPL + np.diag([0, 0, 0, -1.0])
    )


SLABS = {  # first and last slice, step, turn in degrees, shift in mm
    "in the middle": (24, 44, 2, 0, (0, 0, 0)),
    "at the top": (10, 26, 2, 0, (0, 0, 0)),
    "low and thick": (40, 58, 3, 0, (0, 0, 0)),
    "thin": (28, 38, 1, 0, (0, 0, 0)),
    "six slices": (26, 44, 3, 0, (0, 0, 0)),
    "moved aside": (24, 44, 2, 0, (12, 0, 0)),
    "moved up": (24, 44, 2, 0, (0, 0, 9)),
    "turned": (24, 44, 2, 12, (0, 0, 0)),
    "turned and moved": (20, 44, 3, 8, (5, -6, 0)),
    "moved a little": (24, 44, 2, 0, (4, 4, 0)),
}


@pytest.mark.parametrize("kind", SLABS)
def test_a_slab_lies_where_its_header_says_if_that_fits(kind: str) -> None:
    """Believed where its position is right, whatever its place and thickness; not where the head had moved."""
    first, last, step, degrees, shift = SLABS[kind]
    data, own = head_of((70, 80, 64))
    matrix = own.matrix @ np.diag([step, 1.0, 1, 1])
    matrix[:3, 3] = (own.matrix @ [first, 0, 0, 1])[:3]
    grid = Grid.of(((last - first) // step, 80, 64), matrix)
    motion = turned(degrees, shift, (own.matrix @ [35, 40, 32, 1])[:3])
    other = np.where(data > 0, np.abs(300 - data), 0).astype(np.float32)  # another contrast
    slab = Image(sample(other, own, grid, np.linalg.inv(motion)), Source(Path("t2.nii"), grid, "b"))
    whole = Image(data, Source(Path("flair.nii"), own, "a"))
    right = degrees == 0 and shift == (0, 0, 0)
    for found in (stated_pose(whole, slab), stated_pose(slab, whole)):
        assert (found is not None) is right, found
        assert found is None or np.array_equal(np.array(found.matrix), np.eye(4))


@pytest.mark.real
def test_a_slab_beside_a_whole_scan_is_kept_in_its_place(real_data: Path) -> None:
    """Ten slices of 3 mm at the top of the head, on which registration finds no hold: resampled, and it is said."""
    study = open_study(real_data / "BraTS-GLI-00000-000", reference=False, steps=())
    own = study.grid
    matrix = own.matrix @ np.diag([3.0, 1, 1, 1])
    matrix[:3, 3] = (own.matrix @ [20, 0, 0, 1])[:3]
    grid = Grid.of((10, *own.shape[1:]), matrix)
    slab = Image(sample(study.images["t1ce"].data, own, grid), Source(Path("t1ce.nii"), grid, "b"))
    changed, (note,) = Align().apply({"flair": study.images["flair"], "t1ce": slab}, BRATS)
    assert note.code == "resampled_by_header"
    assert np.array_equal(np.array(changed["t1ce"].source.motion), np.eye(4))
    inside = changed["t1ce"].data[23:45] > 0
    both = np.corrcoef(changed["t1ce"].data[23:45][inside], study.images["t1ce"].data[23:45][inside])[0, 1]
    assert both > 0.9


@pytest.mark.real
def test_a_head_that_is_no_head_is_not_aligned(real_data: Path) -> None:
    """Another patient's scan upside down beside it: refused by name, with the way on."""
    study = open_study(real_data / "BraTS-GLI-00000-000", reference=False)
    rng = np.random.default_rng(1)
    noise = (rng.random((60, 120, 120)) * 500).astype(np.float32)
    grid = Grid.of(noise.shape, study.grid.matrix @ np.diag([2.0, 2, 2, 1]))
    images = {"flair": study.images["flair"], "t2": Image(noise, Source(Path("x_t2.nii"), grid, "n"))}
    with pytest.raises(
        InputError, match=r"x_t2\.nii \(t2\) lies on another grid .* leave t2 out, or register it"
    ):
        Align().apply(images, BRATS)


@pytest.mark.real
def test_a_brain_without_skull_stays_as_it_is(real_data: Path) -> None:
    """No step is recorded where nothing has to be cut."""
    study = open_study(real_data / "BraTS-GLI-00000-000", reference=False)
    assert all(image.steps == () and image.mask is None for image in study.images.values())


@pytest.mark.real
def test_a_mask_by_hand_is_part_of_the_study(real_data: Path) -> None:
    """Another mask, another digest; the voxels outside are 0 in every modality."""
    study = open_study(real_data / "ms-longitudinal-01-raw", use=["t1"], steps=(ZeroBackground(),))
    masks = [np.zeros(study.grid.shape, bool) for _ in range(2)]
    masks[0][5:20, 50:150, 50:150] = masks[1][6:20, 50:150, 50:150] = True
    by_hand = [take(study, [GivenMask(mask)]) for mask in masks]
    assert len({study.digest, *(s.digest for s in by_hand)}) == 3
    assert not by_hand[0].images["t1"].data[~masks[0]].any()
    cut = take(study, [BrainMask()])
    assert cut.images["t1"].mask is not None
    assert not cut.images["t1"].data[~cut.images["t1"].mask].any()


def test_no_motion_is_found_for_the_same_image() -> None:
    """The identity, within a tenth of a millimetre."""
    rng = np.random.default_rng(3)
    data = ndimage.gaussian_filter(rng.normal(size=(60, 70, 60)), 3)
    place = np.indices(data.shape) - np.array([30, 35, 30])[:, None, None, None]
    head = (place[0] / 28) ** 2 + (place[1] / 32) ** 2 + (place[2] / 22) ** 2 < 1
    data = np.where(head, 10 * data + 1, 0).astype(np.float32)
    image = Image(data, Source(Path("a"), Grid.of(data.shape, 2 * IPL + np.diag([0, 0, 0, -1.0])), ""))
    assert find_motion(image, image).mm < 0.1


@pytest.mark.real
def test_where_no_brain_is_nothing_is_cut(real_data: Path) -> None:
    """A phantom, larger than a brain: it stays whole, and that is said."""
    study = open_study(real_data / "dicom-philips-t1" / "study 1")
    assert "brain_not_found" in {note.code for note in study.notes}
    assert study.images["t1"].mask is None
    assert study.images["t1"].data.any()
