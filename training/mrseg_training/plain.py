"""The first, plain training: one network, random modalities, Dice and cross-entropy; no stages, no adapters.

    python -m mrseg_training.plain -o DIR --data ../shared/data

Reads from top to bottom. Another process makes samples (:mod:`mrseg_training.data.simulate`) as fast as it can; the
last ones are kept in a pool. A step takes crops from several of them, each with other modalities, so that batch norm
sees different heads. For the last part of the time its statistics are frozen, as in the viewer, and a third of the
steps are whole brains.

Run it again on the same DIR and it goes on where it stopped, with new samples. ``DIR/model`` is a model folder, written
with every checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from mrseg_training.card import first_card
from mrseg_training.data.brains import prepare, read_split
from mrseg_training.data.simulate import ODDS, SUBSETS, T1CE, Sample, Simulator
from mrseg_training.data.tumour import chance, pick
from napari_mrseg.inference.device import has_bf16
from napari_mrseg.inference.memory import reuse_freed_memory
from napari_mrseg.models.store import save_model
from napari_mrseg.models.unimrseg import SIZES, UniMRSeg

CROPS = ((48, 48, 48), (56, 64, 56))  # voxels of 2 mm
FREEZE_AT = 0.85  # of the time, from when on batch norm keeps its statistics
HARSH, MILD = (0.75, 0.82), (0.9, 0.72)  # (share of the time, weight of misses against false alarms)
REGIONS = torch.tensor([1.0, 1.0, 1.5])  # weight of WT, TC, ET
LEAST = torch.tensor([1000.0, 1000.0, 300.0])  # voxels a tumour counts for at least, in the cross-entropy
# A single modality learns slowest, and FLAIR alone is what people try first.
OURS = [
    o * (1.4 if len(s) == 1 else 1.0) * (1.8 if s == (0,) else 1.0)
    for s, o in zip(SUBSETS, ODDS, strict=True)
]


def loss_of(logits: Tensor, sample: Sample, miss: float = 0.5) -> tuple[Tensor, Tensor]:
    """Soft Tversky + cross-entropy, mean over the regions that can be learnt; and each region's Dice.

    ``logits``: (3, I, P, L). ``miss`` is the weight of what is missed against false alarms: at 0.5 this is the soft
    Dice loss; more keeps a hard combination from settling for no tumour at all. Voxels that are not certain count for
    nothing.
    """
    probability = torch.sigmoid(logits) * sample.certain
    truth = sample.regions * sample.certain
    both = (probability * truth).sum((1, 2, 3))
    false_alarm, missed = probability.sum((1, 2, 3)) - both, truth.sum((1, 2, 3)) - both
    # The 10 voxels: a region that is not there costs little for little.
    overlap = (both + 10) / (both + (1 - miss) * false_alarm + miss * missed + 10)
    weight = 1 + 2 * (2 * miss - 1) * sample.regions
    entropy = (
        F.binary_cross_entropy_with_logits(logits, sample.regions, reduction="none") * weight * sample.certain
    )
    # A mean over the volume would be all background: relative to the tumour's size instead.
    extent = torch.maximum(truth.sum((1, 2, 3)), LEAST)
    each = (1 - overlap) + 0.5 * entropy.sum((1, 2, 3)) / extent
    dice = (2 * both + 20) / (2 * both + false_alarm + missed + 20)
    learn = sample.learn * REGIONS
    return (each * learn).sum() / learn.sum(), dice.detach()


def weight_of_misses(done: float) -> float:
    """``miss`` of :func:`loss_of` when ``done`` (0 to 1) of the training is over: 0.82, near the end 0.72."""
    return HARSH[1] + (MILD[1] - HARSH[1]) * min(1.0, max(0.0, (done - HARSH[0]) / (MILD[0] - HARSH[0])))


def rate(done: float, peak: float) -> float:
    """Learning rate when ``done`` (0 to 1) of the training is over: warm-up, then a cosine to 1 % of the peak."""
    if done < 0.03:
        return peak * (0.05 + 0.95 * done / 0.03)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def view(sample: Sample, size: Sequence[int], generator: Generator) -> Sample:
    """A crop of ``size`` of a sample with all modalities, most often around tumour, with some modalities dropped."""
    images, regions, certain = sample.images.float(), sample.regions.float(), sample.certain.float()
    short = [max(0, k - n) for n, k in zip(images.shape[1:], size, strict=True)]
    padding = [p for n in reversed(short) for p in (n // 2, n - n // 2)]
    images, regions = F.pad(images, padding), F.pad(regions, padding)
    certain = F.pad(certain, padding, value=1.0)
    tumour = regions[0] > 0
    around = tumour if tumour.any() and chance(0.7, generator) else (images != 0).any(0)
    places = torch.nonzero(around)
    centre = places[int(torch.randint(0, len(places), (), generator=generator))].tolist()
    box = []
    for middle, extent, whole in zip(centre, size, images.shape[1:], strict=True):
        jitter = int(torch.randint(-(extent // 4), extent // 4 + 1, (), generator=generator))
        first = max(0, min(middle - extent // 2 + jitter, whole - extent))
        box.append(slice(first, first + extent))
    images, regions, certain = images[:, *box], regions[:, *box], certain[*box]
    if chance(0.5, generator):  # mirrored left to right
        images, regions, certain = images.flip(3), regions.flip(3), certain.flip(2)
    gain = torch.exp(0.1 * torch.randn(len(images), 1, 1, 1, generator=generator))
    shift = 0.1 * torch.randn(len(images), 1, 1, 1, generator=generator)
    images = torch.where(images != 0, images * gain + shift, images)
    kept = SUBSETS[pick(OURS, generator)]
    present = torch.zeros(len(images), dtype=torch.bool)
    present[list(kept)] = True
    learn = sample.learn.clone()
    learn[2] = float(T1CE in kept)
    return Sample(images * present.view(-1, 1, 1, 1), regions, certain, learn, present)


class Stream(IterableDataset[Sample]):
    """Samples with all modalities, without end, in the compact types that travel between processes."""

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self.simulator, self.seed = simulator, seed

    def __iter__(self) -> Iterator[Sample]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            s = self.simulator.sample(generator, tuple(range(4)))
            yield Sample(s.images.half(), s.regions.byte(), s.certain.byte(), s.learn, s.present)


def follow(average: nn.Module, network: nn.Module, step: int, decay: float = 0.996) -> None:
    """Move the average of the weights (and of the norms' statistics) a little towards ``network``."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, share)
            else:
                old.copy_(new)


def set_norms(network: nn.Module, *, frozen: bool) -> None:
    """Batch norm in training: statistics of the batch, or (``frozen``) the running ones."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.05
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
    reuse_freed_memory()
    network = UniMRSeg(SIZES[args.size].model_copy(update={"adapters": "none"}))
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
    nn.init.constant_(network.head.bias, -2.0)  # type: ignore[arg-type]  # most voxels are no tumour
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

    stream = iter(
        DataLoader(
            Stream(simulator, args.seed + 1000 * step),
            batch_size=None,
            num_workers=args.workers,
            prefetch_factor=8 if args.workers else None,
        )
    )
    pool = [next(stream) for _ in range(args.pool // 8 or 1)]
    budget = args.minutes * 60
    bf16 = has_bf16(torch.device("cpu"))
    last, saved = time.monotonic(), elapsed
    seen: list[tuple[float, Tensor, Tensor]] = []
    while elapsed < budget and (args.steps is None or step < args.steps):
        done = elapsed / budget
        frozen = done >= FREEZE_AT
        set_norms(network, frozen=frozen)
        for group in optimiser.param_groups:
            group["lr"] = rate(done, args.lr)

        if chance(0.7, generator):
            fresh = next(stream)
            if len(pool) < args.pool:
                pool.append(fresh)
            else:
                pool[int(torch.randint(0, len(pool), (), generator=generator))] = fresh
        size: Sequence[int] = CROPS[pick((0.7, 0.3), generator)]
        chosen = torch.randperm(len(pool), generator=generator)[
            : args.batch if size == CROPS[0] else args.batch // 2
        ]
        if frozen and chance(0.35, generator):
            chosen, size = chosen[:1], pool[int(chosen[0])].images.shape[1:]
        views = [view(pool[i], size, generator) for i in chosen.tolist()]

        images = torch.stack([v.images for v in views]).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = network(images, torch.stack([v.present for v in views]))
        results = [loss_of(y.float(), v, weight_of_misses(done)) for y, v in zip(logits, views, strict=True)]
        loss = torch.stack([r[0] for r in results]).mean()
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
        for v, (_, dice) in zip(views, results, strict=True):
            seen.append((float(loss.detach()), dice, (v.regions.sum((1, 2, 3)) > 50) & (v.learn > 0)))
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
    parser.add_argument("--minutes", type=float, default=60.0, help="wall time of the whole training")
    parser.add_argument("--steps", type=int, default=None, help="stop after so many steps, if sooner")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=int, default=4, help="crops a step")
    parser.add_argument("--pool", type=int, default=160, help="samples kept to take crops from")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that make samples; 0: this one does"
    )
    parser.add_argument("--save-every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--report", type=int, default=50, help="steps between lines of the log")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    simulator = prepare(args.data, read_split(args.split), args.out / "brains.pt")
    simulator.healthy_share, simulator.real_share = 0.15, 0.18
    train(simulator, args.out, args)


if __name__ == "__main__":
    main()
