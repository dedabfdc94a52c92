"""The loop: whole recipe, exact resume after a real kill -9, and the ways it stops."""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from small import small_config, write_subject, write_subjects

from mrseg_training import atomic
from mrseg_training.average import Average
from mrseg_training.checkpoint import checkpoints, load_weights
from mrseg_training.config import changed, check
from mrseg_training.loop import train
from mrseg_training.settings import Config
from mrseg_training.stage_run import TrainingStopped
from mrseg_training.stages import make_stage
from mrseg_training.stages.contrast import Contrast
from napari_mrseg.errors import InputError, ModelError, UnknownModelError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model

STAGES = ("1-reconstruct", "2-contrast", "3-adapt")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic subjects, one of them without T2."""
    root = tmp_path_factory.mktemp("brats")
    write_subjects(root, 3)
    write_subject(root / "BraTS2021_00003", seed=3, modalities=("flair", "t1", "t1ce"))
    return root


@pytest.fixture(scope="module")
def config(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Three steps a stage, so that there is a middle to be killed in; all runs share a cache."""
    cache = str(tmp_path_factory.mktemp("cache"))
    stages = {"reconstruct": {"steps": 3}, "contrast": {"steps": 3}, "adapt": {"steps": 3, "average": 0.9}}
    return small_config(data, stages=stages, data={"cache": cache})


def quiet(event: Any) -> None:
    """No progress line."""


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(config, out, report=quiet)
    return out


def train_and_die(config: Config, out: str, stage: str, step: int) -> None:
    """Train until ``step`` of ``stage`` is logged (before it is saved), then be killed."""
    torch.set_num_threads(1)

    def die(event: Any) -> None:
        if event["kind"] == "step" and event["stage"] == stage and event["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    train(config, out, resume=True, report=die)


def in_a_process(*args: Any) -> int | None:
    """Exit code of :func:`train_and_die` in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mrseg_training.loop", "lightning.fabric", "monai.losses"])
    process = context.Process(target=train_and_die, args=args)
    process.start()
    process.join(180)
    return process.exitcode


def test_killed_in_each_stage_and_resumed_gives_identical_weights(
    config: Config, whole: Path, tmp_path: Path
) -> None:
    """N steps = k steps + kill -9 + resume + N − k steps, bit for bit, with the kill in every stage in turn."""
    out = tmp_path / "run"
    for stage in STAGES:
        assert in_a_process(config, str(out), stage, 2) == -signal.SIGKILL
        assert len(checkpoints(out / stage / "checkpoints")) == 1
    train(config, out, resume=True, report=quiet)
    for stage in STAGES:
        one, two = (load_weights(checkpoints(run / stage / "checkpoints")[-1]) for run in (whole, out))
        assert all(torch.equal(one[name], two[name]) for name in one), stage
        assert (whole / stage / "model" / "weights.safetensors").read_bytes() == (
            out / stage / "model" / "weights.safetensors"
        ).read_bytes()


def test_an_average_of_the_weights_is_what_is_kept(whole: Path) -> None:
    """With ``average`` the model has the running mean, which is not the last step's weights."""
    path = checkpoints(whole / "3-adapt" / "checkpoints")[-1]
    kept = load_model(whole / "model").network.state_dict()
    with safe_open(path, "pt") as file:
        name = "head.weight"
        assert torch.equal(kept[name], file.get_tensor(f"average.{name}"))
        assert not torch.equal(kept[name], file.get_tensor(f"model.{name}"))


def test_the_average_is_the_mean_written_out() -> None:
    """At first more is taken in, so that three steps of weights 1, 2, 3 on 0 give the mean that the formula says."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average, expected = Average(network, 0.9), 0.0
    for step, value in enumerate((1.0, 2.0, 3.0)):
        torch.nn.init.constant_(network.weight, value)
        average.update(network)
        keep = (1 + step) / (10 + step)
        expected = keep * expected + (1 - keep) * value
    assert float(average.values["weight"]) == pytest.approx(expected, rel=1e-6)


def test_a_stage_can_have_minutes_instead_of_steps(config: Config, tmp_path: Path) -> None:
    """It stops once the time is over, not after a number of steps, and the rate falls along the time."""
    part = {"steps": None, "minutes": 0.02, "warmup": 0.0, "floor": 0.0}
    events: list[Any] = []
    short = changed(config, {"recipe": ["supervised"], "stages": {"supervised": part}})
    ticks = itertools.count()
    train(short, tmp_path / "run", report=events.append, clock=lambda: 0.01 * next(ticks))
    steps = [event for event in events if event["kind"] == "step"]
    about = json.loads((tmp_path / "run" / "1-supervised" / "done.json").read_text())
    assert about["steps"] == steps[-1]["step"] > 1
    assert 1.2 <= about["seconds"] < 12
    rates = [event["learning_rate"] for event in steps]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.5 * rates[0]
    assert steps[-1]["done"] >= 1 > steps[-2]["done"]


def test_each_stage_leaves_a_model_folder(whole: Path) -> None:
    """The models of all stages load; the last one is the run's; only stage 3 has adapters."""
    models = [load_model(whole / stage / "model") for stage in STAGES]
    assert [m.network.adapters is not None for m in models] == [False, False, True]
    assert load_model(whole / "model").sha256 == models[-1].sha256
    empty = models[0].network(torch.randn(1, 4, 16, 16, 16))
    assert float(empty.max()) < 0
    assert "finds nothing" in models[0].card.limitations


def test_stage_2_starts_from_stage_1_but_its_last_layer(whole: Path, config: Config) -> None:
    """Encoder and decoder are taken over, the head is new; stage 3 keeps encoder and statistics of stage 2."""
    first, second, third = (load_weights(checkpoints(whole / s / "checkpoints")[-1]) for s in STAGES)
    fresh = Contrast(config, config.stages.contrast)  # type: ignore[arg-type]
    fresh.start_from(first, head=False)
    state = fresh.network.state_dict()
    assert all(torch.equal(state[k], first[k]) for k in first if not k.startswith("head."))
    assert first["head.weight"].shape != second["head.weight"].shape
    frozen = [k for k in second if k.startswith(("encoder.", "pyramid."))]
    assert all(torch.equal(second[k], third[k]) for k in frozen)
    assert any(not torch.equal(second[k], third[k]) for k in second if k.startswith("decoder."))


def test_a_run_starts_from_a_given_model(whole: Path, config: Config, tmp_path: Path) -> None:
    """``start`` gives the first stage a model folder's weights; a folder that is no model is refused."""
    given = changed(config, {"start": str(whole / "2-contrast" / "model"), "recipe": ["adapt"]}, "given")
    train(given, tmp_path / "run", report=quiet)
    second, third = load_model(whole / "2-contrast" / "model"), load_model(tmp_path / "run" / "model")
    before, after = second.network.state_dict(), third.network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith(("encoder.", "pyramid.")))
    with pytest.raises(UnknownModelError, match="no model folder"):
        train(changed(given, {"start": str(tmp_path)}, "no model"), tmp_path / "other", report=quiet)


def test_log_has_losses_and_counts_skipped_pairs(whole: Path) -> None:
    """One line of JSON an event; the subject without T2 is counted where pairs are formed."""
    events = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    steps = [e for e in events if e["kind"] == "step"]
    assert [e["stage"] for e in steps] == [s for s in STAGES for _ in range(3)]
    assert {"loss_contrast", "loss_complete", "loss_incomplete"} <= steps[3].keys()
    assert {"loss_feature", "loss_prediction"} <= steps[6].keys()
    assert sum(e["skipped_pairs"] for e in steps) > 0
    assert all(e["loss"] == e["loss"] for e in steps)


def test_a_run_is_not_overwritten(whole: Path, config: Config) -> None:
    """Without --resume a folder that holds a run is refused; with other settings it is refused even so."""
    with pytest.raises(InputError, match="--resume"):
        train(config, whole, report=quiet)
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(InputError, match="other settings"):
        train(other, whole, resume=True, report=quiet)


def test_one_stage_needs_the_one_before(config: Config, tmp_path: Path) -> None:
    """--stage trains that stage only, on top of what is there."""
    with pytest.raises(InputError, match="1-reconstruct is not done"):
        train(config, tmp_path / "run", stage="contrast", report=quiet)
    with pytest.raises(InputError, match="no stage"):
        train(config, tmp_path / "run", stage="constrast", report=quiet)


def test_only_two_checkpoints_are_kept(whole: Path) -> None:
    """The last two, each readable."""
    assert [p.name for p in checkpoints(whole / "2-contrast" / "checkpoints")] == [
        "step-00000002.safetensors",
        "step-00000003.safetensors",
    ]


def test_a_damaged_checkpoint_is_passed_over(whole: Path, config: Config, tmp_path: Path) -> None:
    """A truncated newest checkpoint: resume takes the one before, and says so if there is none."""
    path = checkpoints(whole / "2-contrast" / "checkpoints")[-1]
    bad = tmp_path / path.name
    bad.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        load_weights(bad)


def test_a_loss_that_is_not_finite_stops_the_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with step and term; nothing that is not finite is saved."""
    from mrseg_training.stages.reconstruct import Reconstruct

    real, count = Reconstruct.forward, iter(range(100))

    def broken(self: Reconstruct, batch: Any, part: int = 0) -> Any:
        terms = real(self, batch, part)
        return terms if next(count) < 1 else {**terms, "l1": terms["l1"] * float("nan")}

    monkeypatch.setattr(Reconstruct, "forward", broken)
    with pytest.raises(TrainingStopped, match=r"step 2 of 1-reconstruct.*\(l1\)"):
        train(config, tmp_path / "run", report=quiet)
    saved = checkpoints(tmp_path / "run" / "1-reconstruct" / "checkpoints")
    assert [p.name for p in saved] == ["step-00000001.safetensors"]
    assert all(bool(torch.isfinite(v).all()) for v in load_weights(saved[0]).values())


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback, no half-written file, the old one untouched."""
    path = tmp_path / "file"
    atomic.write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        atomic.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tensorboard_is_an_extra(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for but not installed: a sentence with the pip line."""
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    wanted = config.model_copy(update={"run": config.run.model_copy(update={"tensorboard": True})})
    with pytest.raises(InputError, match="pip install"):
        train(wanted, tmp_path / "run", report=quiet)


def test_unlabelled_subjects_teach_beside_the_labelled(tmp_path: Path) -> None:
    """Their masks are not even read; the term is logged; the weights differ; stopped and resumed they are the same."""
    labelled, more = write_subjects(tmp_path / "labelled"), write_subjects(tmp_path / "more", 2)
    for mask in more.glob("*/*_seg.nii.gz"):
        mask.write_bytes(b"no mask")
    changes: dict[str, Any] = {
        "recipe": ["supervised"],
        "data": {"unlabelled": {"path": str(more)}},
        "stages": {"supervised": {"unlabelled": 1.0, "steps": 4}},
    }
    config = small_config(labelled, **changes)
    events: list[Any] = []
    train(config, tmp_path / "whole", report=events.append)
    terms = [event["loss_unlabelled"] for event in events if event["kind"] == "step"]
    assert len(terms) == 4
    assert all(0 < term < 1 for term in terms)
    alone = small_config(labelled, recipe=["supervised"], stages={"supervised": {"steps": 4}})
    train(alone, tmp_path / "alone")

    def stop(event: Any) -> None:
        if event["kind"] == "step" and event["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", report=stop)
    train(config, tmp_path / "stopped", resume=True)
    hashes = {name: load_model(tmp_path / name / "model").sha256 for name in ("whole", "alone", "stopped")}
    assert hashes["whole"] == hashes["stopped"] != hashes["alone"]


def test_unlabelled_data_are_named_where_they_are_missing(tmp_path: Path) -> None:
    """A weight without data is refused with the key to set."""
    with pytest.raises(InputError, match=r"needs data\.unlabelled\.path"):
        small_config(tmp_path, stages={"supervised": {"unlabelled": 1.0}})


def test_another_network_is_trained_by_its_name(tmp_path: Path) -> None:
    """One of MONAI's learns incomplete combinations by the stage supervised; the model opens and takes all of them."""
    root = write_subjects(tmp_path / "data")
    arguments = {"channels": [4, 8], "strides": [2]}
    config = small_config(root, recipe=["supervised"], stages={"supervised": {"dropout": 0.5}})
    values = config.model_dump() | {
        "model": {"name": "other", "network": "monai:UNet", "arguments": arguments}
    }
    model = load_model(train(check(Config, values, "other"), tmp_path / "out"))
    assert model.card.architecture.name == "monai:UNet"
    found = Engine(model, device="cpu").predict(open_study(next(root.iterdir())), ("t1", "t2"))
    assert found.combination == ("t1", "t2")


def test_the_papers_stages_want_a_network_with_features(tmp_path: Path) -> None:
    """A network that is all one piece cannot be contrasted level by level: a sentence names the stage for it."""
    values = small_config(tmp_path).model_dump() | {
        "recipe": ["contrast"],
        "model": {"network": "monai:UNet", "arguments": {"channels": [4, 8], "strides": [2], "stride": 2}},
    }
    with pytest.raises(
        InputError, match="looks at features, which monai:UNet does not have; use the stage supervised"
    ):
        make_stage("contrast", check(Config, values, "other"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"network": "monai:ViT"}, "unknown network of MONAI"),
        ({"network": "monai:UNet", "arguments": {"colour": 1}}, "does not take these arguments"),
        ({"network": "monai:UNet", "width": 8}, "width is of the network unimrseg"),
        ({"network": "sam"}, "unknown architecture"),
    ],
)
def test_a_network_that_cannot_be_made_is_refused_before_training(
    model: Any, said: str, tmp_path: Path
) -> None:
    """The settings' check says which part of model is wrong."""
    with pytest.raises(InputError, match=said):
        check(Config, small_config(tmp_path).model_dump() | {"model": model}, "other")


def test_a_model_can_keep_a_share_of_what_it_started_from(tmp_path: Path) -> None:
    """Each weight lies at that share between the trained one and the start's."""
    root = write_subjects(tmp_path / "data")
    common = {"recipe": ["supervised"], "model": {"norm": "instance"}}
    start = train(small_config(root, **common), tmp_path / "start")
    on = {**common, "start": str(start), "seed": 1}
    plain = load_model(train(small_config(root, **on), tmp_path / "plain"))
    half = load_model(
        train(small_config(root, **on, stages={"supervised": {"start_share": 0.25}}), tmp_path / "half")
    )
    before, after = load_model(start).network.state_dict(), plain.network.state_dict()
    for name, value in half.network.state_dict().items():
        torch.testing.assert_close(value, 0.25 * before[name] + 0.75 * after[name], rtol=1e-4, atol=1e-6)
    assert half.sha256 not in (plain.sha256, load_model(start).sha256)
