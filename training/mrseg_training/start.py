"""What a stage starts from, and the fingerprint by which what it left is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrseg_training.checkpoint import latest, load_weights
from mrseg_training.settings import OF_ANY_NETWORK, Config
from mrseg_training.stages import STAGES
from napari_mrseg.errors import InputError

ADDED = (
    ("optimizer", "adamw"),
    ("schedule", "cosine"),
    ("over_combinations", "mean"),
    ("backbone_rate", 1.0),
    ("adapters", False),
    ("references", "needed"),
)


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

            return load_model(self.path, segments=False).network.state_dict()
        return load_weights(self.path)


def fingerprint(config: Config, index: int, start: Start | None) -> str:
    """What decides the weights of a stage: a hash of its settings and of the stages before it."""
    values: Mapping[str, Any] = config.model_dump(mode="json")
    stage = values["stages"][config.recipe[index]]
    # A setting of later versions at what it was before there was one: runs begun then can be resumed.
    stage = {name: value for name, value in stage.items() if (name, value) not in ADDED}
    deciding = {
        "task": config.task,
        "seed": config.seed,
        "data": {
            name: value
            for name, value in values["data"].items()
            if name not in ("cache", "in_memory", "prefetch", "workers") and (name, value) not in ADDED
        },
        "model": {k: v for k, v in values["model"].items() if k not in OF_ANY_NETWORK},
        "stage": [index, config.recipe[index], stage],
        "norm": config.run.norm_statistics,
        "before": start and start.identity,
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


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
    return Start(path, True, f"model {load_model(path, segments=False).sha256}")


def read_done(folder: Path) -> dict[str, Any] | None:
    """What a finished stage left in ``done.json``."""
    try:
        done: dict[str, Any] = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        return done
    except (OSError, ValueError):
        return None


def mixed(weights: Mapping[str, Tensor], before: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """``weights`` with ``share`` of those ``before``, where both have them; what is no number with a point stays."""
    return {
        name: torch.lerp(value, before[name].to(value), share)
        if name in before and value.is_floating_point() and before[name].shape == value.shape
        else value
        for name, value in weights.items()
    }
