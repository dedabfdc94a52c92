"""The same trained rows with their norm statistics taken anew: is a row bad, or only its statistics?

python benchmarks/ablation_settled.py RUN OUT --subjects 20

RUN is a folder of ``mrseg ablate`` trained with ``run.settle=0``. Each row's last stage is settled over
its own training batches (:mod:`mrseg_training.settle`), then measured on the first test subjects. Weights stay as
they are, and so do the earlier stages, so this is not what a run with settled stages would give.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from mrseg_training.ablate import AblationConfig, measure, segment_config, tabulate
from mrseg_training.checkpoint import latest, load_weights
from mrseg_training.config import check
from mrseg_training.data.cache import Cached, Volumes
from mrseg_training.data.loader import Loader
from mrseg_training.export import model_card
from mrseg_training.rows import ROWS
from mrseg_training.settle import settle
from mrseg_training.stages import make_stage
from napari_mrseg.inference.device import has_bf16
from napari_mrseg.models.store import save_model
from napari_mrseg.tasks import get_task


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--batches", type=int, default=50)
    args = parser.parse_args()
    config = check(AblationConfig, json.loads((args.run / "config.json").read_text()), "config.json")

    def volumes(group: str, most: int | None = None) -> Volumes:
        ids = (args.run / "split" / f"{group}.txt").read_text().split()[:most]
        return Volumes([Cached(s, args.run / "cache" / f"{s}.safetensors") for s in ids], "yes")

    train, test = volumes("train"), volumes("test", args.subjects)
    last = ""
    for line in (args.run / "log.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "finished":
            last = event["stage"]
        if event["kind"] != "row":
            continue
        row, seed = event["row"], event["seed"]
        target = args.out / f"seed-{seed}" / f"{row}.json"
        if target.is_file():
            continue
        index = len(ROWS[row].segments) - 1
        segment = ROWS[row].segments[index]
        own = segment_config(config, row, segment, seed)
        part = own.stage(segment.stage)
        stage = make_stage(segment.stage, own)
        path = latest(args.run / "stages" / last / "checkpoints")
        assert path is not None, last
        stage.network.load_state_dict(load_weights(path))
        stage = stage.to(memory_format=torch.channels_last_3d).train()
        device = torch.device("cpu")
        loader = Loader(train, part, get_task(own.task), seed=own.seed, stage=index, device=device)
        assert part.steps is not None
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16(device)):
            settle(stage, loader.batches(part.steps, part.steps + args.batches))
        folder = args.out / "models" / f"{row}-{seed}"
        save_model(folder, stage.exported(), model_card(own, segment.stage, part, train))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(measure(folder, test, own)))
        print(row, seed, flush=True)
    print(tabulate(args.out).read_text())


if __name__ == "__main__":
    main()
