"""Norm statistics taken anew once the weights stand still.

With two crops a batch the running averages of a batch norm follow the last few steps, and those of weights that are
gone; a network whose training loss is fine may find nothing, or everything, with them. Here they become the plain
mean over a number of batches of the final weights, complete and incomplete inputs in the stage's own proportion.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from mrseg_training.stages import Batch
from mrseg_training.stages.base import Stage


@torch.no_grad()
def settle(stage: Stage, batches: Iterable[Batch]) -> None:
    """Replace the statistics of all norms that learn from batches; those in eval statistics keep theirs."""
    norms = [
        module
        for module in stage.network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean instead of a moving one
    for batch in batches:
        for part in range(stage.parts):
            stage(batch, part)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
