"""One process or several: Lightning Fabric, and the one exchange a step needs."""

from __future__ import annotations

import atexit
import logging
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mrseg_training.settings import Config
from napari_mrseg.errors import InputError
from napari_mrseg.inference.device import resolve_device, resolve_precision


def make_fabric(config: Config) -> Any:
    """Lightning Fabric, set up and launched. Under torchrun the processes are torchrun's."""
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    device = resolve_device(config.run.device)
    precision = resolve_precision(config.run.precision, device)
    together = config.run.devices * config.run.nodes > 1
    if together and not (dist.is_available() and "RANK" in os.environ):
        raise InputError(
            f"run.devices={config.run.devices} needs torchrun: torchrun --nproc_per_node={config.run.devices} "
            "-m napari_mrseg.cli train ..."
        )
    for name in ("lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator="cuda" if device.type == "cuda" else device.type,
        devices=config.run.devices if device.type == "cpu" or together else [device.index or 0],
        num_nodes=config.run.nodes,
        strategy=DDPStrategy(broadcast_buffers=False, process_group_backend=None) if together else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    # A run has few shapes: each gets its fastest convolution.
    torch.backends.cudnn.benchmark = True
    fabric.launch()
    if together:
        # Lightning leaves gloo's group to the interpreter's end, where its threads can abort a process that is done.
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(module: nn.Module, processes: int) -> None:
    """Mean of all processes' gradients, in one exchange. A weight that no process used keeps no gradient."""
    weights = [p for p in module.parameters() if p.requires_grad]
    used = torch.tensor([float(p.grad is not None) for p in weights], device=weights[0].device)
    dist.all_reduce(used)
    some = [p for p, n in zip(weights, used.tolist(), strict=True) if n > 0]
    if not some:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in some])
    dist.all_reduce(flat)
    flat /= processes
    start = 0
    for weight in some:
        weight.grad = flat[start : start + weight.numel()].view_as(weight).clone()
        start += weight.numel()
