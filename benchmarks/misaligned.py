"""What modalities that do not lie on each other cost: models of the benchmark's pair, one of the two moved.

    python benchmarks/misaligned.py runs/benchmark

Takes the models and held-out simulated subjects that ``mrseg benchmark compact`` left in the folder, moves the second
modality of the pair along each axis in turn by 0 to 3 voxels of 3 mm, and prints the mean Dice of whole tumour with
both modalities over subjects and axes, with the standard deviation over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mrseg_training.data.prepared import Cached, Volumes
from napari_mrseg.compare.metrics import region_dice
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import BRATS

ROWS = ("supervised-20", "cmc-20", "supervised-100")
PAIR = ("flair", "t1ce")
SHIFTS = (0, 1, 2, 3)


@torch.inference_mode()
def dice(folder: Path, test: Volumes, shift: int) -> float:
    """Mean over subjects and axes of whole tumour's Dice, with both modalities."""
    network = load_model(folder).network.for_inference()
    available = torch.tensor([[name in PAIR for name in BRATS.names]])
    moved, values = BRATS.names.index(PAIR[1]), []
    for subject in test.subjects:
        truth = test.labels(subject).numpy()
        for axis in range(3 if shift else 1):
            images = test.images(subject).float()
            images[moved] = torch.roll(images[moved], shift, axis)
            room = [
                n for m, k in zip(truth.shape[::-1], network.stride[::-1], strict=True) for n in (0, -m % k)
            ]
            logits = network(torch.nn.functional.pad(images[None], room), available)
            logits = logits[:, :, : truth.shape[0], : truth.shape[1], : truth.shape[2]]
            found = BRATS.label_map(probabilities(logits.float(), BRATS.output)[0]).numpy().astype(np.uint8)
            values.append(region_dice(found, truth, BRATS)["WT"])
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    test = Volumes(
        [Cached(path.stem, path) for path in sorted((args.benchmark / "held-out").glob("*.safetensors"))]
    )
    print("| method | " + " | ".join(f"{3 * shift} mm" for shift in SHIFTS) + " |")
    print("| --- |" + " --: |" * len(SHIFTS))
    for row in ROWS:
        models = [
            path.with_suffix("") / "model" for path in sorted(args.benchmark.glob(f"seed-*/{row}.json"))
        ]
        cells = []
        for shift in SHIFTS:
            by_seed = [dice(model, test, shift) for model in models]
            spread = f" ± {np.std(by_seed, ddof=1):.3f}" if len(by_seed) > 1 else ""
            cells.append(f"{np.mean(by_seed):.3f}{spread}")
        print(f"| {row} ({len(models)} seeds) | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
