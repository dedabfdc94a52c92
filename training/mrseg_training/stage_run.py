"""One stage of a run: what it is made of, a step after the other, and what it leaves."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from mrseg_training.atomic import write_atomically
from mrseg_training.average import Average
from mrseg_training.checkpoint import (
    State,
    checkpoint_of,
    latest,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from mrseg_training.data.datasets import Data
from mrseg_training.data.loader import Loader
from mrseg_training.data.prepared import Volumes
from mrseg_training.log import Log
from mrseg_training.model_card import model_card
from mrseg_training.perturb import mix
from mrseg_training.processes import average_gradients
from mrseg_training.settings import Config, StagePart
from mrseg_training.stages import make_stage
from mrseg_training.stages.base import Batch
from mrseg_training.start import Start, fingerprint, mixed
from mrseg_training.validate import pictures, score
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.models.network import channels_last
from napari_mrseg.models.store import save_model

OPTIMIZERS: Mapping[str, type[Adam]] = {"adamw": AdamW, "adam": Adam}
POWER = 0.9  # of "poly", as in the segmentation literature; SMML's paper does not say
UNLABELLED = 1000  # added to a stage's number: unlabelled samples are drawn independently of the others


class TrainingStopped(MrsegError):  # noqa: N818 - a state, as in Cancelled
    """Training cannot go on; what was saved before is whole."""

    exit_code = 3


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
    identity = fingerprint(config, index, start)
    done = folder / "done.json"
    if done.is_file() and json.loads(done.read_text())["config"] == identity:
        return folder / "model"
    return StageRun(config, index, folder, data, fabric, log, start, clock, identity).run()


class StageRun:
    """A stage in training. ``identity``: its fingerprint, by which a checkpoint is known to belong to it."""

    def __init__(
        self,
        config: Config,
        index: int,
        folder: Path,
        data: Data,
        fabric: Any,
        log: Log,
        start: Start | None,
        clock: Callable[[], float],
        identity: str,
    ) -> None:
        self.config, self.index, self.folder, self.data = config, index, folder, data
        self.fabric, self.log, self.start, self.clock, self.identity = fabric, log, start, clock, identity
        self.name = config.recipe[index]
        self.part = config.stage(self.name)
        self.processes: int = fabric.world_size
        torch.manual_seed(mix(config.seed, index))
        self.stage: Any = make_stage(self.name, config).to(fabric.device)
        if start is not None:
            self.stage.start_from(start.weights(), head=start.segments and self.stage.segments)
        optimizer = OPTIMIZERS[self.part.optimizer](
            parameter_groups(self.stage, self.part),
            lr=self.part.learning_rate,
            weight_decay=self.part.weight_decay,
        )
        self.optimizer = optimizer
        self.loader = self._loader(data.train, index)
        self.unlabelled: Loader | None = None
        if data.unlabelled is not None and self.stage.uses_unlabelled:
            self.unlabelled = self._loader(data.unlabelled, index + UNLABELLED)
        self.steps = self.part.steps
        if self.part.epochs is not None:
            each = self.part.batch * self.processes
            self.steps = math.ceil(data.train.samples(self.part.epochs) / each)
        self.average = Average(self.stage.network, self.part.average) if self.part.average else None
        self.first, self.before, self.best = self._resumed()
        if fabric.device.type == "cuda" and self.processes > 1 and config.run.norm_statistics == "batch":
            self.stage.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.stage.network)
        channels_last(self.stage)
        self.stage.train()
        self.module, self.wrapped = fabric.setup(self.stage, optimizer)
        self.began = self.saved = clock()

    def run(self) -> Path:
        """Every step from the first one on; returns the model folder."""
        self.log("start", stage=self.folder.name, step=self.first, steps=self.steps, processes=self.processes)
        now, (done, whole) = self.first, self._progress(self.first)
        for step, batch in self._batches():
            if done >= whole:
                break
            rate = learning_rate(self.part, done, whole)
            numbers = self._learn(batch, step, rate)
            now = step + 1
            done, whole = self._progress(now)
            last = done >= whole
            self._report(now, batch, numbers, rate, done / whole, last)
            is_best = self._validate(now, last)
            self._save_if_due(now, is_best, last)
        return self._finish(now)

    def _loader(self, volumes: Volumes, stream: int) -> Loader:
        return Loader(
            volumes,
            self.part,
            self.stage.task,
            seed=self.config.seed,
            stage=stream,
            device=self.fabric.device,
            rank=self.fabric.global_rank,
            processes=self.processes,
            prefetch=self.config.data.prefetch,
        )

    def _resumed(self) -> tuple[int, float, float | None]:
        """Step, seconds and best score of the last checkpoint, which is loaded; those of a start if there is none."""
        checkpoint = latest(self.folder / "checkpoints")
        if checkpoint is None:
            return 0, 0.0, None
        state = load_checkpoint(checkpoint, self.stage.network, self.optimizer, self.average)
        if state.config != self.identity:
            raise InputError(
                f"{self.folder.name} was begun with other settings or another stage before it; use the same settings, "
                "or another output folder."
            )
        return state.step, state.seconds, state.best

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        """(step, batch), each batch with its unlabelled one where the stage uses them."""
        steps = self.steps
        beside = self.unlabelled.batches(self.first, steps) if self.unlabelled is not None else None
        for step, batch in enumerate(self.loader.batches(self.first, steps), start=self.first):
            if beside is not None:
                batch.unlabelled = next(beside)
            yield step, batch

    def _learn(self, batch: Batch, step: int, rate: float) -> dict[str, float]:
        """One step of the optimiser; returns the mean of each term of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        self.wrapped.zero_grad(set_to_none=True)
        values = self._backward(batch)
        if self.processes > 1:
            average_gradients(self.stage, self.processes)
        numbers = dict(zip(values, torch.stack([v.float() for v in values.values()]).tolist(), strict=True))
        wrong = [key for key, number in numbers.items() if not math.isfinite(number)]
        if wrong:
            raise TrainingStopped(
                f"Training stopped at step {step + 1} of {self.folder.name}: the loss ({', '.join(wrong)}) is not "
                "finite; resume from the last checkpoint with a lower learning rate, or in fp32."
            )
        if self.part.clip is not None:
            self.fabric.clip_gradients(self.module, self.wrapped, max_norm=self.part.clip)
        self.wrapped.step()
        if self.average is not None:
            self.average.update(self.stage.network)
        return numbers

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        """Gradients of all parts of the step; returns the sum of each term."""
        weights, values = self.stage.weights, dict[str, Tensor]()
        for number in range(self.stage.parts):
            # Several backwards a step, not each of which touches every weight: processes are joined once, after.
            with self.fabric.no_backward_sync(self.module, enabled=self.processes > 1):
                terms = self.module(batch, number)
                losses = [weight * terms[key] for key, weight in weights.items() if weight and key in terms]
                if losses:
                    self.fabric.backward(sum(losses[1:], losses[0]))
            for key, value in terms.items():
                values[key] = values[key] + value.detach() if key in values else value.detach()
        return values

    def _report(
        self, now: int, batch: Batch, numbers: Mapping[str, float], rate: float, share: float, last: bool
    ) -> None:
        """The log's line of a step, and pictures, where they are due."""
        run, weights = self.config.run, self.stage.weights
        if now % run.log_every == 0 or last or now == self.first + 1:
            self.log(
                "step",
                stage=self.folder.name,
                step=now,
                steps=self.steps,
                done=share,
                loss=sum(
                    weight * numbers[key] for key, weight in weights.items() if weight and key in numbers
                ),
                **{f"loss_{key}": number for key, number in numbers.items()},
                learning_rate=rate,
                rate=(now - self.first) / max(self.clock() - self.began, 1e-9),
                skipped_pairs=int((~batch.available.all(1)).sum()),
                memory_mb=_memory_mb(self.fabric.device),
            )
        if run.all_trackers and now % run.pictures_every == 0:
            self.log.picture(f"{self.folder.name}/pictures", lambda: pictures(self.stage, batch), now)

    def _validate(self, now: int, last: bool) -> bool:
        """Measure the quick score where it is due; True if it is the best so far."""
        every = self.config.run.validate_every
        if not every or self.data.validation is None or not (now % every == 0 or last):
            return False
        result = score(self.stage, self.data.validation, self.config.run.validate_subjects, self.fabric)
        self.stage.train()
        is_best = self.best is None or result > self.best
        self.best = result if is_best else self.best
        self.log("validation", stage=self.folder.name, step=now, score=result, best=self.best)
        return is_best

    def _save_if_due(self, now: int, is_best: bool, last: bool) -> None:
        run = self.config.run
        due = now % run.checkpoint_every == 0 or self.clock() - self.saved > run.checkpoint_seconds
        if self.processes > 1:
            due = self.fabric.broadcast(due)
        if due or is_best or last:
            self._save(now, is_best)
            self.saved = self.clock()

    def _save(self, step: int, is_best: bool) -> None:
        seconds = self._spent()
        if self.fabric.global_rank == 0:
            start = self.start.identity if self.start else None
            state = State(step, self.identity, self.best, start, seconds)
            folder = self.folder / "checkpoints"
            save_checkpoint(folder, self.stage.network, self.optimizer, state, self.average, best=is_best)
            # While it learns, too: a model can be looked at early, and a machine that goes away leaves one.
            self._export(step)
        self.fabric.barrier()

    def _export(self, step: int) -> None:
        """Write the model folder with the weights of ``step``'s or the best checkpoint, averaged ones if there are."""
        path = self.folder / "checkpoints" / "best.safetensors"
        if self.config.run.keep != "best" or not path.is_file():
            path = checkpoint_of(self.folder / "checkpoints", step)
        network = self.stage.network
        own = {key: value.clone() for key, value in network.state_dict().items()}
        weights = load_weights(path)
        if self.part.start_share and self.start is not None:
            weights = mixed(weights, self.start.weights(), self.part.start_share)
        network.load_state_dict(weights)
        unlabelled = self.data.unlabelled if self.stage.uses_unlabelled else None
        card = model_card(self.config, self.name, self.part, self.data.train, unlabelled)
        save_model(self.folder / "model", self.stage.exported(), card)
        network.load_state_dict(own)

    def _finish(self, now: int) -> Path:
        seconds = self._spent()
        if self.fabric.global_rank == 0:
            self._export(now)
            about = {"config": self.identity, "steps": now, "seconds": round(seconds, 1)}
            write_atomically(self.folder / "done.json", json.dumps(about).encode())
        self.fabric.barrier()
        self.log("finished", stage=self.folder.name, step=now, steps=now, seconds=round(seconds, 1))
        return self.folder / "model"

    def _spent(self) -> float:
        """Seconds of training so far, of all runs; the same on every process."""
        return float(self.fabric.broadcast(self.before + self.clock() - self.began))

    def _progress(self, step: int) -> tuple[float, float]:
        """How much is done before ``step``, of how much: steps, or seconds where those are given."""
        if self.steps is not None:
            return step, self.steps
        return self._spent(), 60 * (self.part.minutes or 0)


def parameter_groups(stage: nn.Module, part: StagePart) -> list[dict[str, Any]]:
    """What the optimiser gets: all that learns, a pretrained encoder apart where it has a rate of its own."""
    learning = [(name, p) for name, p in stage.named_parameters() if p.requires_grad]
    if part.backbone_rate == 1:
        return [{"params": [p for _, p in learning]}]
    inside = [p for name, p in learning if ".backbone.body." in f".{name}"]
    others = [p for name, p in learning if ".backbone.body." not in f".{name}"]
    return [{"params": others}, {"params": inside, "share": part.backbone_rate}]


def learning_rate(part: StagePart, step: float, steps: float) -> float:
    """Linear warm-up, then by ``schedule`` to the share ``floor``; of the step about to be made, or of seconds.

    Not one of torch's schedulers: they count steps, and a stage may be given minutes instead.
    """
    warm = round(part.warmup * steps)
    if step < warm:
        return part.learning_rate * min(1.0, (step + 1) / warm)
    along = (step - warm) / max(1, steps - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * along))
    fallen = max(0.0, 1 - along) ** POWER if part.schedule == "poly" else cosine
    return part.learning_rate * (part.floor + (1 - part.floor) * fallen)


def _memory_mb(device: torch.device) -> int:
    """Most memory in use so far, MB: of the GPU, else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) / 1e6)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
