"""What a network is given for a missing modality, and what its logits mean: both follow from the task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from synthetic_frames import write_frame

from napari_mrseg.degrade import degrade_study
from napari_mrseg.inference.fill import as_channels
from napari_mrseg.inference.outputs import inside, probabilities
from napari_mrseg.inference.scans import Scans
from napari_mrseg.io import open_study
from napari_mrseg.tasks import BRATS, RGBD_SOD

LOGITS = torch.tensor([[1.0, -3.0, 0.5], [2.0, -1.0, 0.4]])[None]  # (1, 2 regions, 3 voxels)


def test_sigmoid_regions_stand_for_themselves() -> None:
    """Each region's probability follows from its own logit."""
    assert torch.equal(probabilities(LOGITS, "sigmoid"), LOGITS.sigmoid())
    assert inside(LOGITS, "sigmoid").tolist() == [[[True, False, True], [True, False, True]]]


def test_softmax_regions_share_with_none_of_them() -> None:
    """With none of them, whose logit is 0, they sum to 1; a voxel is in the likeliest only; the label map agrees."""
    found = probabilities(LOGITS, "softmax")
    none = 1 / (1 + LOGITS.exp().sum(1))
    assert torch.allclose(found.sum(1) + none, torch.ones(1, 3))
    assert inside(LOGITS, "softmax").tolist() == [[[False, False, True], [True, False, False]]]
    task = replace(BRATS, regions=BRATS.regions[:2], nested=False, output="softmax")
    wt, tc = (region.paints for region in task.regions)
    assert task.label_map(found[0]).tolist() == [tc, 0, wt]


def inputs(study, where=None):
    scans = Scans()
    where = where or scans.frame(study, 1.0)
    return scans.inputs([study], where, torch.device("cpu"), torch.float32, lambda: None)[0], where


def test_the_engine_fills_after_each_ones_own_normalisation(tmp_path) -> None:
    """Colour, depth and stand-ins as the network sees them, (C, I, P, L), on a frame of one slice."""
    study = open_study(write_frame(tmp_path / "f"), task=RGBD_SOD)
    whole, where = inputs(study)
    assert whole.shape == (4, 8, 40, 56)
    colour, _ = inputs(study.only(["rgb"]), where)
    depth, _ = inputs(study.only(["depth"]), where)
    assert torch.equal(colour[:3], whole[:3])
    assert torch.equal(colour[3:], as_channels(whole[:3], 1))
    assert torch.equal(depth[3], whole[3])
    assert all(torch.equal(depth[k], whole[3]) for k in range(3))
    seen = whole.abs().amax((0, 2, 3)).nonzero().flatten().tolist()
    assert len(seen) == 1  # the other slices are the network's padding


def test_a_dark_colour_is_no_background_but_no_depth_is(tmp_path) -> None:
    """Pixels of 0 stay out of depth's normalisation and become 0; in a colour image they are dark."""
    study = open_study(write_frame(tmp_path / "f"), task=RGBD_SOD)
    whole, _ = inputs(study)
    place = int(whole.abs().amax((0, 2, 3)).argmax())
    holes = torch.from_numpy(study.images["depth"].data[0] == 0)
    assert holes.any()
    assert (whole[3, place][holes] == 0).all()
    black = torch.from_numpy((study.images["rgb"].data[0] == 0).any(-1))
    assert black.any()
    assert (whole[:3, place].amin(0)[black] < -1).all()


def test_colours_are_degraded_alike(tmp_path) -> None:
    """A colour image can be made worse too; grey stays grey."""
    study = open_study(write_frame(tmp_path / "f"), task=RGBD_SOD)
    for kind in ("noise", "blur", "ghosting", "thick slices"):
        worse = degrade_study(study, {"rgb": (kind, 1.0), "depth": (kind, 1.0)})
        assert worse.images["rgb"].data.shape == study.images["rgb"].data.shape
        assert np.abs(worse.images["depth"].data - study.images["depth"].data).max() > 0
        assert worse.digest != study.digest
