"""``mrseg benchmark``: methods on the same data, split, metric and time, measured on the same subjects."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from mrseg_training.ablate import measure
from mrseg_training.atomic import write_atomically
from mrseg_training.benchmark_table import markdown
from mrseg_training.config import check, load_as, merged, shipped
from mrseg_training.data.prepared import Volumes, fill_cache
from mrseg_training.data.subjects import open_source
from mrseg_training.evaluate import find_labelled
from mrseg_training.log import Report
from mrseg_training.loop import train
from mrseg_training.settings import Config, DataPart, Part, SimulatePart
from mrseg_training.tables import write_page
from napari_mrseg.compare.statistics import bootstrap, mean_of_known
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import get_task

Floats = npt.NDArray[np.float64]


class Method(Part):
    """A row: what it changes of ``base``, and how its minutes are shared among the stages of its recipe.

    Rows of one ``group`` are compared with each other: those that answer to the same combinations.
    """

    title: str
    group: str = "all"
    share: dict[str, float]
    changes: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _whole(self) -> Method:
        if not self.share or abs(sum(self.share.values()) - 1) > 1e-6 or min(self.share.values()) <= 0:
            raise ValueError(
                "share must name the recipe's stages, in order, with shares above 0 that add up to 1"
            )
        return self


class BenchmarkConfig(Part):
    """``base``: what all rows have of a training configuration, ``minutes`` of one core's own time for each.

    ``learn`` and ``test``: names of the real subjects, with a folder of them, that are learnt from and measured on. By
    folds (:func:`~.benchmark_folds.benchmark_folds`) all of both are tested once but those ``learn_only``, whose masks
    are not an expert's; subjects that are named ``together`` stay in one fold.
    ``pairs``: the differences that are given with an interval, (row, against row).
    """

    minutes: float = Field(gt=0)
    seeds: int = Field(default=3, ge=1)
    learn: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    learn_only: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    base: dict[str, Any]
    stage: dict[str, Any] = Field(default={})
    methods: dict[str, Method]
    pairs: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _known(self) -> BenchmarkConfig:
        if both := sorted(set(self.learn) & set(self.test)):
            raise ValueError(f"learn and test both name {both[0]}")
        for row in (row for pair in self.pairs for row in pair):
            if row not in self.methods:
                raise ValueError(f"pairs names {row}, which is not among methods")
        for a, b in self.pairs:
            if self.methods[a].group != self.methods[b].group:
                raise ValueError(f"pairs: {a} and {b} are of different groups")
        return self


def load_benchmark(name_or_path: str | Path, overrides: Sequence[str] = ()) -> BenchmarkConfig:
    """The plan: a shipped one by name ("compact"), or a YAML file. Raises InputError."""
    known = f"benchmark-{name_or_path}"
    return load_as(BenchmarkConfig, known if known in shipped() else name_or_path, overrides)


def row_config(plan: BenchmarkConfig, name: str, seed: int, out: Path, data: Path | None) -> Config:
    """The training configuration of one row. Raises InputError that names what does not fit."""
    method = plan.methods[name]
    stages: dict[str, Any] = {
        stage: plan.stage | {"minutes": plan.minutes * share} for stage, share in method.share.items()
    }
    values = merged(plan.base, {"seed": seed, "recipe": list(method.share), "stages": stages})
    values = merged(values, method.changes)
    values = merged(values, {"model": {"name": name}, "data": {"cache": str((out / "pool").resolve())}})
    if data is not None:
        drawn = {
            "brains": list(plan.learn),
            "labelled": list(plan.learn),
            "real_share": 0.3,
            "template_share": 0.4,
        }
        values = merged(values, {"data": {"path": str(data), "simulate": drawn}})
    return check(Config, values, f"row {name}")


def benchmark(
    plan: BenchmarkConfig,
    out: str | Path,
    *,
    data: Path | None = None,
    rows: Sequence[str] | None = None,
    seeds: int | None = None,
    report: Report | None = None,
) -> Path:
    """Train and measure ``rows`` in ``out``; returns ``out/table.md``. Run again, it goes on where it stopped.

    ``data``: a folder with the plan's real subjects; without it only simulated ones are learnt and
    measured. Seeds come one after the other and the table grows with each row. Time is the process's own, so that
    other work on the machine only delays it. Raises InputError for unknown rows and what training raises.
    """
    out = Path(out)
    names = list(rows or plan.methods)
    for name in names:
        if name not in plan.methods:
            raise InputError(f"There is no row “{name}”; known: {', '.join(plan.methods)}.")
    configs = {name: row_config(plan, name, 0, out, data) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    _claim(out / "plan.json", plan, data)
    tests = _tests(next(iter(configs.values())), plan, out, data)
    torch.set_num_threads(1)
    for seed in range(seeds or plan.seeds):
        for name in names:
            target = out / f"seed-{seed}" / f"{name}.json"
            if target.is_file():
                continue
            config = row_config(plan, name, seed, out, data)
            run = out / f"seed-{seed}" / name
            model = train(config, run, resume=True, report=report, clock=time.process_time)
            network = load_model(model).network
            found = {
                "steps": _steps(run, config),
                "parameters": sum(p.numel() for p in network.for_inference().parameters()),
                "measured": {test: measure(model, volumes, config) for test, volumes in tests.items()},
            }
            write_atomically(target, json.dumps(found).encode())
            tabulate(plan, out)
    return tabulate(plan, out)


def _claim(path: Path, plan: BenchmarkConfig, data: Path | None) -> None:
    """Refuse to mix two plans in one folder. Rows and seeds may be added."""
    told = json.loads(plan.model_dump_json(exclude={"seeds", "pairs", "learn_only", "together"})) | {
        "real": data is not None
    }
    methods = told.pop("methods")
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {**told, "methods": {}}
    before = known.pop("methods")
    if known != told or any(before.get(name, method) != method for name, method in methods.items()):
        raise InputError(f"{path.parent.name} was begun with another plan; use the same, or another folder.")
    write_atomically(path, json.dumps(told | {"methods": before | methods}, indent=1).encode())


def _tests(config: Config, plan: BenchmarkConfig, out: Path, data: Path | None) -> dict[str, Volumes]:
    """What is measured on: simulated subjects of another seed in the template, and the plan's real ones."""
    task, part = get_task(config.task), config.data
    drawn = part.simulate
    held_out = SimulatePart(train=1, validation=0, test=drawn.test, seed=drawn.seed + 100)
    source = open_source(DataPart(spacing=part.spacing, simulate=held_out), task)
    assert source.split is not None
    cached = fill_cache(source, source.split["test"], out / "held-out", workers=part.workers)
    tests = {"simulated": Volumes(cached, part.in_memory)}
    if data is not None:
        real = find_labelled(data, task, plan.test)
        real.spacing = part.spacing
        tests["real"] = Volumes(fill_cache(real, real.ids, out / "held-out-real"), part.in_memory)
    return tests


def _steps(run: Path, config: Config) -> dict[str, int]:
    """Updates of each stage."""
    found: dict[str, int] = {}
    for number, stage in enumerate(config.recipe, start=1):
        done = json.loads((run / f"{number}-{stage}" / "done.json").read_text(encoding="utf-8"))
        found[stage] = int(done["steps"])
    return found


def tabulate(plan: BenchmarkConfig, out: str | Path) -> Path:
    """``table.md`` and ``table.json`` from what is measured in ``out`` so far."""
    out = Path(out)
    found = measured_rows(plan, out)
    if not found:
        raise InputError(f"{out} holds no measured row yet; run mrseg benchmark first.")
    return write_table(plan, found, out)


def measured_rows(plan: BenchmarkConfig, out: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """What is measured in ``out`` so far, by row and seed."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(out.glob("seed-*/*.json")):
        if path.stem in plan.methods:
            seed = int(path.parent.name.split("-")[1])
            found.setdefault(path.stem, {})[seed] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_table(
    plan: BenchmarkConfig, found: Mapping[str, Mapping[int, Mapping[str, Any]]], out: Path
) -> Path:
    """``table.md`` and ``table.json`` of :func:`measured_rows`."""
    document: dict[str, Any] = {"minutes": plan.minutes, "groups": {}}
    for group in dict.fromkeys(method.group for method in plan.methods.values()):
        names = [n for n, method in plan.methods.items() if method.group == group and n in found]
        if names:
            document["groups"][group] = _group(plan, {name: found[name] for name in names})
    write_atomically(out / "table.json", json.dumps(document, indent=1).encode())
    write_page(out / "table.md", markdown(document))
    return out / "table.md"


def _group(plan: BenchmarkConfig, found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """Rows and paired differences of one group, on each kind of test subjects."""
    first = next(iter(next(iter(found.values())).values()))["measured"]
    tests: dict[str, Any] = {}
    for test, one in first.items():
        rows = {}
        for name, by_seed in found.items():
            dice = np.stack([_dice(by_seed[s]["measured"][test]) for s in sorted(by_seed)])
            own = mean_of_known(mean_of_known(dice, 2), 1)  # (seeds, regions)
            rows[name] = {
                "title": plan.methods[name].title,
                "seeds": sorted(by_seed),
                "steps": [sum(by_seed[s]["steps"].values()) for s in sorted(by_seed)],
                "parameters": next(iter(by_seed.values()))["parameters"],
                "dice": own.mean(0).tolist(),
                "mean": float(own.mean()),
                "sd_over_seeds": float(own.mean(1).std(ddof=1)) if len(own) > 1 else None,
                "sd_over_combinations": float(mean_of_known(dice, (0, 1, 3)).std()),
            }
        differences = []
        for row, against in plan.pairs:
            seeds = sorted(found.get(row, {}).keys() & found.get(against, {}).keys())
            if seeds:
                gap = np.stack(
                    [_by_subject(found[row][s], test) - _by_subject(found[against][s], test) for s in seeds]
                )
                intervals = {r: bootstrap(gap[..., k : k + 1]) for k, r in enumerate(one["regions"])}
                intervals["mean"] = bootstrap(gap)
                differences.append({"row": row, "against": against, "seeds": seeds, "by_region": intervals})
        tests[test] = {
            "regions": one["regions"],
            "subjects": len(one["subjects"]),
            "combinations": len(one["combinations"]),
            "rows": rows,
            "differences": differences,
        }
    return tests


def _dice(measured: Mapping[str, Any]) -> Floats:
    """(subjects, combinations, regions)."""
    return np.array(measured["dice"], dtype=float)


def _by_subject(row: Mapping[str, Any], test: str) -> Floats:
    """(subjects, regions): mean over the combinations."""
    return mean_of_known(_dice(row["measured"][test]), 1)
