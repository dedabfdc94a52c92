"""Seconds for a frame of 480 × 640 pixels, and frames a second for a folder of them, by network.

python benchmarks/frame_speed.py --frames 20

The bundled model of colour and depth, then ResNet-50 and ConvNeXt-B at full resolution (random weights: the time does
not depend on them). The viewer's own engine, after one run to warm up; all three combinations of a folder together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from mrseg_training.data.scene_generator import write_scenes
from mrseg_training.settings import SimulatePart
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.card import Validated
from napari_mrseg.models.store import Model, load_model, save_model
from napari_mrseg.models.unimrseg import SIZES, UniMRSeg
from napari_mrseg.tasks import RGBD_SOD


def large(name: str, like: Model, folder: Path) -> Model:
    """A model of a named size with random weights, at full resolution."""
    network = UniMRSeg(SIZES[name].model_copy(update={"regions": 1}))
    change = {
        "name": name,
        "mirrored": False,
        "validated": (Validated(spacing_mm=1.0, extents_max=(480, 640)),),
    }
    return load_model(save_model(folder / name, network, like.card.model_copy(update=change)))


def film(root: Path, frames: int) -> Path:
    """Generated scenes as a folder of frames."""
    part = SimulatePart(train=1, validation=0, test=frames, seed=5)
    for number, folder in enumerate(write_scenes(part, RGBD_SOD, root / "scenes")):
        for role in ("rgb", "depth"):
            target = root / "film" / role / f"{number:04d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{role}.png").rename(target)
    return root / "film"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--networks", nargs="*", default=["resnet50", "convnext-base"])
    args = parser.parse_args()
    bundled = load_model(task=RGBD_SOD)
    with tempfile.TemporaryDirectory() as place:
        root = film(Path(place), args.frames)
        one = [f"{role}={root / role / '0000.png'}" for role in ("rgb", "depth")]
        frame, frames = open_study(one, task=RGBD_SOD), open_study(root, task=RGBD_SOD)
        models = [bundled, *(large(name, bundled, Path(place)) for name in args.networks)]
        print(f"{torch.get_num_threads()} threads, {args.device}")
        print("| network | parameters | both | colour | depth | frames a second, all three |")
        print("|---|--:|--:|--:|--:|--:|")
        for model in models:
            engine = Engine(model, device=args.device)
            engine.predict(frame)
            cells = []
            for combination in RGBD_SOD.combinations():
                seconds = []
                for _ in range(3):
                    began = time.perf_counter()
                    engine.predict(frame, combination)
                    seconds.append(time.perf_counter() - began)
                cells.append(f"{median(seconds):.2f} s")
            count = sum(p.numel() for p in model.network.parameters()) / 1e6
            some = frames if model is bundled else None
            rate = "–"
            if some is not None:
                began = time.perf_counter()
                list(engine.run_all(some, RGBD_SOD.combinations()))
                rate = f"{args.frames / (time.perf_counter() - began):.1f}"
            print(f"| {model.card.name} | {count:.1f} M | {' | '.join(cells)} | {rate} |", flush=True)


if __name__ == "__main__":
    main()
