"""The benchmark: counts, ratios and the document are right; what it says comes from what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SHAPE, model, network, study
from torch.nn import functional as F

from napari_mrseg.bench import Subject, bench, jobs, summary
from napari_mrseg.bench.baselines import slide
from napari_mrseg.bench.ratios import agreement, ratios
from napari_mrseg.bench.roofline import Rates, estimate, seconds
from napari_mrseg.bench.synthetic import BRAIN, headline, random_model, renamed, synthetic_study
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.counting import Counter, count
from napari_mrseg.models.store import Model
from napari_mrseg.models.unimrseg import Settings, UniMRSeg
from napari_mrseg.prepare import frame
from napari_mrseg.tasks import BRATS, RGBD_SOD


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiny tensors gain nothing from threads that wait for each other on a busy machine."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes of jobs
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = Settings(width=4, aspp_rates=(1, 2), heads=(1, 1, 2, 2, 2), attention_window=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


def test_a_convolutions_count_is_the_hand_count() -> None:
    """3³ convolution, 4 to 8 channels, 6×8×10 voxels: 2·27·4·8 operations a voxel; input, weights and output moved."""
    with torch.inference_mode(), Counter() as counter:
        x = torch.empty((1, 4, 6, 8, 10), dtype=torch.bfloat16, device="meta")
        F.conv3d(x, torch.empty((8, 4, 3, 3, 3), dtype=torch.bfloat16, device="meta"), padding=1)
    assert counter.flops == 2 * 27 * 4 * 8 * 480
    assert counter.bytes == 2 * (4 * 480 + 8 * 4 * 27 + 8 * 480)


def test_a_kernel_waits_for_operations_or_bytes() -> None:
    """The least time is the longer of the two for each kernel, not for their sum."""
    counter = Counter()
    counter.rows = {"a": [(100, 10)], "b": [(10, 100)]}
    rates = Rates("r", flops=10, bytes=10)
    assert seconds(counter, rates) == 20
    assert seconds(counter, rates, "a") == 10


def test_the_adapters_are_counted_and_every_block_named() -> None:
    """An incomplete combination costs more, the difference lies in the adapters, and blocks add up to the whole."""
    extents = (16, 16, 16)
    with_adapters, without = (
        count(UniMRSeg, SMALL, extents, channels=4, incomplete=which) for which in (True, False)
    )
    adapters = sum(f for name, row in with_adapters.rows.items() if "adapters" in name for f, _ in row)
    assert with_adapters.flops - without.flops == adapters > 0
    found = estimate(SMALL, extents)
    assert sum(b["tflop"] for b in found["blocks"]) == pytest.approx(found["one"]["tflop"])
    assert {"encoder.0", "pyramid", "adapters.4", "decoder.3", "head"} <= {
        b["block"] for b in found["blocks"]
    }
    assert found["all"]["tflop"] == pytest.approx((14 * with_adapters.flops + without.flops) / 1e12)


def test_the_count_grows_with_the_volume() -> None:
    """Twice the slices, twice the convolutions' operations (the global average's share is negligible)."""
    plain = SMALL.model_copy(update={"adapters": "none"})
    one, two = (count(UniMRSeg, plain, (n, 16, 16), channels=4, incomplete=False).flops for n in (16, 32))
    assert two == pytest.approx(2 * one, rel=1e-3)


def test_ratios_follow_from_the_times() -> None:
    """Usual seconds over ours; all 15 against 14 incomplete published passes and a complete one."""
    run = {
        "combinations": {"incomplete": {"final_s": 2.0}, "complete": {"final_s": 1.0}},
        "published": {"incomplete": {"seconds": 50.0}, "complete": {"seconds": 30.0}},
        "tuned": {"incomplete": {"seconds": 8.0}, "complete": {"seconds": 6.0}},
        "one_window": {"incomplete": {"seconds": 3.0}, "complete": {"seconds": 1.5}},
        "all": {"combinations": 15, "seconds": 29.2},
    }
    found = ratios(run)
    assert found["incomplete"] == {"published": 25.0, "tuned": 4.0, "one_window": 1.5}
    assert found["complete"]["published"] == 30.0
    assert found["all"]["published_seconds"] == 14 * 50 + 30
    assert found["all"]["published"] == pytest.approx(730 / 29.2)


def test_agreement_counts_voxels(tmp_path: Path) -> None:
    """Dice per region by hand, and the number of voxels whose code differs."""
    a, b = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    a[0], b[0] = (2, 2, 1, 3), (2, 0, 3, 3)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    found = agreement(str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), BRATS)
    assert found["dice"] == {"WT": pytest.approx(6 / 7), "TC": 1.0, "ET": pytest.approx(2 / 3)}
    assert (found["flipped_voxels"], found["voxels"]) == (2, 8)


def test_the_synthetic_brain_has_the_stated_frame() -> None:
    """The default study's foreground is framed by 144 × 176 × 144 voxels, in any one modality."""
    made = synthetic_study()
    data = made.images["t2"].data
    axes = [np.flatnonzero(data.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    assert tuple(int(line[-1] - line[0]) + 1 for line in axes) == BRAIN
    assert frame([(int(line[0]), int(line[-1]) + 1) for line in axes], made.grid.spacing, 1.0).size == (
        144,
        176,
        144,
    )
    assert renamed(made, "x").digest != made.digest
    assert headline(made) == (("flair", "t1", "t1ce"), BRATS.names)


def test_random_weights_use_the_adapters(tmp_path: Path) -> None:
    """A random model's adapters are not the identity that untrained ones are."""
    made = random_model(tmp_path / "m", SMALL)
    assert made.network.adapters is not None
    assert all(float(adapter.hidden.weight.abs().max()) > 0 for adapter in made.network.adapters)


def test_scaled_windows_say_so(tiny: Model) -> None:
    """Of 18 published windows two are timed; the total is joining plus 18 times their mean, marked as scaled."""
    found = slide(tiny, study(), "published", device=CPU, dtype=torch.float32, roi=16, windows=2)
    assert (found["windows"], found["windows_timed"], found["scaled"]) == (18, 2, True)
    assert found["seconds"] == pytest.approx(found["seconds_joining"] + 18 * found["seconds_per_window"])
    assert found["volume"] == list(SHAPE)


def test_the_usual_way_runs_the_same_network(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """One window of the brain's box through MONAI gives the engine's own labels, up to rounding."""
    import monai.inferers

    kept = {}
    real = monai.inferers.sliding_window_inference

    def keep(*args: Any, **options: Any) -> torch.Tensor:
        kept["logits"] = real(*args, **options)
        return kept["logits"]

    monkeypatch.setattr(monai.inferers, "sliding_window_inference", keep)
    only = study().only(("flair", "t1"))
    found = slide(tiny, only, "one window", device=CPU, dtype=torch.float32)
    assert (found["windows"], found["scaled"]) == (1, False)
    own = Engine(tiny, device="cpu", precision="fp32").predict(only)
    usual = torch.sigmoid(kept["logits"][0])
    # The engine pads to multiples of 8 on both sides as MONAI does, so one window holds the same voxels.
    labels = BRATS.label_map(usual).numpy()
    assert (labels != own.labels[own.box]).mean() < 0.01


def test_a_job_runs_in_a_process_of_its_own(tiny: Model) -> None:
    """A real process measures one combination and reports its own peak memory."""
    subject = asdict(Subject(shape=SHAPE, brain=(20, 24, 22)))
    job = {"kind": "one", "model": str(tiny.folder), "device": "cpu", "precision": "fp32", "subject": subject}
    found = jobs.run_job({**job, "combination": ["flair"], "repeats": 1})
    assert found["combination"] == ["flair"]
    assert found["adapters"] is True
    assert len(found["final_all_s"]) == 1
    assert 50 < found["peak_mb"] < 20_000


def test_a_jobs_error_is_the_same_error_here(tiny: Model) -> None:
    """What is wrong in the process is raised here, as one sentence of the same kind."""
    job = {"kind": "machine", "device": "cuda:99", "precision": "auto", "scale": 1}
    with pytest.raises(MrsegError, match="cuda:99") as caught:
        jobs.run_job(job)
    assert caught.value.exit_code == 3


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs run here instead of in processes of their own; the list holds their kinds."""
    kinds: list[str] = []

    def run(job: jobs.Job, **_: Any) -> dict[str, Any]:
        kinds.append(job["kind"])
        work: Callable[[jobs.Job], dict[str, Any]] = jobs.KINDS[job["kind"]]
        return json.loads(json.dumps(work(json.loads(json.dumps(job)))))

    monkeypatch.setattr(jobs, "run_job", run)
    return kinds


def test_a_quick_bench_measures_everything(tiny: Model, in_process: list[str]) -> None:
    """Of a tiny model, in seconds: every part is there, is JSON, agrees with itself, and can be read by people."""
    said: list[str] = []
    found = bench(tiny, device="cpu", precision="fp32", quick=True, report=said.append)
    assert json.loads(json.dumps(found)) == found
    assert found["quick"]
    assert found["study"]["synthetic"]
    assert set(in_process) == set(jobs.KINDS)
    assert len(said) == len(in_process)
    (run,) = found["runs"]
    row = run["combinations"]["incomplete"]
    assert row["adapters"]
    assert not run["combinations"]["complete"]["adapters"]
    assert row["tflop"] > run["combinations"]["complete"]["tflop"] > 0
    assert row["share_of_matmul"] == pytest.approx(
        row["tflop"] / row["final_s"] / found["peak"]["matmul_tflops"]
    )
    assert run["published"]["incomplete"]["scaled"]
    assert not run["tuned"]["incomplete"]["scaled"]
    assert run["one_window"]["incomplete"]["windows"] == 1
    assert run["ratios"] == ratios(run)
    assert run["all"]["combinations"] == 15
    assert run["model"]["weights"] == "trained"
    text = summary(found)
    for words in ("as published", "SCALED", "tuned", "one window", "all 15", "QUICK", "Cancel"):
        assert words in text


def test_a_model_and_a_size_exclude_each_other(tiny: Model) -> None:
    """Two answers to one question are an error, before anything is measured."""
    with pytest.raises(InputError, match="--size"):
        bench(tiny, device="cpu", size="compact")


def test_a_network_without_adapters_is_not_called_incomplete_with_adapters(
    tmp_path: Path, in_process: list[str]
) -> None:
    """For a model without adapters the report does not claim that they were in use."""
    plain = model(tmp_path, adapters="none")
    assert plain.network.adapters is None
    assert network("none").adapters is None
    job = {"kind": "one", "model": str(plain.folder), "device": "cpu", "precision": "fp32"}
    subject = asdict(Subject(shape=SHAPE, brain=(20, 24, 22)))
    found = jobs.run_job({**job, "subject": subject, "combination": ["flair"], "repeats": 1})
    assert found["adapters"] is False


def test_synthetic_frames_have_the_tasks_channels() -> None:
    """Of a 2-D task one slice is synthetic, colour with three channels."""
    frame = synthetic_study((40, 48, 48), (30, 38, 30), RGBD_SOD)
    assert {name: image.data.shape for name, image in frame.images.items()} == {
        "rgb": (1, 48, 48, 3),
        "depth": (1, 48, 48),
    }
    assert frame.grid.shape == (1, 48, 48)
