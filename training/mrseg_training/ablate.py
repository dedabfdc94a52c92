"""``mrseg ablate``: train the rows, stages that rows share once; measure; say what differs, with an interval."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch.nn import functional as F

from mrseg_training.ablation_table import markdown
from mrseg_training.atomic import write_atomically
from mrseg_training.config import changed
from mrseg_training.data.datasets import Data, find_data, prepare_data
from mrseg_training.data.prepared import Volumes, fill_cache
from mrseg_training.data.subjects import open_source
from mrseg_training.log import Log, Report, to_people
from mrseg_training.processes import make_fabric
from mrseg_training.rows import BENCHMARK, PAIRS, ROWS, Segment
from mrseg_training.settings import Config, Part
from mrseg_training.stage_run import run_stage
from mrseg_training.start import Start, find_start, fingerprint
from mrseg_training.tables import write_page
from napari_mrseg.compare.metrics import region_dice
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.errors import InputError
from napari_mrseg.inference.device import resolve_precision
from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import get_task

Floats = npt.NDArray[np.float64]


class UpdatesPart(Part):
    """Updates of the three stages. A row without stage 1 makes as many sample passes in its own way."""

    reconstruct: int = Field(ge=1)
    contrast: int = Field(ge=1)
    adapt: int = Field(ge=1)
    passes: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> UpdatesPart:
        total = (self.reconstruct + self.contrast + self.adapt) * self.passes
        if total % (self.contrast + self.adapt):
            raise ValueError(
                "contrast + adapt must divide all sample passes, so that (0) can make them in as many updates"
            )
        return self


class AblationConfig(Part):
    """``base``: a training configuration with all stages; steps and batches are set from ``updates``."""

    base: Config
    updates: UpdatesPart
    rows: tuple[str, ...] = BENCHMARK
    seeds: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _known(self) -> AblationConfig:
        unknown = [row for row in self.rows if row not in ROWS]
        if unknown:
            raise ValueError(f"there is no row {unknown[0]}; known: {', '.join(ROWS)}")
        return self


def ablate(
    config: AblationConfig,
    out: str | Path,
    rows: Sequence[str] | None = None,
    seeds: int | None = None,
    *,
    report: Report | None = None,
) -> Path:
    """Train and measure ``rows`` with ``seeds`` seeds in ``out``; returns ``out/table.md``. Goes on where it stopped.

    Seeds come one after the other, and the table is written after each, so an early stop leaves whole seeds.
    Raises InputError for unknown rows and what training raises.
    """
    out = Path(out)
    names = list(rows or config.rows)
    for name in names:
        if name not in ROWS:
            raise InputError(f"There is no row “{name}”; known: {', '.join(ROWS)}.")
    out.mkdir(parents=True, exist_ok=True)
    fabric = make_fabric(config.base)
    log = Log(out, report or to_people())
    try:
        data = prepare_data(config.base, *find_data(config.base), out, log, fabric)
        test = _test_volumes(config.base, out, data, log)
        write_atomically(out / "config.json", config.model_dump_json(indent=1).encode())
        for seed in range(seeds or config.seeds):
            for name in names:
                target = out / f"seed-{seed}" / f"{name}.json"
                if target.is_file():
                    continue
                began = time.monotonic()
                model = _train_row(config, name, seed, out / "stages", data, fabric, log)
                measured = measure(model, test, config.base)
                measured["seconds_here"] = round(time.monotonic() - began, 1)
                write_atomically(target, json.dumps(measured).encode())
                log("row", row=name, seed=seed, mean=_mean(measured), message=f"seed {seed} {name} done")
            tabulate(out)
        log("done")
    finally:
        log.close()
    return out / "table.md"


def segment_config(config: AblationConfig, name: str, segment: Segment, seed: int) -> Config:
    """The training configuration of one segment of a row, with it as the only stage but one of its place."""
    updates = config.updates
    steps = {
        "first": updates.reconstruct,
        "second": updates.contrast,
        "third": updates.adapt,
        "second+third": updates.contrast + updates.adapt,
        "wide": updates.contrast + updates.adapt,
        "long": updates.reconstruct + updates.contrast + updates.adapt,
    }[segment.budget]
    passes = updates.passes
    if segment.budget == "wide":
        total = updates.reconstruct + updates.contrast + updates.adapt
        passes = total * passes // steps
    part = config.base.stage(segment.stage)
    versions = {"contrast": 2, "adapt": 2, "joint": 3}.get(segment.stage, 1)
    stage: dict[str, Any] = {**segment.switches, "steps": steps, "epochs": None}
    stage["batch"] = max(1, passes // versions)
    if segment.stage in ("adapt", "joint"):
        stage["combinations_per_step"] = 1
    if part.epochs is not None:
        stage["epochs"] = None
    overrides = {"seed": seed, "stages": {segment.stage: stage}, "model": dict(ROWS[name].model)}
    return changed(config.base, overrides, f"row {name}")


def _train_row(
    config: AblationConfig, name: str, seed: int, folder: Path, data: Data, fabric: Any, log: Log
) -> Path:
    """Train the stages of a row that no earlier row has trained; returns the last one's model folder."""
    start: Start | None = None
    model = folder
    stages = [segment.stage for segment in ROWS[name].segments]
    for index, segment in enumerate(ROWS[name].segments):
        own = segment_config(config, name, segment, seed)
        if segment.stage in ("reconstruct", "contrast", "supervised"):
            # These have no adapters, so switches of the adapters must not keep rows from sharing them.
            own = own.model_copy(update={"model": config.base.model})
        own = own.model_copy(update={"recipe": tuple(stages)})
        place = folder / f"{index + 1}-{segment.stage}-{fingerprint(own, index, start)}"
        model = run_stage(own, index, place, data, fabric, log, start)
        start = find_start(place, segment.stage, own)
    return model


def _test_volumes(config: Config, out: Path, data: Data, log: Log) -> Volumes:
    source = open_source(config.data, get_task(config.task))
    folder = (config.data.cache or out / "cache").expanduser()
    cached = fill_cache(
        source, data.split["test"], folder, skip_bad=config.data.skip_bad, workers=config.data.workers
    )
    return Volumes(cached, config.data.in_memory)


@torch.inference_mode()
def measure(model: Path, test: Volumes, config: Config) -> dict[str, Any]:
    """Dice of every subject, of each combination the model can do, and region, whole volumes at the training grid.

    Dice is nan where the reference lacks the region (its false-positive volume, mL, is listed instead), and where the
    subject lacks a modality of the combination.
    """
    task = get_task(config.task)
    device = torch.device("cpu")
    bf16 = resolve_precision(config.run.precision, device) == "bf16"
    loaded = load_model(model)
    network = loaded.network.for_inference(torch.bfloat16 if bf16 else torch.float32)
    dtype = next(network.parameters()).dtype
    voxel_ml = config.data.spacing**3 / 1000
    combinations = loaded.card.combinations(task.names)
    stride = network.stride
    dice: list[list[list[float]]] = []
    false_ml: list[list[list[float]]] = []
    for subject in test.subjects:
        images, truth = test.images(subject)[None].to(dtype), test.labels(subject).numpy()
        has, extents = test.available(subject), truth.shape
        # Subjects are prepared for what suits most networks; one with a larger stride gets background around them.
        images = F.pad(
            images, [n for m, k in zip(extents[::-1], stride[::-1], strict=True) for n in (0, -m % k)]
        )
        dice.append([])
        false_ml.append([])
        for combination in combinations:
            available = torch.tensor([[name in combination for name in task.names]])
            if not bool(has[available[0]].all()):
                dice[-1].append([float("nan")] * len(task.regions))
                false_ml[-1].append([float("nan")] * len(task.regions))
                continue
            seen = fill(images, available, task).contiguous(memory_format=torch.channels_last_3d)
            logits = network(seen, available).float()[:, :, : extents[0], : extents[1], : extents[2]]
            found = task.label_map(probabilities(logits, task.output)[0]).numpy().astype(np.uint8)
            scores = region_dice(found, truth, task)
            there = {r.name: bool(np.isin(truth, r.codes).any()) for r in task.regions}
            sizes = {r.name: float(np.isin(found, r.codes).sum()) * voxel_ml for r in task.regions}
            dice[-1].append([scores[r] if there[r] else float("nan") for r in there])
            false_ml[-1].append([0.0 if there[r] else sizes[r] for r in there])
    return {
        "subjects": list(test.subjects),
        "combinations": ["+".join(c) for c in combinations],
        "regions": [r.name for r in task.regions],
        "dice": dice,
        "false_ml": false_ml,
    }


def _mean(measured: Mapping[str, Any]) -> list[float]:
    values = np.array(measured["dice"], dtype=float)
    return [round(float(v), 4) for v in np.nanmean(values, axis=(0, 1))]


def tabulate(out: str | Path) -> Path:
    """``table.md``, ``table.csv`` and ``table.json`` from what is measured in ``out`` so far.

    Only seeds for which every row is there are used. Differences are paired by subject and seed; their 95 %
    interval is a bootstrap over subjects and over seeds.
    """
    out = Path(out)
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for path in sorted(out.glob("seed-*/*.json")):
        seed = int(path.parent.name.split("-")[1])
        found.setdefault(seed, {})[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise InputError(f"{out} holds no measured row yet; run mrseg ablate first.")
    everything = {row for rows in found.values() for row in rows}
    rows = [row for row in ROWS if row in everything]
    seeds = [seed for seed, there in sorted(found.items()) if set(there) == everything]
    if not seeds:
        raise InputError(f"{out} has no seed with all rows yet; let mrseg ablate go on.")
    regions = found[seeds[0]][rows[0]]["regions"]
    # (seeds, subjects, regions): mean over the combinations
    dice = {
        row: np.stack([np.array(found[s][row]["dice"], dtype=float).mean(1) for s in seeds]) for row in rows
    }
    document: dict[str, Any] = {"seeds": seeds, "regions": regions, "rows": {}, "differences": []}
    for row in rows:
        by_seed = np.nanmean(dice[row], axis=1)  # (seeds, regions)
        false = np.stack([np.array(found[s][row]["false_ml"], dtype=float).mean(1) for s in seeds])
        absent = np.isnan(dice[row])
        combos = np.stack([np.nanmean(np.array(found[s][row]["dice"], dtype=float), 0) for s in seeds]).mean(
            0
        )
        document["rows"][row] = {
            "title": ROWS[row].title,
            "dice": by_seed.mean(0).tolist(),
            "mean": float(by_seed.mean()),
            "sd_over_seeds": float(by_seed.mean(1).std(ddof=1)) if len(seeds) > 1 else None,
            "sd_over_combinations": combos.std(0).tolist(),
            "by_combination": dict(zip(found[seeds[0]][row]["combinations"], combos.tolist(), strict=True)),
            "false_ml": [
                float(false[..., r][absent[..., r]].mean()) if absent[..., r].any() else 0.0
                for r in range(len(regions))
            ],
        }
    for row, against in PAIRS:
        if row in dice and against in dice:
            difference = dice[row] - dice[against]
            intervals = {
                region: bootstrap(difference[..., r : r + 1]) for r, region in enumerate(regions)
            } | {"mean": bootstrap(difference)}
            document["differences"].append({"row": row, "against": against, "by_region": intervals})
    document["subjects"] = int(dice[rows[0]].shape[1])
    write_atomically(out / "table.json", json.dumps(document, indent=1).encode())
    with open(out / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "seed", "subject", "combination", *regions])
        for seed in seeds:
            for row in rows:
                one = found[seed][row]
                for subject, by_combination in zip(one["subjects"], one["dice"], strict=True):
                    for combination, values in zip(one["combinations"], by_combination, strict=True):
                        writer.writerow([row, seed, subject, combination, *(f"{v:.4f}" for v in values)])
    write_page(out / "table.md", markdown(document))
    return out / "table.md"
