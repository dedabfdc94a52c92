"""The benchmark of methods: plans, resuming, and the table; and two models on the same subjects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small import write_subjects
from tiny import model

from mrseg_training import benchmark as module
from mrseg_training.benchmark import benchmark, load_benchmark, row_config, tabulate
from mrseg_training.benchmark_folds import divide, join
from mrseg_training.evaluate_models import compared, evaluate_models
from napari_mrseg import cli
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import BRATS

QUICK = (
    "minutes=0.002",
    "base.data.spacing=6.0",
    "base.data.simulate.train=2",
    "base.data.simulate.test=2",
    "stage.batch=1",
)


def test_the_shipped_plan_is_whole() -> None:
    """Every row is a valid training configuration; each constraint row differs from its neighbour only in switches."""
    plan = load_benchmark("compact")
    for name in plan.methods:
        config = row_config(plan, name, 1, Path("out"), None)
        assert config.seed == 1
        minutes = [config.stage(stage).minutes or 0 for stage in config.recipe]
        assert sum(minutes) == pytest.approx(plan.minutes)
        assert config.data == row_config(plan, name, 0, Path("out"), None).data
    cmc, plain = (row_config(plan, n, 0, Path("out"), None) for n in ("cmc-20", "supervised-20"))
    assert cmc.model.arguments == plain.model.arguments
    assert cmc.data == plain.data
    assert cmc.data.labelled_share == 0.2


def test_real_subjects_to_measure_on_are_never_learnt() -> None:
    """With a folder of real scans: those of `learn` are drawn from, those of `test` only measured."""
    plan = load_benchmark("compact")
    simulate = row_config(plan, "smml", 0, Path("out"), Path("data")).data.simulate
    assert simulate.real_share == 0.3
    assert simulate.brains == plan.learn
    assert plan.test
    assert not set(simulate.brains) & set(plan.test)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("minutes=0", "minutes is wrong"),
        ("test=[BraTS2021_01476]", "learn and test both name BraTS2021_01476"),
        ('pairs=[["smml","nothing"]]', "pairs names nothing"),
        ('pairs=[["smml","cmc-20"]]', "of different groups"),
        ("methods.smml.share={mutual: 0.5}", "add up to 1"),
        ("colour=red", "unknown key colour"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(change: str, said: str) -> None:
    """One sentence that names the key and what is wrong."""
    with pytest.raises(InputError, match=said):
        load_benchmark("compact", [change])


def test_run_stopped_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows, stopped after the first and gone on with: the first is not trained again; another plan is refused."""
    plan = load_benchmark("compact", QUICK)
    rows = ["dropout-unet", "cmc-20"]
    trained: list[str] = []
    real = module.train

    def train(config: object, out: Path, **options: object) -> Path:
        trained.append(Path(out).name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(config, out, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(KeyboardInterrupt):
        benchmark(plan, tmp_path / "out", rows=rows, seeds=1, report=lambda _: None)
    table = benchmark(plan, tmp_path / "out", rows=rows, seeds=1, report=lambda _: None)
    assert trained == ["dropout-unet", "cmc-20", "cmc-20"]
    text = table.read_text()
    assert "U-Net, modality dropout (`dropout-unet`)" in text
    assert "CMC, 20 % of the labels (`cmc-20`)" in text
    document = json.loads((tmp_path / "out" / "table.json").read_text())
    one = document["groups"]["pair"]["simulated"]
    assert (one["subjects"], one["combinations"]) == (2, 3)
    assert document["groups"]["all"]["simulated"]["combinations"] == 15
    with pytest.raises(InputError, match="begun with another plan"):
        benchmark(load_benchmark("compact", [*QUICK, "minutes=1"]), tmp_path / "out", report=lambda _: None)
    with pytest.raises(InputError, match="no row"):
        benchmark(plan, tmp_path / "out", rows=["nothing"])


def test_the_table_by_hand(tmp_path: Path) -> None:
    """Means over subjects and combinations; a region that a subject lacks does not count; pairs by subject."""
    plan = load_benchmark("compact")
    dice = {
        "baseline": [[[0.2, 0.4, None]], [[0.4, 0.4, 0.4]]],
        "dropout-unet": [[[0.5, 0.5, None]], [[0.7, 0.5, 0.6]]],
    }
    for name, values in dice.items():
        for seed in (0, 1):
            found = {
                "steps": {"supervised": 10 + seed},
                "parameters": 1_000_000,
                "measured": {
                    "simulated": {
                        "subjects": ["a", "b"],
                        "combinations": ["flair"],
                        "regions": ["WT", "TC", "ET"],
                        "dice": [[[np.nan if v is None else v for v in c] for c in s] for s in values],
                        "false_ml": [],
                    }
                },
            }
            target = tmp_path / f"seed-{seed}" / f"{name}.json"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(found))
    text = tabulate(plan, tmp_path).read_text()
    row = next(line for line in text.splitlines() if "`baseline`" in line)
    assert [cell.strip() for cell in row.split("|")[3:7]] == ["10–11", "0.300", "0.400", "0.400"]
    pair = next(line for line in text.splitlines() if line.startswith("| dropout-unet − baseline"))
    assert pair.split("|")[2].strip() == "+0.300 [+0.300, +0.300]"
    assert pair.rstrip("| ").endswith("better")


def document_of(name: str, dice: dict[str, list[float]], combinations: list[str]) -> dict:
    """What ``evaluate`` gives, for one region that every subject has, and two that none has."""
    rows = [
        {
            "subject": f"s{k}",
            "combination": [c],
            "dice": {"WT": value, "TC": 1.0, "ET": 1.0},
            "present": {"WT": True, "TC": False, "ET": False},
        }
        for c in combinations
        for k, value in enumerate(dice[c])
    ]
    return {
        "model": {"name": name},
        "data": "d",
        "subjects": [f"s{k}" for k in range(len(rows) // len(combinations))],
        "by_subject": rows,
    }


def test_differences_are_paired_by_subject() -> None:
    """The interval is that of the differences, on common combinations; a region nobody has is left out."""
    first = document_of("one", {"flair": [0.1, 0.9, 0.5], "t1": [0.0, 0.0, 0.0]}, ["flair", "t1"])
    second = document_of("two", {"flair": [0.2, 1.0, 0.6]}, ["flair"])
    found = compared({"one": first, "two": second}, BRATS)
    assert [row["combination"] for row in found["rows"]] == ["flair", "mean"]
    gap = found["rows"][0]["difference"]["two"]
    assert set(gap) == {"WT"}
    assert gap["WT"]["mean"] == pytest.approx(0.1)
    assert gap["WT"]["low"] == pytest.approx(0.1)
    assert found["rows"][0]["models"] == {"one": {"WT": 0.5}, "two": {"WT": 0.6}}
    apart = document_of("two", {"flair": [0.9, 0.1, 0.5]}, ["flair"])
    gap = compared({"one": first, "two": apart}, BRATS)["rows"][0]["difference"]["two"]["WT"]
    values = np.array([0.8, -0.8, 0.0])[None, :, None]
    assert {name: gap[name] for name in ("mean", "low", "high")} == bootstrap(values)
    assert gap["p"] == gap["p_holm"] == 1
    other = document_of("two", {"t2": [0.2]}, ["t2"])
    with pytest.raises(InputError, match="no combination of modalities in common"):
        compared({"one": first, "two": other}, BRATS)


def test_the_command_measures_two_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``mrseg evaluate`` with two models: a folder of each, models.md with the interval, nothing overwritten."""
    data = write_subjects(tmp_path / "data", 2)
    folders = [str(model(tmp_path, name=n, seed=s).folder) for n, s in (("one", 0), ("two", 3))]
    out = tmp_path / "out"
    arguments = ["evaluate", "--data", str(data), "-o", str(out), "--device", "cpu"]
    for folder in folders:
        arguments += ["--model", folder]
    assert cli.main(arguments) == 0
    assert "WT two − one" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {
        *("one", "two", "models.md", "models.json", "models.csv", "ranks.svg", "spider.svg", "tables")
    }
    lines = (out / "models.csv").read_text().splitlines()
    assert len(lines) == 1 + 16 * 3 * 2
    with pytest.raises(InputError, match="already"):
        evaluate_models(folders, data, out)
    with pytest.raises(InputError, match="different tasks"):
        evaluate_models([folders[0], "scenes"], data, tmp_path / "other")


def test_folds_test_every_expert_mask_once() -> None:
    """Automatic masks are never tested, and subjects that look alike stay in one fold."""
    plan = load_benchmark("compact")
    parts = divide(plan, 3)
    tested = [subject for part in parts for subject in part]
    assert len(tested) == len(set(tested)) == 40
    assert set(tested) == {*plan.learn, *plan.test} - set(plan.learn_only)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for group in plan.together:
        assert sum(bool(set(group) & set(part)) for part in parts) == 1
    with pytest.raises(InputError, match="99 folds need as many subjects, and the plan has 37"):
        divide(plan, 99)


def test_folds_are_joined_into_one_table(tmp_path: Path) -> None:
    """Subjects of all folds in one row; a row that a fold lacks is not in the table yet."""
    plan = load_benchmark("compact")
    for fold, (subjects, dice) in enumerate(((["a", "b"], [0.2, 0.4]), (["c"], [0.9]))):
        for name in ("dropout-unet", "baseline") if fold == 0 else ("dropout-unet",):
            path = tmp_path / f"fold-{fold}" / "seed-0" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            real = {
                "regions": ["WT", "TC", "ET"],
                "subjects": subjects,
                "combinations": [["t1"]],
                "dice": [[[d, d, None]] for d in dice],
            }
            steps = {"supervised": 10 + fold}
            path.write_text(json.dumps({"steps": steps, "parameters": 5, "measured": {"real": real}}))
    folders = [tmp_path / "fold-0", tmp_path / "fold-1"]
    text = join(plan, folders, tmp_path).read_text()
    (group,) = json.loads((tmp_path / "table.json").read_text())["groups"].values()
    assert group["real"]["subjects"] == 3
    assert list(group["real"]["rows"]) == ["dropout-unet"]
    assert group["real"]["rows"]["dropout-unet"]["dice"][0] == pytest.approx(0.5)
    assert "**Real subjects held out**: 3, 1 combinations" in text
    with pytest.raises(InputError, match="holds no row that every fold has measured"):
        join(plan, [*folders, tmp_path / "fold-2"], tmp_path)


def test_folds_need_real_subjects(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without --data there is nobody to test: one line."""
    assert cli.main(["benchmark", "compact", "-o", str(tmp_path), "--folds", "3"]) == 2
    assert "--folds needs --data" in capsys.readouterr().err
