"""The benchmark on real subjects by folds: each is tested once by models that have not seen it, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrseg_training.benchmark import BenchmarkConfig, benchmark, measured_rows, write_table
from mrseg_training.log import Report
from napari_mrseg.errors import InputError


def divide(plan: BenchmarkConfig, folds: int) -> list[tuple[str, ...]]:
    """The subjects that each fold tests; drawn from nothing: the plan's order decides.

    Groups of the plan that belong ``together``, larger ones first, go to the fold that is smallest so far. Raises
    InputError for a plan of fewer groups than folds.
    """
    subjects = [s for s in (*plan.learn, *plan.test) if s not in plan.learn_only]
    joined = [tuple(s for s in group if s in subjects) for group in plan.together]
    alone: list[tuple[str, ...]] = [(s,) for s in subjects if not any(s in group for group in joined)]
    groups = sorted([group for group in joined if group] + alone, key=len, reverse=True)
    if folds > len(groups):
        raise InputError(
            f"{folds} folds need as many subjects, and the plan has {len(groups)}; ask for fewer."
        )
    parts: list[list[str]] = [[] for _ in range(folds)]
    for group in groups:
        min(parts, key=len).extend(group)
    return [tuple(sorted(part)) for part in parts]


def benchmark_folds(
    plan: BenchmarkConfig,
    out: str | Path,
    *,
    data: Path,
    folds: int,
    rows: Sequence[str] | None = None,
    seeds: int | None = None,
    report: Report | None = None,
) -> Path:
    """:func:`~.benchmark.benchmark` of each fold in ``out/fold-K``; returns ``out/table.md`` of all their subjects.

    One seed of all folds comes before the next. The table holds the rows and seeds that every fold has. Run again, it
    goes on where it stopped. Raises InputError as ``benchmark`` does.
    """
    out, tests = Path(out), divide(plan, folds)
    everybody = [*plan.learn, *plan.test]
    for seed in range(1, (seeds or plan.seeds) + 1):
        for k, test in enumerate(tests):
            learn = tuple(s for s in everybody if s not in test)
            own = plan.model_copy(update={"learn": learn, "test": test})
            benchmark(own, out / f"fold-{k}", data=data, rows=rows, seeds=seed, report=report)
        join(plan, [out / f"fold-{k}" for k in range(folds)], out)
    return out / "table.md"


def join(plan: BenchmarkConfig, folders: Sequence[Path], out: Path) -> Path:
    """One table of the real subjects of several folds, of the rows and seeds that all of them have.

    Raises InputError if there is none yet.
    """
    each = [measured_rows(plan, folder) for folder in folders]
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in each[0]:
        for seed in each[0][name]:
            parts = [fold[name][seed] for fold in each if seed in fold.get(name, {})]
            if len(parts) == len(each):
                found.setdefault(name, {})[seed] = _joined(parts)
    if not found:
        raise InputError(f"{out} holds no row that every fold has measured yet; run mrseg benchmark first.")
    return write_table(plan, found, out)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of one seed: its subjects one fold after the other; updates are the mean over the folds."""
    real = [part["measured"]["real"] for part in parts]
    dice = np.concatenate([np.array(one["dice"], dtype=float) for one in real])
    subjects = [subject for one in real for subject in one["subjects"]]
    stages = parts[0]["steps"]
    return {
        "steps": {stage: round(sum(p["steps"][stage] for p in parts) / len(parts)) for stage in stages},
        "parameters": parts[0]["parameters"],
        "measured": {"real": {**real[0], "dice": dice.tolist(), "subjects": subjects}},
    }
