"""Networks that take the checkpoints of other groups' published code.

The numbers here were given by that code itself (github.com/dyh127/RFNet, github.com/YaoZhang93/mmFormer,
github.com/Xiaoqi-Zhao-DLUT/UniMRSeg), with weights and an input drawn as :func:`drawn` and :func:`noise` draw them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import save_nifti
from torch import Tensor

from napari_mrseg import cli
from napari_mrseg.errors import InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.tiles import tile
from napari_mrseg.io import open_study
from napari_mrseg.models.network import find_network
from napari_mrseg.models.published import published_mmformer as mmformer
from napari_mrseg.models.published.published_checkpoint import KINDS, read_published
from napari_mrseg.models.published.published_network import Published, nested_classes, region_logits
from napari_mrseg.models.published.rfnet import RFNet
from napari_mrseg.models.store import list_models, load_model, save_model
from napari_mrseg.prepare import bounds, frame, measure, on_frame
from napari_mrseg.tasks import BRATS

# name: tensors, parameters, sha256 of the lines "name extentxextent.." of the published state, sorted
STATES = {
    "rfnet": (288, 8_984_960, "6e1bfa0b9d6ba3658de2dec3c448ead9bfd949d6e9f656120da6b4e3e8d6b84c"),
    "mmformer": (287, 36_654_416, "098945efaef8867df50bbeb8deb2119b298b8b443fa0b5d1b2d35f2592983e99"),
    "unimrseg": (234, 91_444_077, "3054c550e9c78a32fa0a324df97954c761708484c36659cf720806e053c7790f"),
}
PRESENT = ([1, 1, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0])  # in the order of the network's own inputs
# probabilities of the four classes (UniMRSeg: of TC, WT, ET) at voxel (3, 5, 7) and (last, 0, middle), by PRESENT
ANSWERS = {
    "rfnet": (
        ([0.59982, 0.21734, 0.13091, 0.05192], [0.4788, 0.23292, 0.03307, 0.25521]),
        ([0.6455, 0.27627, 0.05813, 0.02011], [0.85581, 0.00805, 0.03119, 0.10495]),
        ([0.72472, 0.10124, 0.11727, 0.05677], [0.77359, 0.06127, 0.07548, 0.08967]),
    ),
    "mmformer": (
        ([0.06943, 0.41792, 0.01534, 0.49731], [0.06019, 0.3176, 0.02442, 0.5978]),
        ([0.0753, 0.36739, 0.0186, 0.53872], [0.05222, 0.30001, 0.0293, 0.61846]),
        ([0.03839, 0.40183, 0.01417, 0.54561], [0.04641, 0.14216, 0.00408, 0.80735]),
    ),
    "unimrseg": (
        ([0.79273, 0.84202, 0.02853], [0.70386, 0.5159, 0.02716]),
        ([0.77113, 0.85967, 0.02364], [0.68258, 0.51167, 0.02559]),
        ([0.75426, 0.83683, 0.02555], [0.68385, 0.52, 0.02427]),
    ),
}


def made(kind: str, **settings: object) -> Published:
    network = find_network(KINDS[kind])
    assert issubclass(network, Published)
    return network(network.settings_type.model_validate(settings)).eval()


def drawn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that depend on names and shapes alone."""
    rng = np.random.default_rng(5)
    found = {}
    for name in sorted(state):
        found[name] = state[name]
        if state[name].is_floating_point():
            shape = tuple(state[name].shape)
            spread = 1 / np.sqrt(max(1, np.prod(shape[1:])))
            found[name] = torch.from_numpy(rng.normal(0, spread, shape).astype(np.float32))
        if name.endswith("running_var"):
            found[name] = found[name].abs() + 0.5
    return found


def noise(extent: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(6).normal(size=(1, 4, *[extent] * 3)).astype(np.float32))


@pytest.mark.parametrize("kind", STATES)
def test_names_and_shapes_are_those_of_the_published_code(kind: str) -> None:
    """Every tensor by name and shape, and the parameters: RFNet 9.0 M, mmFormer 36.7 M, UniMRSeg 91.4 M."""
    with torch.device("meta"):
        state = made(kind).state_dict()
    lines = "\n".join(f"{name} {'x'.join(map(str, state[name].shape))}" for name in sorted(state))
    count, parameters, digest = STATES[kind]
    with torch.device("meta"):
        learnt = sum(p.numel() for p in made(kind).parameters())
    assert (len(state), learnt) == (count, parameters)
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_are_those_of_the_published_code(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same weights and input: the probabilities of its classes, complete and with modalities missing."""
    extent = 16
    if kind == "mmformer":
        monkeypatch.setattr(
            mmformer, "PATCH", 2
        )  # a window of 32 instead of 128, as the code was run for the numbers
        extent = 32
    network = made(kind)
    network.load_state_dict(drawn(network.state_dict()))
    for present, expected in zip(PRESENT, ANSWERS[kind], strict=True):
        with torch.inference_mode():
            found = network.scores(noise(extent), torch.tensor([present], dtype=torch.bool))[0]
        found = found.sigmoid() if kind == "unimrseg" else found.softmax(0)
        assert found[:, 3, 5, 7].tolist() == pytest.approx(expected[0], abs=2e-5)
        assert found[:, extent - 1, 0, extent // 2].tolist() == pytest.approx(expected[1], abs=2e-5)


@pytest.mark.parametrize("classes", [4, 5])
def test_labels_are_those_of_the_likeliest_class(classes: int) -> None:
    """From classes to nested regions and back to labels: the argmax, as the published code takes it."""
    scores = torch.randn(1, classes, 6, 7, 8, generator=torch.Generator().manual_seed(2))
    logits = region_logits(scores, nested_classes(classes))
    likeliest = scores.argmax(1)[0]
    codes = torch.tensor([0, 1, 2, 3] if classes == 4 else [0, 1, 2, 1, 3])  # BraTS 2015's 3 is non-enhancing
    assert torch.equal(BRATS.label_map(logits.sigmoid()[0]), codes[likeliest])


def test_modalities_and_axes_are_put_in_its_order() -> None:
    """Our channels FLAIR, T1, T1ce, T2 with axes I, P, L reach it as FLAIR, T1ce, T1, T2 with axes L, P, S."""
    network = made("rfnet")
    seen = []

    def look(x: Tensor, present: Tensor) -> Tensor:
        seen.append((x, present))
        return torch.cat((torch.zeros_like(x[:, :1]), x[:, 1:]), 1)

    network.scores = look  # type: ignore[method-assign]
    x = torch.arange(4 * 8 * 16 * 24.0).reshape(1, 4, 8, 16, 24)
    out = network(x, torch.tensor([[True, False, True, True]]))
    assert seen[0][1].tolist() == [[True, True, False, True]]
    assert torch.equal(seen[0][0], x[:, [0, 2, 1, 3]].flip(2).permute(0, 1, 4, 3, 2))
    assert out.shape == (1, 3, 8, 16, 24)
    assert torch.equal(out[0, 2], x[0, 3] - x[0, [2, 1]].amax(0).clamp_min(0))


def test_background_is_scaled_too() -> None:
    """``z-score whole``: mean and deviation of the brain, applied to all, what lies beyond the scan included."""
    volume = torch.zeros(20, 20, 20)
    volume[4:16, 4:16, 4:16] = torch.randn(12, 12, 12, generator=torch.Generator().manual_seed(1)) * 20 + 200
    known = measure(volume, method="z-score whole")
    inside = volume[volume > 0]
    where = frame(bounds(volume > 0), (1, 1, 1), 1.0, strides=(8, 8, 8), least=(32, 32, 32))
    assert where.size == (32, 32, 32)
    found = on_frame(volume[where.box], known, where)[0]
    background = float(-inside.mean() / inside.std(unbiased=False))
    assert found[0, 0, 0].item() == found[-1, -1, -1].item() == pytest.approx(background, rel=1e-5)
    brain = found[found > background / 2]
    assert brain.numel() == 12**3
    assert float(brain.mean()) == pytest.approx(0, abs=1e-5)
    assert float(brain.std(unbiased=False)) == pytest.approx(1, rel=1e-5)


def test_windows_keep_their_extents() -> None:
    """Where the answer depends on the window, every one is as published, however little overlaps."""
    assert {w[0].stop - w[0].start for w in tile((136, 88, 80), (80, 80, 80), (8, 8, 8), fixed=True)} == {80}
    assert {w[0].stop - w[0].start for w in tile((136, 88, 80), (80, 80, 80), (8, 8, 8))} == {80}
    assert {w[1].stop - w[1].start for w in tile((136, 88, 80), (80, 80, 80), (8, 8, 8))} == {56}


def saved(folder: Path, state: Mapping[str, Tensor], name: str = "model_last.pth") -> Path:
    """As the published training saves it: from data-parallel, with an optimiser's state beside it."""
    torch.save(
        {
            "epoch": 299,
            "state_dict": {f"module.{k}": v for k, v in state.items()},
            "optim_dict": {"state": {}},
        },
        folder / name,
    )
    return folder / name


def test_a_checkpoint_becomes_a_model_that_is_offered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``mrseg models import FILE --as rfnet``: safetensors and a card with its normalisation."""
    monkeypatch.setenv("MRSEG_MODELS", str(tmp_path / "models"))
    network = made("rfnet")
    weights = drawn(network.state_dict())
    file = saved(tmp_path, weights)
    assert cli.main(["models", "import", str(file), "--as", "rfnet", "--name", "rfnet-2020", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "rfnet-2020"
    assert "rfnet-2020" in [model.name for model in list_models(BRATS)]
    folder = tmp_path / "models" / "rfnet-2020"
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    model = load_model("rfnet-2020")
    assert model.card.normalisation == {"name": "z-score whole"}
    assert model.card.validated[0].extents_max == (80, 80, 80)
    assert "model_last.pth" in model.card.limitations
    assert all(torch.equal(t, weights[name]) for name, t in model.network.state_dict().items())


def test_the_engine_gives_what_the_published_code_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study in one window: labels are the likeliest class of scans that are scaled, cut and turned as published."""
    monkeypatch.setattr(RFNet, "window", (40, 40, 40))  # a small one is computed sooner
    rng = np.random.default_rng(3)
    head = np.zeros((36, 42, 38), bool)
    head[4:30, 5:39, 3:31] = True
    for name in BRATS.names:
        data = np.where(head, rng.normal(300, 60, head.shape).clip(50), 0)
        save_nifti(tmp_path / f"case_{name}.nii.gz", data.astype(np.float32))
    case = open_study(tmp_path, brain="none")
    network = made("rfnet")
    network.load_state_dict(drawn(network.state_dict()))
    _, card = read_published(saved(tmp_path, network.state_dict()), "rfnet")
    save_model(tmp_path / "model", network, card)
    engine = Engine(load_model(tmp_path / "model"), device="cpu", precision="fp32")
    found = engine.predict(case, ("t1", "t1ce"))
    volumes = [torch.from_numpy(case.images[name].data.copy()) for name in ("flair", "t1ce", "t1", "t2")]
    z = torch.stack([(v - v[v > 0].mean()) / v[v > 0].std(unbiased=False) for v in volumes])
    edges = [(int(i.min()), int(i.max()) + 1) for i in torch.nonzero(volumes[0] > 0).T]
    start = [low - (40 - (high - low)) // 2 for low, high in edges]
    window = torch.stack(
        [torch.full((40, 40, 40), float(v[0, 0, 0])) for v in z]
    )  # beyond the scan: background
    theirs = tuple(slice(max(0, s), min(s + 40, n)) for s, n in zip(start, z.shape[1:], strict=True))
    ours = tuple(slice(t.start - s, t.stop - s) for t, s in zip(theirs, start, strict=True))
    window[(slice(None), *ours)] = z[(slice(None), *theirs)]
    with torch.inference_mode():
        turned = window.flip(1).permute(0, 3, 2, 1)[None]  # I, P, L to L, P, S
        classes = network.scores(turned, torch.tensor([[False, True, True, False]])).argmax(1)[0]
    back = classes.permute(2, 1, 0).flip(0)
    expected = torch.zeros(case.grid.shape, dtype=torch.long)
    expected[theirs] = back[ours]
    box = found.box
    same = found.labels[box] == expected[box].numpy()
    assert same.mean() > 0.9999


def test_checkpoints_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    """A missing key, one too many, another shape, values that are not finite, what is no checkpoint."""
    state = made("rfnet").state_dict()
    first = next(iter(state))

    def refused(weights: Mapping[str, Tensor], match: str) -> None:
        with pytest.raises(InputError, match=match):
            read_published(saved(tmp_path, weights), "rfnet")

    refused({k: v for k, v in state.items() if k != first}, f"lacks “{first}”")
    refused({**state, "decoder_fuse.extra.weight": torch.ones(1)}, "holds “decoder_fuse.extra.weight”")
    refused({**state, first: torch.ones(2, 2)}, f"“{first}” has the shape")
    refused({**state, first: torch.full_like(state[first], torch.nan)}, "not finite")
    (tmp_path / "text.pth").write_text("no")
    with pytest.raises(InputError, match="could run code"):
        read_published(tmp_path / "text.pth", "rfnet")
    with pytest.raises(InputError, match="known: rfnet, mmformer, unimrseg"):
        read_published(tmp_path / "text.pth", "unheard-of")
    with pytest.raises(InputError, match="lacks"):
        read_published(saved(tmp_path, state), "mmformer")
