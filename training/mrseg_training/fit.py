"""The loop. Reads from top to bottom: a run is a row of stages, a stage is a row of steps."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from mrseg_training.average import Average
from mrseg_training.checkpoint import (
    State,
    checkpoint_of,
    latest,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from mrseg_training.data.cache import Volumes
from mrseg_training.data.loader import Loader
from mrseg_training.data.prepare import Data, find_data, prepare_data
from mrseg_training.export import model_card
from mrseg_training.files import write_atomically
from mrseg_training.log import Log, Report, to_people
from mrseg_training.perturb import mix
from mrseg_training.processes import average_gradients, make_fabric
from mrseg_training.settings import OF_ANY_NETWORK, Config, StagePart
from mrseg_training.stages import STAGES, check_stage, make_stage
from mrseg_training.validate import pictures, score
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.models.network import channels_last
from napari_mrseg.models.store import save_model

ADDED = (
    ("optimizer", "adamw"),
    ("schedule", "cosine"),
    ("over_combinations", "mean"),
    ("backbone_rate", 1.0),
    ("adapters", False),
)
OPTIMIZERS: Mapping[str, type[Adam]] = {"adamw": AdamW, "adam": Adam}
POWER = 0.9  # of "poly", as in the segmentation literature; SMML's paper does not say
UNLABELLED = 1000  # added to a stage's number: unlabelled samples are drawn independently of the others


class TrainingStopped(MrsegError):  # noqa: N818 - a state, as in Cancelled
    """Training cannot go on; what was saved before is whole."""

    exit_code = 3


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
    log = Log(out, own, tensorboard=config.run.tensorboard, active=lead)
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


@dataclass(frozen=True)
class Start:
    """What a stage starts from: a checkpoint or a model folder, whether its head gives regions, its fingerprint."""

    path: Path
    segments: bool
    identity: str

    def weights(self) -> dict[str, Tensor]:
        """The network's weights. Raises ModelError if they are damaged."""
        if self.path.is_dir():
            from napari_mrseg.models.store import load_model

            return load_model(self.path).network.state_dict()
        return load_weights(self.path)


def run_stage(
    config: Config,
    index: int,
    folder: Path,
    data: Data,
    fabric: Any,
    log: Log,
    start: Start | None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train stage ``index`` of the recipe in ``folder``, from where it stopped; returns its model folder."""
    name = config.recipe[index]
    part = config.stage(name)
    identity = fingerprint(config, index, start)
    if (folder / "done.json").is_file() and json.loads((folder / "done.json").read_text())[
        "config"
    ] == identity:
        return folder / "model"
    torch.manual_seed(mix(config.seed, index))
    stage: Any = make_stage(name, config).to(fabric.device)
    if start is not None:
        stage.start_from(start.weights(), head=start.segments and stage.segments)
    groups = parameter_groups(stage, part)
    optimizer = OPTIMIZERS[part.optimizer](groups, lr=part.learning_rate, weight_decay=part.weight_decay)
    processes = fabric.world_size

    def loader_of(volumes: Volumes, stream: int) -> Loader:
        return Loader(
            volumes,
            part,
            stage.task,
            seed=config.seed,
            stage=stream,
            device=fabric.device,
            rank=fabric.global_rank,
            processes=processes,
            prefetch=config.data.prefetch,
        )

    loader = loader_of(data.train, index)
    unlabelled = None
    if data.unlabelled is not None and stage.uses_unlabelled:
        unlabelled = loader_of(data.unlabelled, index + UNLABELLED)
    steps = part.steps
    if part.epochs is not None:
        steps = math.ceil(data.train.samples(part.epochs) / (part.batch * processes))
    first, before, best = 0, 0.0, None
    average = Average(stage.network, part.average) if part.average else None
    checkpoint = latest(folder / "checkpoints")
    if checkpoint is not None:
        state = load_checkpoint(checkpoint, stage.network, optimizer, average)
        if state.config != identity:
            raise InputError(
                f"{folder.name} was begun with other settings or another stage before it; use the same settings, "
                "or another output folder."
            )
        first, before, best = state.step, state.seconds, state.best
    if fabric.device.type == "cuda" and processes > 1 and config.run.norm_statistics == "batch":
        stage.network = nn.SyncBatchNorm.convert_sync_batchnorm(stage.network)
    channels_last(stage)
    stage.train()
    module, wrapped = fabric.setup(stage, optimizer)

    began = saved = clock()

    def spent() -> float:
        """Seconds of training so far, of all runs; the same on every process."""
        return float(fabric.broadcast(before + clock() - began))

    def along(step: int) -> tuple[float, float]:
        """How much is done before ``step``, of how much: steps, or seconds where those are given."""
        return (step, steps) if steps is not None else (spent(), 60 * (part.minutes or 0))

    def export(step: int) -> None:
        """Write the model folder with the weights of ``step``'s or the best checkpoint, averaged ones if there are."""
        path = folder / "checkpoints" / "best.safetensors"
        if config.run.keep != "best" or not path.is_file():
            path = checkpoint_of(folder / "checkpoints", step)
        own = {key: value.clone() for key, value in stage.network.state_dict().items()}
        weights = load_weights(path)
        if part.start_share and start is not None:
            weights = mixed(weights, start.weights(), part.start_share)
        stage.network.load_state_dict(weights)
        card = model_card(config, name, part, data.train, data.unlabelled if stage.uses_unlabelled else None)
        save_model(folder / "model", stage.exported(), card)
        stage.network.load_state_dict(own)

    def save(step: int, is_best: bool = False) -> None:
        seconds = spent()
        if fabric.global_rank == 0:
            state = State(step, identity, best, start.identity if start else None, seconds)
            save_checkpoint(folder / "checkpoints", stage.network, optimizer, state, average, best=is_best)
            # While it learns, too: a model can be looked at early, and a machine that goes away leaves one.
            export(step)
        fabric.barrier()

    log("start", stage=folder.name, step=first, steps=steps, processes=processes)
    now, (done, whole) = first, along(first)
    beside = unlabelled.batches(first, steps) if unlabelled is not None else None
    for step, batch in enumerate(loader.batches(first, steps), start=first):
        if done >= whole:
            break
        if beside is not None:
            batch.unlabelled = next(beside)
        rate_now = learning_rate(part, done, whole)
        for group in optimizer.param_groups:
            group["lr"] = rate_now * group.get("share", 1.0)
        wrapped.zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        for number in range(stage.parts):
            # Several backwards a step, not each of which touches every weight: processes are joined once, below.
            with fabric.no_backward_sync(module, enabled=processes > 1):
                terms = module(batch, number)
                losses = [
                    weight * terms[key] for key, weight in stage.weights.items() if weight and key in terms
                ]
                if losses:
                    fabric.backward(sum(losses[1:], losses[0]))
            for key, value in terms.items():
                values[key] = values[key] + value.detach() if key in values else value.detach()
        if processes > 1:
            average_gradients(stage, processes)
        numbers = dict(zip(values, torch.stack([v.float() for v in values.values()]).tolist(), strict=True))
        loss = sum(
            weight * numbers[key] for key, weight in stage.weights.items() if weight and key in numbers
        )
        if not all(math.isfinite(number) for number in numbers.values()):
            wrong = ", ".join(key for key, number in numbers.items() if not math.isfinite(number))
            raise TrainingStopped(
                f"Training stopped at step {step + 1} of {folder.name}: the loss ({wrong}) is not finite; resume from "
                "the last checkpoint with a lower learning rate, or in fp32."
            )
        if part.clip is not None:
            fabric.clip_gradients(module, wrapped, max_norm=part.clip)
        wrapped.step()
        if average is not None:
            average.update(stage.network)
        now = step + 1
        done, whole = along(now)
        last = done >= whole
        if now % config.run.log_every == 0 or last or now == first + 1:
            log(
                "step",
                stage=folder.name,
                step=now,
                steps=steps,
                done=done / whole,
                loss=loss,
                **{f"loss_{key}": number for key, number in numbers.items()},
                learning_rate=rate_now,
                rate=(now - first) / max(clock() - began, 1e-9),
                skipped_pairs=int((~batch.available.all(1)).sum()),
                memory_mb=_memory_mb(fabric.device),
            )
        if config.run.tensorboard and now % config.run.pictures_every == 0:
            log.picture(f"{folder.name}/pictures", lambda batch=batch: pictures(stage, batch), now)  # type: ignore[misc]
        is_best = False
        every = config.run.validate_every
        if every and data.validation is not None and (now % every == 0 or last):
            result = score(stage, data.validation, config.run.validate_subjects, fabric)
            stage.train()
            is_best = best is None or result > best
            best = result if is_best else best
            log("validation", stage=folder.name, step=now, score=result, best=best)
        due = now % config.run.checkpoint_every == 0 or clock() - saved > config.run.checkpoint_seconds
        if processes > 1:
            due = fabric.broadcast(due)
        if due or is_best or last:
            save(now, is_best)
            saved = clock()
    seconds = spent()
    model = folder / "model"
    if fabric.global_rank == 0:
        export(now)
        about = {"config": identity, "steps": now, "seconds": round(seconds, 1)}
        write_atomically(folder / "done.json", json.dumps(about).encode())
    fabric.barrier()
    log("finished", stage=folder.name, step=now, steps=now, seconds=round(seconds, 1))
    return model


def parameter_groups(stage: nn.Module, part: StagePart) -> list[dict[str, Any]]:
    """What the optimiser gets: all that learns, a pretrained encoder apart where it has a rate of its own."""
    learning = [(name, p) for name, p in stage.named_parameters() if p.requires_grad]
    if part.backbone_rate == 1:
        return [{"params": [p for _, p in learning]}]
    inside = [p for name, p in learning if ".backbone.body." in f".{name}"]
    others = [p for name, p in learning if ".backbone.body." not in f".{name}"]
    return [{"params": others}, {"params": inside, "share": part.backbone_rate}]


def mixed(weights: Mapping[str, Tensor], before: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """``weights`` with ``share`` of those ``before``, where both have them; what is no number with a point stays."""
    return {
        name: torch.lerp(value, before[name].to(value), share)
        if name in before and value.is_floating_point() and before[name].shape == value.shape
        else value
        for name, value in weights.items()
    }


def learning_rate(part: StagePart, step: float, steps: float) -> float:
    """Linear warm-up, then by ``schedule`` to the share ``floor``; of the step about to be made, or of seconds."""
    warm = round(part.warmup * steps)
    if step < warm:
        return part.learning_rate * min(1.0, (step + 1) / warm)
    along = (step - warm) / max(1, steps - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * along))
    fallen = max(0.0, 1 - along) ** POWER if part.schedule == "poly" else cosine
    return part.learning_rate * (part.floor + (1 - part.floor) * fallen)


def fingerprint(config: Config, index: int, start: Start | None) -> str:
    """What decides the weights of a stage: a hash of its settings and of the stages before it."""
    values: Mapping[str, Any] = config.model_dump(mode="json")
    stage = values["stages"][config.recipe[index]]
    # A setting of later versions at what it was before there was one: runs begun then can be resumed.
    stage = {name: value for name, value in stage.items() if (name, value) not in ADDED}
    told = {
        "task": config.task,
        "seed": config.seed,
        "data": {
            k: v for k, v in values["data"].items() if k not in ("cache", "in_memory", "prefetch", "workers")
        },
        "model": {k: v for k, v in values["model"].items() if k not in OF_ANY_NETWORK},
        "stage": [index, config.recipe[index], stage],
        "norm": config.run.norm_statistics,
        "before": start and start.identity,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def find_start(folder: Path, stage: str, config: Config) -> Start:
    """What the stage after ``folder`` starts from. Raises InputError if ``folder`` is not done."""
    done = read_done(folder)
    if done is not None:
        best = folder / "checkpoints" / "best.safetensors"
        path = best if config.run.keep == "best" and best.is_file() else latest(folder / "checkpoints")
        if path is not None:
            return Start(path, STAGES[stage].segments, done["config"])
    raise InputError(f"The stage {folder.name} is not done in {folder.parent.name}; train it first.")


def given_start(config: Config) -> Start | None:
    """The model folder that ``config.start`` names. Raises UnknownModelError if it is none, ModelError if damaged."""
    if config.start is None:
        return None
    from napari_mrseg.models.store import load_model

    path = config.start.expanduser()
    return Start(path, True, f"model {load_model(path).sha256}")


def read_done(folder: Path) -> dict[str, Any] | None:
    """What a finished stage left in ``done.json``."""
    try:
        done: dict[str, Any] = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        return done
    except (OSError, ValueError):
        return None


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

    loaded = load_model(model)
    save_model(target, loaded.network, loaded.card)


def _memory_mb(device: torch.device) -> int:
    """Most memory in use so far, MB: of the GPU, else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) / 1e6)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
