"""The network: published structure, adapters, freezing, alignment."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from napari_mrseg.errors import Cancelled
from napari_mrseg.models import adapter as adapters
from napari_mrseg.models import blocks
from napari_mrseg.models.adapter import Swin
from napari_mrseg.models.blocks import Pyramid, at_once
from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg

TINY = Settings(
    width=4,
    aspp_rates=(1, 2),
    heads=(1, 1, 1, 1, 1),
    attention_window=2,
    attention_pooling=(4, 2, 1, 1, 1),
)


OURS = TINY.model_copy(
    update={
        "stem": 2,
        "head_width": 3,
        "residual": True,
        "deep": 2,
        "growth": (1, 2, 4, 6),
        "norm": "instance",
        "attention_pooling": (1, 1, 1, 1, 1),
    }
)
"""What the bundled model adds to the paper's network."""


def make(settings: Settings = TINY, *, awake: bool = True) -> UniMRSeg:
    """An eval network with reproducible weights, statistics that matter, and adapters that do something."""
    torch.manual_seed(0)
    network = UniMRSeg(settings).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.2, 0.8)  # type: ignore[union-attr]
    if awake and network.adapters is not None:
        for adapter in network.adapters:
            nn.init.normal_(adapter.hidden.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return network


def scans(batch: int = 1, extents: tuple[int, int, int] = (16, 24, 8)) -> Tensor:
    return torch.randn(batch, 4, *extents, generator=torch.Generator().manual_seed(1))


def there(*rows: str) -> Tensor:
    """``there("1011")``: the third of four modalities from the right is missing."""
    return torch.tensor([[c == "1" for c in row] for row in rows])


def count(settings: Settings) -> float:
    with torch.device("meta"):
        return sum(p.numel() for p in UniMRSeg(settings).parameters()) / 1e6


@pytest.mark.parametrize(("adapters", "published"), [("none", 55.9), ("reverse", 91.4)])
def test_paper_size(adapters: str, published: float) -> None:
    """The paper size has the published number of parameters, within 0.5 %."""
    settings = SIZES["paper"].model_copy(update={"adapters": adapters})
    assert count(settings) == pytest.approx(published, rel=0.005)


def test_compact_size() -> None:
    """The compact size has 3 to 4 million parameters, and an eighth of the voxels inside."""
    assert 3.0 <= count(SIZES["compact"]) <= 4.0
    assert SIZES["compact"].stem == 2


@torch.no_grad()
def test_five_features() -> None:
    """Four levels, each half the one before with twice the channels, and a fifth on the map of the fourth."""
    features = make().encode(scans(2), there("1111", "1010"))
    assert [tuple(f.shape[1:]) for f in features] == [
        (4, 16, 24, 8),
        (8, 8, 12, 4),
        (16, 4, 6, 2),
        (32, 2, 3, 1),
        (32, 2, 3, 1),
    ]


@torch.no_grad()
def test_logits_lie_on_the_input() -> None:
    """One logit per region and voxel, for extents that differ, and encode then decode is forward."""
    network, x, available = make(), scans(), there("0110")
    logits = network(x, available)
    assert logits.shape == (1, 3, 16, 24, 8)
    assert torch.equal(logits, network.decode(network.encode(x, available), x))


@pytest.mark.parametrize("extents", [(16, 32, 16), (8, 24, 40)])
@torch.no_grad()
def test_behind_a_stem_logits_lie_on_the_input(extents: tuple[int, int, int]) -> None:
    """One logit per region and voxel, also for extents that the stem pads; levels at half the extents."""
    network, x = make(OURS), scans(1, extents)
    assert network(x, there("0110")).shape == (1, 3, *extents)
    features = network.encode(x, there("0110"))
    assert features[0].shape == (1, 4, *(8 * -(-n // 16) for n in extents))
    # What is padded is padded evenly, so that the middle stays the middle.
    wide = nn.functional.pad(x, [p for n in reversed(extents) for p in [(-n % 16) // 2] * 2])
    inside = [slice((w - n) // 2, (w + n) // 2) for n, w in zip(extents, wide.shape[2:], strict=True)]
    torch.testing.assert_close(network(x), network(wide)[:, :, *inside])


@torch.no_grad()
def test_coarser_outputs() -> None:
    """For training there are outputs at half and a quarter of the input too; inference leaves them out."""
    network, x = make(OURS), scans(1, (16, 32, 48))
    outputs = network.outputs(network.encode(x), x)
    assert [tuple(y.shape[2:]) for y in outputs] == [(16, 32, 48), (8, 16, 24), (4, 8, 12)]
    assert torch.equal(outputs[0], network(x))
    assert not len(network.for_inference().deep)
    plain = make(OURS.model_copy(update={"stem": 1}))
    assert [tuple(y.shape[2:]) for y in plain.outputs(plain.encode(x), x)] == [
        (16, 32, 48),
        (8, 16, 24),
        (4, 8, 12),
    ]


@torch.no_grad()
def test_the_light_head_sees_the_input() -> None:
    """Behind a stem the input is joined again: what changes in one voxel changes that voxel's logits most."""
    network, x = make(OURS.model_copy(update={"norm": "batch"})), scans(1, (16, 16, 16))
    network.finest.spread.weight.zero_()  # type: ignore[union-attr, operator]
    changed = x.clone()
    changed[0, 2, 8, 8, 8] += 3
    moved = (network(changed) - network(x)).abs().amax((0, 1)) > 1e-6
    expected = torch.zeros_like(moved)
    expected[7:10, 7:10, 7:10] = True
    assert moved.any()
    assert not bool((moved & ~expected).any())


@torch.no_grad()
def test_instance_norm_is_each_samples_own() -> None:
    """A sample gets the same in any company, in training as after it, and whole maps' statistics in slabs."""
    network, x = make(OURS.model_copy(update={"adapters": "none"})), scans(2, (16, 32, 16))
    alone = network(x[:1])
    assert torch.isfinite(network(x[:1, :, :8, :8, :8])).all()  # one voxel is left at the deepest level
    torch.testing.assert_close(network(x)[:1], alone)
    torch.testing.assert_close(network.train()(x)[:1], alone)


@torch.no_grad()
def test_complete_input_leaves_adapters_out() -> None:
    """A complete sample gets, bit for bit, the result of the same network without adapters."""
    full, plain = make(), make(TINY.model_copy(update={"adapters": "none"}))
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("adapters")})
    x = scans()
    assert torch.equal(full(x, there("1111")), plain(x, there("1111")))
    assert torch.equal(full(x), plain(x, there("1000")))
    assert not torch.equal(full(x, there("1110")), plain(x, there("1110")))


@torch.no_grad()
def test_every_adapter_counts() -> None:
    """Each of the five adapters changes the result of an incomplete sample."""
    network, x, available = make(), scans(), there("1000")
    before = network(x, available)
    assert network.adapters is not None
    for adapter in network.adapters:
        saved = adapter.hidden.weight.clone()  # type: ignore[union-attr, operator]
        adapter.hidden.weight.zero_()  # type: ignore[union-attr, operator]
        assert not torch.equal(network(x, available), before)
        adapter.hidden.weight.copy_(saved)  # type: ignore[union-attr, operator]


@torch.no_grad()
def test_new_adapters_change_nothing() -> None:
    """Before training, an incomplete sample's features are what the encoder alone gives."""
    network, x = make(awake=False), scans()
    assert torch.equal(network(x, there("1000")), network(x))


@torch.no_grad()
def test_mixed_batch_equals_single_samples() -> None:
    """Complete and incomplete samples in one batch get what each gets alone."""
    network, x, available = make(), scans(3), there("1010", "1111", "0001")
    alone = torch.cat([network(x[i : i + 1], available[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x, available), alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_adapter_follows_the_equations() -> None:
    """F̂_i = F̂_cp + (1 − m)·h, m the sigmoid of the Swin block's mean over channels and slices (axis I)."""
    adapters = make().adapters
    assert adapters is not None
    adapter = adapters[2]
    own, before = torch.randn(2, 16, 4, 6, 2), torch.randn(2, 8, 4, 6, 2)
    h = adapter.hidden(own + adapter.inward(before))  # type: ignore[operator]
    s = adapter.mixer(h)  # type: ignore[operator]
    for b in range(2):
        m = torch.sigmoid(sum(s[b, c, i] for c in range(16) for i in range(4)) / 64)  # (P, L)
        torch.testing.assert_close(adapter(own, before)[b], own[b] + (1 - m) * h[b], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_map_is_shared_by_channels_and_slices() -> None:
    """(1 − m)·h has one m per place in the plane: the same for all channels and slices, between 0 and 1."""
    adapters = make().adapters
    assert adapters is not None
    adapter = adapters[1]
    own, before = torch.randn(1, 8, 8, 12, 4), torch.randn(1, 4, 8, 12, 4)
    h = adapter.hidden(own + adapter.inward(before))  # type: ignore[operator]
    weight = (adapter(own, before) - own) / h
    assert ((weight > 0) & (weight < 1)).all()
    torch.testing.assert_close(weight, weight[:, :1, :1].expand_as(weight), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("change", [{"reverse": False}, {"mutual": False}, {"mixer": "conv"}])
@torch.no_grad()
def test_ablations(change: dict[str, object]) -> None:
    """Each ingredient of the adapter can be switched off, and matters."""
    full, ablated = make(), make(Settings(**{**TINY.model_dump(), **change}))
    ablated.load_state_dict(full.state_dict(), strict=False)
    x, available = scans(), there("0100")
    out = ablated(x, available)
    assert out.shape == (1, 3, 16, 24, 8)
    assert not torch.allclose(out, full(x, available))


def test_frozen_encoder() -> None:
    """After freezing, encoder and pyramid get no gradient and no new statistics; the rest learns."""
    network = make()
    network.freeze_encoder()
    network.train()
    frozen = ("encoder", "pyramid")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(scans(2), there("1000", "0110")).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen), name
    after = network.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith(frozen))
    assert any(not torch.equal(after[k], before[k]) for k in before if k.startswith("decoder"))


def test_batch_of_one_trains() -> None:
    """A single sample can be trained on: no norm is left with one value per channel."""
    network = make().train()
    network(scans(extents=(16, 16, 16)), there("1001")).square().mean().backward()
    slopes = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert all(torch.isfinite(slope).all() for slope in slopes.values())
    for half in ("encoder", "pyramid", "decoder", "head"):
        assert any(slope.any() for name, slope in slopes.items() if name.startswith(half)), half


@pytest.mark.parametrize("row", ["1111", "1000"])
@torch.no_grad()
def test_check_is_called_and_can_cancel(row: str) -> None:
    """``check`` is called between blocks, and whichever call raises stops the run there."""
    network, x, calls = make(), scans(), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            raise Cancelled

    last = 0
    network(x, there(row), check=check)
    total = calls
    assert total >= (20 if row == "1111" else 34)  # every convolution, and every part of an adapter
    for last in (1, total // 2, total):
        calls = 0
        with pytest.raises(Cancelled):
            network(x, there(row), check=check)
        assert calls == last


@pytest.mark.parametrize("base", [TINY, OURS.model_copy(update={"norm": "batch"})])
@torch.no_grad()
def test_shift(base: Settings) -> None:
    """Shifting the input by the stride shifts the output: no step of the decoder is out of place."""
    settings = base.model_copy(update={"aspp_rates": (1,), "adapters": "none"})
    network, stride = make(settings), 8 * base.stem
    network.pyramid.whole.weight.zero_()  # the global average sees the border, which does not shift
    x = torch.zeros(1, 4, stride, stride, 18 * stride)
    x[..., 7 * stride : 8 * stride] = scans(extents=(stride,) * 3)
    ours, moved = network(x), network(x.roll(stride, -1))
    inner = slice(4 * stride, 12 * stride), slice(5 * stride, 13 * stride)
    torch.testing.assert_close(moved[..., inner[1]], ours[..., inner[0]], rtol=1e-4, atol=1e-5)
    assert ours[..., inner[0]].std() > 1e-3


@torch.no_grad()
def test_mirror() -> None:
    """With mirrored kernels a mirrored input gives the mirrored output: upsampling is centred."""
    network = make(TINY.model_copy(update={"adapters": "none"}))
    x = scans(extents=(16, 8, 24))
    ours = network(x)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.copy_(module.weight.flip(2, 3, 4))
    torch.testing.assert_close(network(x.flip(2, 3, 4)), ours.flip(2, 3, 4), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pyramid_taps() -> None:
    """Each branch sees exactly the neighbours at its dilation rate."""
    pyramid = Pyramid(1, (1, 3)).eval()
    impulse = torch.zeros(1, 1, 9, 9, 9)
    impulse[0, 0, 4, 4, 4] = 1
    for branch, rate in zip(pyramid.branches, (1, 3), strict=True):
        seen = branch.conv(impulse)[0, 0].abs() > 0  # type: ignore[operator]
        expected = torch.zeros(9, 9, 9, dtype=torch.bool)
        expected[4 - rate : 5 + rate : rate, 4 - rate : 5 + rate : rate, 4 - rate : 5 + rate : rate] = True
        assert torch.equal(seen, expected)


@pytest.mark.parametrize(
    ("x", "available", "word"),
    [
        (torch.zeros(1, 4, 16, 12, 16), None, "multiples of 8"),
        (torch.zeros(1, 3, 16, 16, 16), None, "4, I, P, L"),
        (torch.zeros(4, 16, 16, 16), None, "4, I, P, L"),
        (torch.zeros(1, 4, 8, 8, 8), torch.ones(2, 4, dtype=torch.bool), "available"),
        (torch.zeros(1, 4, 8, 8, 8), torch.ones(1, 4), "available"),
    ],
)
def test_unfit_input_is_refused(x: Tensor, available: Tensor | None, word: str) -> None:
    """Odd extents, a wrong number of channels and a wrong ``available`` are refused with a sentence."""
    with pytest.raises(ValueError, match=word):
        make()(x, available)


@pytest.mark.parametrize(
    "change",
    [{"heads": (3, 1, 1, 1, 1)}, {"attention_pooling": (1, 1, 4, 1, 1)}, {"aspp_rates": (0,)}, {"x": 1}],
)
def test_unfit_settings_are_refused(change: dict[str, object]) -> None:
    """Settings that make no network, and unknown ones, are refused."""
    with pytest.raises(ValidationError):
        Settings(**{**TINY.model_dump(), **change})


@pytest.mark.parametrize("settings", [TINY, OURS])
@torch.no_grad()
def test_for_inference_is_the_same_network(settings: Settings) -> None:
    """Folded and laid out for speed it gives the same logits, and the original is left as it was."""
    network, available = make(settings), there("1011")
    x = scans(extents=(32, 48, 32))  # of a deepest map of two voxels an instance norm makes noise
    before = network(x, available)
    fast = network.for_inference()
    torch.testing.assert_close(fast(x, available), before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm3d) for m in fast.modules())
    assert torch.equal(network(x, available), before)
    rough = network.for_inference(torch.bfloat16)(x.bfloat16(), available)
    assert (rough.float() - before).abs().max() < 0.05 * before.abs().max()


@pytest.mark.parametrize("extents", [(8, 8, 8), (5, 8, 3), (1, 1, 1)])
@torch.no_grad()
def test_attention_keeps_channels_last(extents: tuple[int, int, int]) -> None:
    """The Swin block keeps shape and channels_last_3d, also where the window does not fit."""
    x = torch.randn(2, 4, *extents).contiguous(memory_format=torch.channels_last_3d)
    y = Swin(4, 2, 4)(x)
    assert y.shape == x.shape
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("extent", [8, 9, 10, 11, 16])
@torch.no_grad()
def test_attention_in_layers_is_exact(monkeypatch: pytest.MonkeyPatch, extent: int) -> None:
    """Layer by layer of windows of 4, also where some slices are left over, the Swin block gives the same."""
    swin, asked = Swin(4, 2, 4).eval(), []
    x = torch.randn(1, 4, extent, 8, 5)
    monkeypatch.setattr(adapters, "SCORES", 1)
    torch.testing.assert_close(swin(x, lambda: asked.append(1)), swin(x))
    assert len(asked) == extent // 4


@torch.no_grad()
def test_attention_of_a_map_smaller_than_the_window() -> None:
    """A short axis is padded, so that neighbours keep the position bias they have in a full window."""
    swin = Swin(4, 2, 4).eval()
    x = torch.randn(1, 4, 4, 2, 4)
    padded = torch.cat((x, torch.zeros_like(x)), 3)
    torch.testing.assert_close(swin(x), swin(padded)[:, :, :, :2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [1, 2])
def test_long_convolutions_in_slabs_are_exact(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rate: int
) -> None:
    """Cut into slabs with halo, a convolution is the same (in bf16 bit for bit), keeps its layout and asks between."""
    conv = nn.Conv3d(6, 8, 3, padding=rate, dilation=rate).to(dtype, memory_format=torch.channels_last_3d)
    x = torch.randn(1, 6, 21, 12, 10).to(dtype, memory_format=torch.channels_last_3d)
    asked: list[int] = []
    monkeypatch.setattr(blocks, "SLAB", 8 * 6 * 27 * 21 * 12 * 10 / 4)
    with torch.inference_mode():
        whole = blocks.convolve(conv, x, None)
        torch.testing.assert_close(whole, conv(x), rtol=1e-4, atol=1e-5)
        cut = blocks.convolve(conv, x, lambda: asked.append(1))
    assert len(asked) == 4
    if dtype == torch.bfloat16:
        assert torch.equal(cut, whole)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-5)
    assert cut.stride() == whole.stride()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("row", ["1111", "0100"])
@pytest.mark.parametrize("settings", [TINY, OURS])
def test_a_pass_in_pieces_is_exact(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, dtype: torch.dtype, row: str
) -> None:
    """Convolutions, decoder steps and attention cut as finely as they can be give the whole pass's bits in bf16."""
    network = make(settings.model_copy(update={"attention_pooling": (1, 1, 1, 1, 1)})).for_inference(dtype)
    x = scans(extents=(24, 16, 16)).to(dtype, memory_format=torch.channels_last_3d)
    asked: list[int] = []
    stepped: list[int] = []
    with torch.inference_mode():
        whole = network(x, there(row))
        network(x, there(row), check=blocks.Steps(lambda: None, lambda: stepped.append(1)))
        steps = len(stepped)
        monkeypatch.setattr(blocks, "SLAB", 1)
        monkeypatch.setattr(adapters, "SCORES", 1)
        cut = network(x, there(row), check=blocks.Steps(lambda: asked.append(1), lambda: stepped.append(1)))
    if dtype == torch.bfloat16:
        assert torch.equal(cut, whole)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-4)
    assert len(stepped) == 2 * steps  # the progress bar is as long as before
    assert len(asked) > 5 * steps


def test_without_onednn_it_is_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of PyTorch that lack oneDNN segment too, and alike."""
    network, x = make().for_inference(), scans()
    with torch.inference_mode():
        with_it = network(x, there("0101"))
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        monkeypatch.delattr(torch.ops.aten, "mkldnn_convolution", raising=False)
        without = network(x, there("0101"))
    torch.testing.assert_close(without, with_it, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_halving_is_max_pooling(dtype: torch.dtype) -> None:
    """The largest of each 2³ voxels, in the layout of the input, with and without gradients."""
    x = torch.randn(2, 6, 8, 4, 10).to(dtype, memory_format=torch.channels_last_3d)
    want = nn.functional.max_pool3d(x, 2)
    with torch.inference_mode():
        got = blocks.halve(x)
    assert torch.equal(got, want)
    assert got.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(blocks.halve(x.requires_grad_()), want)


def test_gradients_are_those_of_whole_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gradients are kept nothing is cut, whoever asks."""
    monkeypatch.setattr(blocks, "SLAB", 1)
    network, asked = make(), []
    network(
        scans(), there("1010"), check=blocks.Steps(lambda: asked.append(1), lambda: None)
    ).sum().backward()
    assert network.head.weight.grad is not None
    assert len(asked) < 60


def test_the_light_head_may_do_without_the_input() -> None:
    """``head_input=False`` makes the last convolution narrower by the modalities; the extents stay the input's."""
    with_input, without = (make(OURS.model_copy(update={"head_input": sees})) for sees in (True, False))
    x, kept = scans(extents=(16, 32, 16)), there("1111")
    assert without(x, kept).shape == with_input(x, kept).shape
    narrower = with_input.finest.join.conv.weight.shape[1] - without.finest.join.conv.weight.shape[1]
    assert narrower == x.shape[1]


FLAT = SIZES["compact-2d"].model_copy(update={"width": 4, "heads": (1, 1, 1, 1, 1), "regions": 1})


def test_frames_have_nothing_to_do_with_each_other() -> None:
    """In 2-D: what comes of a frame is the same alone, between others, and with what is missing in them."""
    network = make(FLAT)
    x, available = scans(2, (3, 48, 64)), torch.tensor([[True, False], [True, True]])
    together = network(x, available)
    assert together.shape == (2, 1, 3, 48, 64)
    for frame in range(3):
        alone = network(x[:, :, frame : frame + 1], available)
        assert torch.allclose(alone, together[:, :, frame : frame + 1], atol=1e-4)


def test_two_dimensions_cost_what_two_dimensions_cost() -> None:
    """No kernel reaches into another slice, and a model of images has a third of the parameters."""
    network = UniMRSeg(FLAT)
    assert {m.kernel_size[0] for m in network.modules() if isinstance(m, nn.Conv3d)} == {1}
    assert network.stride == (1, 8, 8)
    assert network.training_stride == (1, 16, 16)
    assert count(SIZES["compact-2d"]) < 0.5 * count(SIZES["compact"])


def test_a_flat_convolution_is_the_same_as_a_two_dimensional_one() -> None:
    """The quick way of one slice gives what PyTorch's own 3-D convolution gives."""
    conv = nn.Conv3d(4, 6, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), dilation=(1, 1, 1))
    x = torch.randn(2, 4, 1, 9, 11)
    assert torch.allclose(at_once(conv, x), conv(x), atol=1e-5)
