"""The bundled model and sample of colour and depth, from a run of the config ``scenes``.

    mrseg train scenes -o runs/scenes
    python -m tools.bundled_scenes runs/scenes -o napari_mrseg/resources

Measures the run's model on scenes held out of it, writes the numbers on its card, and puts it and a sample scene there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mrseg_training.data.scene_generator import CAMOUFLAGED, FLAT, Scenes, write_scenes
from mrseg_training.evaluate import evaluate
from mrseg_training.settings import Config
from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.tasks import key
from tools.bundled_card import commit

HELD_OUT = 40  # scenes whose Dice stands on the card
SAMPLE = ("scene-test-0026", "scene-test-0025", "scene-test-0012")
"""Frames of the sample, of seed 2: an ordinary scene, one that colour hardly shows, one that depth does not show."""
QUALITY = 92  # of the sample's JPEG


def card_of(card: ModelCard, config: Config, document: Mapping[str, Any]) -> ModelCard:
    """``card`` with the words for shipping and what ``document``, of :func:`~.evaluate.evaluate`, measured."""
    part = config.stage(config.recipe[-1])
    rows = tuple(
        {
            "case": row["subject"],
            "combination": row["combination"],
            "dice": {name: round(value, 4) for name, value in row["dice"].items()},
        }
        for row in document["by_subject"]
    )
    each = ", ".join(f"{key(row['combination'])} {row['saliency']['s']:.3f}" for row in document["rows"])
    count = config.data.simulate.train
    before = () if config.start is None else (f"Before: {load_model(config.start).card.trained_on[0]}",)
    return card.model_copy(
        update={
            "licence": "BSD-3-Clause",
            "trained_on": (
                f"{count} generated scenes of seed {config.data.simulate.seed} (mrseg_training.data.scene_generator, "
                f"commit {commit()}; {part.steps} steps of {part.batch}): objects of many shapes and patterns in "
                f"cluttered rooms, with the noise, holes and steps of a depth camera; in {CAMOUFLAGED:.0%} colour, "
                f"in {FLAT:.0%} depth does not show the object.",
                *before,
            ),
            "measured": rows,
            "measured_on": (
                f"{len(document['subjects'])} generated scenes of 480 × 640 pixels that it was not trained on. "
                f"S-measure: {each}; mean {document['average']['saliency']['s']:.3f}, standard deviation over "
                f"combinations {document['sd']['saliency']['s']:.3f}."
            ),
            "intended_use": "Research and demonstration only.",
            "limitations": (
                "Trained on generated scenes alone and not measured on photographs, on which it is a demonstration. "
                "Depth must grow with the distance; maps in which near is bright have to be inverted. Works at half "
                "of 480 × 640 pixels: larger pictures are seen in windows."
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
    parser.add_argument("--sample", nargs="+", default=SAMPLE)
    args = parser.parse_args()
    config = Config.model_validate_json((args.run / "config.json").read_text(encoding="utf-8"))
    model = load_model(args.run / "model")
    part = config.data.simulate.model_copy(update={"test": HELD_OUT})
    with tempfile.TemporaryDirectory() as place:
        held_out = Path(place) / "generated scenes"
        write_scenes(part, config.model_task, held_out)
        document = evaluate(
            args.run / "model", held_out, Path(place) / "table", hd95=False, shuffles=0, say=print
        )
        print((Path(place) / "table" / "table.md").read_text(encoding="utf-8"))
    folder = args.out / "models" / model.card.name
    save_model(folder, model.network, card_of(model.card, config, document))
    sample = args.out / "sample-scene"
    shutil.rmtree(sample, ignore_errors=True)
    write_sample(Scenes(config.data.simulate, config.model_task, 1.0), args.sample, sample)


if __name__ == "__main__":
    main()
