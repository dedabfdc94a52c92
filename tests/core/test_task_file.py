"""Tasks of YAML files: the page's task is that of its package, faults are named, folders know theirs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_mrseg.errors import InputError, ModelError
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.models.unimrseg import Settings, UniMRSeg
from napari_mrseg.tasks import BRATS, TASKS, Task, document_of, get_task, task_of_document
from napari_mrseg.tasks.registry import FILES
from napari_mrseg.tasks.task_file import read_task

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"
SMALL = {
    "name": "small-task",
    "modalities": [{"name": "a"}, {"name": "b"}],
    "labels": [{"code": 1, "name": "x"}],
}


def written(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    document = json.loads(json.dumps(SMALL))  # JSON is YAML, too
    change(document)
    path = folder / "small.yaml"
    path.write_text(json.dumps(document))
    return path


def test_the_page_s_file_is_the_task_of_its_package(tmp_path: Path) -> None:
    """YAML and Python of docs/own-task.md give one task: nothing of it is lost in the file."""
    text = PAGE.read_text(encoding="utf-8")
    files = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", text, re.M | re.S))
    (tmp_path / "t.yaml").write_text(files["prostate-task.yaml"], encoding="utf-8")
    space: dict[str, Any] = {}
    exec(files["prostate-task/prostate_task.py"], space)
    assert read_task(tmp_path / "t.yaml") == space["PROSTATE"]


@pytest.mark.parametrize("task", [TASKS[name] for name in TASKS.built_in], ids=TASKS.built_in)
def test_every_task_comes_back_from_its_document(task: Task) -> None:
    """What a model folder keeps of a task is all of it, as plain JSON."""
    document = json.loads(json.dumps(document_of(task), allow_nan=False))
    assert task_of_document(document, "card") == task


def test_what_a_file_leaves_out_follows_from_the_rest(tmp_path: Path) -> None:
    """A name, modalities and labels are enough; nested regions paint what lies outside the next one."""
    task = read_task(written(tmp_path))
    assert task.names == ("a", "b")
    assert [(r.name, r.codes, r.paints) for r in task.regions] == [("x", (1,), 1)]
    assert (task.nested, task.output, task.fill, task.ndim) == (False, "softmax", "zero", 3)

    def nested(document: dict[str, Any]) -> None:
        document["labels"] = [{"code": c, "name": n} for c, n in ((1, "core"), (2, "rim"), (3, "bright"))]
        document["regions"] = [
            {"name": n, "codes": c} for n, c in (("W", [1, 2, 3]), ("C", [1, 3]), ("E", [3]))
        ]
        document["nested"] = True

    assert [r.paints for r in read_task(written(tmp_path, nested)).regions] == [2, 1, 3]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.pop("labels"), "small.yaml: labels is missing"),
        (lambda d: d.update(modality=1), "unknown key modality; did you mean modalities"),
        (lambda d: d["modalities"][0].update(word=["q"]), r"unknown key modalities\.0\.word"),
        (lambda d: d.update(modalities={"a": 1}), "modalities must be a list"),
        (lambda d: d["modalities"].append("c"), r"modalities\.2 must hold key: value"),
        (lambda d: d["modalities"][1].update(name="a"), "modalities: the name a is there twice"),
        (lambda d: d["modalities"][1].update(names=["a"]), r"modalities\.1\.names: “a” already stands for a"),
        (lambda d: d["modalities"][1].update(names=["seg"]), r"modalities\.1\.names: “seg” already stands"),
        (
            lambda d: d["modalities"][1].update(name="T1+c"),
            r"modalities\.1\.name: “T1\+c” must be lower-case",
        ),
        (lambda d: d["labels"][0].update(code=0), r"labels\.0\.code: 0 must be from 1 to 255"),
        (lambda d: d["labels"][0].update(code="one"), r"labels\.0\.code: "),
        (lambda d: d["labels"][0].update(colours=["red"]), r"labels\.0\.colours: “red” must be a colour"),
        (lambda d: d["labels"][0].update(needs=["ct"]), r"labels\.0\.needs: ct is no modality"),
        (lambda d: d.update(regions=[{"name": "y", "codes": [2]}]), r"regions\.0\.codes: must be codes"),
        (lambda d: d.update(fill="mean"), "fill: "),
        (lambda d: d.update(nested=True, output="softmax"), "nested regions do not exclude"),
        (
            lambda d: d.update(regions=[{"name": n, "codes": [1], "paints": 1} for n in "yz"]),
            r"regions\.1\.codes: 1 is in two regions",
        ),
    ],
)
def test_a_fault_is_named_by_file_and_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], match: str
) -> None:
    """One sentence: the file, the key, what is wrong with it."""
    with pytest.raises(InputError, match=match) as caught:
        get_task(written(tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"a: [1", "is not YAML near line"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"- 1", "must hold key"),
    ],
)
def test_a_file_that_is_no_task_is_named(tmp_path: Path, content: bytes, match: str) -> None:
    """So is one that is missing, or no YAML at all."""
    (tmp_path / "odd.yaml").write_bytes(content)
    with pytest.raises(InputError, match=f"odd.yaml.*{match}"):
        get_task(tmp_path / "odd.yaml")
    with pytest.raises(InputError, match="is not there; give a task's name"):
        get_task(tmp_path / "none.yaml")


def test_our_own_names_are_not_taken(tmp_path: Path) -> None:
    """A file whose task is called brats, with other modalities, is refused."""
    path = written(tmp_path, lambda d: d.update(name="brats"))
    with pytest.raises(InputError, match="another task is called “brats” here, with other modalities"):
        get_task(path)
    assert get_task("brats") is BRATS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of a task that only a file knows."""
    monkeypatch.setenv(FILES, "")
    task = get_task(written(tmp_path))
    network = UniMRSeg(
        Settings(in_channels=2, regions=1, width=2, aspp_rates=(1,), adapters="none", heads=(1, 1, 1, 1, 1))
    )
    card = ModelCard(
        name="mine",
        version="1",
        licence="CC0-1.0",
        task=task.name,
        modalities=task.names,
        regions=("x",),
        normalisation={"name": "robust"},
        validated=(Validated(spacing_mm=1, extents_max=(16, 16, 16)),),
        trained_on=(),
        intended_use="tests",
        limitations="finds nothing",
    )
    assert os.environ[FILES] == str(tmp_path / "small.yaml")  # for child processes
    return save_model(tmp_path / "mine", network, card)


def test_a_model_folder_works_where_nobody_knows_its_task(folder: Path) -> None:
    """Another process, without the file: the folder's card defines the task, with words, colours and all."""
    code = (
        "import sys; from napari_mrseg.models.store import load_model; from napari_mrseg.tasks import document_of;"
        "import json; print(json.dumps(document_of(load_model(sys.argv[1]).task)))"
    )
    environment = {k: v for k, v in os.environ.items() if k != FILES}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environment, check=True
    )
    assert task_of_document(json.loads(done.stdout), "child") == get_task("small-task")
    assert torch.is_tensor(next(load_model(folder).network.parameters()))


def test_a_folder_whose_task_is_another_one_of_that_name_is_refused(folder: Path) -> None:
    """Two tasks of one name with other modalities would exchange channels: a sentence instead."""
    card = json.loads((folder / "model.json").read_text())
    card["task_definition"]["modalities"].reverse()
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="another task is called “small-task” here, with other modalities"):
        load_model(folder)
    card["task_definition"] = {"name": "small-task"}
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="task_definition: modalities is missing"):
        load_model(folder)


def test_words_and_colours_may_differ(folder: Path) -> None:
    """They are the reader's matter: the task that was known first keeps its own."""
    known = get_task("small-task")
    other = replace(known, title="another title")
    assert TASKS.learn(other, "here") is known


def test_a_worker_of_a_cohort_learns_the_task_from_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another computer neither file nor environment is there: the model's folder is asked."""
    from napari_mrseg.cohort.work import Order, _task

    sha256 = load_model(folder).sha256
    monkeypatch.setenv(FILES, "")
    monkeypatch.delitem(TASKS._read, "small-task")
    with pytest.raises(InputError, match="Unknown task"):
        get_task("small-task")
    order = Order(model=str(folder), sha256=sha256, task="small-task", device="cpu", precision="fp32")
    assert _task(order).names == ("a", "b")
