"""A trained row by the norm statistics it was left with, and by those of the head at hand: is it the weights that fail?

python benchmarks/ablation_norms.py RUN --subjects 8

RUN is a folder of ``mrseg ablate``. Whole-tumour Dice, mean over the first test subjects and four combinations, with
the running statistics (as a model is used), and with the decoder's norms taking each head's own.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from napari_mrseg.models.store import load_model

KEPT = ((1, 1, 1, 1), (1, 0, 0, 1), (0, 0, 1, 0), (1, 0, 0, 0))  # FLAIR, T1, T1ce, T2


@torch.inference_mode()
def whole_tumour_dice(network: nn.Module, files: list[Path]) -> float:
    """Mean over ``files`` (prepared subjects) that have a tumour, and over ``KEPT``."""
    scores = []
    for file in files:
        subject = load_file(file)
        truth = subject["labels"] > 0
        if not truth.any():
            continue
        for combination in KEPT:
            kept = torch.tensor([combination], dtype=torch.bool)
            images = subject["images"].float()[None] * kept.view(1, -1, 1, 1, 1)
            found = network(images, kept)[0, 0] > 0
            scores.append(2 * float((found & truth).sum()) / float(found.sum() + truth.sum()))
    return sum(scores) / len(scores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--subjects", type=int, default=8)
    args = parser.parse_args()
    files = sorted((args.run / "cache").glob("sim-test-*.safetensors"))[: args.subjects]
    print(
        f"| row | seed | running statistics | the head's own, decoder |\n|---|---|--:|--:|  {len(files)} subjects"
    )
    last = ""
    for line in (args.run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] == "finished":
            last = event["stage"]
        if event["kind"] == "row":
            network = load_model(args.run / "stages" / last / "model").network.float()
            own = copy.deepcopy(network)
            for name, module in own.named_modules():
                if isinstance(module, nn.BatchNorm3d) and name.startswith("decoder."):
                    module.train()
                    module.momentum = 0.0
            values = [100 * whole_tumour_dice(n, files) for n in (network, own)]
            print(f"| `{event['row']}` | {event['seed']} | {values[0]:.1f} | {values[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
