"""What a recipe costs: floating-point operations counted on tensors without memory, and GPU-hours at a stated rate.

python -m tools.gpu_hours paper
python -m tools.gpu_hours compact --subjects 600 --tflops 150
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mrseg_training.config import load_config
from mrseg_training.settings import Config
from mrseg_training.stages import make_stage

RATE = 100.0
"""TFLOP/s assumed: a tenth of an H200's peak in bf16 without sparsity; norms, pooling and attention wait for memory."""


def stage_flops(config: Config, name: str) -> float:
    """Operations of one step of one process, forward and backward (a multiply-add counts as two), mean over extents.

    Only the network's passes are counted; losses are small beside them.
    """
    part: Any = config.stage(name)
    with torch.device("meta"):
        stage = make_stage(name, config).train()
    total = 0.0
    for extents in part.extents:
        x = torch.empty(part.batch, stage.network.settings.in_channels, *extents, device="meta")
        complete = _pass_flops(stage, x, incomplete=False)
        if name in ("adapt", "joint"):
            total += complete + part.combinations_per_step * _pass_flops(stage, x, incomplete=True)
        else:
            total += complete * (2 if name == "contrast" else 1)
    return total / len(part.extents)


def _pass_flops(stage: Any, x: torch.Tensor, *, incomplete: bool) -> float:
    present = torch.ones(x.shape[:2], dtype=torch.bool)
    present[:, -1] = not incomplete
    with FlopCounterMode(display=False) as counter:
        no_gradient = stage.network.encoder_frozen and not incomplete
        with torch.set_grad_enabled(not no_gradient):
            features = stage.network.encode(x, present)
        stage.network.decode(features, x).sum().backward()
    return float(counter.get_total_flops())


def cost(config: Config, subjects: int, tflops: float = RATE) -> list[tuple[str, int, float, float]]:
    """Per stage: (name, steps, TFLOP a step, GPU-hours at ``tflops`` TFLOP/s)."""
    rows: list[tuple[str, int, float, float]] = []
    for name in config.recipe:
        part = config.stage(name)
        steps = part.steps or math.ceil((part.epochs or 0) * subjects / part.batch)
        each = stage_flops(config, name) / 1e12
        rows.append((name, steps, each, steps * each / tflops / 3600))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--subjects", type=int, default=219)
    parser.add_argument("--tflops", type=float, default=RATE)
    args = parser.parse_args(arguments)
    rows = cost(load_config(args.config, args.overrides), args.subjects, args.tflops)
    for name, steps, each, hours in rows:
        print(
            f"{name:12} {steps:7} steps of {each:8.2f} TFLOP: {hours:7.1f} GPU-hours at {args.tflops:g} TFLOP/s"
        )
    print(f"{'together':12} {sum(row[3] for row in rows):.1f} GPU-hours")


if __name__ == "__main__":
    main()
