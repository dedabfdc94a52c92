"""Session files: what was open comes back, and nothing that changed does."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny import model

from napari_mrseg.errors import MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import Model
from napari_mrseg.session import Session


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def saved(make_study, tiny: Model, tmp_path: Path) -> Path:
    """A session of three modalities with the sweep done, FLAIR degraded, T1 off; saved beside the scans."""
    session = Session(device="cpu")
    session.set_model(tiny)
    session.open([make_study(("flair", "t1", "t2"))])
    session.degrade("flair", "blur", 0.5)
    session.use(["flair", "t2"])
    session.wait_for_sweep(60)
    file = tmp_path / "case.mrsession"
    session.save_session(file, {"slice": 7})
    session.close()
    return file


def test_a_session_comes_back_with_its_results(saved: Path, tiny: Model, monkeypatch) -> None:
    """Scans, combination, degradation, results and view are restored, and nothing is computed again."""
    monkeypatch.setattr(Engine, "_pass", lambda *_: pytest.fail("computed again"))
    session = Session(device="cpu")
    session.set_model(tiny)
    assert session.open_session(saved) == {"slice": 7}
    shown = session.wait(60)
    assert shown.combination == ("flair", "t2")
    assert session.degradations == {"flair": ("blur", 0.5)}
    assert session.study is not None
    assert session.study.reference is not None
    assert len(session.predictions) == 7
    assert np.array_equal(shown.labels, session.predictions[("flair", "t2")].labels)
    session.close()


def test_it_can_be_moved_with_its_scans(saved: Path, tiny: Model, tmp_path: Path) -> None:
    """Paths are relative: folder and session file together open elsewhere. No absolute path is inside."""
    other = tmp_path / "elsewhere"
    shutil.copytree(saved.parent / "case-1", other / "case-1")
    shutil.copy(saved, other / saved.name)
    with zipfile.ZipFile(saved) as archive:
        assert str(tmp_path) not in archive.read("session.json").decode()
    session = Session(device="cpu")
    session.set_model(tiny)
    session.open_session(other / saved.name)
    assert session.study is not None
    assert session.study.images["t1"].source.path.parent == (other / "case-1").resolve()
    session.close()


@pytest.mark.parametrize("what", ["changed", "gone", "damaged", "other model", "missing"])
def test_what_changed_is_refused_in_a_sentence(saved: Path, tiny: Model, tmp_path: Path, what: str) -> None:
    """A changed or missing scan, another model or a damaged file: one sentence, and the session stays as it was."""
    scan = saved.parent / "case-1" / "case-1_t1.nii.gz"
    says = "t1.nii.gz"
    if what == "changed":
        scan.write_bytes((saved.parent / "case-1" / "case-1_t2.nii.gz").read_bytes())
    elif what == "gone":
        scan.unlink()
    elif what == "damaged":
        saved.write_bytes(saved.read_bytes()[:200])
        says = "damaged"
    elif what == "missing":
        saved, says = tmp_path / "none.mrsession", "does not exist"
    session = Session(device="cpu")
    session.set_model(model(tmp_path / "other", seed=3) if what == "other model" else tiny)
    if what == "other model":
        says = "tiny"
    with pytest.raises(MrsegError, match=says):
        session.open_session(saved)
    assert session.study is None
    session.close()
