"""EfficientNet-Lite0 as an encoder of colour and a second channel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import image_model

from napari_mrseg.errors import InputError
from napari_mrseg.models.lite import FEATURES, Convolved, Lite0, LiteBackbone, _published
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.models.unimrseg import SIZES, UniMRSeg
from napari_mrseg.tasks import RGBT_SOD


@pytest.fixture(scope="module")
def network() -> UniMRSeg:
    torch.manual_seed(0)
    return UniMRSeg(SIZES["lite"].model_copy(update={"in_channels": 4, "regions": 1})).eval()


def published(body: Lite0) -> dict[str, torch.Tensor]:
    """Weights under the names of the published file, with the head that is not taken."""
    weights = {
        _published(name): torch.rand_like(t.float()).to(t.dtype) for name, t in body.state_dict().items()
    }
    return weights | {"_fc.weight": torch.zeros(1000, 1280)}


def test_padding_is_tensorflow_s() -> None:
    """At stride 2 an even extent is padded at the far side only, so that the published filters fit."""
    conv = Convolved(1, 1, 3, stride=2, linear=True).eval()
    torch.nn.init.ones_(conv.conv.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        found = conv(x) * (1 + 1e-3) ** 0.5
    assert found[0, 0, 0, 0] == pytest.approx(float(x[0, 0, :3, :3].sum()), rel=1e-4)
    assert found[0, 0, 1, 1] == pytest.approx(float(x[0, 0, 2:, 2:].sum()), rel=1e-4)


def test_it_is_the_published_network() -> None:
    """Maps at 4, 8, 16 and 32 pixels of 24, 40, 112 and 320 channels; 3.4 M parameters with its last convolution."""
    body = Lite0().eval()
    with torch.no_grad():
        maps = body(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // k, 96 // k) for c, k in zip(FEATURES, (4, 8, 16, 32), strict=True)
    ]
    head = 1280 * 320 + 2 * 1280
    assert sum(p.numel() for p in body.parameters()) + head == 3_371_008


def test_published_weights_are_taken_by_their_names(tmp_path: Path) -> None:
    """All of them, statistics included; another file is refused by a sentence."""
    backbone = LiteBackbone(4, (24, 48, 96, 144), norm="instance")
    weights = published(backbone.body)
    torch.save(weights, tmp_path / "a.pth")
    backbone.take(tmp_path)
    assert torch.equal(backbone.body.stem.conv.weight, weights["_conv_stem.weight"])
    last = backbone.body.blocks[15].project.norm
    assert torch.equal(last.running_var, weights["_blocks.15._bn2.running_var"])
    torch.save({"_conv_stem.weight": weights["_conv_stem.weight"]}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a.pth is of another network"):
        backbone.take(tmp_path)
    with pytest.raises(InputError, match=r"holds 0 files \.pth"):
        backbone.take(tmp_path / "none")


def test_what_was_learnt_of_edges_stays_in_training() -> None:
    """Batch norms keep their statistics; the first blocks and the filters of single channels get no gradient."""
    backbone = LiteBackbone(4, (24, 48, 96, 144), norm="instance").train()
    before = backbone.body.stem.norm.running_mean.clone()
    sum(m.sum() for m in backbone(torch.rand(2, 4, 1, 64, 64))).backward()  # type: ignore[union-attr]
    assert torch.equal(backbone.body.stem.norm.running_mean, before)
    learning = {name for name, p in backbone.body.named_parameters() if p.grad is not None}
    assert learning
    assert not any(name.startswith(("stem", "blocks.0.", "blocks.1.", "blocks.2.")) for name in learning)
    assert not any("depthwise.conv" in name for name in learning)


def test_simplified_it_gives_the_same(network: UniMRSeg) -> None:
    """Norms folded into the convolutions, extents that are no multiple of 32, all combinations."""
    x = torch.randn(3, 4, 1, 72, 104)
    there = torch.tensor([[True, True], [True, False], [False, True]])
    with torch.no_grad():
        plain, simple = network(x, there), network.for_inference()(x, there)
    assert plain.shape == (3, 1, 1, 72, 104)
    assert torch.allclose(plain, simple, atol=1e-4)


def test_half_the_bytes_and_both_tasks(network: UniMRSeg, tmp_path: Path) -> None:
    """Kept as float16 the file is below 15 MB and loads as float32; the card's other task gets it, too."""
    card = image_model(tmp_path).card.model_copy(update={"stored": "float16", "also": ("rgbt-sod",)})
    folder = save_model(tmp_path / "lite", network, card)
    assert (folder / "weights.safetensors").stat().st_size < 15e6
    loaded = load_model(folder)
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    x = torch.randn(1, 4, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(loaded.network(x), network(x), atol=0.05)
    thermal = load_model(folder, task=RGBT_SOD)
    assert thermal.card.modalities == ("rgb", "thermal")
    assert thermal.task is RGBT_SOD
