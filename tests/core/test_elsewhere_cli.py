"""``--engine`` of predict, compare and cohort: the same files as computed here, by an engine on another computer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import MakeStudy
from served import TOKEN, Served

from napari_mrseg import cli
from napari_mrseg.cohort.work import Order, _engine
from napari_mrseg.errors import InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import Model
from napari_mrseg.remote.client import RemoteEngine


def test_predict_and_compare_with_an_engine_elsewhere(
    tiny: Model, make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Label files as computed here, byte by byte; result.json says where; a model or task beside it is refused."""
    monkeypatch.setenv("MRSEG_TOKEN", TOKEN)
    subject = str(make_study())
    served = Served(Engine(tiny, device="cpu"))
    try:
        there = ["--engine", served.address]
        here = ["--model", str(tiny.folder), "--device", "cpu"]
        for name, where in (("there", there), ("here", here)):
            out = str(tmp_path / name)
            assert cli.main(["predict", subject, "-o", out, "--use", "flair,t1", *where]) == 0
        files = [(tmp_path / name / "flair+t1.nii.gz").read_bytes() for name in ("there", "here")]
        assert files[0] == files[1]
        result = json.loads((tmp_path / "there" / "result.json").read_text())
        assert result["device"] == "cpu on gpubox"
        assert result["model"]["sha256"] == tiny.sha256
        assert cli.main(["compare", subject, "-o", str(tmp_path / "compared"), *there]) == 0
        assert len(list((tmp_path / "compared").glob("*.nii.gz"))) == 15
        assert cli.main(["predict", subject, "-o", str(tmp_path / "no"), *there, "--model", "compact"]) == 2
        assert cli.main(["predict", subject, "-o", str(tmp_path / "no"), *there, "--task", "rgbd-sod"]) == 2
        assert not (tmp_path / "no").exists()
    finally:
        served.stop()


def test_a_cohorts_worker_asks_the_engine_elsewhere(tiny: Model, tmp_path: Path) -> None:
    """By address and token file; another model than the cohort was begun with is refused; results do not name where."""
    served = Served(Engine(tiny, device="cpu"))
    (tmp_path / "token").write_text(TOKEN)
    place = (served.address, str(tmp_path / "token"), "")
    try:
        found = _engine("", tiny.sha256, "auto", "auto", 0, place)
        assert isinstance(found, RemoteEngine)
        with pytest.raises(RuntimeError, match="another one"):
            _engine("", "0" * 64, "auto", "auto", 0, place)
        with pytest.raises(InputError, match="no token"):
            _engine("", tiny.sha256, "auto", "auto", 0, (served.address, str(tmp_path / "none"), ""))
    finally:
        served.stop()
    told = [Order("m", tiny.sha256, "brats", engine=e).record() for e in (place, ("", "", ""))]
    assert told[0] == told[1]
    assert TOKEN not in json.dumps(told)
