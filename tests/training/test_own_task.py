"""A task of another package: the page docs/own-task.md as it stands, and packages that give none."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest

from napari_mrseg import cli
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import TASKS, get_task

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"


def install(name: str, entries: dict[str, str], site: Path) -> None:
    """What an installer leaves: the package's metadata on the path."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = ["[napari_mrseg.tasks]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    importlib.invalidate_caches()


def test_the_page_runs_from_nothing_to_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files written out, its package installed, its commands run: seven combinations of three modalities."""
    text = PAGE.read_text(encoding="utf-8")
    files = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", text, re.M | re.S))
    assert set(files) == {
        "prostate-task.yaml",
        "prostate-task/pyproject.toml",
        "prostate-task/prostate_task.py",
        "make_subjects.py",
        "prostate.yaml",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    project = tomllib.loads(files["prostate-task/pyproject.toml"])["project"]
    install("prostate-task", project["entry-points"]["napari_mrseg.tasks"], tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "prostate-task"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("make_subjects.py")
    commands = re.findall(r"^mrseg (.+)$", text, re.M)
    assert [shlex.split(command)[0] for command in commands] == ["inspect", "train", "evaluate", "predict"]
    for command in commands:
        assert cli.main(shlex.split(command)) == 0, command
    document = json.loads(Path("runs/prostate/table/table.json").read_text())
    assert len(document["rows"]) == 7
    assert document["seen"] == {"train": 0, "validation": 0}
    assert len(document["subjects"]) == 2
    whole = document["rows"][0]
    assert whole["combination"] == ["t2", "adc", "dwi"]
    assert min(whole["PZ"]["dice"], whole["TZ"]["dice"]) > 0.3
    assert len(list(Path("predicted").glob("*.nii.gz"))) == 7
    assert Path("runs/prostate/losses.svg").is_file()
    assert load_model("runs/prostate/model").task is get_task("prostate")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("nowhere_at_all:TASK", "cannot be loaded"),
        ("napari_mrseg.tasks:DEFAULT", "own name is “brats”"),
        ("napari_mrseg.tasks:PALETTES", "is no Task"),
    ],
)
def test_a_package_that_gives_no_task_is_named(
    value: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the entry point; a task of our own name is never replaced."""
    install("broken-task", {"broken": value, "brats": value}, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=match):
        get_task("broken")
    assert get_task("brats").title.startswith("Glioma")
    assert next(iter(TASKS)) == "brats"
