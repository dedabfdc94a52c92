"""Published encoders under the network of the method: shapes, sizes, weights from a folder, and no download."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.backbone import Backbone
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg
from napari_mrseg.tasks import RGBD_SOD

pytest.importorskip("transformers")
SMALL = SIZES["resnet50"].model_copy(update={"regions": 1, "width": 8, "heads": (1, 1, 1, 1, 1)})


@pytest.fixture(scope="module")
def network() -> UniMRSeg:
    torch.manual_seed(0)
    return UniMRSeg(SMALL).eval()


def test_any_frame_comes_back_at_its_size(network: UniMRSeg) -> None:
    """Extents that are multiples of 8 only are padded within; frames are apart; a missing modality goes another way."""
    x = torch.randn(1, 4, 2, 72, 104)
    with torch.no_grad():
        found = network(x, torch.tensor([[True, False]]))
        assert found.shape == (1, 1, 2, 72, 104)
        assert torch.allclose(network(x[:, :, 1:], torch.tensor([[True, False]])), found[:, :, 1:], atol=1e-4)
        assert [f.shape[1] for f in network.encode(x)] == [8, 16, 32, 64, 64]


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 23.5), ("convnext-base", 87.6)])
def test_the_encoders_are_the_published_ones(name: str, millions: float) -> None:
    """As many parameters as published without the classifier (25.6 and 88.6 million), within 0.5 %."""
    with torch.device("meta"):
        body = Backbone(name, 3, (8, 8, 8, 8)).body  # type: ignore[arg-type]
    assert sum(p.numel() for p in body.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)


def test_published_weights_come_from_a_folder(network: UniMRSeg, tmp_path: Path) -> None:
    """A classifier's file: its encoder is taken, and the channel of depth starts as the mean of the colours."""
    assert network.backbone is not None
    given = {}
    for key, value in network.backbone.body.state_dict().items():
        three = value[:, :3] if value.ndim == 4 and value.shape[1] == 4 else value
        given[f"resnet.{key}"] = (torch.rand_like(three) if three.is_floating_point() else three).contiguous()
    given["classifier.1.weight"] = torch.rand(10, 2048)
    save_file(given, tmp_path / "model.safetensors")
    backbone = Backbone("resnet50", 4, (8, 16, 32, 64))
    backbone.take(tmp_path)
    first = next(m for m in backbone.body.modules() if isinstance(m, nn.Conv2d)).weight
    assert torch.equal(first[:, 3], first[:, :3].mean(1))
    for key, value in backbone.body.state_dict().items():
        if value.ndim == 4 and value.shape[1] != 4:
            assert torch.equal(value, given[f"resnet.{key}"])


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Nothing there, and a file of another network: one sentence each, with the fix."""
    backbone = Backbone("resnet50", 4, (8, 16, 32, 64))
    with pytest.raises(InputError, match=r"holds no model.safetensors; .*hf download"):
        backbone.take(tmp_path)
    save_file({"something.weight": torch.rand(3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"is of another network: it has no fitting"):
        backbone.take(tmp_path)


def test_without_transformers_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"napari-mrseg\[backbones\]"):
        Backbone("resnet50", 4, (8, 16, 32, 64))


def test_a_backbone_is_of_images() -> None:
    """In 3-D, or at another finest level, the settings are refused."""
    with pytest.raises(ValueError, match="needs ndim 2 and stem 4"):
        Settings(backbone="resnet50")


def test_a_model_of_it_is_kept_as_any_other(network: UniMRSeg, tmp_path: Path) -> None:
    """Saved and loaded: the same answers."""
    card = ModelCard(
        name="photo",
        version="1",
        licence="none",
        task="rgbd-sod",
        modalities=RGBD_SOD.names,
        regions=("object",),
        normalisation={"name": "robust"},
        validated=(Validated(spacing_mm=1.0, extents_max=(96, 128)),),
        trained_on=(),
        intended_use="tests",
        limitations="finds nothing",
    )
    loaded = load_model(save_model(tmp_path / "photo", network, card))
    x = torch.randn(1, 4, 1, 64, 96)
    with torch.no_grad():
        assert torch.allclose(loaded.network(x), network(x), atol=1e-5)
