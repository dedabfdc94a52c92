"""The ablation: shared prefixes are trained once, it goes on where it stopped, and the statistics are honest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_config, write_subjects

from mrseg_training.ablate import AblationConfig, UpdatesPart, ablate, tabulate
from mrseg_training.rows import BENCHMARK, PAIRS, ROWS
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.errors import InputError

ROWS_HERE = ("baseline", "stage12", "full")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[AblationConfig, Path, list[dict[str, Any]]]:
    """Three rows, two seeds, one update each, on four subjects, one of them for the test."""
    root = tmp_path_factory.mktemp("ablation")
    base = small_config(write_subjects(root / "data", 4), data={"proportions": [3, 0, 1]})
    updates = UpdatesPart(reconstruct=2, contrast=1, adapt=1, passes=4)
    config = AblationConfig(base=base, updates=updates, rows=ROWS_HERE, seeds=2)
    events: list[dict[str, Any]] = []
    ablate(config, root / "out", report=lambda event: events.append(dict(event)))
    return config, root / "out", events


def test_shared_prefixes_are_trained_once(done: tuple[AblationConfig, Path, list[dict[str, Any]]]) -> None:
    """Two seeds of: one U-Net, one stage 1, one stage 2, then a further stage 2 and a stage 3."""
    started = [e["stage"].rsplit("-", 1)[0] for e in done[2] if e["kind"] == "start"]
    assert sorted(started) == 2 * ["1-reconstruct"] + 2 * ["1-supervised"] + 2 * ["2-contrast"] + 2 * [
        "3-adapt"
    ] + 2 * ["3-contrast"]


def test_it_goes_on_where_it_stopped(done: tuple[AblationConfig, Path, list[dict[str, Any]]]) -> None:
    """A lost measurement is made again from the trained stages; nothing else is done again."""
    config, out, _ = done
    lost = out / "seed-1" / "full.json"
    before = json.loads(lost.read_text())
    lost.unlink()
    events: list[dict[str, Any]] = []
    ablate(config, out, report=lambda event: events.append(dict(event)))
    assert not any(e["kind"] in ("start", "step") for e in events)
    assert json.loads(lost.read_text())["dice"] == before["dice"]


def test_table_has_rows_and_paired_differences(
    done: tuple[AblationConfig, Path, list[dict[str, Any]]],
) -> None:
    """Markdown, CSV by subject and JSON; only whole seeds count."""
    out = done[1]
    text = (out / "table.md").read_text()
    assert all(ROWS[row].title in text for row in ROWS_HERE)
    assert "full − stage12" in text
    assert len((out / "table.csv").read_text().splitlines()) == 1 + 2 * 3 * 15
    document = json.loads((out / "table.json").read_text())
    assert document["seeds"] == [0, 1]
    kept = (out / "seed-1" / "full.json").read_bytes()
    (out / "seed-1" / "full.json").unlink()
    tabulate(out)
    assert json.loads((out / "table.json").read_text())["seeds"] == [0]
    (out / "seed-1" / "full.json").write_bytes(kept)


def test_unknown_rows_are_named(
    done: tuple[AblationConfig, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """A sentence with the known rows; the rows that are compared exist."""
    with pytest.raises(InputError, match="no row “unet”; known: baseline"):
        ablate(done[0], tmp_path, rows=["unet"])
    assert {row for pair in PAIRS for row in pair} <= set(ROWS)
    assert set(BENCHMARK) <= set(ROWS)


def test_interval_covers_zero_for_noise_and_not_for_a_shift() -> None:
    """Noise around 0: no difference shown; the same shifted by more than its spread: shown."""
    noise = np.random.default_rng(1).normal(0, 0.1, (3, 50, 3))
    noise[:, ::3, 2] = np.nan
    found = bootstrap(noise, draws=500)
    assert found["low"] < 0 < found["high"]
    found = bootstrap(noise + 0.1, draws=500)
    assert found["low"] > 0
    assert found["mean"] == pytest.approx(np.nanmean(noise + 0.1, (0, 1)).mean())


def test_seeds_that_disagree_widen_the_interval() -> None:
    """With seeds of opposite sign nothing is shown, however many subjects agree within a seed."""
    values = np.full((3, 50, 1), 0.1)
    values[0] = -0.3
    found = bootstrap(values, draws=500)
    assert found["low"] < 0 < found["high"]
