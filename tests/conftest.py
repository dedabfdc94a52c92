"""What all tests share: the real scans, if they are there, and small synthetic studies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from synthetic import LPS, save_nifti
from tiny import model

from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

WriteNifti = Callable[..., Path]
MakeStudy = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program remembers of files stays within a test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans: MRSEG_DATA, or ../shared/data.

    Skips if there is none; fails if MRSEG_DATA is set but unreadable.
    """
    given = os.environ.get("MRSEG_DATA")
    path = Path(given).resolve() if given else DEFAULT_DATA  # tests make links to it elsewhere
    try:
        readable = any(path.glob("*/*.nii.gz")) and all(
            os.access(p, os.R_OK) for p in path.glob("*/*.nii.gz")
        )
    except OSError:
        readable = False
    if readable:
        return path
    if given:
        pytest.fail(f"MRSEG_DATA is set to {given}, but no readable scans are there", pytrace=False)
    pytest.skip("no real scans: set MRSEG_DATA to a folder with them")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests on real scans ran, so that a run without them cannot pass for one with them."""
    count = {"ran": 0, "skipped": 0, "could not start": 0}
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if "real" not in getattr(report, "keywords", {}):
                continue
            if outcome == "skipped":
                count["skipped"] += 1
            elif outcome == "error" and report.when == "setup":
                count["could not start"] += 1
            elif getattr(report, "when", "") == "call":
                count["ran"] += 1
    said = ", ".join(f"{n} {what}" for what, n in count.items() if n or what == "ran")
    terminalreporter.write_line(f"real-scan tests: {said}")


@pytest.fixture
def write_nifti(tmp_path: Path) -> WriteNifti:
    """``write_nifti(name, data, affine, ...)`` → path under ``tmp_path``; options of :func:`save_nifti`."""

    def write(
        name: str, data: npt.NDArray[np.generic], affine: npt.ArrayLike = LPS, **options: object
    ) -> Path:
        return save_nifti(tmp_path / name, data, affine, **options)  # type: ignore[arg-type]

    return write


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """``make_study(modalities, case="case-1", shape=(12, 14, 10), affine=LPS, seg=True)`` → its folder.

    Scans are a bright ball of "brain" on zeros with a "tumour" of codes 1, 2 and 3 that shows in each.
    """

    def make(
        modalities: Sequence[str] = ("flair", "t1", "t1ce", "t2"),
        *,
        case: str = "case-1",
        shape: tuple[int, int, int] = (12, 14, 10),
        affine: npt.ArrayLike = LPS,
        seg: bool = True,
        seed: int = 0,
    ) -> Path:
        rng = np.random.default_rng(seed)
        where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
        brain = (where**2).sum(0) < 0.9
        distance = np.sqrt(((where - 0.2) ** 2).sum(0))
        labels = np.select([distance < 0.15, distance < 0.3, distance < 0.5], [1, 3, 2], 0).astype(np.uint8)
        for index, name in enumerate(modalities):
            data = brain * (300 + 40 * index + 60.0 * labels + rng.normal(0, 10, shape))
            save_nifti(tmp_path / case / f"{case}_{name}.nii.gz", data.astype(np.int16), affine)
        if seg:
            save_nifti(tmp_path / case / f"{case}_seg.nii.gz", labels, affine)
        return tmp_path / case

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model folder of random weights."""
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """As ``tiny``, without adapters: a new process loads it without MONAI, whose import takes seconds."""
    return model(tmp_path_factory.mktemp("models"), name="plain", adapters="none")


@pytest.fixture
def session(tiny: Model) -> Iterator[Session]:
    """Without a sweep, so that only what is asked for is computed."""
    made = Session(device="cpu", sweep=False)
    made.set_model(tiny)
    yield made
    made.close()
