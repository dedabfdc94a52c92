"""Real tumour studies with a skull and skin put around the brain: what the segmentation loses by cutting it out again.

    python benchmarks/skull.py --data ../shared/data [CASE ...]

The head is drawn, not measured: fluid, dark bone, bright fat and duller muscle in layers of uneven thickness, with
noise and bridges of dura through the bone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.io.brain import BrainMask
from napari_mrseg.models.store import load_model
from napari_mrseg.steps import take
from napari_mrseg.study import Image, Study

CASES = (
    *("BraTS-GLI-00000-000", "BraTS2021_01476", "BraTS2021_01477", "BraTS2021_01478"),
    *("BraTS2021_01481", "BraTS2021_01482", "BraTS2021_01483", "BraTS2021_01484"),
)
# Of fluid, bone, fat and muscle, in medians of the brain.
LEVELS = {
    "flair": (0.2, 0.06, 1.1, 0.5),
    "t1": (0.25, 0.08, 1.9, 0.6),
    "t1ce": (0.3, 0.08, 1.7, 0.7),
    "t2": (2.4, 0.08, 1.3, 0.4),
}


def with_skull(study: Study, seed: int = 0) -> Study:
    """The study as a head: its brain inside layers of fluid, bone, fat and muscle."""
    shown = np.any([image.data != 0 for image in study.images.values()], axis=0)
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(shown, 4), iterations=3))[
        4:-4, 4:-4, 4:-4
    ]
    rng = np.random.default_rng(seed)
    wavy = ndimage.gaussian_filter(rng.normal(size=brain.shape).astype(np.float32), 12)
    wavy *= 1.5 / wavy.std()
    depth = ndimage.distance_transform_edt(~brain) + wavy
    dura = ndimage.gaussian_filter(rng.normal(size=brain.shape).astype(np.float32), 2)
    images = {}
    for name, image in study.images.items():
        level = float(np.median(image.data[shown]))
        fluid, bone, fat, muscle = (level * share for share in LEVELS[name])
        layers = np.zeros_like(image.data)
        outside = ~brain
        layers[outside & (depth < 3)] = fluid
        layers[outside & (depth >= 3) & (depth < 8)] = bone
        layers[outside & (depth >= 3) & (depth < 8) & (dura > 2.2 * dura.std())] = 0.8 * level
        layers[outside & (depth >= 8) & (depth < 12)] = fat
        layers[outside & (depth >= 12) & (depth < 15)] = muscle
        noisy = layers * (1 + 0.08 * rng.normal(size=layers.shape).astype(np.float32))
        images[name] = Image(np.where(brain, image.data, noisy).astype(np.float32), image.source)
    return replace(study, images=images)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    engine = Engine(load_model())
    region = engine.model.task.regions[0]
    lost = []
    for case in args.cases:
        study = open_study(args.data / case)
        assert study.reference is not None
        head = take(with_skull(study), (BrainMask(),))
        both: list[npt.NDArray[np.bool_]] = [
            region_mask(engine.predict(s, study.present).labels, region) for s in (study, head)
        ]
        before, after = (dice(mask, study.reference.labels > 0) for mask in both)
        shown, kept = (s.images["t1"].data != 0 for s in (study, head))
        lost.append(before - after)
        print(
            f"{case}: WT {before:.3f}, with a skull cut away {after:.3f}; brain kept "
            f"{(shown & kept).sum() / shown.sum():.1%}, too much {(kept & ~shown).sum() / shown.sum():.1%}",
            flush=True,
        )
    print(f"lost: {np.mean(lost):.3f} on average, {max(lost):.3f} at most, on {len(lost)} studies")


if __name__ == "__main__":
    main()
