"""ONNX files: the same probabilities and labels as the model folder for every combination, from one file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import tiny

from napari_mrseg.errors import InputError
from napari_mrseg.inference.onnx_check import LARGEST_DIFFERENCE, Agreement, check_onnx
from napari_mrseg.models.network import find_network
from napari_mrseg.models.onnx_export import export_onnx, plain, window_of

MODAL = {"levels": 2, "width": 2, "tokens": 8, "heads": 1, "feed_forward": 8, "patch": 2, "stem": 1}


def test_one_file_answers_every_combination(tmp_path: Path) -> None:
    """Availability is an input: adapters work where something is missing; the card goes along."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = tiny.model(tmp_path, spacings=(1.0,), largest=(16, 16, 16))
    path = export_onnx(model, tmp_path / "tiny.onnx")
    found = check_onnx(model, path, tiny.study(shape=(16, 20, 16)))
    assert len(found) == 15
    assert all(a.holds and a.difference < 1e-5 for a in found)
    metadata = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert json.loads(metadata["mrseg_card"])["sha256"] == model.sha256
    another = tiny.model(tmp_path / "b", spacings=(1.0,), largest=(16, 16, 16), seed=1)
    wrong = check_onnx(another, path, tiny.study(["t1"], shape=(16, 20, 16)))
    assert [a.holds for a in wrong] == [False]
    assert wrong[0].difference > LARGEST_DIFFERENCE


@pytest.mark.parametrize("name", ["mmformer", "smml", "cmc", "monai:UNet"])
def test_without_branches_a_network_gives_the_same(name: str, tmp_path: Path) -> None:
    """What is exported leaves out missing modalities by arithmetic, and gives what the network gives."""
    import torch

    torch.manual_seed(0)
    arguments = (
        MODAL if name in ("mmformer", "smml") else {"levels": 2, "width": 2, "pair": [0, 2], "stem": 1}
    )
    if name.startswith("monai"):
        arguments = {"channels": [2, 4], "strides": [2]}
    network = find_network(name).configured(arguments, channels=4, outputs=3).eval()
    images = torch.randn(1, 4, 8, 8, 8)
    for row in ([1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]):
        available = torch.tensor([row], dtype=torch.bool)
        filled = images * available[..., None, None, None]
        with torch.no_grad():
            assert torch.allclose(plain(network)(filled, available), network(filled, available), atol=1e-5)


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extents, a missing package, and a difference that is too large, each by its name."""
    model = tiny.model(tmp_path, spacings=(1.0,), largest=(16, 16, 16))
    with pytest.raises(InputError, match=r"Extents \(10, 8, 8\) must be three multiples of 8, 8, 8"):
        window_of(model, (10, 8, 8))
    for module, call in (
        ("onnxscript", lambda: export_onnx(model, tmp_path / "x.onnx")),
        ("onnxruntime", lambda: check_onnx(model, tmp_path / "x.onnx", tiny.study())),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(InputError, match=r'pip install "napari-mrseg\[onnx\]"'):
                call()
    assert not Agreement(("t1",), 2e-3, 1.0, 10).holds
    assert not Agreement(("t1",), 0.0, 0.998, 1000).holds
