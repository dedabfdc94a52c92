"""Networks with an encoder for each modality: mmFormer, SMML and CMC."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import model as tiny_model
from tiny import study

from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.cmc import Cmc
from napari_mrseg.models.counting import count
from napari_mrseg.models.mmformer import MmFormer
from napari_mrseg.models.network import Network, find_network
from napari_mrseg.models.smml import Smml
from napari_mrseg.models.store import Model, load_model, save_model
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS, RGBD_SOD, Task

SMALL: dict[str, dict[str, Any]] = {
    "mmformer": {"levels": 3, "width": 4, "tokens": 16, "heads": 2, "feed_forward": 32, "patch": 2},
    "smml": {"levels": 3, "width": 4, "tokens": 16, "heads": 2, "feed_forward": 32, "patch": 2, "refine": 4},
    "cmc": {"levels": 3, "width": 4},
}
NAMES = tuple(SMALL)


def made(name: str, task: Task = BRATS, **changes: Any) -> Network:
    torch.manual_seed(0)
    return find_network(name).for_task(task, SMALL[name] | changes).eval()


def saved(folder: Path, name: str, **about: Any) -> Model:
    network = made(name)
    with torch.no_grad():  # fresh heads find nothing
        for layer in network.last_layers:
            layer.bias.fill_(0.0)  # type: ignore[union-attr]
    told = tiny_model(folder).card.model_copy(update={"name": name, **about})
    save_model(folder / name, network, told)
    return load_model(folder / name)


@pytest.mark.parametrize(
    ("kind", "published", "unused"),
    # mmFormer's code holds four projections of its tokens that nothing reads (4 · (512 · 128 + 128) = 0.263 M).
    [(MmFormer, 36.67, 0.263), (Smml, 2 * 36.67, 2 * 0.263)],
)
def test_parameters_are_those_published(kind: type[Network], published: float, unused: float) -> None:
    """36.7 M a branch (AAAI 2025), but for what the published code holds without using it; the refinement aside."""
    with torch.device("meta"):
        network = kind.for_task(BRATS, {"refine": 0} if kind is Smml else {})
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(published - unused, abs=0.02 * published / 36.67)


@pytest.mark.parametrize("name", NAMES)
@given(kept=st.lists(st.booleans(), min_size=4, max_size=4).filter(lambda row: row[0] or row[1]))
@settings(max_examples=15, deadline=None)
def test_what_stands_in_for_a_missing_modality_is_not_seen(name: str, kept: list[bool]) -> None:
    """Other voxels in a missing modality, other samples in the batch: the same logits, and finite ones."""
    network = made(name)
    x = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    available = torch.tensor([kept, [True] * 4])
    with torch.inference_mode():
        first = network(x, available)
        other = x.clone()
        other[0, ~available[0]] = 100.0
        assert torch.equal(network(other, available), first)
        alone = network(x[:1], available[:1])
    assert bool(torch.isfinite(first).all())
    torch.testing.assert_close(alone, first[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_extents_of_any_size_and_shape(name: str) -> None:
    """Multiples of the stride go through, others are refused with the stride; positions fit maps of any extents."""
    network = made(name)
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 8, 24, 16)).shape == (1, 3, 8, 24, 16)
        with pytest.raises(ValueError, match="multiples"):
            network(torch.zeros(1, 4, 8, 22, 16))
        with pytest.raises(ValueError, match="Input must be"):
            network(torch.zeros(1, 3, 8, 8, 8))
        with pytest.raises(ValueError, match="available must be bool"):
            network(torch.zeros(1, 4, 8, 8, 8), torch.ones(1, 3, dtype=torch.bool))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stem", [1, 2])
def test_frames_have_nothing_to_do_with_each_other(name: str, stem: int) -> None:
    """Colour with three channels and depth: a frame's logits are the same alone and in a row of frames."""
    network = made(name, RGBD_SOD, stem=stem)
    x = torch.randn(1, 4, 3, 16, 24, generator=torch.Generator().manual_seed(2))
    available = torch.tensor([[True, False]])
    with torch.inference_mode():
        together = network(x, available)
        alone = network(x[:, :, 1:2].contiguous(), available)
    assert together.shape == (1, 1, 3, 16, 24)
    torch.testing.assert_close(alone, together[:, :, 1:2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_for_inference_leaves_out_what_only_training_needs(name: str) -> None:
    """The simplified copy gives the same logits, with fewer parameters where training had more."""
    network = made(name)
    x = torch.randn(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(3))
    lean = network.for_inference()
    with torch.inference_mode():
        torch.testing.assert_close(lean(x), network(x), atol=1e-4, rtol=1e-3)

    def size(one: Network) -> int:
        return sum(p.numel() for p in one.parameters())

    assert size(lean) < size(network) or name == "cmc"


def test_the_mean_of_both_branches() -> None:
    """SMML's answer is the mean of its branches' logits, to the bit."""
    network = made("smml")
    assert isinstance(network, Smml)
    x = torch.randn(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        a, b = (branch(x) for branch in network.branches)
        assert torch.equal(network(x), (a + b) / 2)
        assert not torch.equal(a, b)


def test_cmc_takes_any_two_modalities_by_name() -> None:
    """The pair by name, in its order; the same modality twice, or one that the task lacks, is refused."""
    network = made("cmc", pair=["t2", "flair"])
    assert network.settings.pair == (3, 0)
    assert network.sees == (0, 3)
    with pytest.raises(InputError, match="is not a modality of the task"):
        made("cmc", pair=["t2", "ct"])
    with pytest.raises(ValueError, match="two different modalities"):
        made("cmc", pair=["t2", "t2"])
    with pytest.raises(ValueError, match="neither of them"), torch.inference_mode():
        network(torch.zeros(1, 4, 8, 8, 8), torch.tensor([[False, True, True, False]]))


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_counted(name: str) -> None:
    """A missing modality is not encoded: fewer operations; CMC with one modality too."""
    network = made(name)
    numbers = [
        count(
            type(network), network.settings, (16, 16, 16), channels=4, modalities=4, incomplete=incomplete
        ).flops
        for incomplete in (False, True)
    ]
    assert numbers[1] < numbers[0] or name == "cmc"  # its pair is not the last
    assert numbers[1] > 0


@pytest.mark.parametrize("name", ["mmformer", "smml"])
def test_the_engine_runs_every_combination_and_stops_when_asked(name: str, tmp_path: Path) -> None:
    """15 combinations of a study, in groups and one by one alike; a cancelled run raises Cancelled."""
    engine = Engine(saved(tmp_path, name), device="cpu", precision="fp32")
    subject = study()
    every = {p.combination: p for p in engine.run_all(subject, BRATS.combinations())}
    assert len(every) == 15
    one = engine.predict(subject, ("t1", "t2"))
    assert abs(one.sizes["WT"] - every["t1", "t2"].sizes["WT"]) < 0.05

    asked = threading.Event()

    def check() -> None:
        if asked.is_set():
            raise Cancelled("stop")
        asked.set()

    with pytest.raises(Cancelled):
        list(engine.run(subject, ("t1", "t2"), check=check))


def test_a_model_of_two_modalities_is_offered_for_what_it_sees(tmp_path: Path) -> None:
    """Three combinations of FLAIR and T1ce; other modalities may be on and change nothing; without both, a sentence."""
    model = saved(tmp_path, "cmc", sees=("flair", "t1"))
    present = BRATS.names
    assert model.card.combinations(present) == (("flair", "t1"), ("flair",), ("t1",))
    engine = Engine(model, device="cpu", precision="fp32")
    subject = study()
    with_more = engine.predict(subject, ("flair", "t1", "t2"))
    assert with_more.sizes == engine.predict(subject, ("flair", "t1")).sizes
    session = Session(device="cpu")
    session.set_model(model)
    session.set_study(subject)
    assert len(session.combinations) == 3
    session.use(("t1ce", "t2"))
    assert session.refusal == (
        "cmc looks at FLAIR and T1 only, and neither of them is in use; switch on one, or choose another model."
    )
    session.close()


def test_a_card_that_sees_what_the_task_lacks_is_refused(tmp_path: Path) -> None:
    """``sees`` names modalities of the task."""
    card = tiny_model(tmp_path).card
    with pytest.raises(ValueError, match="sees must be some of"):
        type(card).model_validate(card.model_dump() | {"sees": ["ct"]})


def test_cmc_weighs_the_decoders_of_what_is_there() -> None:
    """With both, the mean of two decoders; with one, that one's alone."""
    network = made("cmc")
    assert isinstance(network, Cmc)
    x = torch.randn(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        both = network.look(x).logits
        assert torch.equal(network(x), 0.5 * both[0] + 0.5 * both[1])
        one = torch.tensor([[True, False, False, False]])
        assert torch.equal(network(x, one), 1.0 * network.look(x, one).logits[0])


def test_two_rows_of_voxels_get_the_gradient_that_full_precision_gives() -> None:
    """bf16 over a map of two rows: the library's own gradient holds whatever was in memory; ours does not."""
    from napari_mrseg.models.blocks import ConvNorm

    torch.manual_seed(0)
    layer = ConvNorm(16, 16, norm="instance").train()
    x = torch.randn(2, 16, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d)
    layer.conv.weight.data = layer.conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
    found = []
    for enabled in (False, True, True):
        layer.zero_grad()
        junk = [torch.full((16 * 16 * 27 + k,), float("nan")) for k in range(4)]
        del junk
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            (layer(x) ** 2 * torch.arange(8.0).view(2, 2, 2)).sum().backward()
        assert layer.conv.weight.grad is not None
        found.append(layer.conv.weight.grad.clone())
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=0.05 * float(found[0].abs().max()), rtol=0.05)
