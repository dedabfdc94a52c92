"""A run: a row of stages, one after the other in a folder. A stage is in :mod:`.stage_run`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mrseg_training.atomic import write_atomically
from mrseg_training.data.datasets import Data, find_data, prepare_data
from mrseg_training.log import Log, Report, to_people
from mrseg_training.processes import make_fabric
from mrseg_training.settings import Config
from mrseg_training.stage_run import run_stage
from mrseg_training.stages import check_stage
from mrseg_training.start import Start, find_start, given_start
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import save_model


def train(
    config: Config,
    out: str | Path,
    *,
    stage: str | None = None,
    resume: bool = False,
    report: Report | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Run the recipe, or one ``stage`` of it, in ``out``; returns the model folder ``out/model``.

    ``resume`` goes on where an earlier run with the same settings stopped, bit for bit on the CPU. ``report`` gets
    every event of the log (default: progress on stderr). ``clock`` measures a stage's minutes: for
    comparisons at equal effort on a busy machine, ``time.process_time``. Raises InputError for settings and data that
    cannot be used, TrainingStopped for a loss that is not finite, ModelError for damaged checkpoints.
    """
    out = Path(out)
    fabric = make_fabric(config)
    names = [f"{number}-{name}" for number, name in enumerate(config.recipe, start=1)]
    chosen = [i for i, name in enumerate(config.recipe) if stage in (None, name, names[i])]
    if not chosen:
        raise InputError(f"The recipe has no stage “{stage}”; it has {', '.join(config.recipe)}.")
    lead = fabric.global_rank == 0
    # What cannot be trained is refused before anything is written.
    for index in chosen:
        check_stage(config, config.recipe[index])
    source, split = find_data(config)
    given = given_start(config) if 0 in chosen else None
    if lead:
        _claim(out, [names[i] for i in chosen], resume)
    own = to_people() if report is None and lead else report
    log = Log(out, own, trackers=config.run.all_trackers, settings=_shown(config), active=lead)
    data: Data | None = None
    try:
        data = prepare_data(config, source, split, out, log, fabric)
        if lead:
            write_atomically(out / "config.json", config.model_dump_json(indent=1).encode())
        model = out / "model"
        for index in chosen:
            if index:
                start: Start | None = find_start(out / names[index - 1], config.recipe[index - 1], config)
            else:
                start = given
            model = run_stage(config, index, out / names[index], data, fabric, log, start, clock)
        if fabric.global_rank == 0:
            _copy_model(model, out / "model", config)
        log("done", model="model")
    finally:
        if data is not None:
            data.train.close()
        log.close()
    return out / "model"


def _shown(config: Config) -> dict[str, str | int]:
    """What trackers show of a run."""
    network = config.model.network if config.model.network != "unimrseg" else f"unimrseg {config.model.size}"
    recipe, name = ", ".join(config.recipe), config.model.name
    return {"task": config.task, "model": name, "network": network, "recipe": recipe, "seed": config.seed}


def _claim(out: Path, names: list[str], resume: bool) -> None:
    """Refuse to mix two runs in one folder; make it."""
    there = [name for name in names if (out / name).exists()]
    if there and not resume:
        raise InputError(f"{out} already holds {there[0]}; use --resume to go on, or another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error.strerror}); choose another folder.") from None


def _copy_model(model: Path, target: Path, config: Config) -> None:
    from napari_mrseg.models.store import load_model

    loaded = load_model(model, segments=False)
    save_model(target, loaded.network, loaded.card)
