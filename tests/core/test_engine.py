"""The engine: what is switched off was never there, the view changes nothing, a stop stops."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SHAPE, model, network, study

from napari_mrseg.errors import Cancelled, DeviceError, InputError
from napari_mrseg.inference import scans
from napari_mrseg.inference.cost import tera
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import Model
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import BRATS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def engine(tiny: Model) -> Engine:
    return Engine(tiny, device="cpu")


def test_labels_lie_on_the_studys_grid_and_nest(engine: Engine) -> None:
    """A prediction has the scan's shape, only the task's codes, nested regions and matching sizes."""
    got = engine.predict(study(), ["flair", "t1ce"])
    assert got.labels.shape == SHAPE
    assert got.labels.any()
    assert set(np.unique(got.labels)) <= {0, 1, 2, 3}
    assert got.sizes["WT"] >= got.sizes["TC"] >= got.sizes["ET"]
    assert got.sizes["WT"] == pytest.approx((got.labels > 0).sum() / 1000)
    assert not got.labels.flags.writeable
    assert got.model["name"] == "tiny"


@pytest.mark.parametrize("combination", [("flair",), ("t1", "t2"), ("flair", "t1ce", "t2")], ids="+".join)
def test_switched_off_is_never_there(engine: Engine, tiny: Model, combination: tuple[str, ...]) -> None:
    """A modality switched off leaves no trace: same bits as a study without its file, whatever the file holds."""
    whole = study()
    wild = {
        n: i if n in combination else Image(np.full(SHAPE, 1e6, np.float32), i.source)
        for n, i in whole.images.items()
    }
    never = Engine(tiny, device="cpu").predict(study(combination))
    for other in (engine.predict(whole, combination), engine.predict(Study(BRATS, "x", wild), combination)):
        assert np.array_equal(other.labels, never.labels)
        assert np.array_equal(other.probabilities, never.probabilities)
        assert other.box == never.box
        assert other.notes == never.notes


def test_each_combination_gives_its_own_result(engine: Engine) -> None:
    """Adapters and inputs matter: no two combinations of the tiny random model agree in every probability."""
    found = [engine.predict(study(), c).probabilities.tobytes() for c in BRATS.combinations()]
    assert len(set(found)) == 15


def test_preview_comes_first_and_says_so(engine: Engine) -> None:
    """The card's coarser spacing gives a preview, marked as one, before the final."""
    first, last = engine.run(study(), ["flair"])
    assert (first.preview, first.spacing) == (True, 2.0)
    assert (last.preview, last.spacing) == (False, 1.0)


def test_the_final_does_not_depend_on_view_or_history(tmp_path: Path) -> None:
    """Several windows, computed from any side, after a cancelled run and a preview: the same bits."""
    windowed = model(tmp_path, largest=(16, 16, 16))
    want = Engine(windowed, device="cpu").predict(study(), ["t1", "t2"])
    used = Engine(windowed, device="cpu")
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls > 60:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        list(used.run(study(), ["flair"], check=stop))
    for focus in (None, (0, 0, 0), (23, 31, 27)):
        *_, got = used.run(study(), ["t1", "t2"], focus=focus)
        assert np.array_equal(got.probabilities, want.probabilities)
        assert np.array_equal(got.labels, want.labels)


def test_windows_agree_with_one_window_inside(tmp_path: Path) -> None:
    """Blended windows of a net without far sight equal one pass away from the windows' faces."""
    small = model(tmp_path / "a", adapters="none", largest=(24, 32, 32), spacings=(1.0,))
    whole = Engine(small, device="cpu", precision="fp32").predict(study())
    assert whole.probabilities.shape[0] == 3
    assert 0 < float(whole.probabilities[0].astype(np.float32).mean()) < 1


def test_cancel_stops_between_blocks_and_progress_fills(engine: Engine) -> None:
    """``check`` is asked many times in a pass and may stop it; progress rises to one."""
    seen: list[float] = []
    list(engine.run(study(), ["flair"], preview=False, progress=seen.append))
    assert len(seen) > 20
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_without_contrast_et_is_announced_as_an_estimate(engine: Engine) -> None:
    """The warning et_without_contrast comes exactly when T1ce is off."""
    for names, expected in ((["flair"], ["et_without_contrast"]), (["flair", "t1ce"], [])):
        assert [n.code for n in engine.predict(study(), names).notes] == expected


def test_missing_modality_is_refused(engine: Engine) -> None:
    """Asking for what the study lacks is an input error that says what there is."""
    with pytest.raises(InputError, match="no t2; there is flair"):
        engine.predict(study(["flair"]), ["flair", "t2"])


def test_missing_gpu_is_a_device_error(tiny: Model) -> None:
    """A GPU that is not there ends with the devices that are."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="cpu"):
        Engine(tiny, device="cuda:0")
    with pytest.raises(InputError, match="not a device"):
        Engine(tiny, device="../evil")


def test_out_of_memory_is_a_sentence(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exhausted CPU is reported with the fix."""

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(engine._network, "forward", full)
    with pytest.raises(DeviceError, match="out of memory for synthetic"):
        engine.predict(study())


class _SmallGpu(Engine):
    """Takes itself for a GPU that holds one sample at a time, and none until windows are joined on the CPU."""

    def _group_size(self, size: object) -> int:
        return self._ladder.group if self.pretend else 1

    def _pass(self, group: list[Study], *rest: object) -> list[Prediction]:  # type: ignore[override]
        if self.pretend and (len(group) > self.fits or not self._ladder.join_on_cpu):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._pass(group, *rest)  # type: ignore[arg-type]

    def _step_down(self, where: str, group: int, case: str) -> None:
        device, self.device = self.device, torch.device("meta") if self.pretend else self.device
        super()._step_down(where, group, case)
        if self.device.type == "meta":
            self.device = device
        else:
            self.pretend = False

    pretend, fits = True, 1


def test_where_memory_ends_smaller_steps_give_the_same_result(tiny: Model) -> None:
    """Smaller groups, then joining on the CPU: each said once, no smaller window, the same bits."""
    combinations = BRATS.combinations()[:4]
    want = [p.probabilities for p in Engine(tiny, device="cpu").run_all(study(), combinations)]
    got = list(_SmallGpu(tiny, device="cpu").run_all(study(), combinations))
    assert [p.combination for p in got] == list(combinations)
    assert all(np.array_equal(p.probabilities, w) for p, w in zip(got, want, strict=True))
    said = [n.message for p in got for n in p.notes if n.code == "out_of_memory"]
    assert len(said) == len(set(said)) == 3
    assert "groups of 1" in said[1]
    assert "joining windows" in said[2]


def test_at_the_end_of_the_ladder_is_the_cpu(tiny: Model) -> None:
    """A GPU that holds not even one sample hands over to the CPU, and says so."""
    engine = _SmallGpu(tiny, device="cpu")
    engine.fits = 0
    (got,) = engine.run(study(), ["flair"], preview=False)
    assert got.device == "cpu"
    assert "on the CPU from now on" in got.notes[-1].message


def test_a_model_that_does_not_fit_goes_to_the_cpu(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without room for the network itself is no error: the CPU computes, and the first result says so."""
    real = Engine._set_device

    def full(self: Engine, device: str) -> None:
        if device != "cpu":
            self.device = torch.device("meta")
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(self, device)

    monkeypatch.setattr(Engine, "_set_device", full)
    engine = Engine(tiny, device="cuda:0")
    first, second = engine.predict(study()), engine.predict(study())
    assert first.device == "cpu"
    assert "no room for the model" in first.notes[-1].message
    assert "out_of_memory" not in [n.code for n in second.notes]


@pytest.mark.parametrize("end", ["done", "cancelled", "out of memory"])
def test_buffers_are_given_back(tiny: Model, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """After a run, a cancel and a failure the GPU's unused memory goes back to other programs."""
    engine, freed = Engine(tiny, device="cpu"), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(1))
    errors = {"cancelled": Cancelled("stop"), "out of memory": torch.OutOfMemoryError("CUDA out of memory")}

    def check() -> None:
        if end in errors:
            raise errors[end]

    kinds = (Cancelled, DeviceError)
    with nullcontext() if end == "done" else pytest.raises(kinds):
        list(engine.run(study(), ["t1"], preview=False, check=check))
    assert freed == [1]


def test_the_mean_with_the_mirror_image_prefers_no_side(tiny: Model) -> None:
    """With ``mirrored`` a mirrored head gives the mirrored result; the work is counted twice."""
    there = study()
    other = replace(
        there,
        images={
            name: Image(
                np.ascontiguousarray(image.data[:, :, ::-1]),
                replace(image.source, sha256=f"{image.source.sha256}-mirrored"),
            )
            for name, image in there.images.items()
        },
    )
    card = tiny.card.model_copy(update={"mirrored": True})
    gaps = {}
    for chosen in (tiny, replace(tiny, card=card)):
        engine = Engine(chosen, device="cpu", precision="fp32")
        one, two = engine.predict(there), engine.predict(other)
        assert one.probabilities.shape == two.probabilities.shape
        gaps[chosen.card.mirrored] = np.abs(one.probabilities - two.probabilities[..., ::-1]).max()
    assert gaps[True] < 2e-3 < 0.02 < gaps[False]
    assert tera(replace(tiny, card=card)) == 2 * tera(tiny)


def test_an_image_is_prepared_once(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Combinations share their images, ready for the network, with the same bits; within a budget, and until told."""
    want = Engine(tiny, device="cpu").predict(study(), ["flair", "t2"])
    engine, scaled = Engine(tiny, device="cpu"), []
    real = scans.on_frame
    monkeypatch.setattr(scans, "on_frame", lambda *a: scaled.append(1) or real(*a))
    engine.predict(study(), ["flair", "t1"])
    got = engine.predict(study(), ["flair", "t2"])
    assert len(scaled) == 3
    assert np.array_equal(got.probabilities, want.probabilities)
    engine.forget()
    engine.predict(study(), ["flair", "t2"])
    assert len(scaled) == 5
    monkeypatch.setattr(scans, "PREPARED", 1)
    assert np.array_equal(engine.predict(study(), ["flair", "t2"]).probabilities, want.probabilities)
    assert len(engine._scans._prepared) == 1


def test_a_group_gives_what_singles_give(tiny: Model) -> None:
    """Combinations computed together, as on a GPU, agree with those computed alone."""
    engine = Engine(tiny, device="cpu", precision="fp32")
    alone = {p.combination: p for p in engine.run_all(study(), BRATS.combinations())}
    subsets = [study().only(c) for c in BRATS.combinations()]
    together = engine._carefully(subsets, tiny.card.validated[0], False, None, lambda: None, lambda _: None)
    assert [p.combination for p in together] == list(BRATS.combinations())
    for prediction in together:
        want = alone[prediction.combination].probabilities.astype(np.float32)
        assert np.abs(prediction.probabilities.astype(np.float32) - want).max() < 2e-3


def test_bf16_and_fp32_nearly_agree(tiny: Model) -> None:
    """bf16 changes few voxels of a random network, whose probabilities crowd around one half."""
    exact = Engine(tiny, device="cpu", precision="fp32").predict(study())
    fast = Engine(tiny, device="cpu", precision="bf16").predict(study())
    difference = np.abs(exact.probabilities.astype(np.float32) - fast.probabilities.astype(np.float32))
    assert difference.mean() < 0.02


def test_other_voxel_sizes_run_at_the_models_spacing(engine: Engine) -> None:
    """A scan of 2 mm voxels is brought to the network's 1 mm and back to its own grid."""
    got = engine.predict(study(shape=(12, 16, 14), spacing=2.0))
    assert got.labels.shape == (12, 16, 14)
    assert got.spacing == 1.0


def test_complete_input_leaves_the_adapters_out(tmp_path: Path) -> None:
    """With all modalities the result is that of the same network without adapters."""
    full = Engine(model(tmp_path / "a"), device="cpu").predict(study())
    plain = model(tmp_path / "b", adapters="none")
    state = {k: v for k, v in network().state_dict().items() if not k.startswith("adapters")}
    plain.network.load_state_dict(state)
    assert np.array_equal(Engine(plain, device="cpu").predict(study()).probabilities, full.probabilities)
