"""Session and live runner: the newest request wins, nothing is lost, nothing vanishes."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from tiny import model, study

from napari_mrseg import io
from napari_mrseg.errors import DeviceError, InputError, MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import About, Model
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS


def test_open_shows_the_complete_result(session: Session, tiny: Model) -> None:
    """Opening a study computes all modalities at once, with the engine's very bits."""
    session.set_study(study())
    got = session.wait(60)
    assert got.combination == BRATS.names
    assert not session.stale
    assert np.array_equal(got.labels, Engine(tiny, device="cpu").predict(study()).labels)


def test_toggle_keeps_the_old_overlay_marked_stale_until_the_new_comes(session: Session) -> None:
    """After a toggle what is shown says that it is not what is switched on, then is replaced."""
    session.set_study(study())
    before = session.wait(60)
    seen: list[tuple[bool, str]] = []
    session.shown_changed.connect(lambda: seen.append((session.stale, session.describe())))
    session.toggle("t1ce")
    after = session.wait(60)
    assert after.combination == ("flair", "t1", "t2")
    assert after is not before
    assert seen[0][0]
    assert "STALE" in seen[0][1]
    assert not seen[-1][0]


def test_a_known_combination_is_shown_at_once(session: Session) -> None:
    """Toggling back needs no computation: it is there when ``toggle`` returns."""
    session.set_study(study())
    before = session.wait(60)
    session.toggle("t2")
    session.wait(60)
    session.toggle("t2")
    assert session.shown is before
    assert not session.stale


def test_the_newest_request_wins(session: Session) -> None:
    """Of a burst of toggles only the last one's result is ever shown as final."""
    session.set_study(study())
    shown: list[tuple[str, ...]] = []
    session.shown_changed.connect(
        lambda: shown.append(session.shown.combination) if session.shown and not session.stale else None
    )
    for combination in [("flair",), ("t1",), ("t2",), ("t1", "t2"), ("flair", "t2")]:
        session.use(combination)
    assert session.wait(60).combination == ("flair", "t2")
    time.sleep(0.1)
    assert session.shown is not None
    assert session.shown.combination == ("flair", "t2")
    assert not session.stale


def test_cancel_leaves_the_screen_as_it_was(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel stops a run within one block; the old overlay stays, marked stale."""
    session.set_study(study())
    before = session.wait(60)
    started = Event()
    run = Engine.run

    def slow(self: Engine, *args: object, **kwargs: object) -> object:
        check = kwargs["check"]

        def patient() -> None:
            started.set()
            time.sleep(0.02)
            check()  # type: ignore[operator]

        yield from run(self, *args, **{**kwargs, "check": patient})  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "run", slow)
    session.toggle("flair")
    assert started.wait(10)
    began = time.perf_counter()
    session.cancel()
    assert session.running is None
    with pytest.raises(MrsegError, match="cancelled"):
        session.wait(10)
    assert time.perf_counter() - began < 5
    assert session.shown is before
    assert session.stale
    time.sleep(0.2)
    assert session.shown is before


def test_a_runtime_error_in_the_engine_becomes_a_sentence(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A RuntimeError (out of memory is one) must not vanish in a thread: it arrives as a message."""
    session.set_study(study())
    before = session.wait(60)
    heard: list[str] = []
    session.failed.connect(heard.append)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the accelerator caught fire")

    monkeypatch.setattr(Engine, "run", broken)
    session.toggle("t1")
    with pytest.raises(MrsegError, match="caught fire"):
        session.wait(10)
    assert heard
    assert "caught fire" in heard[0]
    assert session.shown is before
    monkeypatch.undo()
    session.run()
    assert session.wait(60).combination == ("flair", "t1ce", "t2")


def test_the_sweep_fills_every_combination(tiny: Model) -> None:
    """Left alone, all fifteen combinations are computed in the background."""
    session = Session(device="cpu")
    session.set_model(tiny)
    session.set_study(study(shape=(16, 16, 16)))
    session.wait_for_sweep(120)
    assert set(session.predictions) == set(BRATS.combinations())
    assert session.running is None
    session.close()


def test_a_toggle_pre_empts_the_sweep(tiny: Model) -> None:
    """While the sweep runs, a toggle is answered first, and the sweep goes on after it."""
    session = Session(device="cpu")
    session.set_model(tiny)
    session.set_study(study())
    session.wait(60)
    session.use(["t2"])
    session.wait(60)
    assert session.shown is not None
    assert session.shown.combination == ("t2",)
    assert len(session.predictions) < 15
    session.wait_for_sweep(120)
    assert len(session.predictions) == 15
    session.close()


def test_bad_requests_change_nothing(session: Session) -> None:
    """Switching on a modality that is missing is refused in words."""
    session.set_study(study(["flair", "t1"]))
    session.wait(60)
    session.toggle("flair")
    with pytest.raises(InputError, match="no t2"):
        session.toggle("t2")
    assert session.combination == ("t1",)


def test_with_no_modality_on_nothing_is_shown_and_nothing_runs(session: Session) -> None:
    """All off is a state that says so, with an empty picture; one on again brings its result from memory."""
    session.set_study(study(["flair"]))
    first = session.wait(60)
    session.toggle("flair")
    assert session.combination == ()
    assert session.shown is None
    assert session.running is None
    assert "all modalities are off" in session.describe()
    session.toggle("flair")
    assert session.shown is first


def test_a_missing_device_keeps_the_old_one(session: Session) -> None:
    """Choosing a device that is not there leaves device, model and picture as they were."""
    session.set_study(study())
    before = session.wait(60)
    with pytest.raises((DeviceError, InputError)):
        session.set_device("cuda:7")
    assert session.device == "cpu"
    assert session.shown is before
    assert not session.stale


def test_another_model_makes_the_old_overlay_stale(session: Session, tmp_path: Path) -> None:
    """Changing the model recomputes; results of the old one are not taken for the new one's."""
    session.set_study(study())
    before = session.wait(60)
    session.set_model(model(tmp_path, name="other", seed=5))
    after = session.wait(60)
    assert after.model["name"] == "other"
    assert after.model["sha256"] != before.model["sha256"]


def test_the_line_names_everything(session: Session) -> None:
    """What is on screen is labelled with combination, model, final, device and research use."""
    session.set_study(study())
    session.use(["flair", "t1ce"])
    session.wait(60)
    line = session.describe()
    for part in ("of 15", "FLAIR + T1ce", "tiny 0.0", "final", "cpu", "research use only"):
        assert part in line


def test_a_degraded_modality_runs_again_and_says_so(session: Session) -> None:
    """Degrading makes the overlay stale, gives another result, is named on screen and in it; strength 0 undoes it."""
    session.set_study(study())
    before = session.wait(60)
    session.degrade("flair", "noise", 0.8)
    worse = session.wait(60)
    assert not np.array_equal(worse.probabilities, before.probabilities)
    assert [n.code for n in worse.notes] == ["degraded"]
    assert "FLAIR was degraded" in session.describe()
    session.use(["t1", "t2"])
    assert "degraded" not in [n.code for n in session.wait(60).notes]
    session.use(BRATS.names)
    session.degrade("flair", "noise", 0)
    assert session.wait(60) is before
    with pytest.raises(InputError, match="no degradation"):
        session.degrade("flair", "rust", 0.5)


def test_two_of_four_are_three_combinations(session: Session) -> None:
    """A partial study sweeps only what is there."""
    session.sweep = True
    session.set_study(study(["t1", "t2"]))
    session.wait_for_sweep(60)
    assert set(session.predictions) == {("t1", "t2"), ("t1",), ("t2",)}


def test_correcting_a_file_keeps_how_the_study_was_opened(make_study, tiny: Model) -> None:
    """A correction reopens the same files with the same options, and swaps what was asked for."""
    folder = make_study(("flair", "t1"))
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    session.open([folder], reference=False)
    session.wait(60)
    done = Event()
    session.opening_changed.connect(lambda: done.set() if not session.opening else None)
    session.assign({"case-1_flair.nii.gz": "t2"})
    assert done.wait(30)
    assert session.study is not None
    assert session.study.present == ("t1", "t2")
    assert session.study.reference is None
    session.close()


def test_of_two_openings_the_one_asked_for_last_is_shown(make_study, tiny: Model, monkeypatch) -> None:
    """A slow folder asked for first does not replace the fast one asked for after it, nor report its error."""
    slow, fast = make_study(("flair",), case="slow"), make_study(("t1",), case="fast")
    read, gate, done = io.open_study, Event(), Event()

    def patient(paths: object, **options: object) -> object:
        if "slow" in str(paths):
            gate.wait(20)
            done.set()
            raise InputError("slow has failed")
        return read(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(io, "open_study", patient)
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    heard: list[str] = []
    session.failed.connect(heard.append)
    session.open_later([slow])
    session.open_later([fast])
    deadline = time.monotonic() + 20
    while session.study is None and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    assert done.wait(20)
    time.sleep(0.1)
    assert session.study is not None
    assert session.study.case == "fast"
    assert session.error is None
    assert not heard
    session.close()


def test_saving_refuses_what_is_no_longer_open(session: Session, tmp_path: Path) -> None:
    """A prediction of another study or model is not written under the name of the present one."""
    session.set_study(study())
    old = session.wait(60)
    session.set_study(study(["flair"]))
    session.wait(60)
    with pytest.raises(InputError):
        session.save(tmp_path / "a", [old])
    session.set_study(study())
    session.wait(60)
    session.set_model(model(tmp_path, name="other", seed=5))
    session.wait(60)
    with pytest.raises(InputError, match="not of the study and model"):
        session.save(tmp_path / "b", [old])
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def gone(held: weakref.ref[object]) -> bool:
    """True as soon as nothing holds it any more."""
    deadline = time.monotonic() + 20
    while held() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    return held() is None


def test_a_model_swap_frees_the_old_one(session: Session, tmp_path: Path) -> None:
    """After the first result of the new model nothing holds the old one's network."""
    session.set_model(model(tmp_path, name="old", seed=4))
    session.set_study(study())
    session.wait(60)
    assert session._live._predictor is not None
    old = weakref.ref(session._live._predictor._network)
    session.set_model(model(tmp_path, name="new", seed=5))
    session.wait(60)
    assert gone(old)


def test_a_study_that_was_closed_is_freed(session: Session) -> None:
    """Neither the runner's thread nor the engine holds the images of a study that is no longer open."""
    opened = study()
    session.set_study(opened)
    session.wait(60)
    assert session._live._predictor is not None
    image = weakref.ref(opened.images["flair"].data)
    session.set_study(None)
    del opened
    assert gone(image)
    deadline = time.monotonic() + 20
    while session._live._predictor._scans._prepared and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not session._live._predictor._scans._prepared


def test_closing_lets_the_arrays_go(session: Session) -> None:
    """After ``close`` the session holds no image, and a late opening brings none back."""
    session.set_study(study())
    session.close()
    assert session.study is None
    assert session.subject == ""
    assert session.predictions == {}


class Elsewhere:
    """A predictor that is no engine: what it answers could come from another machine."""

    device_name, precision = "far away", "fp32"

    def __init__(self, model: Model) -> None:
        self.model = About(model.card, model.sha256)
        self.asked: list[tuple[str, ...]] = []

    def _answer(self, study: Study, combination: Iterable[str]) -> Prediction:
        only = study.only(combination)
        self.asked.append(only.present)
        labels = np.full(study.grid.shape, len(only.present), dtype=np.uint8)
        return Prediction(
            task=study.task, case=study.case, combination=only.present, grid=study.grid, labels=labels,
            probabilities=np.zeros((3, *study.grid.shape), dtype=np.float16),
            box=tuple(slice(0, n) for n in study.grid.shape), digest=only.digest, model=self.model.info,
            device=self.device_name, precision=self.precision, spacing=1.0, seconds=0.1, preview=False, notes=(),
        )  # fmt: skip

    def run(self, study, combination, *, focus=None, check=None, progress=None):  # type: ignore[no-untyped-def]
        yield self._answer(study, combination)

    def run_all(self, study, combinations, *, check=None, progress=None):  # type: ignore[no-untyped-def]
        for combination in combinations:
            check()
            yield self._answer(study, combination)

    def forget(self) -> None:
        pass


def test_something_else_than_the_engine_may_answer(tiny: Model) -> None:
    """A session asks a predictor and nothing more: its answers are shown, swept, kept and named like the engine's."""
    there = Elsewhere(tiny)
    session = Session()
    session.set_predictor(there)
    session.set_study(study())
    shown = session.wait(60)
    assert shown.labels.max() == 4
    assert "far away fp32" in session.describe()
    session.wait_for_sweep(60)
    assert set(session.predictions) == set(BRATS.combinations())
    session.toggle("t1")
    assert session.wait(60) is session.predictions["flair", "t1ce", "t2"]
    assert len(there.asked) == 15  # nothing twice
    assert session.elsewhere == "far away"
    session.set_device("cpu")  # back here: no model of that name is installed, so the bundled one
    assert session.elsewhere == ""
    assert session.model is not None
    assert session.model.card.name == "compact"
    session.close()


LEFT_OPEN = """
import time
from napari_mrseg.resources import sample_study
from napari_mrseg.session.state import Session
session = Session(device="cpu", sweep=True)
session.load_model("compact")
session.open([sample_study()])
time.sleep(0.2)
"""


def test_a_program_that_ends_during_a_run_ends_well() -> None:
    """A script that leaves a session running exits with 0: a thread cut off inside PyTorch would abort it."""
    words = [sys.executable, "-c", LEFT_OPEN]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
