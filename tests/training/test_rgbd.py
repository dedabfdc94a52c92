"""A task of colour and depth through the whole house: train, open, predict, compare, with the same code as MRI."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import small_config
from synthetic_frames import SIZE, write_frame, write_frames

from mrseg_training.loop import train
from napari_mrseg import cli
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import RGBD_SOD

COMBINATIONS = ("rgb+depth", "rgb", "depth")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three stages in 145 small steps on eleven frames; volumes of one slice, padded to the network's stride."""
    root = write_frames(tmp_path_factory.mktemp("frames"), 12)
    common = {"batch": 2, "extents": [[8, 40, 56]], "learning_rate": 5e-3}
    truth = {"cross_entropy": 1.0, "cross_entropy_over": "region"}
    config = small_config(
        root,
        task="rgbd-sod",
        model={"width": 4},
        data={"source": "folders", "proportions": [11, 1, 0]},
        recipe=["reconstruct", "contrast", "adapt"],
        stages={
            "reconstruct": {**common, "steps": 5},
            "contrast": {**common, "steps": 100, "contrast": 0.1, "truth": truth},
            # The weighting with which these few steps were found to be enough.
            "adapt": {
                **common,
                "steps": 40,
                "over_combinations": "mean",
                "feature": 0.2,
                "incomplete": 1.0,
                "truth": truth,
            },
            "supervised": None,
            "joint": None,
        },
        run={"checkpoint_every": 1000, "log_every": 1000},
    )
    return train(config, tmp_path_factory.mktemp("run") / "run", report=lambda _: None)


def test_the_model_that_was_trained_says_what_it_is_for(trained: Path) -> None:
    """Four input channels from two modalities, one region; extents and spacings of two axes."""
    model = load_model(trained)
    assert model.task == RGBD_SOD
    assert model.network.settings.in_channels == 4
    assert model.card.validated[0].extents_max == (40, 56)


def test_every_combination_finds_the_disc_in_a_new_frame(trained: Path, tmp_path: Path) -> None:
    """Colour, depth and both, on a frame never trained on: the stand-ins and the normalisation serve."""
    study = open_study(write_frame(tmp_path / "new", 99), task=RGBD_SOD)
    engine = Engine(load_model(trained), device="cpu", precision="fp32")
    assert study.reference is not None
    for combination in RGBD_SOD.combinations():
        found = engine.predict(study, combination)
        assert found.grid.shape == found.labels.shape == (1, *SIZE)
        both = np.count_nonzero(found.labels & study.reference.labels)
        dice = 2 * both / (np.count_nonzero(found.labels) + np.count_nonzero(study.reference.labels))
        assert dice > 0.8, combination
        assert found.sizes["object"] == np.count_nonzero(found.labels)
        assert {n.code for n in found.notes} <= {"slow_precision"}  # nothing about brains


def test_predict_and_compare_from_the_command_line(trained: Path, tmp_path: Path, capsys) -> None:
    """Label images, result.json in px, table and report; the task is the model's."""
    folder = write_frame(tmp_path / "new", 99)
    out = tmp_path / "out"
    arguments = ["compare", str(folder), "-o", str(out), "--model", str(trained), "--device", "cpu", "--json"]
    assert cli.main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["task"] == "rgbd-sod"
    assert [e["file"] for e in document["predictions"]] == [f"{c}.png" for c in COMBINATIONS]
    for entry in document["predictions"]:
        assert entry["sizes"]["object"]["unit"] == "px"
        assert entry["dice"]["object"] > 0.8
        with Image.open(out / entry["file"]) as labels:
            assert labels.size == SIZE[::-1]
            assert np.count_nonzero(np.asarray(labels)) == entry["sizes"]["object"]["value"]
    assert {p.name for p in out.iterdir()} > {"table.csv", "table.json", "report.html"}
    report = (out / "report.html").read_text()
    assert " mm" not in report
    assert " mL" not in report
    pair = [f"depth={folder / 'depth.png'}", "-o", str(tmp_path / "one"), "--model", str(trained)]
    assert cli.main(["predict", *pair]) == 0
    assert (tmp_path / "one" / "depth.png").read_bytes() == (out / "depth.png").read_bytes()


def test_evaluate_measures_frames(trained: Path, tmp_path: Path) -> None:
    """The paper-style table of a two-modality task: three rows."""
    root = write_frames(tmp_path / "frames", 2)
    out = tmp_path / "table"
    arguments = [
        "evaluate",
        "--model",
        str(trained),
        "--data",
        str(root),
        "-o",
        str(out),
        "--task",
        "rgbd-sod",
    ]
    assert cli.main(arguments) == 0
    rows = json.loads((out / "table.json").read_text())["by_subject"]
    assert {tuple(r["combination"]) for r in rows} == set(RGBD_SOD.combinations())
