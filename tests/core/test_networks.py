"""Networks by name: the house's own, MONAI's, another package's; bundles become models that say what they need."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from pydantic import BaseModel
from synthetic import save_nifti
from synthetic_bundle import bundle
from tiny import model, study

from napari_mrseg import cli
from napari_mrseg.errors import Cancelled, InputError, ModelError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.monai import NAMES, MonaiSettings, least_stride, monai_network
from napari_mrseg.models.network import GROUP, Network, find_network
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS

ARGUMENTS = {
    "AttentionUnet": {"channels": [8, 16, 32], "strides": [2, 2]},
    "BasicUNet": {"features": [8, 8, 16, 16, 32, 8]},
    "DynUNet": {
        "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [8, 16, 32],
        "norm_name": "instance",
    },
    "SegResNet": {"init_filters": 8},
    "UNet": {"channels": [8, 16, 32], "strides": [2, 2]},
    "VNet": {},
}  # fmt: skip


def settings(name: str, dimensions: int = 3, axes: str = "IPL") -> MonaiSettings:
    arguments = {"spatial_dims": dimensions, "in_channels": 4, "out_channels": 3} | ARGUMENTS[name]
    made = MonaiSettings(arguments=arguments, inputs=(2, 1, 3, 0), outputs=(1, 0, 2), axes=axes)
    return made.model_copy(update={"stride": least_stride(f"monai:{name}", made)})


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_of_monais_networks_gives_what_it_gives_by_itself(name: str, dimensions: int) -> None:
    """Channels and outputs in its own order, slices one at a time if it is flat, extents of its least stride."""
    torch.manual_seed(0)
    network = monai_network(f"monai:{name}")(settings(name, dimensions)).for_inference()
    x = torch.randn(1, 4, *(3 if n == 1 else 3 * n for n in network.stride))
    own = x[:, [2, 1, 3, 0]]
    with torch.inference_mode():
        if dimensions == 2:
            want = torch.stack([network.network(own[:, :, i]) for i in range(3)], 2)
        else:
            want = network.network(own)
        got = network(x)
    assert got.shape == (1, 3, *x.shape[2:])
    assert torch.allclose(got, want[:, [1, 0, 2]], atol=1e-5)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR"])
def test_a_network_sees_its_own_axes(axes: str) -> None:
    """Our I, P, L arrays reach it turned as nibabel turns them, and its answer comes back turned the other way."""
    torch.manual_seed(0)
    network = monai_network("monai:SegResNet")(settings("SegResNet", axes=axes)).eval()
    x = torch.randn(1, 4, 8, 16, 24)
    ours, theirs = (nib.orientations.axcodes2ornt(tuple(a)) for a in ("IPL", axes))
    there = nib.orientations.ornt_transform(ours, theirs)
    back = nib.orientations.ornt_transform(theirs, ours)
    turned = np.stack([nib.orientations.apply_orientation(c, there) for c in x[0].numpy()])
    with torch.inference_mode():
        raw = network.network(torch.from_numpy(turned)[None, [2, 1, 3, 0]])[0, [1, 0, 2]].numpy()
        want = np.stack([nib.orientations.apply_orientation(c, back) for c in raw])
        assert np.allclose(network(x)[0].numpy(), want, atol=1e-5)


def test_a_run_of_a_monai_network_can_be_stopped() -> None:
    """The check is asked between convolutions, and the hooks that ask are gone afterwards."""
    network = monai_network("monai:SegResNet")(settings("SegResNet")).eval()
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 5:
            raise Cancelled("enough")

    with torch.inference_mode(), pytest.raises(Cancelled):
        network(torch.zeros(1, 4, 8, 8, 8), check=check)
    assert len(asked) == 5
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models are in a folder of the test."""
    monkeypatch.setenv("MRSEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_an_imported_bundle_finds_what_it_finds_by_itself(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read, normalised, turned, run and nested by us, the labels are those of MONAI's network on the raw arrays."""
    rng = np.random.default_rng(0)
    names = ("flair", "t1", "t1ce", "t2")
    raw = {n: rng.normal(300 + 50 * i, 40, (24, 32, 40)).astype(np.float32) for i, n in enumerate(names)}
    for name, data in raw.items():
        save_nifti(tmp_path / "case" / f"case_{name}.nii.gz", data)  # L, P, S as BraTS; no background at all
    assert cli.main(["models", "import", str(bundle(tmp_path / "Brats MRI")), "--name", "monai-brats"]) == 0
    out = tmp_path / "out"
    code = cli.main(
        ["predict", str(tmp_path / "case"), "-o", str(out), "--model", "monai-brats", "--precision", "fp32",
         "--device", "cpu"]
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    found = np.asarray(nib.load(out / "flair+t1+t1ce+t2.nii.gz").dataobj)
    from monai.networks.nets import SegResNet

    network = SegResNet(
        blocks_down=(1, 2, 2), blocks_up=(1, 1), init_filters=8, in_channels=4, out_channels=3
    )
    network.load_state_dict(torch.load(tmp_path / "Brats MRI" / "models" / "model.pt", weights_only=True))
    x = np.stack([(raw[n] - raw[n].mean()) / raw[n].std() for n in ("t1ce", "t1", "t2", "flair")])
    with torch.inference_mode():
        core, whole, enhancing = torch.sigmoid(network.eval()(torch.from_numpy(x)[None]))[0] >= 0.5
    whole, core = whole, core & whole
    want = np.select([enhancing & core, core, whole], [3, 1, 2], 0)
    assert 0.05 < (want > 0).mean() < 0.95
    assert (found != want).mean() < 1e-3  # probabilities of just 0.5


def test_an_imported_model_is_offered_only_for_what_it_can_do(
    models: Path, make_study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three modalities: one sentence, exit code 2, nothing written; --all: the one combination it has an answer for."""
    assert cli.main(["models", "import", str(bundle(tmp_path / "b"))]) == 0
    case, out = make_study(), tmp_path / "out"
    assert cli.main(["predict", str(case), "-o", str(out), "--model", "b", "--use", "flair,t1,t2"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.splitlines()[-1] == (
        "b needs FLAIR, T1, T1ce and T2, and T1ce is missing or off; switch on what it needs, or choose another model."
    )
    assert not out.exists()
    assert cli.main(["compare", str(case), "-o", str(out), "--model", "b"]) == 0
    assert [p.name for p in out.glob("*.nii.gz")] == ["flair+t1+t1ce+t2.nii.gz"]
    assert "1 of 15 combinations" in (out / "report.html").read_text()
    assert cli.main(["models", "info", "b"]) == 0
    assert "Needs flair, t1, t1ce, t2." in capsys.readouterr().out


def test_the_session_says_why_a_combination_has_no_answer(models: Path, tmp_path: Path) -> None:
    """Switched to three modalities, nothing is shown and the line says what the model needs; back on, it is there."""
    assert cli.main(["models", "import", str(bundle(tmp_path / "b"))]) == 0
    session = Session(device="cpu")
    session.load_model("b")
    session.set_study(study())
    assert session.combinations == (BRATS.names,)
    shown = session.wait(60)
    session.toggle("t1ce")
    assert session.shown is None
    assert "b needs FLAIR, T1, T1ce and T2, and T1ce is missing or off" in session.describe()
    assert session.error is None
    session.toggle("t1ce")
    assert session.wait(60) is shown
    session.close()


def _expression(metadata: dict, config: dict) -> None:
    config["network_def"]["in_channels"] = "$__import__('os').system('true')"


def _other_network(metadata: dict, config: dict) -> None:
    config["network_def"]["_target_"] = "monai.networks.nets.ViT"


def _other_width(metadata: dict, config: dict) -> None:
    config["network_def"]["init_filters"] = 16


def _strange_argument(metadata: dict, config: dict) -> None:
    config["network_def"]["colour"] = "red"


def _no_names(metadata: dict, config: dict) -> None:
    del metadata["network_data_format"]["inputs"]


def _strange_name(metadata: dict, config: dict) -> None:
    metadata["network_data_format"]["inputs"]["image"]["channel_def"]["0"] = "CT"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_expression, "would have to be run, which is not done"),
        (_other_network, "the network ViT is not among"),
        (_other_width, "does not fit the network of its configuration"),
        (_strange_argument, "does not take these arguments"),
        (_no_names, "does not say what its channels are; say it with --inputs"),
        (_strange_name, "what is the channel “CT”? Say it with --inputs"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_refused(
    change: Callable, said: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the fix, exit code 2, nothing written, nothing run."""
    assert cli.main(["models", "import", str(bundle(tmp_path / "b", change))]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not models.exists()


def test_a_bundles_pickle_is_not_run(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that hold more than tensors are refused, and what they would run is not run."""
    folder, mark = bundle(tmp_path / "b"), tmp_path / "ran"

    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (mark,)

    (folder / "models" / "model.pt").write_bytes(pickle.dumps(Harm()))
    assert cli.main(["models", "import", str(folder)]) == 2
    assert "not a file of weights alone" in capsys.readouterr().err
    assert not mark.exists()


class Plain(Network):
    """What another package might register: a convolution of one voxel."""

    class Shape(BaseModel):
        channels: int = 4

    architecture = "plain"
    settings_type = Shape

    def __init__(self, settings: Plain.Shape) -> None:
        super().__init__()
        self.settings = settings
        self.layer = torch.nn.Conv3d(settings.channels, 3, 1)

    def forward(self, x: torch.Tensor, available: object = None, *, check: object = None) -> torch.Tensor:
        return self.layer(x)

    @property
    def widest(self) -> int:
        return 4


class Entry:
    """An entry point that gives ``found`` or raises it."""

    name, group, value = "plain", GROUP, "mypackage:Plain"

    def __init__(self, found: object) -> None:
        self.found = found

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_another_package_can_register_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model folder names it, the store loads it, the engine runs it; without the package a sentence says so."""
    card = model(tmp_path).card.model_copy(update={"name": "plain"})
    save_model(tmp_path / "plain", Plain(Plain.Shape()), card)
    with pytest.raises(
        ModelError,
        match=r"unknown architecture “plain”; known: unimrseg, mmformer, smml, cmc, .*, monai:NAME. Install",
    ):
        load_model(tmp_path / "plain")
    monkeypatch.setattr("napari_mrseg.models.network.entry_points", lambda group: [Entry(Plain)])
    loaded = load_model(tmp_path / "plain")
    assert isinstance(loaded.network, Plain)
    prediction = Engine(loaded, device="cpu").predict(study(), ("t1", "t2"))
    assert prediction.combination == ("t1", "t2")
    assert prediction.model["name"] == "plain"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ImportError("no module named x"), r"cannot be loaded \(no module named x\); fix or reinstall"),
        (dict, "mypackage:Plain, which is no Network"),
    ],
)
def test_a_registered_network_that_is_broken_is_named(
    found: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says which architecture, from where, and what is wrong."""
    monkeypatch.setattr("napari_mrseg.models.network.entry_points", lambda group: [Entry(found)])
    with pytest.raises(InputError, match=said):
        find_network("plain")
