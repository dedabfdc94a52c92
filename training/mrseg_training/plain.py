"""The first, plain training: one network, random modalities, Dice and cross-entropy; no stages, no adapters.

    python -m mrseg_training.plain -o DIR --data ../shared/data

Reads from top to bottom. One sample a step, on the whole brain at 2 mm, made anew each time by
:mod:`mrseg_training.data.simulate`. Run it again on the same DIR and it goes on where it stopped. ``DIR/model`` is a
model folder, written with every checkpoint.

With one sample a step, batch norm leans on the statistics of the very image, and so cannot tell how much tumour there
is. So only for the first ``--freeze-at`` of the time it collects slow running statistics; from then on it uses those,
in training as in the viewer.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrseg_training.card import first_card
from mrseg_training.data.brains import prepare, read_split
from mrseg_training.data.simulate import Sample, Simulator
from napari_mrseg.inference.device import has_bf16
from napari_mrseg.models.store import save_model
from napari_mrseg.models.unimrseg import SIZES, UniMRSeg


def loss_of(logits: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
    """Soft Dice + cross-entropy, mean over the regions that can be learnt; and each region's Dice.

    ``logits``: (3, I, P, L). Voxels that are not certain count for neither.
    """
    probability = torch.sigmoid(logits) * sample.certain
    truth = sample.regions * sample.certain
    both = (probability * truth).sum((1, 2, 3))
    total = probability.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    dice = (2 * both + 20) / (total + 20)  # 20 voxels: a region that is not there costs little for little
    entropy = F.binary_cross_entropy_with_logits(logits, sample.regions, reduction="none") * sample.certain
    # A mean over the volume would be all background: relative to the tumour's size instead.
    extent = truth.sum((1, 2, 3)).clamp_min(1500.0)
    each = (1 - dice) + 0.5 * entropy.sum((1, 2, 3)) / extent
    return (each * sample.learn).sum() / sample.learn.sum(), dice.detach()


def rate(done: float, peak: float) -> float:
    """Learning rate when ``done`` (0 to 1) of the training is over: warm-up, then a cosine to 1 % of the peak."""
    if done < 0.03:
        return peak * (0.05 + 0.95 * done / 0.03)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def follow(average: nn.Module, network: nn.Module, step: int, decay: float = 0.997) -> None:
    """Move the average of the weights (and of the norms' statistics) a little towards ``network``."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, share)
            else:
                old.copy_(new)


def set_norms(network: nn.Module, *, frozen: bool) -> None:
    """Batch norm in training: slow running statistics, or (``frozen``) their use."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.02
            module.train(not frozen)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def train(simulator: Simulator, out: Path, args: argparse.Namespace) -> UniMRSeg:
    """Train for ``args.minutes`` of wall time, counting earlier runs on the same folder. Returns the average."""
    torch.manual_seed(args.seed)
    settings = SIZES[args.size].model_copy(update={"adapters": "none"})
    network = UniMRSeg(settings)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
    nn.init.constant_(network.head.bias, -4.0)  # type: ignore[arg-type]  # most voxels are no tumour
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(args.seed)
    step, elapsed = 0, 0.0

    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        step, elapsed = state["step"], state["elapsed"]
        print(f"goes on at step {step}, {elapsed / 60:.1f} min", flush=True)

    def keep() -> None:
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "generator": generator.get_state(),
            "step": step,
            "elapsed": elapsed,
        }
        save(checkpoint, state)
        save_model(out / "model", average, first_card(args.split, step, elapsed, finished=elapsed >= budget))

    budget = args.minutes * 60
    bf16 = has_bf16(torch.device("cpu"))
    last, saved = time.monotonic(), elapsed
    seen: list[tuple[float, Tensor, Tensor]] = []
    while elapsed < budget and (args.steps is None or step < args.steps):
        done = elapsed / budget
        set_norms(network, frozen=done >= args.freeze_at)
        for group in optimiser.param_groups:
            group["lr"] = rate(done, args.lr)

        sample = simulator.sample(generator)
        images = sample.images[None].contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = network(images, sample.present[None])
        loss, dice = loss_of(logits[0].float(), sample)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {float(loss)} at step {step}; the last checkpoint is kept."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        follow(average, network, step)

        step += 1
        now = time.monotonic()
        elapsed, last = elapsed + now - last, now
        seen.append((float(loss.detach()), dice, (sample.regions.sum((1, 2, 3)) > 50) & (sample.learn > 0)))
        if step % args.report == 0:
            report(step, elapsed, optimiser.param_groups[0]["lr"], seen)
            seen.clear()
        if elapsed - saved >= args.save_every * 60:
            saved = elapsed
            keep()
    keep()
    return average


def report(step: int, elapsed: float, lr: float, seen: list[tuple[float, Tensor, Tensor]]) -> None:
    """One line: the mean loss and the mean soft Dice of each region where it is there."""
    dice, there = torch.stack([s[1] for s in seen]), torch.stack([s[2] for s in seen]).float()
    means = (dice * there).sum(0) / there.sum(0).clamp_min(1)
    text = " ".join(f"{name} {float(m):.3f}" for name, m in zip(("WT", "TC", "ET"), means, strict=True))
    loss = sum(s[0] for s in seen) / len(seen)
    print(f"step {step} {elapsed / 60:.1f} min lr {lr:.2e} loss {loss:.3f} dice {text}", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.plain", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for checkpoint and model")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MRSEG_DATA", "../shared/data")))
    parser.add_argument("--split", default="first", help="a split shipped in splits/")
    parser.add_argument("--size", default="compact", choices=sorted(SIZES))
    parser.add_argument("--minutes", type=float, default=85.0, help="wall time of the whole training")
    parser.add_argument("--steps", type=int, default=None, help="stop after so many steps, if sooner")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument(
        "--freeze-at", type=float, default=0.2, help="when the norms' statistics are frozen, 0–1"
    )
    parser.add_argument("--save-every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--report", type=int, default=50, help="steps between lines of the log")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    train(prepare(args.data, read_split(args.split), args.out / "brains.pt"), args.out, args)


if __name__ == "__main__":
    main()
