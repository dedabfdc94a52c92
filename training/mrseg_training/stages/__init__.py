"""The stages, by name. Each is a module: a network, and how the loss of a batch is computed."""

from __future__ import annotations

from typing import Any

from mrseg_training.settings import Config
from mrseg_training.stages.adapt import Adapt
from mrseg_training.stages.base import Batch, Stage
from mrseg_training.stages.collaborate import Collaborate
from mrseg_training.stages.contrast import Contrast
from mrseg_training.stages.extract import Extract, Judge
from mrseg_training.stages.imagine import Imagine
from mrseg_training.stages.joint import Joint
from mrseg_training.stages.mutual import Mutual
from mrseg_training.stages.reconstruct import Reconstruct
from mrseg_training.stages.supervised import Supervised

_KINDS = (Reconstruct, Contrast, Adapt, Supervised, Extract, Judge, Imagine, Joint, Mutual, Collaborate)
STAGES: dict[str, Any] = {stage.name: stage for stage in _KINDS}

__all__ = ["STAGES", "Batch", "Stage", "check_stage", "make_stage"]


def check_stage(config: Config, name: str) -> None:
    """Raises InputError if the network is none that the stage of that name can train."""
    STAGES[name].check(config.model.network, config.model.sketch(config.model_task))


def make_stage(name: str, config: Config) -> Stage:
    """The stage of that name with fresh weights."""
    stage: Stage = STAGES[name](config, config.stage(name))
    return stage
