"""Networks that take the checkpoints of other groups' published code.

The numbers here were given by that code itself (github.com/dyh127/RFNet, github.com/YaoZhang93/mmFormer,
github.com/Xiaoqi-Zhao-DLUT/UniMRSeg, github.com/ccarliu/m3ae, github.com/AImageLab-zip/IM-Fuse with the selective scan
that mamba-ssm calls its reference), with weights and an input drawn as :func:`drawn` and :func:`noise` draw them.
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
from napari_mrseg.inference.tiles import place_of, tile
from napari_mrseg.io import open_study
from napari_mrseg.models.axes import Place
from napari_mrseg.models.counting import count
from napari_mrseg.models.network import find_network
from napari_mrseg.models.onnx_export import export_onnx
from napari_mrseg.models.published import imfuse, m3ae, mamba
from napari_mrseg.models.published import published_mmformer as mmformer
from napari_mrseg.models.published.published_checkpoint import KINDS, read_published
from napari_mrseg.models.published.published_network import Published, nested_classes, region_logits
from napari_mrseg.models.published.rfnet import RFNet
from napari_mrseg.models.store import list_models, load_model, save_model
from napari_mrseg.prepare import bounds, frame, measure, on_frame, scale
from napari_mrseg.tasks import BRATS

# name: tensors, parameters, sha256 of the lines "name extentxextent.." of the published state, sorted
STATES = {
    "rfnet": (288, 8_984_960, "6e1bfa0b9d6ba3658de2dec3c448ead9bfd949d6e9f656120da6b4e3e8d6b84c"),
    "mmformer": (287, 36_654_416, "098945efaef8867df50bbeb8deb2119b298b8b443fa0b5d1b2d35f2592983e99"),
    "unimrseg": (234, 91_444_077, "3054c550e9c78a32fa0a324df97954c761708484c36659cf720806e053c7790f"),
    "m3ae": (113, 40_416_211, "eac4d68010bbde7c510a777f812772080e81eb446694c3d484925a3cea7b743c"),
    "m3ae deep": (117, 40_416_505, "ce6e37bff30c21ef0fca41646eddaf405b9b610511b859a58fc4eca63415b575"),
    "imfuse": (384, 64_388_120, "755f11dbf4ff245ecc3a04d04660aba685a1acdf7edc6a74084f7f754c4508bf"),
    "imfuse no-skips": (384, 64_404_440, "d93ada47dc04c35198f891709b90fd0e1eed5f3c019f1ce57dfe66f68ef014ad"),
}
VARIANTS: dict[str, dict[str, object]] = {
    "m3ae deep": {"deep": True},  # trained with outputs of coarser maps, as its run.sh does
    "imfuse no-skips": {"skips": False},  # without --mamba_skip
    "imfuse concatenated": {"interleaved": False},  # without --interleaved_tokenization
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
    "m3ae": (
        ([0.0, 0.99449, 0.10883], [0.0, 0.99175, 0.27536]),
        ([0.0, 0.99825, 0.37546], [0.0, 0.99627, 0.12681]),
        ([0.0, 0.99807, 0.17486], [0.0, 0.99248, 0.2787]),
    ),
    "imfuse": (
        ([0.46424, 0.12061, 0.00074, 0.41441], [0.59475, 0.13666, 0.00097, 0.26763]),
        ([0.37757, 0.07871, 0.00063, 0.54309], [0.51165, 0.14377, 0.00087, 0.34371]),
        ([0.51008, 0.10668, 0.00076, 0.38248], [0.52108, 0.13472, 0.00036, 0.34384]),
    ),
    "imfuse no-skips": (([0.07558, 0.24222, 0.01415, 0.66805], [0.07556, 0.24963, 0.01706, 0.65775]),),
    "imfuse concatenated": (([0.30372, 0.11593, 0.00022, 0.58013], [0.06177, 0.03931, 0.00003, 0.89889]),),
}
PLACED = (  # M3AE's, where its window begins at voxel (2, 5, 7) of the learnt image
    ([0.0, 0.99449, 0.10883], [0.0, 0.99175, 0.27536]),
    ([0.0, 0.97557, 0.11003], [0.0, 0.99771, 0.15742]),
    ([0.0, 0.99456, 0.17669], [0.0, 0.99509, 0.15523]),
)


def made(kind: str, **settings: object) -> Published:
    network = find_network(KINDS[kind.partition(" ")[0]])
    assert issubclass(network, Published)
    return network(network.settings_type.model_validate({**VARIANTS.get(kind, {}), **settings})).eval()


def drawn(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that depend on names and shapes alone."""
    rng = np.random.default_rng(5)
    found = {}
    for name in sorted(state):
        found[name] = state[name]
        if state[name].is_floating_point():
            shape = tuple(state[name].shape)
            spread = 1 if name == "limage" else 1 / np.sqrt(max(1, np.prod(shape[1:])))
            found[name] = torch.from_numpy(rng.normal(0, spread, shape).astype(np.float32))
        if name.endswith("running_var"):
            found[name] = found[name].abs() + 0.5
    return found


def noise(extent: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(6).normal(size=(1, 4, *[extent] * 3)).astype(np.float32))


@pytest.mark.parametrize("kind", STATES)
def test_names_and_shapes_are_those_of_the_published_code(kind: str) -> None:
    """Every tensor by name and shape, and the parameters: RFNet 9.0 M, mmFormer 36.7 M, UniMRSeg 91.4 M, M3AE 40.4 M,
    IM-Fuse 64.4 M.
    """
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
    # Windows of 32 instead of 128, and a small learnt volume, as the code was run for the numbers.
    monkeypatch.setattr(mmformer, "PATCH", 2)
    monkeypatch.setattr(imfuse, "SIDE", 32)
    monkeypatch.setattr(m3ae, "VOLUME", (20, 24, 28))
    extent = 32 if kind.startswith(("mmformer", "imfuse")) else 16
    network = made(kind)
    network.load_state_dict(drawn(network.state_dict()))
    for present, expected in zip(PRESENT, ANSWERS[kind], strict=False):
        with torch.inference_mode():
            found = network.scores(noise(extent), torch.tensor([present], dtype=torch.bool))[0]
        found = found.sigmoid() if kind in ("unimrseg", "m3ae") else found.softmax(0)
        assert found[:, 3, 5, 7].tolist() == pytest.approx(expected[0], abs=2e-5)
        assert found[:, extent - 1, 0, extent // 2].tolist() == pytest.approx(expected[1], abs=2e-5)


def test_a_missing_modality_is_taken_from_its_place_in_the_learnt_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M3AE: the answers of the published code for a window that begins at voxel (2, 5, 7)."""
    monkeypatch.setattr(m3ae, "VOLUME", (20, 24, 28))
    network = made("m3ae")
    network.load_state_dict(drawn(network.state_dict()))
    place = Place((1, 4, 6), (0, 0, 0))  # its code leaves one voxel before the brain
    for present, expected in zip(PRESENT, PLACED, strict=True):
        with torch.inference_mode():
            found = network.placed_scores(noise(16), torch.tensor([present], dtype=torch.bool), place)[0]
        assert found.sigmoid()[:, 3, 5, 7].tolist() == pytest.approx(expected[0], abs=2e-5)
        assert found.sigmoid()[:, 15, 0, 8].tolist() == pytest.approx(expected[1], abs=2e-5)


def test_every_window_shows_a_voxel_the_same_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """M3AE: voxel by voxel of the brain's box, in the axes of its code, whichever window of the frame it is seen in."""
    monkeypatch.setattr(m3ae, "VOLUME", (40, 56, 64))
    network = made("m3ae")
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in m3ae.VOLUME), indexing="ij"))
    network.limage = torch.nn.Parameter(torch.cat((grid, grid[:1]))[None])
    network.unet = torch.nn.Identity()  # three of the channels are then what is put into it
    box = [(5, 35), (3, 50), (8, 62)]
    where = frame(box, (1, 1, 1), 1.0, strides=(8, 8, 8), least=(32, 32, 32))
    seen: dict[tuple[int, ...], list[float]] = {}
    for window in tile(where.size, (32, 32, 32), (8, 8, 8), fixed=True):
        blank = torch.zeros(1, 4, 32, 32, 32)
        found = network(blank, torch.zeros(1, 4, dtype=torch.bool), place=place_of(window, where))[0]
        for voxel in ((5, 3, 8), (20, 20, 20), (34, 49, 61)):  # of the scan, in I, P, L
            there = tuple(
                v - start - side.start for v, start, side in zip(voxel, where.start, window, strict=True)
            )
            if all(0 <= k < 32 for k in there):
                # The regions are channels 2, 1, 0: the learnt image's voxel in S, P, L, last axis first.
                assert found[(slice(None), *there)].tolist() == seen.setdefault(
                    voxel, [voxel[2] - 8 + 1, voxel[1] - 3 + 1, 34 - voxel[0] + 1]
                )
    assert len(seen) == 3


@pytest.mark.parametrize(("length", "every"), [(60, 1), (60, 5), (7, 1), (35, 5)])
def test_the_scan_in_parts_is_that_of_token_by_token(
    length: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IM-Fuse's Mamba layers: the recurrence as it is defined, for parts that do and do not divide the tokens."""
    monkeypatch.setattr(mamba, "STATES_AT_ONCE", 100)
    rng = torch.Generator().manual_seed(4)
    x, step = torch.randn(2, length, 4, generator=rng), torch.rand(2, length, 4, generator=rng)
    a = -torch.rand(4, 3, generator=rng) * 3
    b, c = torch.randn(2, length, 3, generator=rng), torch.randn(2, length, 3, generator=rng)
    h, expected = torch.zeros(2, 4, 3), []
    for t in range(length):
        h = torch.exp(step[:, t, :, None] * a) * h + (step * x)[:, t, :, None] * b[:, t, None]
        expected.append((h * c[:, t, None]).sum(-1))
    seen = slice(every - 1, None, every)
    found = mamba.selective_scan(x, step, a, b, c[:, seen], every=every)
    torch.testing.assert_close(found, torch.stack(expected, 1)[:, seen])


def test_min_max_is_that_of_the_published_code() -> None:
    """M3AE: cut at the 1st and 99th percentile of the brain, these become 0 and 1, and so does the background 0."""
    volume = torch.zeros(20, 20, 20)
    volume[4:16, 4:16, 4:16] = torch.randn(12, 12, 12, generator=torch.Generator().manual_seed(1)) * 20 + 200
    low, high = np.percentile(volume[volume > 0].numpy(), [1, 99])
    cut = np.clip(volume.numpy(), low, high)
    expected = (cut - cut.min()) / (cut.max() - cut.min())
    found = scale(volume.clone(), measure(volume, method="min-max"))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "imfuse-concatenated"])
def test_a_missing_and_an_unknown_weight_of_any_network_are_refused_by_name(
    kind: str, tmp_path: Path
) -> None:
    """Of each network that can be imported."""
    network = find_network(KINDS[kind])
    assert issubclass(network, Published)
    with torch.device("meta"):
        names = network(network.settings_type.model_validate({})).state_dict()
    state = {name: torch.zeros(1) for name in names}  # names are checked before shapes
    last = list(state)[-1]
    for weights, match in (
        ({k: v for k, v in state.items() if k != last}, f"lacks “{last}”"),
        ({**state, "unheard.of": torch.ones(1)}, "holds “unheard.of”"),
    ):
        with pytest.raises(InputError, match=match):
            read_published(saved(tmp_path, weights), kind)


def test_checkpoints_say_what_they_were_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3AE with and without coarser outputs, IM-Fuse with and without skips; its order of tokens is said."""
    monkeypatch.setattr(imfuse, "SIDE", 32)
    monkeypatch.setattr(m3ae, "VOLUME", (32, 32, 32))
    for kind in ("m3ae", "m3ae deep", "imfuse", "imfuse no-skips"):
        network = made(kind)
        file = saved(tmp_path, network.state_dict())
        found, card = read_published(file, kind.partition(" ")[0])
        assert found.settings == network.settings
        assert card.normalisation["name"] == ("min-max" if "m3ae" in kind else "z-score whole")
    again, _ = read_published(file, "imfuse-concatenated")
    assert (again.settings.skips, again.settings.interleaved) == (False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_costs_is_counted_without_computing(kind: str) -> None:
    """Of each network that can be imported, one of its windows, complete and incomplete: what the engine asks first."""
    network = find_network(KINDS[kind])
    assert issubclass(network, Published)
    settings = network.settings_type.model_validate({})
    assert network.window is not None
    for incomplete in (False, True):
        counted = count(network, settings, network.window, channels=4, incomplete=incomplete)
        assert counted.flops > 1e11


@pytest.mark.parametrize("kind", ["m3ae", "imfuse"])
def test_what_cannot_be_exported_says_why(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3AE, whose answer depends on where a window lies, and IM-Fuse, with its long recurrences."""
    monkeypatch.setattr(imfuse, "SIDE", 32)
    network, card = read_published(saved(tmp_path, made(kind).state_dict()), kind)
    save_model(tmp_path / "model", network, card)
    with pytest.raises(InputError, match=r"cannot be exported: (what stands in|its Mamba layers)"):
        export_onnx(load_model(tmp_path / "model"), tmp_path / "model.onnx")


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
    with pytest.raises(InputError, match="known: rfnet, mmformer, unimrseg, m3ae, imfuse"):
        read_published(tmp_path / "text.pth", "unheard-of")
    with pytest.raises(InputError, match="lacks"):
        read_published(saved(tmp_path, state), "mmformer")
