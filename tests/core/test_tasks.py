"""Tasks: combinations, label maps, what cannot be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_mrseg.display import rgb
from napari_mrseg.errors import InputError
from napari_mrseg.inference.fill import LUMINANCE
from napari_mrseg.tasks import BRATS, RGBD_SOD, TASKS, Label, Modality, Region, Task, get_task, key

TWO = Task(
    name="two",
    title="two modalities, exclusive regions",
    modalities=(Modality("rgb", "RGB", ("rgb",)), Modality("depth", "depth", ("depth",))),
    labels=(Label(1, "a", "a", ("#E69F00",)), Label(2, "b", "b", ("#009E73",), needs=("depth",))),
    regions=(Region("a", "a", (1,), paints=1), Region("b", "b", (2,), paints=2, needs=("depth",))),
    nested=False,
    fill="copy",
    ndim=2,
    output="softmax",
)


def test_four_modalities_have_fifteen_combinations_each_once() -> None:
    """Every non-empty subset is there, the full one first, each in the task's order."""
    found = BRATS.combinations()
    assert len(found) == len(set(found)) == 15
    assert found[0] == BRATS.names
    assert all(c == BRATS.combination(reversed(c)) for c in found)


def test_two_modalities_fit_the_same_type() -> None:
    """A two-modality, two-dimensional task with exclusive regions needs no other code."""
    assert TWO.combinations() == (("rgb", "depth"), ("rgb",), ("depth",))
    assert TWO.unit == "px"
    assert [r.name for r in TWO.estimated(("rgb",))] == ["b"]


def test_combinations_of_what_is_there() -> None:
    """With two of four modalities there are three combinations."""
    assert BRATS.combinations(["t2", "flair"]) == (("flair", "t2"), ("flair",), ("t2",))


def test_enhancing_tumour_is_an_estimate_only_without_contrast() -> None:
    """ET needs T1ce; so do the labels on both sides of its border."""
    for combination in BRATS.combinations():
        unseen = "t1ce" not in combination
        assert [r.name for r in BRATS.estimated(combination)] == (["ET"] if unseen else [])
        assert [x.code for x in BRATS.estimated_labels(combination)] == ([1, 3] if unseen else [])


@pytest.mark.parametrize("names", [[], ["ct"], ["flair", "ct"]])
def test_unknown_or_no_modality_is_one_sentence(names: list[str]) -> None:
    """An empty combination, or a modality that the task lacks, is refused in words."""
    with pytest.raises(InputError) as error:
        BRATS.combination(names)
    assert "\n" not in str(error.value)
    assert "flair" in str(error.value)


def test_unknown_task_lists_the_known_ones() -> None:
    """A task that does not exist is refused with the names of those that do."""
    with pytest.raises(InputError, match="brats"):
        get_task("liver")


@given(arrays.arrays(np.float32, (3, 2, 3, 4), elements=st.floats(0, 1, width=32)))
def test_label_map_nests_regions(probabilities: np.ndarray) -> None:
    """TC lies within WT and ET within TC, whatever the network says, on arrays and on tensors."""
    labels = BRATS.label_map(probabilities)
    wt, tc, et = (np.isin(labels, r.codes) for r in BRATS.regions)
    assert not (tc & ~wt).any()
    assert not (et & ~tc).any()
    assert np.array_equal(wt, probabilities[0] >= 0.5)
    assert np.array_equal(et, (probabilities >= 0.5).all(0))
    assert np.array_equal(BRATS.label_map(torch.from_numpy(probabilities)).numpy(), labels)


def test_label_map_of_exclusive_regions_takes_the_likeliest() -> None:
    """Without nesting each voxel gets the likeliest of background and regions."""
    probabilities = np.array([[0.6, 0.1, 0.3], [0.3, 0.2, 0.5]])
    assert TWO.label_map(probabilities).tolist() == [1, 0, 2]


def test_label_map_of_independent_regions_takes_the_likeliest_from_one_half_on() -> None:
    """With a sigmoid each region is there or not; only where two are there the likelier one has the voxel."""
    probabilities = np.array([[0.6, 0.4, 0.3, 0.7], [0.7, 0.4, 0.5, 0.2]])
    assert replace(TWO, output="sigmoid").label_map(probabilities).tolist() == [2, 0, 2, 1]


def test_nested_regions_cannot_exclude_each_other() -> None:
    """A task that asks for both is refused when it is written down."""
    with pytest.raises(ValueError, match="nested"):
        replace(BRATS, output="softmax")


def test_channels_follow_from_the_modalities() -> None:
    """A colour image is three input channels; every task says how many there are in one place."""
    assert BRATS.channels == BRATS.names
    assert RGBD_SOD.channels == ("rgb", "rgb", "rgb", "depth")


def test_units_follow_from_the_dimensions() -> None:
    """Volumes are measured in mL and mm, images in pixels."""
    assert (BRATS.unit, BRATS.length_unit) == ("mL", "mm")
    assert (RGBD_SOD.unit, RGBD_SOD.length_unit) == ("px", "px")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_holds_together(task: Task) -> None:
    """Regions and needs name labels and modalities that are there; no code is used twice; hashing works."""
    codes = [label.code for label in task.labels]
    assert len(set(codes)) == len(codes)
    for region in task.regions:
        assert set(region.codes) <= set(codes)
        assert region.paints in region.codes
        assert set(region.needs) <= set(task.names)
    assert {task: 1}[task] == 1


def test_key_joins_in_the_given_order() -> None:
    """File names carry the modalities joined with +."""
    assert key(("flair", "t1ce")) == "flair+t1ce"


def test_the_colours_stay_apart_in_grey_print() -> None:
    """The luminances of the tumour's labels (ITU-R BT.601) differ by a tenth of the way from black to white or more."""
    greys = sorted(float(np.dot(LUMINANCE, rgb(label.colour)[:3])) for label in BRATS.labels)
    assert greys[-1] <= 1
    assert min(np.diff(greys)) > 0.1
