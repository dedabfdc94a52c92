"""Model folders: what is saved comes back, what is damaged or unknown is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_mrseg.errors import InputError, ModelError, UnknownModelError
from napari_mrseg.models import store
from napari_mrseg.models.store import (
    ModelCard,
    Validated,
    add_model,
    list_models,
    load_model,
    save_model,
    verify_model,
)
from napari_mrseg.models.unimrseg import Settings, UniMRSeg
from napari_mrseg.tasks import BRATS

TINY = Settings(width=2, aspp_rates=(1,), adapters="none", heads=(1, 1, 1, 1, 1))


def make_card(**changes: Any) -> ModelCard:
    return ModelCard(
        **{
            "name": "tiny",
            "version": "1.0",
            "licence": "CC0-1.0",
            "task": "brats",
            "modalities": BRATS.names,
            "regions": ("WT", "TC", "ET"),
            "normalisation": {"name": "robust"},
            "validated": (
                Validated(spacing_mm=1, extents_max=(160, 192, 160)),
                Validated(spacing_mm=2, extents_max=(80, 96, 80)),
            ),
            "trained_on": ("nothing, random weights",),
            "intended_use": "tests",
            "limitations": "finds nothing",
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the models of this machine."""
    monkeypatch.setenv("MRSEG_MODELS", str(tmp_path / "user"))
    monkeypatch.setattr(store, "BUNDLED", tmp_path / "bundled")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_model(tmp_path / "tiny", UniMRSeg(TINY), make_card())


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / "model.json").read_text())
    change(data)
    (folder / "model.json").write_text(json.dumps(data))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change tensors and make the sha256 fit, so that the check behind it is the one that speaks."""
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")
    resign(folder)


def resign(folder: Path) -> None:
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    edit_card(folder, lambda card: card.update(sha256=digest))


def test_saved_model_comes_back(folder: Path) -> None:
    """The same logits, in eval mode, with the card and the weights' hash."""
    torch.manual_seed(0)
    network, model = UniMRSeg(TINY).eval(), load_model(folder)
    x = torch.randn(1, 4, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(model.network(x), network(x))
    assert not model.network.training
    assert model.card.validated == make_card().validated
    assert model.card.architecture.settings["adapters"] == "none"
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert model.info == {"name": "tiny", "version": "1.0", "sha256": digest}
    assert model.task is BRATS
    verify_model(folder)


def test_adapters_come_back(tmp_path: Path) -> None:
    """A model with attention adapters is saved and loaded too, with no derived table in its weights."""
    network = UniMRSeg(TINY.model_copy(update={"adapters": "reverse", "attention_window": 2})).eval()
    loaded = load_model(save_model(tmp_path / "a", network, make_card())).network
    x, present = torch.randn(1, 4, 8, 8, 8), torch.tensor([[True, False, True, False]])
    with torch.no_grad():
        assert torch.equal(loaded(x, present), network(x, present))
    assert not any("index" in name for name in load_file(tmp_path / "a" / "weights.safetensors"))


def test_loading_leaves_random_numbers_alone(folder: Path) -> None:
    """A training that loads a model goes on with the same random numbers."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(folder)
    assert torch.equal(torch.rand(1), expected)


def test_frozen_cast_network_is_saved_as_float32(tmp_path: Path) -> None:
    """What was laid out channels-last in bf16 for training is saved plain."""
    network = UniMRSeg(TINY).bfloat16().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.freeze_encoder()
    loaded = load_model(save_model(tmp_path / "b", network, make_card()))
    assert next(loaded.network.parameters()).dtype is torch.float32


def test_non_finite_weights_are_never_saved(folder: Path) -> None:
    """NaN weights are refused and the older folder stays as it was."""
    before = (folder / "model.json").read_bytes()
    network = UniMRSeg(TINY)
    network.head.bias.data[0] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=r"head\.bias"):
        save_model(folder, network, make_card())
    assert (folder / "model.json").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_failed_write_keeps_the_older_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full half-way, the older model is whole and nothing is left beside it."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save_model(folder, UniMRSeg(TINY), make_card(version="2.0"))
    assert load_model(folder).card.version == "1.0"
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_saving_again_replaces(folder: Path) -> None:
    """A second save takes the first one's place, with no leftovers."""
    save_model(folder, UniMRSeg(TINY), make_card(version="2.0"))
    assert load_model(folder).card.version == "2.0"
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_saving_over_something_else_is_refused(tmp_path: Path) -> None:
    """A folder that holds other files is not replaced."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a model folder"):
        save_model(tmp_path / "mine", UniMRSeg(TINY), make_card())
    assert (tmp_path / "mine" / "thesis.txt").exists()


def flip_byte(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    resign(folder)


def empty(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"")
    resign(folder)


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"][0] = float("nan")


def settings(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_card(folder, lambda card: card["architecture"]["settings"].update(changes))


def in_card(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_card(folder, lambda card: card.update(changes))


def in_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: edit_weights(folder, change)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte": (flip_byte, "sha256"),
    "truncated": (truncate, "not a safetensors file"),
    "empty weights": (empty, "not a safetensors"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "missing"),
    "NaN": (in_weights(nan), "head.weight.*not finite"),
    "missing tensor": (in_weights(lambda t: t.pop("head.bias")), "head.bias.*missing"),
    "extra tensor": (in_weights(lambda t: t.update(extra=torch.ones(1))), "extra.*does not belong"),
    "wrong shape": (in_weights(lambda t: t.update({"head.bias": torch.ones(4)})), r"head.bias.*\(4,\)"),
    "wrong dtype": (
        in_weights(lambda t: t.update({"head.bias": torch.ones(3).half()})),
        "head.bias.*float16",
    ),
    "no card": (lambda f: (f / "model.json").unlink(), "missing"),
    "bad JSON": (lambda f: (f / "model.json").write_text('{"name": '), "JSON"),
    "not text": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"), "JSON"),
    "nested without end": (lambda f: (f / "model.json").write_text("[" * 200_000), "JSON"),
    "NaN in JSON": (lambda f: (f / "model.json").write_text('{"name": NaN}'), "NaN"),
    "huge card": (lambda f: (f / "model.json").write_text(" " * (2**20 + 1)), "larger"),
    "not an object": (lambda f: (f / "model.json").write_text("[]"), "model.json"),
    "unknown key": (in_card(colour="red"), "colour: unknown key"),
    "missing key": (lambda f: edit_card(f, lambda c: c.pop("licence")), "licence: missing key"),
    "unknown task": (in_card(task="liver"), "unknown task “liver”; known: brats"),
    "other order": (in_card(modalities=["t1", "flair", "t1ce", "t2"]), "modalities must be flair"),
    "other regions": (in_card(regions=["WT", "TC"]), "regions must be WT"),
    "unknown normalisation": (in_card(normalisation={"name": "minmax"}), "normalisation"),
    "no spacing": (in_card(validated=[]), "validated"),
    "coarse first": (
        lambda f: edit_card(f, lambda c: c["validated"].reverse()),
        "fine to coarse",
    ),
    "odd extents": (in_card(validated=[{"spacing_mm": 1, "extents_max": [10, 8, 8]}]), "multiples of 8"),
    "path in the name": (in_card(name="../../home"), "name"),
    "unknown setting": (settings(depth=9), "settings: depth: unknown key"),
    "other width": (settings(width=4), "shape"),
    "huge network": (settings(width=256), "shape"),
    "three inputs": (settings(in_channels=3), "3 inputs"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(damage: str, folder: Path) -> None:
    """Damage is a ModelError: one sentence that names folder and file, what is wrong, the fix."""
    harm, word = DAMAGE[damage]
    harm(folder)
    with pytest.raises(ModelError, match=word) as caught:
        load_model(folder)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "tiny/" in message
    assert "get the folder again" in message
    assert "\n" not in message
    assert str(folder.parent) not in message


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    """A .pt file is refused with the fix, and no code in it runs."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="run code; give a folder"):
        load_model(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("asked", ["unheard-of", "../../etc", "/", "", Path("nowhere"), Path("tiny")])
def test_unknown_model_lists_the_known(asked: str | Path, folder: Path) -> None:
    """An unknown name is exit code 2, and the sentence says what there is."""
    add_model(folder)
    with pytest.raises(UnknownModelError, match="known: tiny") as caught:
        load_model(asked)
    assert caught.value.exit_code == 2


def test_no_bundled_model_is_said(folder: Path) -> None:
    """Without a bundled model the default is an UnknownModelError, not another model."""
    add_model(folder)
    with pytest.raises(UnknownModelError, match="No model for the task brats is bundled"):
        load_model(task=BRATS)


def test_bundled_model_is_the_default(tmp_path: Path) -> None:
    """None is the bundled model of the task, and it comes first in the list."""
    save_model(tmp_path / "bundled" / "house", UniMRSeg(TINY), make_card(name="house"))
    save_model(tmp_path / "user" / "aaa", UniMRSeg(TINY), make_card(name="aaa"))
    assert load_model(task=BRATS).card.name == load_model().card.name == "house"
    assert [(m.name, m.bundled) for m in list_models()] == [("house", True), ("aaa", False)]


def test_added_model_is_found_by_name(folder: Path, tmp_path: Path) -> None:
    """``add_model`` copies card and weights, nothing else, and the copy loads by name."""
    (folder / "install.py").write_text("raise SystemExit")
    added = add_model(folder)
    assert added == tmp_path / "user" / "tiny"
    assert sorted(p.name for p in added.iterdir()) == ["model.json", "weights.safetensors"]
    assert load_model("tiny").sha256 == load_model(folder).sha256
    with pytest.raises(InputError, match="--overwrite"):
        add_model(folder)
    assert add_model(folder, overwrite=True) == added


def test_added_model_does_not_hide_a_bundled_one(folder: Path, tmp_path: Path) -> None:
    """A model with a bundled model's name is not added."""
    save_model(tmp_path / "bundled" / "tiny", UniMRSeg(TINY), make_card())
    with pytest.raises(InputError, match="another name"):
        add_model(folder, overwrite=True)


def test_damaged_model_is_not_added(folder: Path, tmp_path: Path) -> None:
    """``add_model`` checks first: nothing is written for a damaged folder."""
    flip_byte(folder)
    with pytest.raises(ModelError):
        add_model(folder)
    assert not (tmp_path / "user").exists()


def test_a_card_gives_the_mean_of_the_cases_that_have_a_region() -> None:
    """Mean Dice by combination in the order of the rows; None, rows without Dice and words are left out."""
    rows = (
        {"case": "a", "combination": ["t1", "t2"], "dice": {"WT": 0.8, "ET": None}},
        {"case": "b", "combination": ["t1", "t2"], "dice": {"WT": 0.6, "TC": "good", "knee": 1.0}},
        {"case": "c", "combination": ["flair"], "false_ml": {"WT": 3.0}},
        {"case": "d", "combination": 7, "dice": [0.9]},
    )
    card = make_card(measured=rows)
    assert card.measured_dice(("t1", "t2")) == {"WT": [0.8, 0.6]}
    assert card.measured_table() == [(("t1", "t2"), {"WT": pytest.approx(0.7)}), (("flair",), {}), ((), {})]
