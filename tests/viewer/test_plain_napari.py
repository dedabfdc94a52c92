"""In plain napari, as its users start it: Plugins menu, -w flag, reader, writer and sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from synthetic import LPS, save_nifti
from waiting import MakeStudy

DRIVER = Path(__file__).with_name("plain_napari.py")
LETTERS = {"top": "A", "bottom": "P", "left": "R", "right": "L"}


def run(folder: Path, scenarios: str, *arguments: object, **environment: object) -> dict[str, Any]:
    """What was seen, by scenario, in one napari whose settings lie in ``folder``. Fails on a traceback or an error."""
    own = {
        "NAPARI_CONFIG": str(folder / "napari.yaml"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        **{name: str(value) for name, value in environment.items()},
    }
    command = [sys.executable, str(DRIVER), scenarios, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **own}, capture_output=True, text=True, timeout=150, check=False
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr[-3000:]
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def napari(tmp_path: Path) -> Any:
    """``napari(scenario, *arguments, **environment)`` → what was seen."""
    return lambda scenario, *rest, **environment: run(tmp_path, scenario, *rest, **environment)[scenario]


@pytest.fixture(scope="module")
def by_menu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A napari without a dock at first."""
    return run(tmp_path_factory.mktemp("menu"), "menu+keys")


@pytest.fixture(scope="module")
def by_flag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``napari -w napari-mrseg MRSeg``."""
    return run(tmp_path_factory.mktemp("flag"), "ready+again+shut", "-w", "napari-mrseg", "MRSeg")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """File → Open Sample."""
    return run(tmp_path_factory.mktemp("samples"), "sample+scenes")


def test_the_plugins_menu_opens_hides_and_shows_the_dock_and_opens_the_comparison(by_menu: Any) -> None:
    """By mouse: one dock, as high as its place; the comparison lies beside the picture, on the same session."""
    seen = by_menu["menu"]
    assert seen["toggled"] == [True, False, True]
    assert seen["docks"] == 1
    assert seen["dock_size"][1] == seen["dock_room"]
    assert seen["bench"]
    assert seen["bench_beside"]
    assert seen["same_session"]


def test_the_plugins_menu_opens_the_dock_by_key(by_menu: Any) -> None:
    """Alt+P and the arrows are enough."""
    seen = by_menu["keys"]
    assert seen["dock"]
    assert seen["docks"] == 1


def test_the_w_flag_opens_the_dock(by_flag: Any) -> None:
    """``napari -w napari-mrseg MRSeg``: there is always one dock."""
    seen = by_flag["ready"]
    assert seen["dock"]
    assert seen["docks"] == 1
    assert not seen["bench"]
    assert seen["dock_size"][1] == seen["dock_room"]


BOTH = ("MRSeg comparison", "MRSeg")


@pytest.mark.parametrize("asked", [BOTH[:1], BOTH] if os.environ.get("MRSEG_FULL") else [BOTH])
def test_the_w_flag_opens_the_comparison(napari: Any, asked: tuple[str, ...]) -> None:
    """The comparison alone, and both: there is always one dock."""
    seen = napari("ready", "-w", "napari-mrseg", *asked)
    assert seen["dock"]
    assert seen["docks"] == 1
    assert seen["bench"]
    assert seen["same_session"]
    assert seen["dock_size"][1] == seen["dock_room"]


def test_the_menu_finds_the_dock_that_the_flag_opened(by_flag: Any) -> None:
    """napari names them differently; the dock moves, its session goes on."""
    seen = by_flag["again"]
    assert seen["docks"] == 1
    assert seen["dock"]
    assert seen["same"]


def test_a_dock_closed_by_its_cross_ends_and_can_be_opened_again(by_flag: Any) -> None:
    """napari forgets a closed dock widget; nothing of it computes on unseen."""
    seen = by_flag["shut"]
    assert seen["ended"]
    assert seen["new"]
    assert seen["dock"]


def test_a_folder_on_the_command_line_has_letters_and_a_hint_and_the_dock_takes_it_over(
    napari: Any, make_study: MakeStudy
) -> None:
    """``napari FOLDER``, with napari's question for the reader answered, then the Plugins menu."""
    seen = napari("adopt", make_study(("flair", "t2")))
    assert seen["plain"]["layers"] == ["T2", "FLAIR", "Reference"]
    assert seen["plain"]["letters"] == LETTERS
    assert "Plugins → MRSeg → MRSeg" in seen["plain"]["text"]
    assert "case-1" in seen["plain"]["text"]
    assert len(seen["layers"]) == 4
    assert seen["letters"] == LETTERS
    assert "Plugins" not in seen["text"]
    assert "research use only" in seen["text"]


def test_a_folder_with_different_grids_says_so_in_the_window(napari: Any, tmp_path: Path) -> None:
    """``napari FOLDER``: a window, and in it the dock with the sentence; no layer, no traceback."""
    rng = np.random.default_rng(0)
    for name, shape in (("flair", (12, 14, 10)), ("t1", (12, 14, 12))):
        save_nifti(tmp_path / "case" / f"case_{name}.nii.gz", rng.integers(0, 900, shape, np.int16), LPS)
    seen = napari("refused", tmp_path / "case", "--plugin", "napari-mrseg")
    assert seen["visible"]
    assert seen["layers"] == []
    assert "case_t1.nii.gz (t1) lies on another grid than case_flair.nii.gz" in seen["said"]
    assert seen["dock"]
    assert seen["docks"] == 1


def test_the_sample_menu_opens_the_study(samples: Any) -> None:
    """File → Open Sample → ours, without the dock: layers with letters; the dock takes them over."""
    seen = samples["sample"]
    assert seen["plain"]["letters"] == LETTERS
    assert "FLAIR" in seen["plain"]["layers"]
    assert any(name.startswith("Segmentation") for name in seen["layers"])
    assert "simulated, not a patient" in " ".join(seen["text"].split())


def test_each_sample_opens_in_the_dock_of_its_task(samples: Any) -> None:
    """The scenes open the dock for colour and depth; the study then takes the window back; nothing is there twice."""
    scenes, *studies = samples["scenes"]["found"]
    assert scenes["task"] == "rgbd-sod"
    assert sorted(scenes["layers"]) == ["Colour", "Depth (mm)", "Reference", "Segmentation: Colour+Depth"]
    assert len(studies) == 2
    for study in studies:
        assert study["task"] == "brats"
        assert study["docks"] == 1
        segmentation, *scans = sorted(study["layers"], key=lambda name: not name.startswith("Segmentation"))
        assert segmentation == "Segmentation: FLAIR+T1+T1ce+T2"
        assert scans == ["T2", "T1ce", "T1", "FLAIR", "Reference"]


def test_the_save_menu_writes_on_the_scans_grid(napari: Any, make_study: MakeStudy, tmp_path: Path) -> None:
    """File → Save Selected Layers of a labels layer of ours: the scan's shape, affine and the same codes."""
    affine = np.array([[0, 2.0, 0, -9], [1.5, 0, 0, 4], [0, 0, -1.0, 30], [0, 0, 0, 1]])
    folder, out = make_study(("flair",), affine=affine), tmp_path / "saved.nii.gz"
    napari("write", folder, "--plugin", "napari-mrseg", MRSEG_OUT=out)
    saved, truth = nib.load(out), nib.load(folder / "case-1_seg.nii.gz")
    assert np.array_equal(saved.affine, truth.affine)
    assert np.array_equal(np.asarray(saved.dataobj), np.asarray(truth.dataobj))


def test_everything_can_be_read_in_the_light_theme(napari: Any, make_study: MakeStudy) -> None:
    """Text of the dock has a contrast of 4.5 (WCAG AA) at least, the letters on the canvas too."""
    seen = napari("light", make_study(("flair",)), "--plugin", "napari-mrseg", "-w", "napari-mrseg", "MRSeg")
    assert len(seen["contrast"]) >= 7
    assert {name: c for name, c in seen["contrast"].items() if c < 4.5} == {}
    assert seen["letter"] > 4.5
