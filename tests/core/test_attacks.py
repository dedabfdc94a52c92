"""Malformed files end in one sentence, quickly, with nothing written; a harmless mutation changes nothing.

``make test-full`` runs many seeds of each kind (MRSEG_FULL=1), ``make test`` one.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from synthetic_attacks import KINDS, head, sound
from synthetic_dicom import CANARY, write_series

from napari_mrseg.cli import main
from napari_mrseg.errors import MrsegError
from napari_mrseg.session.state import Session

FULL = os.environ.get("MRSEG_FULL") == "1"
SEEDS = range(8 if FULL else 1)
MUTATIONS = 200 if FULL else 4
SHARED = [HealthCheck.function_scoped_fixture]  # the folder is emptied for each example
SECONDS, MEGABYTES = 10.0, 2000.0
AFFINE = np.diag([-3.0, -3.0, 3.0, 1.0])
HARMLESS = [(148, 228), (228, 252), (328, 344)]  # descrip and aux_file, unused ones, intent_name


def refused(argument: str, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Exit code 2 by ``inspect`` and ``predict``, one sentence, nothing written, and a sentence from the session."""
    began, before = time.monotonic(), _most_mb()
    assert main(["inspect", argument]) == 2
    capsys.readouterr()
    assert main(["predict", argument, "-o", str(out)]) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert "Traceback" not in said.err
    assert not out.exists()
    assert not list(out.parent.glob(".mrseg*"))
    session = Session(sweep=False)
    try:
        with pytest.raises(MrsegError):
            session.open([argument])
    finally:
        session.close()
    assert time.monotonic() - began < 3 * SECONDS
    assert _most_mb() - before < MEGABYTES
    assert CANARY not in lines[0]
    return lines[0]


def _most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_refused(
    kind: str, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each named kind, by command line and session."""
    argument = KINDS[kind](tmp_path / "in", np.random.default_rng(seed))
    refused(argument, tmp_path / "out", capsys)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A sound file, and the labels that are found in it."""
    folder = tmp_path_factory.mktemp("base")
    path = sound(folder)
    assert main(["predict", str(path), "-o", str(folder / "out")]) == 0
    return path.read_bytes(), gzip.decompress((folder / "out" / "flair.nii.gz").read_bytes())


@given(
    at=st.integers(0, 10**6), value=st.integers(0, 255), where=st.sampled_from(["header", "stream", "words"])
)
@example(at=283, value=52, where="header")  # voxels a ten-millionth of a millimetre wide
@settings(
    max_examples=MUTATIONS * 3,
    deadline=None,
    derandomize=not FULL,
    suppress_health_check=SHARED,
)
def test_a_mutated_nifti_is_refused_or_gives_the_same(
    at: int, value: int, where: str, base: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """A byte of a compressed stream: refused, or as it was. Of words that mean nothing: as it was. Else: no crash."""
    raw, labels = bytearray(base[0]), base[1]
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    if where == "stream":
        packed = bytearray(gzip.compress(bytes(raw), mtime=0))
        packed[at % len(packed)] = value
        path = tmp_path / "case_flair.nii.gz"
        path.write_bytes(packed)
    else:
        low, high = HARMLESS[at % len(HARMLESS)] if where == "words" else (0, 348)
        raw[low + at % (high - low)] = value
        path = tmp_path / "case_flair.nii"
        path.write_bytes(raw)
    code = main(["predict", str(path), "-o", str(out)])
    assert code in ((0, 2) if where != "words" else (0,))
    assert out.exists() == (code == 0)
    if code == 0 and where != "header":
        assert gzip.decompress((out / "flair.nii.gz").read_bytes())[352:] == labels[352:]
    assert time.monotonic() - began < SECONDS


@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
@example(at=415, value=0)  # the kind of an element that is read late
@settings(
    max_examples=MUTATIONS,
    deadline=None,
    derandomize=not FULL,
    suppress_health_check=SHARED,
)
def test_a_mutated_dicom_file_does_not_crash(at: int, value: int, tmp_path: Path) -> None:
    """Any byte of the header of one slice: a result or a sentence, in time."""
    folder = tmp_path / "series"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    paths = write_series(folder, head().astype(int), AFFINE, description="FLAIR")
    raw = bytearray(paths[20].read_bytes())
    raw[at % 1500] = value
    paths[20].write_bytes(raw)
    began = time.monotonic()
    code = main(["predict", str(folder), "-o", str(tmp_path / "out")])
    assert code in (0, 2)
    assert (tmp_path / "out").exists() == (code == 0)
    assert time.monotonic() - began < SECONDS
