"""Many studies: found, done on a cluster, killed and gone on with, and shown together."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic import save_nifti
from synthetic_dicom import write_series
from tiny import model

from napari_mrseg import cli
from napari_mrseg.cohort.cohort_figures import distribution
from napari_mrseg.cohort.cohort_report import report_html
from napari_mrseg.cohort.find import Listed, find_studies
from napari_mrseg.cohort.run import run_cohort
from napari_mrseg.cohort.summary import Cohort, attribution, gather, outliers, sufficient, write_tables
from napari_mrseg.cohort.work import Order, put_failure, state_of, work
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import Model
from napari_mrseg.tasks import BRATS, RGBD_SOD

SHAPE = (24, 28, 24)


def subject(
    folder: Path, names: tuple[str, ...] = ("flair", "t1"), *, seed: int = 0, seg: bool = False
) -> Path:
    """A folder with a textured head for each modality, and a reference ball."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    head = sum(a**2 for a in axes) < 0.8
    for k, name in enumerate(names):
        data = ((300 + 40 * k + 20 * rng.standard_normal(SHAPE)) * head).astype(np.int16)
        save_nifti(folder / f"{folder.name}_{name}.nii.gz", data)
    if seg:
        ball = sum(a**2 for a in axes) < 0.1
        save_nifti(folder / f"{folder.name}_seg.nii.gz", (2 * ball).astype(np.uint8))
    return folder


def order_of(tiny: Model, **changes: object) -> Order:
    record = {
        "model": str(tiny.folder),
        "sha256": tiny.sha256,
        "task": "brats",
        "device": "cpu",
        "precision": "fp32",
    }
    return Order(**{**record, **changes})  # type: ignore[arg-type]


def test_studies_of_a_tree(tmp_path: Path) -> None:
    """Folders with scans at any depth, in order; our own results, hidden folders and empty ones are none."""
    for name in ("b/second", "a/first", "a/first-2"):
        subject(tmp_path / name)
    subject(tmp_path / ".hidden" / "x")
    (tmp_path / "empty").mkdir()
    ours = subject(tmp_path / "results")
    (ours / "result.json").write_text("{}")
    names = [one.name for one in find_studies(tmp_path, BRATS)]
    assert names == ["a__first", "a__first-2", "b__second"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    """Studies linked together from elsewhere are found; a link to a folder above does not go round for ever."""
    subject(tmp_path / "elsewhere" / "one")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "one").symlink_to(tmp_path / "elsewhere" / "one")
    (tmp_path / "elsewhere" / "one" / "up").symlink_to(tmp_path)
    assert [one.name for one in find_studies(tmp_path / "set", BRATS)] == ["one"]


def test_studies_of_a_bids_data_set(tmp_path: Path) -> None:
    """Each anat folder, called by subject and session; func and derivatives without scans of the task are left."""
    (tmp_path / "dataset_description.json").write_text("{}")
    for name in ("sub-01/ses-1/anat", "sub-02/anat"):
        folder = tmp_path / name
        stem = name.replace("/anat", "").replace("/", "_")
        save_nifti(folder / f"{stem}_FLAIR.nii.gz", np.ones(SHAPE, np.int16))
    save_nifti(tmp_path / "sub-01" / "ses-1" / "func" / "sub-01_bold.nii.gz", np.ones(SHAPE, np.int16))
    assert [one.name for one in find_studies(tmp_path, BRATS)] == ["sub-01__ses-1", "sub-02"]


def test_studies_of_dicom_exports(tmp_path: Path) -> None:
    """A folder of an export is one study, however many series folders it has; beside it NIfTI folders."""
    data = np.random.default_rng(0).integers(0, 900, (16, 16, 6))
    for number, words in ((7, "AX FLAIR"), (8, "AX T1")):
        folder = tmp_path / "patient" / str(number)
        write_series(folder, data, np.diag([-1.0, -1, 3, 1]), number=number, description=words)
    subject(tmp_path / "other")
    assert [one.name for one in find_studies(tmp_path, BRATS)] == ["other", "patient"]


def test_studies_of_a_list(tmp_path: Path) -> None:
    """Paths or a column per modality, relative to the list; semicolons are fine; names are unique."""
    subject(tmp_path / "data" / "one")
    lists = {
        "paths.csv": "study,path\np1,data/one\np1,data/one\n",
        "files.csv": "\ufeffsubject;flair;reference\nx/y;data/one/one_flair.nii.gz;\n",
    }
    found = {}
    for name, text in lists.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found[name] = find_studies(tmp_path / name, BRATS)
    assert [one.name for one in found["paths.csv"]] == ["p1", "p1--2"]
    assert found["paths.csv"][0].sources == (str(tmp_path / "data" / "one"),)
    (one,) = found["files.csv"]
    assert one.name == "x__y"
    assert one.sources == (f"flair={tmp_path / 'data' / 'one' / 'one_flair.nii.gz'}",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column path"),
        ("study,path\n", "lists no study"),
        ("study,path\nx,\n", "line 2, names no file"),
    ],
)
def test_a_list_that_says_too_little_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """One sentence that names the list and the line."""
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        find_studies(tmp_path / "list.csv", BRATS)
    with pytest.raises(InputError, match="does not exist"):
        find_studies(tmp_path / "nowhere", BRATS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no study"):
        find_studies(tmp_path / "empty", BRATS)


def test_one_study_is_whole_or_not_there(
    tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results, numbers and thumbnail move in together; an error leaves a reason; a kill in between leaves nothing."""
    out = tmp_path / "out"
    good = Listed("good", (str(subject(tmp_path / "good", seg=True)),))
    record = order_of(tiny).__dict__
    assert work(good.__dict__, record, str(out)) == "done"
    folder = out / "studies" / "good"
    assert {p.name for p in folder.iterdir()} == {
        "flair+t1.nii.gz", "flair.nii.gz", "t1.nii.gz", "result.json", "study.json", "thumbnail.png",
    }  # fmt: skip
    document = state_of(out, "good")
    assert document is not None
    assert len(document["rows"]) == 9
    assert {row["in_reference"] for row in document["rows"] if row["region"] == "WT"} == {True}
    bad = Listed("bad", (str(tmp_path / "nowhere"),))
    assert work(bad.__dict__, record, str(out)) == "unreadable"
    found = state_of(out, "bad")
    assert found is not None
    assert found["reason"]
    assert not found["rows"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_mrseg.cohort.work._move", killed)
    with pytest.raises(KeyboardInterrupt):
        work({"name": "third", "sources": list(good.sources)}, record, str(out))
    assert sorted(p.name for p in (out / "studies").iterdir()) == ["bad", "good"]


def test_a_combination_that_a_study_lacks(tiny: Model, tmp_path: Path) -> None:
    """Of a chosen set what is there is done; a study with none of it is a row with the reason."""
    one = Listed("one", (str(subject(tmp_path / "one")),))
    record = order_of(tiny, use=(("flair", "t1"), ("t2",)), write_labels=False).__dict__
    assert work(one.__dict__, record, str(tmp_path / "out")) == "done"
    document = state_of(tmp_path / "out", "one")
    assert document is not None
    assert {row["combination"] for row in document["rows"]} == {"flair+t1"}
    record = order_of(tiny, use=(("t2",),)).__dict__
    assert work(one.__dict__, record, str(tmp_path / "other")) == "unreadable"
    assert "not t2" in str(state_of(tmp_path / "other", "one"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "data"
    for k in range(6):
        subject(folder / f"s{k}", seed=k, seg=k % 2 == 0)
    (folder / "s4" / "s4_t1.nii.gz").write_bytes(b"nothing")
    return folder


def arguments(data: Path, out: Path, model: Model) -> list[str]:
    asked = ["cohort", str(data), "-o", str(out), "--model", str(model.folder), "--device", "cpu"]
    return [*asked, "--workers", "1", "--threads", "1", "--precision", "fp32"]


def test_killed_and_gone_on_with(
    data: Path, plain: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of the command and of a worker; run again: the same table as without, nothing done twice."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert cli.main(arguments(data, whole, plain)) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_mrseg.cli", *arguments(data, broken, plain)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    studies = broken / "studies"
    for _ in range(6000):
        if studies.is_dir() and any((p / "study.json").is_file() for p in studies.iterdir()):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {p: p.stat().st_mtime_ns for p in studies.glob("s*/study.json")}
    assert before
    capsys.readouterr()
    assert cli.main(arguments(data, broken, plain)) == 0
    said = capsys.readouterr().out
    assert "5 of 6 studies" in said
    assert "s4: " in said
    assert {p: p.stat().st_mtime_ns for p in before} == before
    for name in ("cohort.csv", "cohort.parquet"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()
    rows = list(csv.DictReader((whole / "cohort.csv").read_text().splitlines()))
    assert len(rows) == 5 * 3 * 3 + 1
    assert [r["study"] for r in rows if r["status"] != "done"] == ["s4"]
    table = pq.read_table(whole / "cohort.parquet")
    assert table.num_rows == len(rows)
    assert table.column("size").null_count == 1
    html = (whole / "report.html").read_text(encoding="utf-8")
    assert "Without a result" in html
    assert "studies/s0/thumbnail.png" in html
    assert "<script" not in html


def test_another_cohort_in_the_folder_is_refused(tiny: Model, tmp_path: Path) -> None:
    """Other settings, a folder with something else, an address where no scheduler is: a sentence, nothing changed."""
    studies = [Listed("one", (str(subject(tmp_path / "one")),))]
    out = tmp_path / "out"
    work(studies[0].__dict__, order_of(tiny).__dict__, str(out))
    (out / "cohort.json").write_text(json.dumps({"order": order_of(tiny).record(), "studies": ["one"]}))
    assert run_cohort(studies, order_of(tiny), out)["done"] == 1  # nothing to do, so no cluster
    with pytest.raises(InputError, match="another write_labels"):
        run_cohort(studies, order_of(tiny, write_labels=False), out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(InputError, match="holds no cohort"):
        run_cohort(studies, order_of(tiny), tmp_path / "full")


def test_two_runs_may_share_a_folder(plain: Model, tmp_path: Path) -> None:
    """As in a job array: what another run is making is left alone, what a killed one left of one's own studies goes."""
    out = tmp_path / "out"
    mine, theirs = (Listed(n, (str(subject(tmp_path / n)),)) for n in ("mine", "theirs"))
    for one in (mine, theirs):
        (out / "studies" / f".{one.name}.0123abcd").mkdir(parents=True)
    (out / "cohort.json").write_text(json.dumps({"order": order_of(plain).record(), "studies": []}))
    assert run_cohort([mine], order_of(plain), out, workers=1)["done"] == 1
    assert sorted(p.name for p in (out / "studies").iterdir()) == [".theirs.0123abcd", "mine"]


def test_a_failure_is_tried_again(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read stays so; what failed for another reason is done by the next run."""
    good = Listed("good", (str(subject(tmp_path / "good")),))
    out = tmp_path / "out"
    record = order_of(tiny).__dict__

    def out_of_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("napari_mrseg.cohort.work._segment", out_of_memory)
        assert work(good.__dict__, record, str(out)) == "failed"
    assert "memory" in str(state_of(out, "good"))
    assert work(good.__dict__, record, str(out)) == "done"


def made(values: dict[str, dict[str, tuple[float, float]]], sizes: dict[str, float] | None = None) -> Cohort:
    """A cohort by hand: by study and combination (size, Dice to the full one) of WT; other regions are empty."""
    found = []
    for name, by_combination in values.items():
        rows = [
            {
                "combination": combination, "region": region, "size": size if region == "WT" else 0.0, "dice": None,
                "to_full": kept, "estimated": False, "in_reference": None,
            }
            for combination, (size, kept) in by_combination.items()
            for region in ("WT", "TC", "ET")
        ]  # fmt: skip
        shapley = {"size": {"WT": {m: float(len(name)) for m in BRATS.names}}}
        found.append(
            {
                "name": name, "status": "done", "reason": "", "present": list(BRATS.names), "reference": False,
                "rows": rows, "attribution": shapley,
            }
        )  # fmt: skip
    return Cohort(BRATS, tuple(found))


def test_the_smallest_set_that_is_enough_by_hand() -> None:
    """Nine of ten studies within the threshold; of equally small sets the one that keeps more; none if none does."""
    full = "flair+t1+t1ce+t2"
    studies = {
        f"s{k}": {full: (10.0, 1.0), "flair": (9.0, 0.95 if k else 0.5), "t2": (9.0, 0.85), "t1": (1.0, 0.1)}
        for k in range(10)
    }
    low, middle, high = sufficient(made(studies), "WT", (0.8, 0.9, 0.99))
    assert low.combination == ("t2",)  # all ten, flair nine
    assert low.share == 1.0
    assert middle.combination == ("flair",)
    assert middle.share == pytest.approx(0.9)
    assert high.combination is None


def test_outliers_and_attribution_by_hand() -> None:
    """One far larger study is first, and why; the mean of Shapley values over studies."""
    full = "flair+t1+t1ce+t2"
    rng = np.random.default_rng(0)
    studies = {f"s{k:02d}": {full: (50 + float(rng.normal(0, 2)), 1.0)} for k in range(20)}
    studies["huge"] = {full: (900.0, 1.0)}
    cohort = made(studies)
    first = outliers(cohort)[0]
    assert first.study["name"] == "huge"
    assert first.why == "size of WT is unusually large"
    assert first.score > 10
    mean = attribution(cohort, "size")["WT"]["t1"]["mean"]
    assert mean == pytest.approx(np.mean([len(name) for name in studies]))


def test_figures_hold_every_study(tmp_path: Path) -> None:
    """A box per combination, a dot per study; the report of a cohort without any result still says why."""
    full = "flair+t1+t1ce+t2"
    cohort = made({f"s{k}": {full: (float(k), 1.0), "flair": (float(k), 0.5)} for k in range(7)})
    svg = distribution(cohort, "size", "WT").svg()
    assert svg.count('r="1.3"') == 14
    assert "7 studies" in svg
    nothing = Cohort(BRATS, ({"name": "x <b>", "status": "unreadable", "reason": "it is <i>", "rows": []},))
    html = report_html(nothing, tmp_path, model="m", date="d")
    assert "x &lt;b&gt;" in html
    assert "it is &lt;i&gt;" in html
    write_tables(nothing, tmp_path)
    assert pq.read_table(tmp_path / "cohort.parquet").num_rows == 1
    waiting = gather([Listed("later", ("x",))], tmp_path, BRATS)
    assert waiting.bad[0]["reason"] == "not done yet"


def test_frames_are_one_study(tmp_path: Path) -> None:
    """A folder of colour and depth frames is one study, not one for each folder of frames."""
    from synthetic_frames import LAYOUTS, lay_out

    lay_out(tmp_path / "data" / "set", LAYOUTS["NJUD"], 2, drawn=tmp_path / "drawn")
    found = find_studies(tmp_path / "data", RGBD_SOD)
    assert [one.name for one in found] == ["set"]


def test_a_lost_study_is_said_and_tried_again(data: Path, tiny: Model, tmp_path: Path) -> None:
    """What is noted of a study whose worker was lost: failed, done by the next run, and never in place of a result."""
    one = Listed("s0", (str(data / "s0"),))
    put_failure(one, tmp_path, "The worker was killed several times over it.")
    document = state_of(tmp_path, "s0")
    assert document is not None
    assert document["status"] == "failed"
    assert work(one.__dict__, order_of(tiny).__dict__, str(tmp_path)) == "done"
    put_failure(one, tmp_path, "too late")
    assert state_of(tmp_path, "s0")["status"] == "done"  # type: ignore[index]


def test_a_failed_study_is_the_commands_exit_code(
    data: Path,
    tiny: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A cluster that was lost: the tables are written, the code is 3, and a line says to run it again."""

    def lost(client: object, todo: list[Listed], order: Order, out: Path, report: object) -> None:
        for one in todo:
            put_failure(one, out, "The cluster gave it up; run the same again.")

    monkeypatch.setattr("napari_mrseg.cohort.run._cluster", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr("napari_mrseg.cohort.run._give_out", lost)
    out = tmp_path / "out"
    assert (
        cli.main(["cohort", str(data), "-o", str(out), "--model", str(tiny.folder), "--device", "cpu"]) == 3
    )
    assert "6 studies failed" in capsys.readouterr().err
    assert (out / "cohort.csv").is_file()


def test_the_command_needs_a_model_of_the_task(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown model or an unknown modality is one sentence; nothing is made."""
    model(tmp_path, name="other")
    for arguments, said in (
        (["--model", "nowhere"], "Unknown model"),
        (["--use", "ct"], "is not a modality"),
    ):
        assert cli.main(["cohort", str(data), "-o", str(tmp_path / "out"), *arguments]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "other")
