"""The run in the minutes of a GPU: what is packed comes out again, and the minutes are kept to."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

import napari_mrseg
from mrseg_training.data.anatomy import PACKED, Anatomy, from_template, load_pair, save_pair
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model
from tools import gpu
from tools.bundled import configs, read_folds

MINUTES = 1.0
SHIPPED_MODEL = Path(napari_mrseg.__file__).parent / "resources" / "models" / "compact"
SETTINGS = [
    *("run.device=cpu", "run.precision=fp32", "data.workers=1", "fold.data.simulate.train=2"),
    *("stages.supervised.extents=[[32, 32, 32]]", "stages.supervised.batch=1"),
    f"a.start={SHIPPED_MODEL}",
]


def brains(seed: int) -> tuple[Anatomy, Anatomy]:
    """A small brain without and with a lesion."""
    extents = torch.zeros(3, 20, 24, 20)
    extents[0, 4:16, 4:20, 4:16], extents[1, 7:13, 8:16, 7:13], extents[2, 3:17, 3:21, 3:17] = 0.8, 0.9, 1.0
    healthy = from_template(extents, torch.Generator().manual_seed(seed))
    labels = torch.zeros(20, 24, 20, dtype=torch.uint8)
    labels[8:12, 8:12, 8:12] = 2
    labels[9:11, 9:11, 9:11] = 3
    images = torch.where(labels > 0, healthy.images + 2, healthy.images)
    valid = healthy.valid.clone()
    valid[0] = 0
    healthy = Anatomy("brain", healthy.images, healthy.white, healthy.fluid, valid)
    return healthy, Anatomy("brain", images, healthy.white, healthy.fluid, torch.ones_like(valid), labels)


def test_a_packed_brain_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Images to half a step of their packing, with the lesion and without; labels and what is certain exactly."""
    pair = brains(0)
    save_pair(tmp_path / "brain.npz", pair)
    for before, after in zip(pair, load_pair(tmp_path / "brain.npz"), strict=True):
        torch.testing.assert_close(after.images, before.images, rtol=0, atol=0.5 / PACKED + 1e-4)
        assert torch.equal(after.valid, before.valid)
    assert torch.equal(load_pair(tmp_path / "brain.npz")[1].labels, pair[1].labels)  # type: ignore[arg-type]
    (tmp_path / "bad.npz").write_bytes((tmp_path / "brain.npz").read_bytes()[:900])
    with pytest.raises(InputError, match=r"bad\.npz is no packed brain or is damaged"):
        load_pair(tmp_path / "bad.npz")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed brain under the name of each subject."""
    root, folds = tmp_path_factory.mktemp("pack"), read_folds()
    free = [case for cases in folds["no_tumour"].values() for case in cases]
    for name in [*folds["base"], *(s for test in folds["test"].values() for s in test), *free]:
        save_pair(root / f"{name}.npz", brains(0))
    return root


def test_a_fold_keeps_to_its_minutes(pack: Path, tmp_path: Path) -> None:
    """Each from its own start, its model in the output, by a clock of the test's own."""
    runs = configs(pack, tmp_path / "work", [*gpu.HERE, *SETTINGS])
    begun = load_model(SHIPPED_MODEL).network.state_dict()
    far = {}
    for name in ("a", "b"):
        ticks = itertools.count()
        told = gpu._fold(
            runs[name],
            tmp_path / "work" / name,
            tmp_path / name,
            60 * MINUTES,
            lambda ticks=ticks: 2.0 * next(ticks),
        )
        assert isinstance(told, dict)
        assert told["training"] < MINUTES - gpu.KEPT
        assert told["minutes"] < MINUTES
        steps = json.loads((tmp_path / "work" / name / "1-supervised" / "done.json").read_text())
        assert steps["steps"] > 0
        state = load_model(tmp_path / name).network.state_dict()
        far[name] = sum(float((v - begun[k]).abs().sum()) for k, v in state.items())
    assert far["a"] < far["b"] / 5  # a went on from the bundled weights, b from none


def test_with_no_time_left_after_drawing_that_is_said(pack: Path, tmp_path: Path) -> None:
    """Every fold in a process of its own."""
    out = tmp_path / "out"
    late = gpu.train_within(pack, out, 0.1, tmp_path / "work", SETTINGS)
    assert late == dict.fromkeys(read_folds()["test"], "no time left")
    assert late == json.loads((out / "told.json").read_text())
