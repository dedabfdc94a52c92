"""The paper-style table, with the viewer's own engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
from scipy.ndimage import distance_transform_edt
from small import write_subject

from mrseg_training.calibration import Calibration, scaled_error
from mrseg_training.data.splits import write_split
from mrseg_training.evaluate import OUTPUTS, evaluate, rows_csv
from mrseg_training.evaluate_models import evaluate_models
from mrseg_training.lesion_table import sensitivity
from mrseg_training.measure import Reference, far_from, measured_row, scores
from mrseg_training.paper_table import summarise, table_markdown
from napari_mrseg import cli
from napari_mrseg.compare import metric
from napari_mrseg.compare.metrics import BoolArray, lesion_wise, region_dice, region_mask, sizes, surface_dice
from napari_mrseg.errors import InputError
from napari_mrseg.extend import Metric
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import BRATS, Region, Task


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Two subjects, one of them with two modalities only and one without a reference, measured."""
    root = tmp_path_factory.mktemp("evaluated")
    tiny.model(root, spacings=(1.0,))
    write_subject(root / "data" / "BraTS2021_00001", seed=1)
    write_subject(root / "data" / "more" / "BraTS2021_00002", seed=2, modalities=("flair", "t2"))
    (write_subject(root / "data" / "BraTS2021_00003") / "BraTS2021_00003_seg.nii.gz").unlink()
    document = evaluate(
        root / "tiny",
        root / "data",
        root / "out",
        device="cpu",
        lesions=True,
        shuffles=2,
        order_subjects=1,
        activations=True,
    )
    return root, document


def test_it_starts_without_monai() -> None:
    """MONAI takes seconds to import, and neither the bundled model nor the measures need it."""
    code = "import sys, mrseg_training.evaluate; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_files_are_written(done: tuple[Path, dict]) -> None:
    """Markdown, JSON, CSV by subject, and two figures; what is returned is what is in table.json."""
    root, document = done
    assert sorted(p.name for p in (root / "out").iterdir()) == sorted([*OUTPUTS, "tables"])
    assert json.loads((root / "out" / "table.json").read_text()) == document
    lines = (root / "out" / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 15 + 3
    assert "NaN" not in (root / "out" / "table.json").read_text()


def test_table_has_a_row_per_combination(done: tuple[Path, dict]) -> None:
    """15 rows with dots; ET without T1ce in parentheses; average and standard deviation below."""
    root, document = done
    text = (root / "out" / "table.md").read_text().splitlines()
    rows = [line for line in text if line.startswith(("| ●", "| ○"))]
    assert len(rows) == len(document["rows"]) == 15
    assert rows[0].startswith("| ● | ● | ● | ● |")
    flair = next(r for r in rows if r.startswith("| ● | ○ | ○ | ○ |"))
    assert "(" in flair
    assert "(" not in rows[0]
    assert any(line.startswith("| average") for line in text)
    assert {row["subjects"] for row in document["rows"]} == {1, 2}


def test_numbers_are_the_engines(done: tuple[Path, dict]) -> None:
    """The Dice in the table is that of the engine's own prediction on the same study."""
    root, document = done
    study = open_study(root / "data" / "BraTS2021_00001")
    assert study.reference is not None
    prediction = Engine(load_model(root / "tiny"), device="cpu").predict(study, ["t1"])
    expected = region_dice(prediction.labels, study.reference.labels, BRATS)
    row = next(r for r in document["rows"] if r["combination"] == ["t1"])
    assert {r: row[r]["dice"] for r in expected} == pytest.approx(expected)


def test_what_lies_far_from_the_reference_is_measured(done: tuple[Path, dict]) -> None:
    """The millilitres more than 15 mm away are those of the prediction's voxels whose nearest true one is so far."""
    truth, spacing = np.zeros((40, 6, 5), dtype=bool), (1.0, 2.0, 3.0)
    truth[3, 2, 2] = True
    places = np.stack(np.nonzero(np.ones_like(truth)), 1) * spacing
    expected = np.linalg.norm(places - np.array([3, 2, 2]) * spacing, axis=1).reshape(truth.shape) > 15
    assert np.array_equal(_far(truth, spacing), expected)
    assert _far(np.zeros_like(truth), spacing).all()
    middle = np.zeros((60, 50, 40), dtype=bool)
    middle[25:31, 20:22, 19] = True
    assert np.array_equal(
        _far(middle, spacing), distance_transform_edt(~middle, sampling=spacing) > 15
    )  # only a box around it is looked at
    root, document = done
    study = open_study(root / "data" / "BraTS2021_00001")
    assert study.reference is not None
    found = Engine(load_model(root / "tiny"), device="cpu").predict(study, ["t1"]).labels
    outside = np.where(_far(study.reference.labels > 0, study.grid.spacing), found, 0)
    row = next(
        r for r in document["by_subject"] if r["combination"] == ["t1"] and r["subject"].endswith("00001")
    )
    assert row["far"] == pytest.approx(sizes(outside, BRATS, study.grid.voxel_ml)["WT"])


def test_todays_challenge_metrics_are_measured(done: tuple[Path, dict]) -> None:
    """Lesion-wise scores and surface Dice of each region, by subject and in the mean, and HD95 with the penalty."""
    root, document = done
    study = open_study(root / "data" / "BraTS2021_00001")
    assert study.reference is not None
    labels = Engine(load_model(root / "tiny"), device="cpu").predict(study, ["t1"]).labels
    row = next(
        r for r in document["by_subject"] if r["combination"] == ["t1"] and r["subject"] == "BraTS2021_00001"
    )
    for region in BRATS.regions:
        masks = region_mask(labels, region), region_mask(study.reference.labels, region)
        expected = lesion_wise(*masks, study.grid.spacing)
        found = row["lesions"][region.name]
        assert (found["dice"], found["hd95"]) == pytest.approx((expected.dice, expected.hd95))
        assert (found["missed"], found["false"]) == (expected.missed, expected.false)
        assert found["surface_dice"] == pytest.approx(surface_dice(*masks, study.grid.spacing))
    whole = document["rows"][0]["ET"]
    rows = [r for r in document["by_subject"] if len(r["combination"]) == 4]
    assert whole["lesions"]["dice"] == pytest.approx(np.mean([r["lesions"]["ET"]["dice"] for r in rows]))
    assert whole["hd95_penalised"] == pytest.approx(
        np.mean([374.0 if r["hd95"]["ET"] is None else r["hd95"]["ET"] for r in rows])
    )
    head = (root / "out" / "table.csv").read_text().splitlines()[0].split(",")
    assert {"WT_lesion_dice", "ET_lesion_false", "TC_surface_dice"} <= set(head)
    text = (root / "out" / "table.md").read_text()
    assert "ET HD95 or 374" in text
    assert "| flair+t1+t1ce+t2 |" in text


def _far(truth: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    near, far = far_from(truth, spacing)
    whole = np.ones_like(truth)
    whole[near] = far
    return whole


def test_other_processes_give_the_same_numbers(done: tuple[Path, dict], tmp_path: Path) -> None:
    """With the scores computed by another process, and no order test or activations: the same table, less files."""
    root, document = done
    again = evaluate(root / "tiny", root / "data", tmp_path / "out", device="cpu", lesions=True, processes=1)
    assert again["order"] is None
    assert again["activations"] == {}
    assert not (tmp_path / "out" / "features.svg").exists()
    assert (tmp_path / "out" / "table.csv").read_text() == (root / "out" / "table.csv").read_text()
    assert again["calibration"] == document["calibration"]
    assert [row["far"] for row in again["by_subject"]] == [row["far"] for row in document["by_subject"]]


def as_a_run(root: Path, model: Path, train: list[str], test: list[str]) -> Path:
    """A run's folder with its split and ``model`` in it; returns the model's folder."""
    write_split({"train": train, "validation": [], "test": test}, root / "split")
    (root / "config.json").write_text("{}")
    return Path(shutil.copytree(model, root / "model"))


def test_the_runs_own_test_subjects_are_measured(done: tuple[Path, dict], tmp_path: Path) -> None:
    """``split`` run: the test list of the run that the model lies in; the table says how many it has seen."""
    root, first, second = done[0], "BraTS2021_00001", "BraTS2021_00002"
    model = as_a_run(tmp_path / "run", root / "tiny", [first, "another"], [second])
    said: list[str] = []
    own = evaluate(
        model, root / "data", tmp_path / "own", device="cpu", split="run", say=lambda x: said.append(str(x))
    )
    assert own["subjects"] == [second]
    assert any("1 of 2 labelled subjects, the test list of the model's own run" in line for line in said)
    assert own["seen"] == {"train": 0, "validation": 0}
    everyone = evaluate(model, root / "data", tmp_path / "all", device="cpu", split="all")
    assert everyone["subjects"] == [first, second]
    assert everyone["seen"]["train"] == 1
    assert (
        "1 of these 2 subjects are among those that the model was trained on"
        in (tmp_path / "all" / "table.md").read_text()
    )
    listed = tmp_path / "list.txt"
    listed.write_text(f"{first}  # by hand\n")
    by_list = evaluate(model, root / "data", tmp_path / "listed", device="cpu", split=listed)
    assert by_list["subjects"] == [first]
    assert done[1]["seen"] is None
    assert "is not known" in (root / "out" / "table.md").read_text()


def test_lists_that_do_not_fit_are_refused(done: tuple[Path, dict], tmp_path: Path) -> None:
    """An id that is not there, an empty list, no list, and two runs whose test lists share no subject."""
    root, first, second = done[0], "BraTS2021_00001", "BraTS2021_00002"
    for text, match in (("BraTS2021_99999", "BraTS2021_99999"), ("# nobody", "names no subject")):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(InputError, match=match):
            evaluate(root / "tiny", root / "data", tmp_path / "out", split=tmp_path / "list.txt")
    with pytest.raises(InputError, match="is no list of ids"):
        evaluate(root / "tiny", root / "data", tmp_path / "out", split=tmp_path / "nowhere")
    models = [
        as_a_run(tmp_path / name, root / "tiny", [], [subject])
        for name, subject in (("a", first), ("b", second))
    ]
    with pytest.raises(InputError, match="no subject in common"):
        evaluate_models(models, root / "data", tmp_path / "out", split="run")


def test_the_command_takes_the_runs_list_a_list_and_names(done: tuple[Path, dict], tmp_path: Path) -> None:
    """``mrseg evaluate``: the run's test list by itself, ``--split all``, ``--subjects``."""
    root, first, second = done[0], "BraTS2021_00001", "BraTS2021_00002"
    model = as_a_run(tmp_path / "run", root / "tiny", [first], [second])
    common = [
        "evaluate",
        "--model",
        str(model),
        "--data",
        str(root / "data"),
        "--device",
        "cpu",
        "--processes",
        "0",
    ]
    for name, more, expected in (
        ("own", [], [second]),
        ("all", ["--split", "all"], [first, second]),
        ("named", ["--subjects", first], [first]),
    ):
        out = tmp_path / name
        assert cli.main([*common, "-o", str(out), *more]) == 0
        assert json.loads((out / "table.json").read_text())["subjects"] == expected


def test_order_and_activations_are_measured(done: tuple[Path, dict]) -> None:
    """Fixed against shuffled order, and five levels for each combination."""
    document = done[1]
    assert set(document["order"]) == {"fixed", "shuffled"}
    assert len(document["activations"]) == 15
    assert all(len(levels) == 5 for levels in document["activations"].values())


def test_both_conventions_for_an_absent_region() -> None:
    """Absent and found absent: 1 in one, left out in the other; a false finding: 0 in one, its size told."""

    def row(case: str, dice: float, size: float, there: bool) -> dict:
        values = {"WT": 0.8, "TC": 0.5, "ET": dice}
        return {
            "subject": case, "combination": ["flair"], "dice": values, "hd95": {},
            "size": {"WT": 9.0, "TC": 2.0, "ET": size}, "present": {"WT": True, "TC": True, "ET": there},
            "reference": {"WT": 8.0, "TC": 2.5, "ET": 2.0 * there},
        }  # fmt: skip

    rows = [row("a", 1.0, 0.0, False), row("b", 0.4, 1.0, True), row("c", 0.0, 3.0, False)]
    found = summarise(rows, BRATS)["rows"][0]["ET"]
    assert found["dice"] == pytest.approx(1.4 / 3)
    assert found["dice_present"] == pytest.approx(0.4)
    assert found["n"] == 1
    assert found["false_size"] == pytest.approx(1.5)
    gaps = np.array(
        [0.0, -1.0, 3.0]
    )  # Bland and Altman: mean and 1.96 standard deviations of the differences
    spread = 1.96 * gaps.std(ddof=1)
    assert found["volume"] == pytest.approx({"bias": 2 / 3, "low": 2 / 3 - spread, "high": 2 / 3 + spread})
    low, high = found["interval"]
    assert 0 <= low < found["dice"] < high <= 1


def test_a_metric_of_another_package_has_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured where both have the region, and in table.csv, table.json and table.md beside ours."""

    class Difference(Metric):
        name, title = "difference", "voxels off"

        def explain(self, region: Region, task: Task) -> str:
            return ""

        def measure(self, prediction: BoolArray, reference: BoolArray, spacing: Sequence[float]) -> float:
            return float((prediction != reference).sum())

    monkeypatch.setattr(metric, "METRICS", {**metric.METRICS, "difference": Difference()})
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[1:4, 1:4, 1:4] = 2  # edema: whole tumour alone
    found = truth.copy()
    found[1, 1, 1:3] = 0
    reference = Reference.of(truth, BRATS, (1.0, 1.0, 1.0), 0.001)
    row = measured_row("a", ["flair"], sizes(found, BRATS, 0.001), reference) | scores(
        found, reference, hd95=False
    )
    assert row["metrics"]["difference"] == pytest.approx({"WT": 2.0, "TC": np.nan, "ET": np.nan}, nan_ok=True)
    document = {"subjects": ["a"], "data": "d", **summarise([row], BRATS)}
    assert document["average"]["WT"]["metrics"] == {"difference": 2.0}
    assert "| WT voxels off |" in table_markdown(document, BRATS, "by hand", "")
    lines = [line.split(",") for line in rows_csv([row], BRATS).splitlines()]
    assert dict(zip(*lines, strict=True))["WT_difference"] == "2"


def test_lesions_found_are_counted_by_their_size() -> None:
    """Of two subjects: found and all lesions up to 0.5 mL, up to 5 mL, and larger ones."""
    each = [[[60.0, 1.0], [400.0, 0.0], [500.0, 1.0]], [[501.0, 1.0], [9000.0, 0.0]]]
    assert sensitivity(each) == {"≤ 0.5 mL": [2, 3], "≤ 5 mL": [1, 1], "> 5 mL": [0, 1]}


def test_calibration_against_a_hand_count() -> None:
    """ECE is the mean gap between frequency and probability, weighted by voxels."""
    calibration = Calibration(4, 1)
    probabilities = np.array([0.9, 0.9, 0.9, 0.9, 0.1], dtype=np.float32).reshape(1, 5, 1, 1)
    truth = np.array([1, 1, 0, 0, 0], dtype=bool).reshape(1, 5, 1, 1)
    calibration.add(2, probabilities, truth)
    entry = calibration.document(["WT"])["2"]["WT"]
    assert entry["ece"] == pytest.approx((4 * 0.4 + 0.1) / 5, abs=1e-6)
    assert entry["frequency"][9] == 0.5


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_again(true: float) -> None:
    """Voxels drawn with the frequency sigmoid(logit / T): T comes back within 5 %, and with it the error is gone."""
    rng = np.random.default_rng(3)
    logit = rng.uniform(-2.9, 6, 200_000)
    truth = rng.random(len(logit)) < 1 / (1 + np.exp(-logit / true))
    calibration = Calibration(1, 1)
    p = (1 / (1 + np.exp(-logit))).astype(np.float32)
    calibration.add(1, p.reshape(1, -1, 1, 1), truth.reshape(1, -1, 1, 1))
    entry = calibration.document(["WT"])["1"]["WT"]
    assert entry["temperature"] == pytest.approx(true, rel=0.05)
    assert scaled_error(*entry["fine"], entry["temperature"]) < 0.01
    assert scaled_error(*entry["fine"], 1.0) == pytest.approx(entry["ece_from_0.05"], abs=0.01)


def test_without_a_voxel_the_temperature_is_one() -> None:
    """A region that was never thought likely says nothing of temperatures."""
    calibration = Calibration(1, 1)
    calibration.add(1, np.full((1, 5, 1, 1), 0.01, dtype=np.float32), np.ones((1, 5, 1, 1), dtype=bool))
    assert calibration.document(["WT"])["1"]["WT"]["temperature"] == 1


def test_what_cannot_be_measured_is_said(done: tuple[Path, dict], tmp_path: Path) -> None:
    """Outputs there already, no folder, nothing labelled, an id that is not there: a sentence, nothing written."""
    root = done[0]
    with pytest.raises(InputError, match="--overwrite"):
        evaluate(root / "tiny", root / "data", root / "out", device="cpu")
    for data, subjects, match in (
        (tmp_path / "nowhere", None, "not a folder"),
        (tmp_path, None, "recognised modality"),
        (root / "data" / "BraTS2021_00003", None, "has a reference"),
        (root / "data", ["BraTS2021_99999"], "BraTS2021_99999 is not under"),
    ):
        with pytest.raises(InputError, match=match):
            evaluate(root / "tiny", data, tmp_path / "out", device="cpu", subjects=subjects)
    assert not (tmp_path / "out").exists()
