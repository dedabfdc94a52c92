"""The notebooks of the manual: each runs from its first cell to its last, and keeps no outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_mrseg.models import network

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
SAID = {  # what the last printing cells say
    "own-data": "('flair',)",
    "own-network": "2 subjects",
    "own-metric": "t1                 ET:",
    "modality-dropout": "t1+t1ce+t2",
}


def test_every_notebook_is_listed() -> None:
    """The page, this test and the folder name the same ones."""
    page = (FOLDER.parent / "notebooks.md").read_text(encoding="utf-8")
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SAID)
    assert all(f"notebooks/{name}.ipynb" in page for name in SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_notebook_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its code cells, one after the other, in an empty folder; the file itself holds no results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "_REGISTERED", {})
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    space: dict[str, Any] = {"__name__": "__notebook__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), f"{name} {cell['id']}", "exec"), space)  # our own file
    assert SAID[name] in capsys.readouterr().out
