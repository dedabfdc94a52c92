"""Cross-validation: each subject is tested once, by a model that has not seen it, and all stand in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
from small import small_config, write_subjects

from mrseg_training.config import load_config
from mrseg_training.data.datasets import find_data
from mrseg_training.data.splits import draw_fold, read_split, write_split
from mrseg_training.evaluate import evaluate
from mrseg_training.evaluate_folds import evaluate_folds
from napari_mrseg import cli
from napari_mrseg.errors import InputError

IDS = [f"s{k:02d}" for k in range(23)]


@pytest.mark.parametrize("folds", [2, 5, 23])
def test_each_subject_is_in_one_test_list(folds: int) -> None:
    """All folds together test everybody once; a fold's lists do not overlap and hold everybody."""
    splits = [draw_fold(IDS, folds, k, (4, 1, 7), seed=3) for k in range(folds)]
    assert sorted(s for split in splits for s in split["test"]) == IDS
    for split in splits:
        assert sorted(s for group in split.values() for s in group) == IDS
        assert len(split["validation"]) == (len(IDS) - len(split["test"])) // 5
    assert splits[0] == draw_fold(IDS[::-1], folds, 0, (4, 1, 7), seed=3)  # of the ids alone, not their order
    assert splits[0] != draw_fold(IDS, folds, 0, (4, 1, 7), seed=4)


def test_more_folds_than_subjects_are_refused() -> None:
    """A fold without a subject tests nothing."""
    with pytest.raises(InputError, match="24 folds need as many subjects, and there are 23"):
        draw_fold(IDS, 24, 0, (1, 0, 0), seed=0)


def test_a_run_takes_the_fold_of_its_settings(tmp_path: Path) -> None:
    """``data.folds`` and ``data.fold`` decide the split; a fold that is not there is refused."""
    root = write_subjects(tmp_path, 4)
    changes = {"data": {"folds": 4, "fold": 3, "proportions": [1, 0, 0]}}
    _, split = find_data(small_config(root, **changes))
    assert len(split["test"]) == 1
    assert len(split["train"]) == 3
    for wrong, match in (
        ("data.fold=1", "fold needs folds"),
        ("data.folds=4 data.fold=4", "fold must be from 0 to 3"),
        ("data.folds=4 data.source=simulated", "folds are for subjects in files"),
    ):
        with pytest.raises(InputError, match=match):
            load_config("tiny", ["data.source=brats", f"data.path={root}", *wrong.split()])


def test_other_people_s_split_lists_are_read(tmp_path: Path) -> None:
    """RFNet's family writes val.txt."""
    for name, subject in (("train", "a"), ("val", "b"), ("test", "c")):
        (tmp_path / f"{name}.txt").write_text(subject)
    assert read_split(tmp_path, ["a", "b", "c"]) == {"train": ["a"], "validation": ["b"], "test": ["c"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects, and two runs that each test one of them, with different networks."""
    root = tmp_path_factory.mktemp("folds")
    ids = [folder.name for folder in sorted(write_subjects(root / "data", 2).iterdir())]
    for k, seed in enumerate((0, 1)):
        run = root / "runs" / f"fold-{k}"
        tiny.model(run, spacings=(1.0,), seed=seed)
        (run / "tiny").rename(run / "model")
        split = {"train": [ids[1 - k]], "test": [ids[k]]}
        write_split(split, run / "split")
        (run / "config.json").write_text("{}")
    return root


def test_folds_are_one_table(runs: Path) -> None:
    """Each subject's numbers are those of the model that tests it; the page says how they came about."""
    arguments = [
        "evaluate",
        "--folds",
        str(runs / "runs"),
        "--data",
        str(runs / "data"),
        "-o",
        str(runs / "out"),
    ]
    assert cli.main([*arguments, "--processes", "0", "--device", "cpu"]) == 0
    document = json.loads((runs / "out" / "table.json").read_text())
    assert [fold["run"] for fold in document["folds"]] == ["fold-0", "fold-1"]
    assert document["seen"] == {"train": 0, "validation": 0}
    assert "each subject was measured once" in (runs / "out" / "table.md").read_text()
    for fold in document["folds"]:
        (subject,) = fold["subjects"]
        alone = evaluate(
            runs / "runs" / fold["run"] / "model",
            runs / "data",
            runs / subject,
            device="cpu",
            subjects=[subject],
        )
        dice = {tuple(row["combination"]): row["dice"] for row in alone["by_subject"]}
        own = [row for row in document["by_subject"] if row["subject"] == subject]
        assert {tuple(row["combination"]): row["dice"] for row in own} == dice
        assert len(dice) == 15


def test_runs_that_are_no_folds_are_refused(runs: Path, tmp_path: Path) -> None:
    """One run alone, a subject tested twice, a subject trained on: one sentence each."""
    wrong = tmp_path / "runs"
    shutil.copytree(runs / "runs" / "fold-0", wrong / "a")
    with pytest.raises(InputError, match="holds 1 runs"):
        evaluate_folds(wrong, runs / "data", tmp_path / "out")
    shutil.copytree(runs / "runs" / "fold-0", wrong / "b")
    with pytest.raises(InputError, match="is in the test lists of a and b"):
        evaluate_folds(wrong, runs / "data", tmp_path / "out")
    shutil.copy(wrong / "b" / "split" / "test.txt", wrong / "a" / "split" / "train.txt")
    with pytest.raises(InputError, match="a was trained on BraTS2021_00000, which is in its test list"):
        evaluate_folds(wrong, runs / "data", tmp_path / "out")
