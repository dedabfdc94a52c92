"""The encoder of SAM-Med3D: the published shape and names, its attention by hand, weights from a folder."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_mrseg.errors import InputError
from napari_mrseg.models.cmc import Cmc
from napari_mrseg.models.network import find_network
from napari_mrseg.models.vit import Attention, Block, Vit3d
from napari_mrseg.tasks import BRATS, RGBD_SOD

SMALL = {"width": 24, "depth": 4, "heads": 2, "outputs": 8, "squeezed": 4, "side": 2, "window": 3}


def test_the_published_names_and_shapes() -> None:
    """ViT-B of 128³: patches of 16³, 12 blocks, 8³ positions, tables of 27 and 15, a neck to 384, as published."""
    with torch.device("meta"):
        state = Vit3d().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items() if ".adapter." not in name}
    assert shapes["patch_embed.proj.weight"] == (768, 1, 16, 16, 16)
    assert shapes["pos_embed"] == (1, 8, 8, 8, 768)
    assert shapes["blocks.0.attn.rel_pos_d"] == (27, 64)
    assert shapes["blocks.11.attn.rel_pos_w"] == (15, 64)
    assert shapes["blocks.5.mlp.lin1.weight"] == (3072, 768)
    assert shapes["neck.2.weight"] == (384, 384, 3, 3, 3)
    assert shapes["neck.3.bias"] == (384,)
    assert len(shapes) == 3 + 12 * 15 + 6


def test_attention_is_its_definition() -> None:
    """Every score by hand: q·k/√c and, unscaled, q times the tables' entries for the offset on each axis."""
    torch.manual_seed(0)
    attention = Attention(8, 2, 2)
    for table in (attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    x = torch.randn(1, 2, 2, 2, 8)
    places = list(itertools.product(range(2), repeat=3))
    q, k, v = attention.qkv(x).view(8, 3, 2, 4).unbind(1)  # (tokens, heads, c)
    rows = []
    for a, here in enumerate(places):
        heads = []
        for h in range(2):
            scores = []
            for b, there in enumerate(places):
                offsets = [s - t + 1 for s, t in zip(here, there, strict=True)]
                tables = (attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w)
                bias = sum(q[a, h] @ table[o] for table, o in zip(tables, offsets, strict=True))
                scores.append(q[a, h] @ k[b, h] / math.sqrt(4) + bias)
            heads.append(torch.stack(scores).softmax(0) @ v[:, h])
        rows.append(torch.cat(heads))
    wanted = attention.proj(torch.stack(rows)).view(1, 2, 2, 2, 8)
    torch.testing.assert_close(attention(x), wanted, atol=1e-5, rtol=1e-4)


def test_windows_keep_each_token_in_its_place() -> None:
    """With attention that changes nothing, a map that is no multiple of the window comes back as it was."""
    block = Block(6, 2, 3, 2, whole=False)
    block.attn = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.randn(2, 4, 5, 2, 6)
    assert torch.equal(block._windows(x), x)


def test_a_new_adapter_changes_nothing() -> None:
    """Before any training the encoder gives what the published one does; other extents than 8³ go through."""
    torch.manual_seed(0)
    encoder = Vit3d(**SMALL).eval()
    x = torch.randn(1, 1, 32, 48, 16)
    with torch.no_grad():
        first = encoder(x)
        for block in encoder.blocks:
            block.adapter[0].weight.normal_()  # type: ignore[union-attr, operator]
        assert torch.equal(encoder(x), first)
    assert first.shape == (1, 8, 2, 3, 1)


def test_cmc_takes_published_weights_from_a_folder(tmp_path: Path) -> None:
    """Both encoders get them, the adapters stay; another network's file and none at all are a sentence each."""
    torch.manual_seed(0)
    network = find_network("cmc").for_task(
        BRATS, {"levels": 5, "width": 2, "pair": ["flair", "t1ce"], "encoder": "sam-med3d", "vit": SMALL}
    )
    assert isinstance(network, Cmc)
    assert network.backbone is not None
    published = {f"image_encoder.{k}": v.clone() for k, v in Vit3d(**SMALL).state_dict().items()}
    published = {k: v for k, v in published.items() if ".adapter." not in k}
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        network.backbone.take(tmp_path)
    save_file(published | {"mask_decoder.x": torch.zeros(1)}, tmp_path / "model.safetensors")
    network.backbone.take(tmp_path)
    for encoder in network.encoders:
        for name, value in encoder.vit.state_dict().items():  # type: ignore[union-attr]
            if ".adapter." not in name:
                assert torch.equal(value, published[f"image_encoder.{name}"])
    x = torch.randn(2, 4, 32, 32, 16)
    available = torch.tensor([[True] * 4, [True, False, False, False]])
    with torch.inference_mode():
        found = network.eval()(x, available)
    assert found.shape == (2, 3, 32, 32, 16)
    assert bool(torch.isfinite(found).all())
    save_file({"image_encoder.pos_embed": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="is of another network"):
        network.backbone.take(tmp_path)


def test_the_foundation_model_is_of_volumes() -> None:
    """Images, a stem or another number of levels are refused with what it needs."""
    for task, changes in (
        (RGBD_SOD, {"pair": ["rgb", "depth"]}),
        (BRATS, {"levels": 4}),
        (BRATS, {"stem": 2}),
    ):
        with pytest.raises(ValueError, match="is of volumes"):
            find_network("cmc").for_task(task, {"encoder": "sam-med3d", **changes})
