"""Tasks: combinations, label maps, what cannot be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_mrseg.errors import InputError
from napari_mrseg.tasks import BRATS, Label, Modality, Region, Task, get_task, key

TWO = Task(
    name="two",
    title="two modalities, exclusive regions",
    modalities=(Modality("rgb", "RGB", ("rgb",)), Modality("depth", "depth", ("depth",))),
    labels=(Label(1, "a", "a", "#E69F00"), Label(2, "b", "b", "#009E73", needs=("depth",))),
    regions=(Region("a", "a", (1,), paints=1), Region("b", "b", (2,), paints=2, needs=("depth",))),
    nested=False,
    fill="copy",
    ndim=2,
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


def test_key_joins_in_the_given_order() -> None:
    """File names carry the modalities joined with +."""
    assert key(("flair", "t1ce")) == "flair+t1ce"
