"""What a run says while it learns, and what it leaves of it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from mrseg_training import trackers
from mrseg_training.curves import CURVES, read_steps, write_curves
from mrseg_training.log import Count, Lines, Log, Progress, in_words, to_people
from napari_mrseg.errors import InputError


def steps(stage: str, count: int) -> list[dict[str, object]]:
    """The events of a stage's steps."""
    return [
        {
            "kind": "step", "stage": stage, "step": k, "steps": count, "done": k / count, "loss": 1 / k,
            "loss_truth": 0.5 / k, "learning_rate": 0.1, "rate": 2.0,
        }
        for k in range(1, count + 1)
    ]  # fmt: skip


def test_a_log_file_gets_plain_lines_every_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    """No cursor moves: the first step, one line in 30 seconds, the last step, and what a stage or check ends with."""
    now = [0.0]
    lines = Lines(every=30.0, clock=lambda: now[0])
    lines({"kind": "start", "stage": "1-supervised", "step": 0, "steps": 100})
    for event in steps("1-supervised", 100):
        now[0] += 1.0
        lines(event)
    lines({"kind": "validation", "stage": "1-supervised", "step": 100, "score": 0.5, "best": 0.75})
    lines({"kind": "finished", "stage": "1-supervised", "steps": 100, "seconds": 100.0})
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1-supervised: 0 of 100"
    assert said[1] == "1-supervised: 30 of 100, loss 0.033, 2.00 steps/s, about 1 min left"
    assert [line.split(" of ")[0] for line in said[:5]] == [
        f"1-supervised: {k}" for k in (0, 30, 60, 90, 100)
    ]
    assert said[5] == "1-supervised: step 100, score 0.5000, best 0.7500"
    assert said[6] == "1-supervised: finished after 100 steps, 100 s"
    assert not any("\x1b" in line or "\r" in line for line in said)


def test_what_is_no_terminal_gets_lines() -> None:
    """``mrseg train ... > log 2>&1`` and jobs of a cluster: pytest's captured stderr is no terminal either."""
    assert isinstance(to_people(), Lines)
    assert not isinstance(to_people(), Progress)


def test_a_run_leaves_its_losses_as_a_table_and_a_picture(tmp_path: Path) -> None:
    """A row per logged step of each stage, the later one where a resumed run took a step again; scores beside."""
    log = Log(tmp_path)
    for stage in ("1-contrast", "2-adapt"):
        for event in steps(stage, 3):
            log(**{**event, "kind": "step"})
    log("validation", stage="2-adapt", step=3, score=0.4, best=0.4)
    log(**{**steps("1-contrast", 3)[2], "loss": 9.0})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"kind": "step", "sta')  # killed in the middle of a line
    log.close()
    with open(tmp_path / "losses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["step"]) for row in rows] == [
        (stage, str(k)) for stage in ("1-contrast", "2-adapt") for k in (1, 2, 3)
    ]
    assert float(rows[2]["loss"]) == 9.0
    assert float(rows[5]["score"]) == 0.4
    assert rows[4]["score"] == ""
    assert float(rows[5]["loss_truth"]) == pytest.approx(0.5 / 3)
    picture = (tmp_path / "losses.svg").read_text()
    for said in ("1-contrast: loss by step", "2-adapt: loss by step", "truth", "score 0.400"):
        assert said in picture
    assert len(read_steps(tmp_path / "log.jsonl")) == 6


def test_a_run_without_a_step_leaves_no_picture(tmp_path: Path) -> None:
    """Refused or stopped before the first step: no empty files."""
    (tmp_path / "log.jsonl").write_text(json.dumps({"kind": "data", "message": "x"}) + "\n")
    write_curves(tmp_path)
    assert not any((tmp_path / name).exists() for name in CURVES)


def test_times_are_said_in_words() -> None:
    """Seconds, minutes and hours, and behind a count of subjects."""
    assert [in_words(s) for s in (0.2, 59, 61, 7200)] == [
        "about 1 s",
        "about 59 s",
        "about 1 min",
        "about 2.0 h",
    ]
    assert str(Count("measured", 3, 7, 90.0)) == "measured 3 of 7 subjects, about 2 min left"
    assert str(Count("measured", 7, 7, 0.0)) == "measured 7 of 7 subjects"


class Kept:
    """A tracker that keeps what it gets."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.got: list[Any] = [dict(settings)]

    def scalar(self, name: str, value: float, step: int) -> None:
        self.got.append((name, value, step))

    def picture(self, name: str, picture: torch.Tensor, step: int) -> None:
        self.got.append((name, tuple(picture.shape), step))

    def close(self) -> None:
        self.got.append("closed")


def test_every_tracker_gets_the_same_numbers_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard, W&B and MLflow hang on one interface: settings, curves by stage, pictures, the end."""
    made: list[Kept] = []

    def make(folder: Path, settings: Mapping[str, Any]) -> Kept:
        made.append(Kept(folder, settings))
        return made[-1]

    monkeypatch.setattr(trackers, "TRACKERS", {name: (name, make) for name in trackers.TRACKERS})
    log = Log(tmp_path, trackers=("wandb", "mlflow"), settings={"seed": 3})
    log("step", stage="1-adapt", step=2, steps=9, loss=0.5)
    log("data", message="no step, no number")
    log.picture("1-adapt/pictures", lambda: torch.zeros(3, 4, 5), 2)
    log.close()
    wanted = [{"seed": 3}, ("1-adapt/step/loss", 0.5, 2), ("1-adapt/pictures", (3, 4, 5), 2), "closed"]
    assert [one.got for one in made] == [wanted, wanted]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the pip line, before anything is trained."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"{name} is not installed; run pip install {name}"):
        Log(tmp_path, trackers=(name,))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_trackers_write_into_the_run_s_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the package installed: files in the folder, and no address in the environment means no network."""
    pytest.importorskip(name)
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    log = Log(tmp_path, trackers=(name,), settings={"seed": 3})
    log("step", stage="1-adapt", step=2, steps=9, loss=0.5)
    log.picture("1-adapt/pictures", lambda: torch.zeros(3, 4, 5), 2)
    log.close()
    assert list(tmp_path.rglob("*.wandb" if name == "wandb" else "mlflow.db"))
