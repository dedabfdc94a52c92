"""Frames from photographs and real pairs, and the network of pictures that learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mrseg_training import scene_files
from mrseg_training.config import load_config
from mrseg_training.data import sensors
from mrseg_training.data.collage import SIZE, Picture, Pool, picture_of
from mrseg_training.model_card import model_card
from mrseg_training.stage_run import parameter_groups
from mrseg_training.stages import make_stage


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 < radius**2)


def pool(share: float = 0.4) -> Pool:
    """Two photographs of a disc, a surface and a pair."""
    rng = np.random.default_rng(0)
    mask = disc((120, 160), 35)
    colour = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    depth = np.where(mask, 800, 2000).astype(np.float32)
    surface = rng.random((90, 130, 3)).astype(np.float32)
    return Pool([Picture(colour, mask)] * 2, [surface], [Picture(colour, mask, depth)], share)


def test_a_frame_depends_on_its_number_alone() -> None:
    """Colour, depth and mask of the same size; drawn again the same, of another number another."""
    frames = pool()
    for k in range(12):
        one, again = (frames.frame(np.random.default_rng(k)) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
        assert one.colour.shape == (*SIZE, 3)
        assert one.depth.dtype == np.uint16
        assert one.depth.shape == one.truth.shape == SIZE
        assert one.truth.any()
    other = frames.frame(np.random.default_rng(99))
    assert not np.array_equal(other.colour, one.colour)


def test_a_frame_whose_depth_shows_nothing_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be refused as constant when it is read does not come."""
    flat = iter([True, True, False])
    stored = sensors.stored
    monkeypatch.setattr(
        sensors, "stored", lambda rng, depth: stored(rng, np.full_like(depth, 900) if next(flat) else depth)
    )
    monkeypatch.setattr("mrseg_training.data.collage.THERMAL", 0.0)
    made = pool(0.0).frame(np.random.default_rng(0))
    assert np.ptp(made.depth) > 0
    assert next(flat, None) is None


def test_where_depth_was_made_the_object_is_nearer() -> None:
    """Of a photograph: what stands on the floor is before what is behind it."""
    frames = pool(0.0)
    colour, depth, truth = frames._photo(np.random.default_rng(3))
    room = frames._photo(np.random.default_rng(3))[1]
    assert np.array_equal(depth, room)
    ring = disc(SIZE, 200) & ~truth
    assert colour.shape == (*SIZE, 3)
    assert np.median(depth[truth]) < np.median(depth[ring])


@pytest.mark.parametrize("camera", [sensors.structured_light, sensors.time_of_flight, sensors.stereo])
def test_cameras_lose_some_and_keep_the_order(camera: object) -> None:
    """Holes are 0; what was measured is near what is there."""
    depth = np.where(disc((96, 128), 30), 900, 2500).astype(np.float32)
    for k in range(4):
        seen = camera(np.random.default_rng(k), depth)  # type: ignore[operator]
        there = seen > 0
        assert 0.4 < there.mean() <= 1
        assert np.median(np.abs(seen[there] - depth[there]) / depth[there]) < 0.05


def test_files_keep_depth_in_both_directions() -> None:
    """Far bright, near bright and disparity all come; holes stay holes or are filled."""
    depth = np.where(disc((60, 80), 20), 900, 2500).astype(np.float32)
    depth[:5] = 0
    directions = set()
    for k in range(30):
        kept = sensors.stored(np.random.default_rng(k), depth)
        assert kept.dtype == np.uint16
        assert (kept[:5] == 0).all() or (kept > 0).all()
        directions.add(bool(kept[30, 40] < kept[50, 5]))
    assert directions == {True, False}


def test_photographs_without_a_sure_object_serve_as_surfaces(tmp_path: Path) -> None:
    """A mask in between is no truth; a picture with hardly any object is a surface."""
    (tmp_path / "masks").mkdir()
    masks = {"sure": 255 * disc((40, 60), 12), "unsure": np.full((40, 60), 100), "empty": np.zeros((40, 60))}
    for name, mask in masks.items():
        Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png.png")
    assert picture_of(tmp_path / "unsure.png", tmp_path / "masks" / "unsure.png.png") is None
    photos, surfaces = scene_files.read_photos(tmp_path)
    assert len(photos) == 1
    assert len(surfaces) == 2


def test_folds_keep_neighbours_together(tmp_path: Path) -> None:
    """Each set is cut by the order of its names: what was taken one after the other is in one fold."""
    for k in range(5):
        path = tmp_path / "set" / "RGB" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folds = scene_files.fold_of(tmp_path, 2)
    assert [folds[tmp_path / "set" / "RGB" / f"{k}.jpg"] for k in range(5)] == [0, 0, 0, 1, 1]


def test_the_pretrained_part_learns_more_slowly_and_the_card_says_how_pictures_are_seen() -> None:
    """Its rate is a share of the others'; pictures of any size come whole onto 320 pixels; adapters learn, too."""
    config = load_config("lite", ["data.path=."])
    stage = make_stage("supervised", config)
    part = config.stage("supervised")
    others, body = parameter_groups(stage, part)
    inside = {id(p) for p in stage.network.backbone.body.parameters() if p.requires_grad}
    assert {id(p) for p in body["params"]} == inside
    assert body["share"] == part.backbone_rate < 1
    assert not inside & {id(p) for p in others["params"]}
    assert any(p is stage.network.adapters[0].hidden.weight for p in others["params"])

    class Data:
        subjects = ("a",)

    card = model_card(config, "supervised", part, Data())  # type: ignore[arg-type]
    assert card.validated[0].whole
    assert card.validated[0].spacing((1, 480, 640)) == 2.0
    assert card.validated[0].spacing((1, 4000, 3000)) == 12.5
    assert torch.is_tensor(stage.network.head.bias)
